"""The local store: objects are files on this disk. For development, tests and small sites."""

from storage.local.backend import LocalStorage

__all__ = ["LocalStorage"]
