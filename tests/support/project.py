"""A Supabase project to set up and to look at: the running local store, through its protocol."""

from typing import Any

import httpx

from api.auth.development_tokens import development_token
from storage.supabase import client as supabase_client


class Project:
    def __init__(self, url: str) -> None:
        self.url = url
        self.key = development_token("server@example.org", service=True)
        self.http = httpx.Client(
            base_url=f"{url}/storage/v1/",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
            verify=False,  # the address is not https, and certificates take long to load
        )

    def buckets(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.http.get("bucket").raise_for_status().json()}

    def make(self, name: str, **columns: Any) -> None:
        self.http.post("bucket", json={"name": name, **columns}).raise_for_status()

    def change(self, name: str, **columns: Any) -> None:
        self.http.put(f"bucket/{name}", json=columns).raise_for_status()

    def drop(self, *names: str) -> None:
        for name in names:
            self.http.post(f"bucket/{name}/empty", json={})
            self.http.delete(f"bucket/{name}").raise_for_status()

    def put(self, bucket: str, key: str, content: bytes) -> None:
        headers = {"Content-Type": "application/pdf"}
        self.http.post(f"object/{bucket}/{key}", content=content, headers=headers).raise_for_status()

    def get(self, bucket: str, key: str) -> bytes:
        return self.http.get(f"object/{bucket}/{key}").raise_for_status().content

    def keys(self, bucket: str, folder: str) -> list[str]:
        listed = self.http.post(f"object/list/{bucket}", json={"prefix": folder}).raise_for_status()
        return [row["name"] for row in listed.json()]

    def restore(self, before: dict[str, dict[str, Any]]) -> None:
        """The buckets as they were: others use the same server."""
        self.drop(*(self.buckets().keys() - before.keys()))
        now = self.buckets()
        for name, row in before.items():
            columns = {column: row[column] for column in ("public", "file_size_limit", "allowed_mime_types")}
            if name not in now:
                self.make(name, **columns)
            elif any(now[name][column] != value for column, value in columns.items()):
                self.change(name, **columns)


def hang_up() -> None:
    """Close this process's connections, as its end would."""
    supabase_client.close()
