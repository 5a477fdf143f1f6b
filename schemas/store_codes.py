"""Which error codes of an S3 store speak of the object that is sent; all others are the store's and may pass."""

# The bytes that came are not those that were announced, by Content-MD5, a checksum header or the signature.
DIGEST_ERROR_CODES = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)
# The store will take no such object, whenever it is sent.
REFUSED_OBJECT_CODES = frozenset({"EntityTooLarge", "EntityTooSmall", "KeyTooLongError", "KeyTooLong"})
_CONTENT_TOO_LARGE = 413  # RFC 9110 §15.5.14; a proxy before the store says it without a code


def is_object_refused(status: int, code: str) -> bool:
    """Return whether the store refuses this object for good; otherwise a retry may succeed."""
    return code in REFUSED_OBJECT_CODES or (status == _CONTENT_TOO_LARGE and not code)
