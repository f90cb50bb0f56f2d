"""The REST API, a folder for each resource or concern. `docs/extending.md` says where new code goes."""
