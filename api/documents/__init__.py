"""Documents of the members. A model for any resource with a private file."""
