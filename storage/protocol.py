"""ProtocolStorage: a bucket of any server that speaks the protocol of Supabase Storage.

Both stores speak it, so clients need only one protocol: signed URLs with tokens, and resumable uploads with
TUS. Source: recorded from Storage v1.70.6.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings

from storage import keys, tokens, url_cache
from storage.base import PRIVATE_MAX_AGE, SignedStorage, SignedUpload, SignedURL
from storage.contract import ObjectStorage
from storage.errors import ObjectMissing

TUS_CHUNK_SIZE = 6 * 1024 * 1024  # bytes: hosted projects require this size for every part except the last


class ProtocolStorage(SignedStorage):
    """URLs start with SUPABASE_URL. Download tokens are cached for half of their lifetime by `url_cache`."""

    #: A token that is cached takes no call of the server.
    observed_methods = ObjectStorage.observed_methods - {"sign_upload", "sign_downloads", "sign_download"} | {
        "upload_token",
        "download_tokens",
    }

    @abstractmethod
    def upload_token(self, key: str, seconds: int, size: int | None) -> str:
        """Return a token with which a client can create this object, but not overwrite it.

        `size` as in `sign_upload`.
        """

    @abstractmethod
    def download_tokens(self, wanted: Sequence[str], seconds: int) -> dict[str, str]:
        """Return a token for each key, by key. Keys of objects known to be missing are omitted."""

    def sign_upload(
        self,
        key: str,
        content_type: str,
        *,
        seconds: int,
        max_age: int = PRIVATE_MAX_AGE,
        size: int | None = None,
    ) -> SignedUpload:
        token = self.upload_token(keys.check(key), seconds, size)
        return SignedUpload(
            bucket=self.bucket,
            key=key,
            url=f"{self._endpoint('upload/sign', key)}?token={token}",
            headers={
                "content-type": content_type,
                "x-upsert": "false",
                "cache-control": f"max-age={max_age}",
            },
            expires_at=tokens.expiry(token),
            token=token,
            resumable=self._resumable(key, content_type, max_age, token),
        )

    def sign_downloads(self, wanted: Sequence[str], *, seconds: int) -> dict[str, SignedURL]:
        checked = [keys.check(key) for key in wanted]
        known = url_cache.get_many(self.bucket, checked, seconds)
        fresh = {}
        if unknown := [key for key in checked if key not in known]:
            fresh = self.download_tokens(unknown, seconds)
            url_cache.set_many(self.bucket, fresh, seconds)
        return {
            key: SignedURL(f"{self._endpoint('sign', key)}?token={token}", tokens.expiry(token))
            for key, token in {**known, **fresh}.items()
        }

    def sign_download(self, key: str, *, seconds: int, filename: str | None = None) -> SignedURL:
        signed = self.sign_downloads([key], seconds=seconds).get(key)
        if signed is None:
            raise ObjectMissing(key)
        if filename is None:
            return signed
        return SignedURL(f"{signed.url}&download={quote(filename, safe='')}", signed.expires_at)

    def public_url(self, key: str) -> str:
        return self._endpoint("public", key)

    @property
    def origin(self) -> str:
        parts = urlsplit(settings.SUPABASE_URL)
        return f"{parts.scheme}://{parts.netloc}"

    def delete_if_exists(self, name: str) -> bool:
        existed = super().delete_if_exists(name)
        url_cache.delete(self.bucket, name)
        return existed

    def _endpoint(self, route: str, key: str) -> str:
        return f"{settings.SUPABASE_URL}/storage/v1/object/{route}/{quote(self.bucket)}/{quote(key)}"

    def _resumable(self, key: str, content_type: str, max_age: int, token: str) -> dict[str, Any]:
        """Return what a TUS client needs to upload the object in parts."""
        return {
            "protocol": "tus",
            "endpoint": f"{settings.SUPABASE_URL}/storage/v1/upload/resumable/sign",
            "headers": {"x-signature": token},
            "chunk_size": TUS_CHUNK_SIZE,
            "metadata": {
                "bucketName": self.bucket,
                "objectName": key,
                "contentType": content_type,
                "cacheControl": str(max_age),
            },
        }
