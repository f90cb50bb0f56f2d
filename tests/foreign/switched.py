"""The same project, once it keeps its files on Supabase: as docs/migration.md says, and no setting more."""

import os

from tests.foreign.settings import *  # noqa: F403

OPTIONS = {"location": os.environ["FOREIGN_LOCATION"]} if "FOREIGN_LOCATION" in os.environ else {}
STORAGES = {"default": {"BACKEND": "storage.supabase.SupabaseStorage", "OPTIONS": OPTIONS}}
