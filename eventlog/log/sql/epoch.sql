-- name: select_epochs
SELECT number, id, origin, shared_through, begins_after, began_at FROM epochs ORDER BY number;

-- name: is_standby
SELECT pg_is_in_recovery();

-- name: select_origin
-- The timeline is the first third of the name of a file of the write-ahead log.
SELECT concat_ws('/',
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT oid FROM pg_database WHERE datname = current_database()),
       'stored_events'::regclass::oid,
       left(pg_walfile_name(pg_current_wal_lsn()), 8));

-- name: select_origin_without_cluster
SELECT concat_ws('/', '-',
       (SELECT oid FROM pg_database WHERE datname = current_database()),
       'stored_events'::regclass::oid,
       left(pg_walfile_name(pg_current_wal_lsn()), 8));

-- name: lock_appends
-- Wait for appends under way, and let none begin until the transaction ends.
SELECT pg_advisory_xact_lock(%s, 'stored_events'::regclass::oid::integer);

-- name: set_origin
UPDATE epochs SET origin = %s WHERE number = (SELECT max(number) FROM epochs);

-- name: begin_epoch
-- Transactions commit in another order than that of positions, so an earlier event may be lost although a
-- later one is there; but not below what was settled when it was written down.
INSERT INTO epochs (number, origin, begins_after, shared_through)
SELECT (SELECT max(number) + 1 FROM epochs), %s, last.position, least(last.position, settled.position)
  FROM (SELECT coalesce(max(notification_id), 0) AS position FROM stored_events) AS last,
       (SELECT greatest((SELECT position FROM settled), (SELECT max(position) FROM checkpoints), 0) AS position)
       AS settled;

-- name: note_settled
-- The commit need not wait for the disk: losing a note is harmless.
WITH quickly AS (SELECT set_config('synchronous_commit', 'off', true))
UPDATE settled SET position = %(position)s FROM quickly WHERE position < %(position)s;
