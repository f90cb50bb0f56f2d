-- Two policies for each command. PostgreSQL allows an operation if any permissive policy grants it and no
-- restrictive policy denies it. `…_grant` grants access to Vivarium's buckets; `…_limit` denies every other
-- access to them, so a permissive policy copied from a guide, such as "authenticated may read", adds none.
-- In all other buckets `…_limit` denies nothing, and only the policies there decide.

drop policy if exists vivarium_select_grant on {objects};
create policy vivarium_select_grant on {objects} as permissive for select to authenticated
using (bucket_id = any ({vivarium_buckets}) and (
{reading}));

drop policy if exists vivarium_select_limit on {objects};
create policy vivarium_select_limit on {objects} as restrictive for select to public
using (bucket_id <> all ({vivarium_buckets}) or (
{reading}));

drop policy if exists vivarium_insert_grant on {objects};
create policy vivarium_insert_grant on {objects} as permissive for insert to authenticated
with check (bucket_id = any ({vivarium_buckets}) and (
{creating}));

drop policy if exists vivarium_insert_limit on {objects};
create policy vivarium_insert_limit on {objects} as restrictive for insert to public
with check (bucket_id <> all ({vivarium_buckets}) or (
{creating}));

-- A move is an update: the user must have access to the old row (`using`) and to the new row (`with check`).

drop policy if exists vivarium_update_grant on {objects};
create policy vivarium_update_grant on {objects} as permissive for update to authenticated
using (bucket_id = any ({vivarium_buckets}) and (
{changing}))
with check (bucket_id = any ({vivarium_buckets}) and (
{changing}));

drop policy if exists vivarium_update_limit on {objects};
create policy vivarium_update_limit on {objects} as restrictive for update to public
using (bucket_id <> all ({vivarium_buckets}) or (
{changing}))
with check (bucket_id <> all ({vivarium_buckets}) or (
{changing}));

drop policy if exists vivarium_delete_grant on {objects};
create policy vivarium_delete_grant on {objects} as permissive for delete to authenticated
using (bucket_id = any ({vivarium_buckets}) and (
{changing}));

drop policy if exists vivarium_delete_limit on {objects};
create policy vivarium_delete_limit on {objects} as restrictive for delete to public
using (bucket_id <> all ({vivarium_buckets}) or (
{changing}));

-- If a bucket becomes public, everybody can read its objects, and no policy on objects applies any more.
-- So no user can create, change or delete Vivarium's buckets with a token of their own, whatever other
-- policies grant.

drop policy if exists vivarium_bucket_insert_limit on {buckets};
create policy vivarium_bucket_insert_limit on {buckets} as restrictive for insert to public
with check (id <> all ({vivarium_buckets}));

drop policy if exists vivarium_bucket_update_limit on {buckets};
create policy vivarium_bucket_update_limit on {buckets} as restrictive for update to public
using (id <> all ({vivarium_buckets}))
with check (id <> all ({vivarium_buckets}));

drop policy if exists vivarium_bucket_delete_limit on {buckets};
create policy vivarium_bucket_delete_limit on {buckets} as restrictive for delete to public
using (id <> all ({vivarium_buckets}));
