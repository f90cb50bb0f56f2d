"""What `check_supabase` checks of a project's Storage: address, key, buckets, round trip, CORS."""
