"""The Supabase store: objects in the Storage of a Supabase project."""

from storage.supabase.backend import SupabaseStorage

__all__ = ["SupabaseStorage"]
