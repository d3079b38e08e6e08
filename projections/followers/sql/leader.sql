-- name: try_lead
-- A lock of the session: it goes with the connection. Nobody leads on a standby, where nothing can be written.
SELECT CASE WHEN pg_is_in_recovery() THEN false
            ELSE pg_try_advisory_lock(hashtext(%s), 'stored_events'::regclass::oid::int) END;
