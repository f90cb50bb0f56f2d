"""Uploads by ticket, for every resource: rules and quotas, callbacks, verification, files of rows."""
