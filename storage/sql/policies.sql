-- Two policies a command. PostgreSQL allows what any permissive policy grants and every restrictive one
-- lets through. So `…_grant` opens our buckets to those who may, and `…_limit` keeps it at that: a
-- permissive policy that somebody took from a guide, such as "authenticated may read", widens nothing.
-- In buckets that are not ours the limits let everything through, and the policies there decide alone.

drop policy if exists vivarium_select_grant on {table};
create policy vivarium_select_grant on {table} as permissive for select to authenticated
using (bucket_id = any ({ours}) and (
{reading}));

drop policy if exists vivarium_select_limit on {table};
create policy vivarium_select_limit on {table} as restrictive for select to public
using (bucket_id <> all ({ours}) or (
{reading}));

drop policy if exists vivarium_insert_grant on {table};
create policy vivarium_insert_grant on {table} as permissive for insert to authenticated
with check (bucket_id = any ({ours}) and (
{creating}));

drop policy if exists vivarium_insert_limit on {table};
create policy vivarium_insert_limit on {table} as restrictive for insert to public
with check (bucket_id <> all ({ours}) or (
{creating}));

-- A move is an update: the object as it was (`using`) and as it becomes (`with check`) must both be theirs.

drop policy if exists vivarium_update_grant on {table};
create policy vivarium_update_grant on {table} as permissive for update to authenticated
using (bucket_id = any ({ours}) and (
{changing}))
with check (bucket_id = any ({ours}) and (
{changing}));

drop policy if exists vivarium_update_limit on {table};
create policy vivarium_update_limit on {table} as restrictive for update to public
using (bucket_id <> all ({ours}) or (
{changing}))
with check (bucket_id <> all ({ours}) or (
{changing}));

drop policy if exists vivarium_delete_grant on {table};
create policy vivarium_delete_grant on {table} as permissive for delete to authenticated
using (bucket_id = any ({ours}) and (
{changing}));

drop policy if exists vivarium_delete_limit on {table};
create policy vivarium_delete_limit on {table} as restrictive for delete to public
using (bucket_id <> all ({ours}) or (
{changing}));
