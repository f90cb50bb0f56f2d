-- True for staff, null for everybody else. `app_metadata` is written by servers only. The role is compared
-- as JSON, so that no list that holds it passes for it. An anonymous sign-in or an app is never staff,
-- whomever the settings admit as members.
(select true from auth.jwt() as token
    where token ->> 'role' = 'authenticated' and token ->> 'sub' ~* {uuid}
      and token -> 'app_metadata' -> 'role' = any ({staff_roles})
      and coalesce(token -> 'is_anonymous', 'false') in ('false', 'null')
      and coalesce(token ->> 'client_id', '') = '')
