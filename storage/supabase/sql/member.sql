-- The id of the member, as it appears in keys; null for everybody else. It is a sub-select, so that
-- PostgreSQL evaluates it once per statement and not once per row. `auth.uid()` fails if `sub` is not a UUID,
-- so it is evaluated only where the conditions hold. Only `role` and `sub` distinguish a member's token from
-- other tokens signed with the same key. Two settings decide whether anonymous sign-ins, and OAuth clients
-- that act for a member, count as members.
(select auth.uid()::text from auth.jwt() as token
    where token ->> 'role' = 'authenticated' and token ->> 'sub' ~* {uuid}
      and ({allow_anonymous} or coalesce(token -> 'is_anonymous', 'false') in ('false', 'null'))
      and ({allow_oauth_clients} or coalesce(token ->> 'client_id', '') = ''))
