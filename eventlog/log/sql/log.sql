-- name: insert_events
-- Takes the events as one JSON array; yields their positions. Every append shares the advisory lock
-- (eventlog/postgres/advisory_locks.py, APPEND_LOCK) from before it draws a position until it ends (see eventlog/log/order.py).
INSERT INTO stored_events
    (originator_id, originator_version, project, topic, recorded_at, state, salt, link)
SELECT event.originator_id, event.originator_version, event.project, event.topic,
       event.recorded_at, event.state, event.salt, event.link
  -- The lock comes first: no row, hence no position, is drawn before it is held.
  FROM (SELECT pg_advisory_xact_lock_shared(1919247104, 'stored_events'::regclass::oid::int) OFFSET 0) AS lock
 CROSS JOIN json_to_recordset(%s::json) AS event (
       originator_id uuid, originator_version bigint, project text, topic text,
       recorded_at timestamptz, salt bytea, link bytea, state json)
RETURNING notification_id;

-- name: select_events
SELECT originator_id, originator_version, topic, state::text
  FROM stored_events
 WHERE originator_id = %(id)s
   AND originator_version > coalesce(%(gt)s::bigint, 0)
   AND originator_version <= coalesce(%(lte)s::bigint, 9223372036854775807)
 ORDER BY originator_version
 LIMIT %(limit)s::bigint;

-- name: select_events_descending
SELECT originator_id, originator_version, topic, state::text
  FROM stored_events
 WHERE originator_id = %(id)s
   AND originator_version > coalesce(%(gt)s::bigint, 0)
   AND originator_version <= coalesce(%(lte)s::bigint, 9223372036854775807)
 ORDER BY originator_version DESC
 LIMIT %(limit)s::bigint;

-- name: select_links
SELECT event.originator_id, event.link
  FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[]) AS known (id, version)
  JOIN stored_events AS event
    ON event.originator_id = known.id AND event.originator_version = known.version;

-- name: select_after
-- Select the events after the known versions of some streams, up to a limit for each.
SELECT event.originator_id, event.originator_version, event.topic, event.state::text
  FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[]) AS known (id, version)
  JOIN stored_events AS event
    ON event.originator_id = known.id
   AND event.originator_version > known.version
   AND event.originator_version <= known.version + %(limit)s
 ORDER BY event.originator_id, event.originator_version;

-- part: weigh_entries
-- Pages are bounded in bytes, too: rows are left out as soon as those before them weigh weight_max or more,
-- so at least one row comes. page_rows says how many there would be. A row is weighed without reading its
-- content: its weight is its stored size, and twenty times that when it is compressed. Compression leaves texts
-- a half or a third of their size, and never less than a 255th, so rows have less than 13 times as many bytes as
-- they weigh. They are weighed in the order of the inner query.
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state::text, page_rows,
       weight_before
  FROM (
       SELECT *, count(*) OVER () AS page_rows,
              sum(pg_column_size(state) * CASE WHEN pg_column_compression(state) IS NULL THEN 1 ELSE 20 END)
                  OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
         FROM (;

-- part: within_weight
              ) AS page
       ) AS page
 WHERE coalesce(weight_before, 0) < coalesce(%(weight_max)s::bigint, 9223372036854775807);

-- name: select_stream
-- here: weigh_entries
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version > %(gt)s AND originator_version < %(lt)s
 ORDER BY originator_version
 LIMIT %(limit)s
-- here: within_weight;

-- name: select_stream_descending
-- here: weigh_entries
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version > %(gt)s AND originator_version < %(lt)s
 ORDER BY originator_version DESC
 LIMIT %(limit)s
-- here: within_weight;

-- name: find_changes
-- Select the changes of messages after they were added: the message, the version, and the event's weight.
-- Served by the index stored_events_changes, however many messages the stream has.
SELECT state ->> 'message_id', originator_version,
       pg_column_size(state) * CASE WHEN pg_column_compression(state) IS NULL THEN 1 ELSE 20 END
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version <= %(lte)s
   AND topic NOT LIKE '%%.message-added' AND state ->> 'message_id' IS NOT NULL
 ORDER BY originator_version;

-- name: select_versions
SELECT originator_id, originator_version, topic, state::text
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version = ANY(%(versions)s::bigint[])
 ORDER BY originator_version;

-- name: select_time
SELECT recorded_at FROM stored_events WHERE originator_id = %s AND originator_version = %s;

-- name: select_position
SELECT notification_id FROM stored_events WHERE originator_id = %s AND originator_version = %s;

-- name: select_last_version
SELECT coalesce(max(originator_version), 0) FROM stored_events WHERE originator_id = %s;

-- name: select_notifications
-- here: weigh_entries
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state
  FROM stored_events
 WHERE notification_id > coalesce(%(gt)s::bigint, 0)
   AND notification_id <= coalesce(%(lte)s::bigint, 9223372036854775807)
   AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s::text[]))
 ORDER BY notification_id
 LIMIT %(limit)s
-- here: within_weight;

-- part: select_of_project
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state
  FROM stored_events
 WHERE project = %(project)s AND notification_id > %(gt)s AND notification_id < %(lt)s
   AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s::text[]))
   AND (%(stream)s::uuid IS NULL OR originator_id = %(stream)s::uuid);

-- name: select_project
-- here: weigh_entries
-- here: select_of_project
 ORDER BY notification_id
 LIMIT %(limit)s
-- here: within_weight;

-- name: select_project_descending
-- here: weigh_entries
-- here: select_of_project
 ORDER BY notification_id DESC
 LIMIT %(limit)s
-- here: within_weight;

-- name: insert_snapshot
-- Insert no snapshot of an erased event: whoever erases it now waits for us, and then finds the snapshot.
INSERT INTO snapshots (originator_id, originator_version, topic, state)
SELECT originator_id, originator_version, %(topic)s, %(state)s::json
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version = %(version)s AND salt IS NOT NULL
   FOR SHARE
ON CONFLICT DO NOTHING;

-- name: select_snapshots
SELECT originator_id, originator_version, topic, state::text
  FROM snapshots
 WHERE originator_id = %(id)s
   AND originator_version > coalesce(%(gt)s::bigint, 0)
   AND originator_version <= coalesce(%(lte)s::bigint, 9223372036854775807)
   AND topic = ANY(%(topics)s::text[])
 ORDER BY originator_version DESC
 LIMIT %(limit)s::bigint;

-- name: last_drawn
-- A sequence shows at once, and to everyone, what was drawn from it, committed or not.
-- A standby shows more than that, and no locks: there it is the position that the primary wrote down.
SELECT CASE WHEN pg_is_in_recovery() THEN (SELECT position FROM settled) WHEN is_called THEN last_value END,
       pg_is_in_recovery()
  FROM stored_events_notification_id_seq;

-- name: holders
-- Select the holders of this store's append lock, each with the number of its transaction. A prepared
-- transaction has no process; its whole name stands for it.
SELECT coalesce(pid::text, virtualtransaction), split_part(virtualtransaction, '/', 2)::bigint
  FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 2
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND classid = 1919247104 AND objid = 'stored_events'::regclass::oid;
