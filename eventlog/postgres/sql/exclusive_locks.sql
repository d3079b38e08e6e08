-- name: store_owner
SELECT 'stored_events'::regclass::oid::int;

-- name: schema_owner
SELECT quote_ident(current_schema())::regnamespace::oid::int;

-- name: try_lock
SELECT pg_try_advisory_lock(%s, %s);

-- name: unlock
SELECT pg_advisory_unlock(%s, %s);

-- name: holders
SELECT pid FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 2
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND classid = %s AND objid = %s;

-- name: patience
SELECT current_setting('idle_session_timeout'), current_setting('idle_in_transaction_session_timeout');

-- name: set_patience
SELECT set_config('idle_session_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false);
