"""What all pages of the admin share: base classes, direct uploads and signed downloads."""
