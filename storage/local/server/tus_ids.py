"""The ids of resumable uploads in URLs: `<bucket>/<key>/<UUID>` in base64url, as on the real server.

Ids come from the client, so they are untrusted input.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from storage import keys
from storage.local.resumable_uploads import ResumableUpload
from storage.local.server.buckets import BUCKET_NAME
from storage.local.server.errors import ProtocolError

UPLOAD_ID = re.compile(r"(?P<bucket>[^/]*)/(?P<key>.*)/(?P<id>[^/]*)", re.DOTALL)


def encode(upload: ResumableUpload) -> str:
    return urlsafe_b64encode(f"{upload.bucket}/{upload.key}/{upload.id}".encode()).decode().rstrip("=")


def decode(upload_id: str) -> tuple[str, str, str]:
    """Return the UUID, bucket and key. Raises ProtocolError, InvalidKey."""
    try:
        text = urlsafe_b64decode(upload_id.rstrip("/") + "==").decode()
    except ValueError:
        text = ""
    match = UPLOAD_ID.fullmatch(text)
    if match is None:
        raise ProtocolError("InvalidRequest", "Invalid upload id")
    return match["id"], *check(match["bucket"], match["key"])


def check(bucket: str, key: str) -> tuple[str, str]:
    """Return bucket and key if an object can have them. Raises ProtocolError, InvalidKey."""
    if not BUCKET_NAME.fullmatch(bucket):
        raise ProtocolError("InvalidBucketName")
    return bucket, keys.check_legal(key)
