"""An app whose migrations break the version that still runs, each in its own way."""
