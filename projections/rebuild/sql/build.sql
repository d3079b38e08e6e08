-- part: next_unit
SELECT number, low, high, events
  FROM rebuild_units
 WHERE done_at IS NULL
 ORDER BY events DESC, number
 LIMIT 1
   FOR UPDATE;

-- name: take_unit
-- Waits for one that somebody is at.
-- here: next_unit
;

-- name: take_free_unit
-- here: next_unit
       SKIP LOCKED;

-- name: flush_later
-- What a crash may lose of a unit, it loses as a whole. The exchange waits until all before it is flushed.
SET LOCAL synchronous_commit TO off;

-- name: finish_unit
UPDATE rebuild_units SET done_at = now() WHERE number = %s;

-- name: remaining
SELECT coalesce(sum(events), 0) FROM rebuild_units WHERE done_at IS NULL;

-- part: select_events
SELECT originator_id, originator_version, topic, convert_to(state::text, 'UTF8')
  FROM stored_events;

-- name: select_streams
-- here: select_events
 WHERE originator_id BETWEEN %s AND %s
 ORDER BY originator_id, originator_version;

-- name: select_some_streams
-- here: select_events
 WHERE originator_id = ANY(%s::uuid[])
 ORDER BY originator_id, originator_version;

-- name: streams_since
SELECT array_agg(DISTINCT originator_id), count(*)
  FROM stored_events
 WHERE notification_id > %s AND notification_id <= %s;

-- name: being_erased
-- Streams that were purged, or have messages that were, while rows of that may still be there.
SELECT DISTINCT originator_id
  FROM stored_events
 WHERE (topic LIKE '%%.purged' OR topic LIKE '%%.messages-erased')
   AND notification_id > coalesce((SELECT position FROM followers WHERE name = 'erasure'), 0);

-- name: events_since
SELECT originator_id, originator_version, topic, state::text
  FROM stored_events
 WHERE notification_id > %s AND notification_id <= %s AND originator_id <> ALL(%s::uuid[])
 ORDER BY originator_id, originator_version;

-- name: raise_counters
INSERT INTO rebuild_counters AS counter (project, kind, last)
SELECT project, kind, last
  FROM json_to_recordset(%s::json) AS row (project text, kind text, last bigint)
 ORDER BY project, kind
    ON CONFLICT (project, kind) DO UPDATE SET last = greatest(counter.last, excluded.last);

-- name: caught_up_to
SELECT position FROM rebuild_progress;

-- name: note_caught_up
UPDATE rebuild_progress SET position = %s;

-- name: last_position
SELECT coalesce(max(notification_id), 0) FROM stored_events;

-- name: log_size
SELECT count(*) FROM stored_events;
