-- name: list_views
SELECT name, version, built_at FROM views;

-- name: begin
INSERT INTO rebuilds (views, is_rehearsal, events)
SELECT %s::text[], %s::boolean, count(*) FROM stored_events
RETURNING number;

-- name: end
UPDATE rebuilds
   SET ended_at = now(),
       error = %(error)s,
       differences = %(differences)s,
       locked_seconds = %(locked_seconds)s
 WHERE number = %(number)s;

-- name: lock_holders
SELECT pid
  FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 2
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND classid = %s AND objid = 'stored_events'::regclass::oid;

-- name: last_rebuild
SELECT number, process_id, views, is_rehearsal,
       extract(epoch FROM clock_timestamp() - started_at)::double precision AS seconds,
       started_at, ended_at, events, differences, locked_seconds, error
  FROM rebuilds
 ORDER BY number DESC
 LIMIT 1;

-- name: units_done
SELECT coalesce(sum(events), 0), coalesce(sum(events) FILTER (WHERE done_at < %s), 0)
  FROM rebuild_units
 WHERE done_at IS NOT NULL;

-- name: is_served
-- Of any number of servers one has each lead, and holds a lock of this store for as long.
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND pid <> pg_backend_pid()
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND objid = 'stored_events'::regclass::oid);
