"""Commands that set up a Supabase project and move files to it."""
