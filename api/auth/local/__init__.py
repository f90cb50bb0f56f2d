"""The users, sessions and signing key of the local Auth server. `api.auth_server` is its HTTP face.

They are in the database, because all processes of a server must agree on them: the first that needs the key
makes it, and a session that has ended in one process has ended in all. Whoever deletes the database of a
development server deletes them with it. In production the tables are empty, and nothing reads them.
"""
