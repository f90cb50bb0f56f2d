select case
    when there.id is null then vault.create_secret(given.secret, 'vivarium_webhook', 'STORAGE_WEBHOOK_SECRET')::text
    else vault.update_secret(there.id, given.secret)::text
end is not null as stored
from (values ({secret}::text)) as given (secret)
left join vault.secrets as there on there.name = 'vivarium_webhook';
