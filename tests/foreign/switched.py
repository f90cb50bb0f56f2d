"""The same project, once it keeps its files on Supabase: as the README says, and no setting more."""

from tests.foreign.settings import *  # noqa: F403

STORAGES = {"default": {"BACKEND": "storage.supabase.SupabaseStorage"}}
