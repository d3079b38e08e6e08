-- name: try_lead
-- A lock of the session: it goes with the connection.
SELECT pg_try_advisory_lock(hashtext(%s), 'stored_events'::regclass::oid::int);
