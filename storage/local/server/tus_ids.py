"""The names of resumable uploads in URLs: what they are for, and which, in base64url.

`<bucket>/<key>/<UUID>`, as the real server has it. A name comes back from the client: hostile input.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from storage import keys
from storage.local.resumable_uploads import ResumableUpload
from storage.local.server.buckets import NAME as BUCKET_NAME
from storage.local.server.errors import ProtocolError

UPLOAD = re.compile(r"(?P<bucket>[^/]*)/(?P<key>.*)/(?P<id>[^/]*)", re.DOTALL)


def encode(upload: ResumableUpload) -> str:
    return urlsafe_b64encode(f"{upload.bucket}/{upload.key}/{upload.id}".encode()).decode().rstrip("=")


def decode(name: str) -> tuple[str, str, str]:
    """Id, bucket and key. Raises Refusal and InvalidKey."""
    try:
        text = urlsafe_b64decode(name.rstrip("/") + "==").decode()
    except ValueError:
        text = ""
    match = UPLOAD.fullmatch(text)
    if match is None:
        raise ProtocolError("InvalidRequest", "Invalid upload id")
    return match["id"], *legal(match["bucket"], match["key"])


def legal(bucket: str, key: str) -> tuple[str, str]:
    """Both as they are, if there can be such an object. Raises Refusal and InvalidKey."""
    if not BUCKET_NAME.fullmatch(bucket):
        raise ProtocolError("InvalidBucketName")
    return bucket, keys.legal(key)
