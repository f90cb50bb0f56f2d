-- What row-level security and the webhook meet on a Supabase project: `storage`, `auth` and others
-- with the columns, roles, grants and functions of the real ones, as far as policies and the server's statements see them.
-- Run by a superuser in an empty database. Roles belong to the whole cluster: those there are stay.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('anon', 'nologin noinherit'),
            ('authenticated', 'nologin noinherit'),
            ('service_role', 'nologin noinherit bypassrls'),
            ('supabase_storage_admin', 'nologin noinherit'),
            -- The `postgres` of a hosted project; a cluster has a superuser of that name.
            ('vivarium_hosted_postgres', 'nologin')
        ) as roles (name, options)
        where not exists (select from pg_roles where rolname = roles.name)
    loop
        execute format('create role %I %s', wanted.name, wanted.options);
        execute format('comment on role %I is %L', wanted.name, 'made by the tests of Vivarium');
    end loop;
end $$;

-- --- auth ---------------------------------------------------------------------------------------------

create schema auth;

create function auth.jwt() returns jsonb language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;

create function auth.uid() returns uuid language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;

create function auth.role() returns text language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;

grant usage on schema auth to anon, authenticated, service_role, vivarium_hosted_postgres;

-- --- storage ------------------------------------------------------------------------------------------

create schema storage;

create table storage.buckets (
    id text primary key,
    name text not null unique,
    owner uuid,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    public boolean default false,
    avif_autodetection boolean default false,
    file_size_limit bigint,
    allowed_mime_types text[],
    owner_id text
);
alter table storage.buckets enable row level security;

create table storage.objects (
    id uuid primary key default gen_random_uuid(),
    bucket_id text references storage.buckets (id),
    name text,
    owner uuid,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    last_accessed_at timestamptz default now(),
    metadata jsonb,
    path_tokens text[] generated always as (string_to_array(name, '/')) stored,
    version text,
    owner_id text,
    user_metadata jsonb
);
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index idx_objects_bucket_id_name on storage.objects (bucket_id, name collate "C");
create index name_prefix_search on storage.objects (name text_pattern_ops);
alter table storage.objects enable row level security;

create function storage.foldername(name text) returns text[] language plpgsql immutable as $$
declare
    parts text[];
begin
    select string_to_array(name, '/') into parts;
    return parts[1 : array_length(parts, 1) - 1];
end $$;

create function storage.filename(name text) returns text language plpgsql immutable as $$
declare
    parts text[];
begin
    select string_to_array(name, '/') into parts;
    return parts[array_length(parts, 1)];
end $$;

create function storage.extension(name text) returns text language plpgsql immutable as $$
begin
    return reverse(split_part(reverse(storage.filename(name)), '.', 1));
end $$;

-- The two lists, as the caller sees the table. The first ignores case and names the last segment only.

create function storage.search(
    prefix text, bucketname text, limits int default 100, levels int default 1, offsets int default 0,
    search text default '', sortcolumn text default 'name', sortorder text default 'asc'
) returns table (name text, id uuid) language sql stable as $$
    select o.path_tokens[levels], case when cardinality(o.path_tokens) = levels then o.id end
    from storage.objects o
    where o.bucket_id = bucketname and o.name ilike prefix || search || '%'
    group by 1, 2 order by 1 limit limits offset offsets
$$;

create function storage.search_v2(
    prefix text, bucket_name text, limits int default 100, levels int default 1, start_after text default ''
) returns table (key text, name text, id uuid) language sql stable as $$
    select o.path_tokens[levels], array_to_string(o.path_tokens[:levels], '/'),
           case when cardinality(o.path_tokens) = levels then o.id end
    from storage.objects o
    where o.bucket_id = bucket_name and starts_with(o.name, prefix)
      and o.name collate "C" > start_after collate "C"
    group by 1, 2, 3 order by 2 limit limits
$$;

create function storage.protect_delete() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
        raise 'Direct deletion from storage tables is not allowed.' using errcode = '42501';
    end if;
    return null;
end $$;
create trigger protect_objects_delete before delete on storage.objects
    for each statement execute function storage.protect_delete();

create trigger protect_buckets_delete before delete on storage.buckets
    for each statement execute function storage.protect_delete();

alter schema storage owner to supabase_storage_admin;
alter table storage.buckets owner to supabase_storage_admin;
alter table storage.objects owner to supabase_storage_admin;
grant usage on schema storage to anon, authenticated, service_role, vivarium_hosted_postgres;
grant all on all tables in schema storage to anon, authenticated, service_role, vivarium_hosted_postgres;

-- --- What the storage webhook uses: pg_net, pgcrypto and Vault -------------------------------------------
-- pg_net and Vault are extensions of Supabase: here are functions of the same form, which encode and queue.

create schema extensions;
create extension pgcrypto schema extensions;

create schema net;
create table net.http_request_queue (
    id bigserial primary key, method text, url text, headers jsonb, body bytea, timeout_milliseconds int
);
create function net.http_post(
    url text,
    body jsonb default '{}'::jsonb,
    params jsonb default '{}'::jsonb,
    headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
    timeout_milliseconds int default 5000
) returns bigint language plpgsql security definer as $$
declare
    request_id bigint;
begin
    if headers ->> 'Content-Type' is distinct from 'application/json' then
        raise 'Content-Type header must be "application/json"';
    end if;
    insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
    values ('POST', url, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds)
    returning id into request_id;
    return request_id;
end $$;

create schema vault;
create table vault.secrets (
    id uuid primary key default gen_random_uuid(),
    name text unique,
    description text not null default '',
    secret text not null
);
create view vault.decrypted_secrets as
    select id, name, description, secret, convert_from(decode(secret, 'base64'), 'UTF8') as decrypted_secret
    from vault.secrets;
create function vault.create_secret(
    new_secret text, new_name text = null, new_description text = '', new_key_id uuid = null
) returns uuid language sql security definer set search_path = '' as $$
    insert into vault.secrets (secret, name, description)
    values (encode(convert_to(new_secret, 'UTF8'), 'base64'), new_name, new_description) returning id
$$;
create function vault.update_secret(
    secret_id uuid,
    new_secret text = null,
    new_name text = null,
    new_description text = null,
    new_key_id uuid = null
) returns void language sql security definer set search_path = '' as $$
    update vault.secrets set secret = encode(convert_to(new_secret, 'UTF8'), 'base64') where id = secret_id
$$;

-- The `postgres` of a hosted project may read Vault, post, and make schemas. The roles of uploads may not here:
-- the trigger must not need their rights.
grant usage on schema extensions, net, vault to vivarium_hosted_postgres;
grant select, delete on vault.secrets, vault.decrypted_secrets to vivarium_hosted_postgres;
do $$ begin
    execute format('grant create on database %I to vivarium_hosted_postgres', current_database());
end $$;

-- --- The role that a hosted project gives ---------------------------------------------------------------
-- There an extension lends it the owner's rights for statements on policies and triggers alone. Here it is
-- a member of the owner's role, and an event trigger refuses everything else in these schemas.

grant supabase_storage_admin to vivarium_hosted_postgres;

create function public.only_policies_and_triggers() returns event_trigger language plpgsql as $$
declare
    done record;
begin
    if current_user <> 'vivarium_hosted_postgres' then
        return;
    end if;
    if tg_event = 'sql_drop' then
        for done in select object_type as kind, object_identity as what from pg_event_trigger_dropped_objects()
            where object_identity ~ '\m(storage|auth)\.' and object_type not in ('policy', 'trigger')
              and (tg_tag, object_type) <> ('DROP TRIGGER', 'table constraint')  -- of a constraint trigger
        loop
            raise 'a hosted project does not let go of %', done.what using errcode = '42501';
        end loop;
    else
        for done in select object_type as kind, object_identity as what from pg_event_trigger_ddl_commands()
            where object_identity ~ '\m(storage|auth)\.'
              and command_tag not in ('CREATE POLICY', 'ALTER POLICY', 'CREATE TRIGGER')
        loop
            raise 'a hosted project refuses %', tg_tag using errcode = '42501';
        end loop;
    end if;
end $$;
create event trigger hosted_ddl on ddl_command_end execute function public.only_policies_and_triggers();
create event trigger hosted_drop on sql_drop execute function public.only_policies_and_triggers();
