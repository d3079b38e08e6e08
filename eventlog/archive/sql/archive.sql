-- name: count_events
SELECT count(*) FROM stored_events WHERE notification_id <= %s;

-- name: select_events
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state::text,
       salt, link
  FROM stored_events
 WHERE notification_id <= %s
 ORDER BY notification_id;

-- name: select_checkpoints
SELECT position, events, root, digest, epoch, taken_at
  FROM checkpoints
 WHERE position <= %s
 ORDER BY position;

-- name: select_unfinished
SELECT digest, exported_at, position FROM log_imports WHERE finished_at IS NULL;

-- name: is_finished
SELECT EXISTS (SELECT FROM log_imports WHERE digest = %s AND finished_at IS NOT NULL);

-- name: close_log
-- Until the log is opened again, only sessions with this setting may append. Existing rows are not checked.
ALTER TABLE stored_events ADD CONSTRAINT import_unfinished
    CHECK (coalesce(current_setting('recount.importing', true), '') = 'yes') NOT VALID;

-- name: open_log
ALTER TABLE stored_events DROP CONSTRAINT import_unfinished;

-- name: allow_here
SELECT set_config('recount.importing', 'yes', true);

-- name: has_events
SELECT EXISTS (SELECT FROM stored_events);

-- name: begin_import
INSERT INTO log_imports (digest, exported_at, position) VALUES (%s, %s, %s);

-- name: note_reached
UPDATE log_imports SET position = %s WHERE finished_at IS NULL;

-- name: insert_events
INSERT INTO stored_events (notification_id, originator_id, originator_version, project, topic, recorded_at,
                           state, salt, link) OVERRIDING SYSTEM VALUE
SELECT id, stream, version, project, topic, at, state::json, salt, link
  FROM unnest(%b::bigint[], %b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::timestamptz[], %b::text[],
              %b::bytea[], %b::bytea[])
       AS row (id, stream, version, project, topic, at, state, salt, link);

-- name: delete_epochs
DELETE FROM epochs;

-- name: insert_epochs
INSERT INTO epochs (number, id, shared_through, begins_after, began_at)
SELECT * FROM unnest(%b::integer[], %b::uuid[], %b::bigint[], %b::bigint[], %b::timestamptz[]);

-- name: begin_after_import
-- Events recorded from here on belong to another epoch than those that the exported log goes on with.
INSERT INTO epochs (number, begins_after, shared_through)
SELECT max(number) + 1, %(settled)s, %(settled)s FROM epochs;

-- name: note_settled
UPDATE settled SET position = %(settled)s;

-- name: first_epoch
INSERT INTO epochs (number, shared_through, begins_after) VALUES (1, 0, 0);

-- name: delete_checkpoints
DELETE FROM checkpoints;

-- name: insert_checkpoints
INSERT INTO checkpoints (position, events, root, digest, epoch, taken_at)
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[], %b::uuid[], %b::timestamptz[]);

-- name: set_sequence
-- Continue after the numbers drawn in the exported log, even when the last of them became no events.
SELECT setval(pg_get_serial_sequence('stored_events', 'notification_id'), greatest(last, 1), last > 0)
  FROM (SELECT greatest(%(settled)s::bigint, max(notification_id)) AS last FROM stored_events) AS drawn;

-- name: analyze
ANALYZE stored_events, checkpoints;

-- name: finish_import
UPDATE log_imports SET finished_at = now() WHERE finished_at IS NULL;

-- name: delete_events
TRUNCATE stored_events RESTART IDENTITY;

-- name: delete_import
DELETE FROM log_imports WHERE finished_at IS NULL;
