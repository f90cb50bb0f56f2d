"""The demo data that `load_demo` loads."""
