"""ObjectPaths: where the files of one bucket's objects are.

An object's content is the file `MEDIA_ROOT/<bucket>/<key>`. If a folder cannot hold that path (`a` beside
`a/b`, `a//b`, a name of 300 letters, a bucket called `..`), the file is in the fallback folder,
`MEDIA_ROOT/.objects/odd/`.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from storage import keys
from storage.local import disk
from storage.local.metadata import digest

PLAIN_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


class ObjectPaths:
    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @property
    def fallback_folder(self) -> Path:
        """The folder with the bucket's objects that have no plain path."""
        return disk.root() / f".objects/odd/{digest(self.bucket, '')[:32]}"

    def fallback(self, key: str) -> Path:
        """Return the path of a key that has no plain path, or whose plain path is taken."""
        return self.fallback_folder / digest(self.bucket, key)

    def plain(self, key: str) -> Path | None:
        """Return `MEDIA_ROOT/<bucket>/<key>`, None if that is not a valid path."""
        if PLAIN_BUCKET.fullmatch(self.bucket) and keys.is_legal(key) and keys.is_valid_path(key):
            return disk.root() / f"{self.bucket}/{key}"
        return None

    def find(self, key: str) -> Path:
        """Return the path of the object's file. Raises FileNotFoundError."""
        if not keys.is_legal(key):
            raise FileNotFoundError(key)
        for path_of in (self.plain, self.fallback):  # most objects need no fallback path
            path = path_of(key)
            if path is not None and _is_file(path):
                return path
        raise FileNotFoundError(key)

    def move_into_place(self, file: Path, key: str) -> None:
        """Move the file to its plain path, or to the fallback folder if a folder or a file is in the way."""
        plain = self.plain(key)
        while plain is not None:
            try:
                disk.make_folder(plain.parent)
                return disk.move_into_place(file, plain)
            except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
                if plain.is_dir() or any(map(_is_not_folder, plain.parents)):
                    break
                if not file.exists():
                    raise
                # Another process removed the folder because it had become empty: try again.
        while True:
            disk.make_folder(self.fallback_folder)
            try:
                return disk.move_into_place(file, self.fallback(key))
            except FileNotFoundError:  # as above
                if not file.exists():
                    raise

    def remove_empty_folders(self, path: Path) -> None:
        """Remove the parent folders that are empty after the file at `path` was deleted or moved."""
        bucket = disk.root() / self.bucket
        for folder in path.parents:
            if folder == bucket or bucket not in folder.parents:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def remove_folders(self) -> None:
        """Remove the folders of a bucket that has no objects. A folder with other files in it stays."""
        folders = [self.fallback_folder]
        if PLAIN_BUCKET.fullmatch(self.bucket):
            folders.append(disk.root() / self.bucket)
        for top in folders:
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)


def _is_file(path: Path) -> bool:
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_not_folder(path: Path) -> bool:
    """Return True if a file or a broken link is at this path."""
    return path.is_file() or (path.is_symlink() and not path.is_dir())
