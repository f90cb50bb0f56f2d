"""The steps of `migrate_to_supabase`, which moves existing files to a Supabase project, and back."""
