"""Shared by all admin pages: base classes, direct uploads and signed downloads."""
