"""Presigned uploads that are bound to one content (AWS Signature Version 4, query form).

minio-py signs the host only. Here the SHA-256 of the body is among the signed
headers, so that a URL is good for those very bytes: the store refuses all others,
and what is found at the key needs no second look.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from worker.settings import settings

CHECKSUM = "x-amz-checksum-sha256"


def put_url(key: str, sha256: bytes, lifetime: timedelta) -> tuple[str, dict[str, str]]:
    """Return a URL for a PUT of the content with that hash under ``key``, and the headers that must be sent."""
    conf = settings()
    # As clients spell the header Host, which is signed: without the port that the scheme means anyway.
    host = (conf.s3_public_endpoint or conf.s3_endpoint).removesuffix(":443" if conf.s3_secure else ":80")
    path = quote(f"/{conf.s3_bucket}/{key}")
    now = datetime.now(UTC)
    scope = f"{now:%Y%m%d}/{conf.s3_region}/s3/aws4_request"
    headers = {CHECKSUM: base64.b64encode(sha256).decode()}
    signed = f"host;{CHECKSUM}"
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
    canonical = f"PUT\n{path}\n{query}\nhost:{host}\n{CHECKSUM}:{headers[CHECKSUM]}\n\n{signed}\nUNSIGNED-PAYLOAD"
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
