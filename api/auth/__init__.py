"""Who is calling: access tokens of Supabase Auth, the keys that verify them, and sessions."""
