"""The project's settings, with another store for every bucket."""

from tests.settings import *  # noqa: F403
from tests.settings import STORAGES as ORIGINAL

STORAGES = {
    alias: {**entry, "BACKEND": "tests.another_store.backend.MemoryStorage"} if "OPTIONS" in entry else entry
    for alias, entry in ORIGINAL.items()
}
