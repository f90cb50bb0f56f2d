"""One file: from this disk into its bucket, proved, under a key that was free or had these very bytes."""

import errno
import fnmatch
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from storage import keys
from storage.base import PUBLIC_MAX_AGE
from storage.buckets import Bucket
from storage.errors import ObjectExists, ObjectMissing, ObjectRefused, StorageError
from storage.local import metadata
from storage.supabase import SupabaseStorage
from storage.supabase.backend import STAGING_FOLDER
from storage.supabase.client import retry
from storage.transfer.bandwidth import Bandwidth
from storage.transfer.local_files import Outside, Place, find, home_of
from storage.transfer.references import Column, Reference
from storage.transfer.renaming import new_name, renamed

MOST_NAMES = 100  # that are tried beside an object of the same name


class Failed(Exception):
    """This file stays where it is. `reason` is one word, for reports; the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How files are brought. `verify`: sha256 or size; `on_conflict`: skip, fail or rename."""

    verify: str = "sha256"
    on_conflict: str = "skip"
    look_first: bool = False  # whether an object with these bytes is to be expected
    exclude: Sequence[str] = ()
    pace: Bandwidth = field(default_factory=Bandwidth)
    turns: AbstractContextManager[Any] = field(default_factory=nullcontext)  # one is held to send a file

    def excludes(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)


@dataclass(frozen=True, slots=True)
class Source:
    """A file of MEDIA_ROOT, as it will be told to the bucket."""

    column: Column
    place: Place
    name: str
    size: int
    mtime_ns: int
    content_type: str
    cache_control: str


@dataclass(frozen=True, slots=True)
class Sent:
    """`was_there`: an object with these bytes had the key before. SHA-256 in hex."""

    source: Source
    key: str
    sha256: str
    was_there: bool = False


def source(bucket: Bucket, reference: Reference) -> Source:
    """Raises Failed."""
    column, name = reference.column, reference.name
    try:
        place = find(column, name)
        stat = place.path.stat()
        if not os.access(place.path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        record = metadata.find_record(home_of(column), name, stat) or {}
    except Outside:
        raise Failed("outside", f"{name!r} leaves MEDIA_ROOT, or its storage does: not looked at.") from None
    except FileNotFoundError:
        raise Failed("missing", f"{name!r} is not on this disk.") from None
    except (OSError, StorageError) as error:
        raise Failed("unreadable", f"{name!r} cannot be read: {error}") from error
    lasting = f"max-age={PUBLIC_MAX_AGE if bucket.public else 3600}"
    by_hand = {**metadata.infer_record(name, stat), "cache_control": lasting}
    told = {**by_hand, **record}
    return Source(
        column, place, name, stat.st_size, stat.st_mtime_ns, told["content_type"], told["cache_control"]
    )


def sought(bucket: Bucket, reference: Reference) -> Source:
    """As `source`. What is not on this disk is asked for in the bucket: since the switch, files go there.

    Raises Failed, StorageUnavailable, StorageMisconfigured.
    """
    try:
        return source(bucket, reference)
    except Failed as failed:
        if failed.reason != "missing" or not SupabaseStorage(bucket.name).exists(reference.name):
            raise
    raise Failed("remote", f"{reference.name!r} is in {bucket.name}, and was not sent from this disk.")


def key_of(bucket: Bucket, file: Source) -> str:
    """What it will be called, if the bucket takes it. Raises Failed."""
    if bucket.file_size_limit is not None and file.size > bucket.file_size_limit:
        limit = bucket.file_size_limit
        raise Failed("too_large", f"{file.name!r} has {file.size} bytes, and {bucket.name} takes {limit}.")
    if not bucket.allows(file.content_type):
        raise Failed("refused_type", f"{file.name!r} is {file.content_type}, which {bucket.name} refuses.")
    try:
        return new_name(file.name, file.column.max_length)
    except keys.InvalidKey:
        most = file.column.max_length
        raise Failed("name", f"{file.name!r} cannot be made a key of at most {most} letters.") from None


def bring(bucket: Bucket, reference: Reference, rules: SendOptions) -> Sent:
    """Raises Failed, StorageUnavailable when asked in vain, and StorageMisconfigured."""
    file = sought(bucket, reference)
    wanted = key_of(bucket, file)
    with _opened(file, rules.pace) as content:
        sha256 = digest_of(content)
        bringing = Sending(SupabaseStorage(bucket.name, public=bucket.public), file, content, sha256, rules)
        if rules.look_first or bringing.is_taken_here(wanted) or not bringing.send(wanted):
            return bringing.beside(wanted)
    return Sent(file, wanted, sha256)


@dataclass(frozen=True, slots=True)
class Sending:
    """A file that is open and hashed, on its way to its bucket."""

    store: SupabaseStorage
    file: Source
    content: BinaryIO
    sha256: str
    rules: SendOptions

    def beside(self, wanted: str) -> Sent:
        """Where objects are to be expected: look, then send. Raises Failed."""
        for number in range(1, MOST_NAMES):
            key = wanted if number == 1 else self.another(wanted, number)
            if not self.is_taken_here(key):
                same = is_there(self.store, key, self.file.size, self.sha256, self.rules.verify)
                if same or (same is None and self.send(key)):
                    return Sent(self.file, key, self.sha256, was_there=bool(same))
            if self.rules.on_conflict != "rename":
                break
        raise Failed(
            "conflict",
            f"{self.store.bucket}, or this disk, has another file called {wanted!r}: delete the one that is "
            "not wanted, or let --on-conflict rename find another name.",
        )

    def another(self, wanted: str, number: int) -> str:
        try:
            return renamed(wanted, number, self.file.column.max_length)
        except keys.InvalidKey:
            raise Failed(
                "name", f"{wanted!r} is taken, and its column has no room for another name."
            ) from None

    def is_taken_here(self, key: str) -> bool:
        return is_taken(self.file, key, lambda: self.sha256)

    def send(self, key: str) -> bool:
        """Whether the key was free. The name on the way is the same in each run: none leaves anything."""
        about = f"{self.store.bucket}/{key} {self.sha256}"
        try:
            with ExitStack() as turn:
                turn.enter_context(self.rules.turns)

                def prove(stage: str) -> bool | None:
                    turn.close()  # the next file leaves while this one is read back
                    return retry(lambda: self.has_arrived(stage))

                self.store.put_file(
                    key,
                    self.content,
                    self.file.size,
                    content_type=self.file.content_type,
                    cache_control=self.file.cache_control,
                    prove=prove,
                    stage=f"{STAGING_FOLDER}/{hashlib.sha256(about.encode()).hexdigest()}",
                )
        except ObjectExists:
            return False
        except keys.InvalidKey:
            raise Failed("name", f"{self.store.bucket} refuses the key {key!r}.") from None
        except ObjectRefused as error:
            raise Failed("refused", f"{self.store.bucket} refuses {self.file.name!r}: {error}") from error
        return True

    def has_arrived(self, stage: str) -> bool | None:
        return is_there(self.store, stage, self.file.size, self.sha256, self.rules.verify)


def is_taken(file: Source, key: str, sha256: Callable[[], str]) -> bool:
    """Whether another file of this disk has the name that this one shall have here too. Raises Failed."""
    twin = file.place.folder / key
    try:
        return key != file.name and os.path.lexists(twin) and sha256_of(twin) != sha256()
    except OSError as error:
        raise Failed("disk", f"{key!r} is on this disk, and cannot be read: {error.strerror}.") from error


def is_there(store: SupabaseStorage, key: str, size: int, sha256: str, verify: str) -> bool | None:
    """Whether the object at this key has these bytes, as far as is asked; None if there is none."""
    try:
        if verify == "size":
            return store.size(key) == size
        with store.read(key) as there:
            return digest_of(there) == sha256
    except ObjectMissing:
        return None


@contextmanager
def _opened(file: Source, pace: Bandwidth) -> Iterator[BinaryIO]:
    """One file from its hash to its last byte sent, whatever takes its name meanwhile. Raises Failed."""
    try:
        with pace.open(file.place.path) as content:
            these = metadata.size_and_mtime(os.fstat(content.fileno()))
            if these != {"size": file.size, "mtime_ns": file.mtime_ns}:
                raise Failed("replaced", f"{file.name!r} was replaced meanwhile: the next run takes it.")
            yield content
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise Failed("unreadable", f"{file.name!r} cannot be read: {error.strerror}.") from error


def sha256_of(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        return digest_of(file)


def digest_of(file: BinaryIO) -> str:
    """Of all its bytes. Raises OSError, StorageError."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
