"""Presign uploads (AWS Signature Version 4, query form), bound to one content if its SHA-256 is given.

minio-py signs the host only. With the SHA-256 of the body among the signed headers, the store refuses all other bytes,
so what lies under the key needs no check.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from worker.settings import settings

CHECKSUM = "x-amz-checksum-sha256"


def put_url(key: str, lifetime: timedelta, sha256: bytes | None = None) -> tuple[str, dict[str, str]]:
    """Return a URL for a PUT under ``key``, and the headers to send with it; with ``sha256`` no other bytes are taken.

    Anyone who has the URL can use it until ``lifetime`` has passed.
    """
    conf = settings()
    # The Host header is signed, and clients leave out the default port of the scheme.
    host = (conf.s3_public_endpoint or conf.s3_endpoint).removesuffix(":443" if conf.s3_secure else ":80")
    path = quote(f"/{conf.s3_bucket}/{key}")
    now = datetime.now(UTC)
    scope = f"{now:%Y%m%d}/{conf.s3_region}/s3/aws4_request"
    headers = {} if sha256 is None else {CHECKSUM: base64.b64encode(sha256).decode()}
    signed = ";".join(("host", *headers))
    canonical_headers = "".join(f"{name}:{value}\n" for name, value in {"host": host, **headers}.items())
    query = "&".join(
        f"{name}={quote(value, safe='')}"
        for name, value in (
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{conf.s3_access_key}/{scope}"),
            ("X-Amz-Date", f"{now:%Y%m%dT%H%M%SZ}"),
            ("X-Amz-Expires", str(int(lifetime.total_seconds()))),
            ("X-Amz-SignedHeaders", signed),
        )
    )
    canonical = f"PUT\n{path}\n{query}\n{canonical_headers}\n{signed}\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{now:%Y%m%dT%H%M%SZ}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(_key(scope), to_sign.encode(), hashlib.sha256).hexdigest()
    scheme = "https" if conf.s3_secure else "http"
    return f"{scheme}://{host}{path}?{query}&X-Amz-Signature={signature}", headers


def _key(scope: str) -> bytes:
    """Return the signing key of a day, region and service."""
    key = b"AWS4" + settings().s3_secret_key.get_secret_value().encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
