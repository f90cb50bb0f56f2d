"""Authentication: access tokens of Supabase Auth, the keys that verify them, principals and sessions."""
