"""Arrivals: size and MD5 of the objects at staging keys, from lists that several threads share."""

import math
import re
import threading
import time
from dataclasses import dataclass
from typing import Self

from storage.supabase.backend import STAGING_FOLDER
from storage.supabase.client import json_object, request, translate_errors

MAX_LISTED = 1000  # objects, the most that Storage lists in one call
MD5 = re.compile(r'"?([0-9a-f]{32})"?')  # the etag of an object that was not sent in parts


@dataclass(frozen=True, slots=True)
class Arrival:
    """`md5` of the bytes that Storage has, in hex; "" if Storage has computed none. Size in bytes."""

    size: int
    md5: str

    @classmethod
    def of(cls, size: int, etag: str) -> Self:
        found = MD5.fullmatch(etag)
        return cls(size, found[1] if found else "")


class Arrivals:
    """The objects at staging keys of one bucket. Thread-safe.

    One call lists them all: threads that ask while another one lists wait, and share the next list.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._listed_at = -math.inf  # when the last list began, by time.monotonic
        self._found: dict[str, Arrival] = {}

    def find(self, key: str) -> Arrival | None:
        """Return the object as it is after this call began, or None if the list does not have it.

        Raises StorageError.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._listed_at <= asked_at:
                began_at = time.monotonic()
                self._found = self._list()
                self._listed_at = began_at
            return self._found.get(key)

    def _list(self) -> dict[str, Arrival]:
        options = {"prefix": f"{STAGING_FOLDER}/", "limit": MAX_LISTED}
        response = request("POST", "object", "list-v2", self._bucket, json=options)
        page = json_object(response, self._bucket)
        with translate_errors(self._bucket):
            found = {each["name"]: each["metadata"] for each in page["objects"] if each["metadata"]}
            return {key: Arrival.of(int(each["size"]), str(each["eTag"])) for key, each in found.items()}
