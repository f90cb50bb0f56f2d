-- Two policies a command. PostgreSQL allows what any permissive policy grants and every restrictive one
-- lets through. So `…_grant` opens our buckets to those who may, and `…_limit` keeps it at that: a
-- permissive policy that somebody took from a guide, such as "authenticated may read", widens nothing.
-- In buckets that are not ours the limits let everything through, and the policies there decide alone.

drop policy if exists vivarium_select_grant on {objects};
create policy vivarium_select_grant on {objects} as permissive for select to authenticated
using (bucket_id = any ({ours}) and (
{reading}));

drop policy if exists vivarium_select_limit on {objects};
create policy vivarium_select_limit on {objects} as restrictive for select to public
using (bucket_id <> all ({ours}) or (
{reading}));

drop policy if exists vivarium_insert_grant on {objects};
create policy vivarium_insert_grant on {objects} as permissive for insert to authenticated
with check (bucket_id = any ({ours}) and (
{creating}));

drop policy if exists vivarium_insert_limit on {objects};
create policy vivarium_insert_limit on {objects} as restrictive for insert to public
with check (bucket_id <> all ({ours}) or (
{creating}));

-- A move is an update: the object as it was (`using`) and as it becomes (`with check`) must both be theirs.

drop policy if exists vivarium_update_grant on {objects};
create policy vivarium_update_grant on {objects} as permissive for update to authenticated
using (bucket_id = any ({ours}) and (
{changing}))
with check (bucket_id = any ({ours}) and (
{changing}));

drop policy if exists vivarium_update_limit on {objects};
create policy vivarium_update_limit on {objects} as restrictive for update to public
using (bucket_id <> all ({ours}) or (
{changing}))
with check (bucket_id <> all ({ours}) or (
{changing}));

drop policy if exists vivarium_delete_grant on {objects};
create policy vivarium_delete_grant on {objects} as permissive for delete to authenticated
using (bucket_id = any ({ours}) and (
{changing}));

drop policy if exists vivarium_delete_limit on {objects};
create policy vivarium_delete_limit on {objects} as restrictive for delete to public
using (bucket_id <> all ({ours}) or (
{changing}));

-- A bucket that turns public shows what is in it to everybody, and no policy on objects is asked any more.
-- So nobody makes, changes or deletes ours with a token of their own, whatever else is allowed there.

drop policy if exists vivarium_bucket_insert_limit on {buckets};
create policy vivarium_bucket_insert_limit on {buckets} as restrictive for insert to public
with check (id <> all ({ours}));

drop policy if exists vivarium_bucket_update_limit on {buckets};
create policy vivarium_bucket_update_limit on {buckets} as restrictive for update to public
using (id <> all ({ours}))
with check (id <> all ({ours}));

drop policy if exists vivarium_bucket_delete_limit on {buckets};
create policy vivarium_bucket_delete_limit on {buckets} as restrictive for delete to public
using (id <> all ({ours}));
