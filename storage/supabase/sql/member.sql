-- The id of the member who asks, as it stands in keys; null for everybody else. A sub-select, so that it is
-- worked out once a statement and not once a row; and `auth.uid()`, which fails on a `sub` that is no UUID,
-- is asked only where the conditions hold. Nothing but `role` and `sub` tells a member's token from the
-- others that are signed with the same key. Whether anonymous sign-ins, and apps that act for a member,
-- count as members is a setting each.
(select auth.uid()::text from auth.jwt() as token
    where token ->> 'role' = 'authenticated' and token ->> 'sub' ~* {uuid}
      and ({allow_anonymous} or coalesce(token -> 'is_anonymous', 'false') in ('false', 'null'))
      and ({allow_oauth_clients} or coalesce(token ->> 'client_id', '') = ''))
