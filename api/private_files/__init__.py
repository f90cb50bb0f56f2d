"""Base classes for a resource that belongs to a member and has one private file, as documents do."""
