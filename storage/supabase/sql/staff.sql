-- True for staff, null for everybody else. Only servers can write `app_metadata`. The role is compared as
-- JSON, so that a list which contains the role does not match. Anonymous sign-ins and OAuth clients are never
-- staff, even where the settings admit them as members.
(select true from auth.jwt() as token
    where token ->> 'role' = 'authenticated' and token ->> 'sub' ~* {uuid}
      and token -> 'app_metadata' -> 'role' = any ({staff_roles})
      and coalesce(token -> 'is_anonymous', 'false') in ('false', 'null')
      and coalesce(token ->> 'client_id', '') = '')
