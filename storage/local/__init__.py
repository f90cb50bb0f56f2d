"""The local store: objects on this disk, for development, tests and small sites."""

from storage.local.backend import LocalStorage

__all__ = ["LocalStorage"]
