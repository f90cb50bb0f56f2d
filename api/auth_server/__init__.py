"""The local Auth server: speaks the protocol of Supabase Auth (GoTrue) at /auth/v1/, for development.

It has what an app needs in order to sign in with an email address and a password, or anonymously. What needs
mail, telephones or other services is refused, with the errors of the real server. Paths, bodies and messages
are those of Supabase Auth 2.196. `api.auth.local` has the users and sessions.
"""
