"""Pictures that are published in several sizes."""
