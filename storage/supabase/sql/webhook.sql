-- Reports each object that arrives in the incoming bucket to the API, which then completes its ticket, also if
-- the client never calls back. To remove it:
--   drop trigger if exists vivarium_webhook on storage.objects;
--   drop schema if exists vivarium_webhook cascade;
--   delete from vault.secrets where name = 'vivarium_webhook';

set local lock_timeout = '5s';

do $$
begin
    if to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null
        or to_regprocedure('extensions.hmac(bytea, bytea, text)') is null
        or to_regclass('vault.decrypted_secrets') is null
    then
        raise 'Enable the extensions pg_net, pgcrypto and supabase_vault first (Database, Extensions).';
    end if;
end
$$;

create schema if not exists vivarium_webhook;

-- It signs the message as Standard Webhooks says: pg_net sends `body::text` in UTF-8. It runs in the
-- transaction of the upload, but with the rights of its owner, because the role of the upload needs none for
-- pg_net and Vault. Whatever fails here becomes a warning, so that no upload fails because of it.
create or replace function vivarium_webhook.post_event() returns trigger
language plpgsql security definer set search_path = '' as $function$
declare
    secret text;
    body jsonb;
    message_id text;
    sent_at text;
    signature bytea;
begin
    begin
        select decrypted_secret into strict secret
        from vault.decrypted_secrets where name = 'vivarium_webhook';
        body := jsonb_build_object(
            'type', tg_op, 'table', tg_table_name, 'schema', tg_table_schema,
            'record', jsonb_build_object('bucket_id', new.bucket_id, 'name', new.name), 'old_record', null
        );
        message_id := gen_random_uuid();
        sent_at := floor(extract(epoch from clock_timestamp()));
        signature := extensions.hmac(
            convert_to(concat_ws('.', message_id, sent_at, body::text), 'UTF8'),
            case when starts_with(secret, 'whsec_') then decode(substr(secret, 7), 'base64')
                else convert_to(secret, 'UTF8') end,
            'sha256'
        );
        perform net.http_post(
            url := tg_argv[0],
            body := body,
            headers := jsonb_build_object(
                'Content-Type', 'application/json',
                'webhook-id', message_id,
                'webhook-timestamp', sent_at,
                'webhook-signature', 'v1,' || encode(signature, 'base64')
            ),
            timeout_milliseconds := 5000
        );
    exception when others then
        raise warning 'vivarium_webhook: %', sqlerrm;
    end;
    return null;
end
$function$;

-- Deferred, because Storage tests permissions with statements that it rolls back: at a commit the object is
-- there. A move out of the bucket is an update too, whose new row is in another bucket.
drop trigger if exists vivarium_webhook on storage.objects;
create constraint trigger vivarium_webhook after insert or update on storage.objects
    deferrable initially deferred for each row when (new.bucket_id = {incoming})
    execute function vivarium_webhook.post_event({url});
