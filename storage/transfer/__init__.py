"""What `migrate_to_supabase` does: it moves existing files to a Supabase project, and back."""
