-- name: channel_name
SELECT %s || '_' || 'stored_events'::regclass::oid;

-- name: notify
SELECT pg_notify(%s || '_' || 'stored_events'::regclass::oid, '');
