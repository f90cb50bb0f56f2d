"""The local store as an HTTP server that speaks the protocol of Supabase Storage."""
