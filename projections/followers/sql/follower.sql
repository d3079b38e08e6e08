-- name: begin_follower
INSERT INTO followers (name, position) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING;

-- name: lock_checkpoint
SELECT position FROM followers WHERE name = %s FOR UPDATE;

-- name: select_checkpoint
SELECT position FROM followers WHERE name = %s;

-- name: move_checkpoint
UPDATE followers SET position = %(position)s, moved_at = now()
 WHERE name = %(name)s AND position < %(position)s;

-- name: select_parked_among
SELECT stream_id FROM parked_streams WHERE follower = %s AND stream_id = ANY(%s::uuid[]);

-- name: park_stream
-- One that is parked already was tried again: since when it is parked stays.
INSERT INTO parked_streams (follower, stream_id, version, error)
VALUES (%(follower)s, %(stream_id)s, %(version)s, %(error)s)
ON CONFLICT (follower, stream_id) DO UPDATE SET version = excluded.version, error = excluded.error;

-- name: unpark_stream
DELETE FROM parked_streams WHERE follower = %(follower)s AND stream_id = %(stream_id)s;

-- name: move_parked
UPDATE parked_streams SET version = %(version)s
 WHERE follower = %(follower)s AND stream_id = %(stream_id)s;

-- name: select_parked_entries
-- Rows are weighed as in eventlog/log/sql/log.sql.
SELECT notification_id, originator_id, originator_version, project, topic, recorded_at, state::text, page_rows,
       weight_before
  FROM (
       SELECT *, count(*) OVER () AS page_rows,
              sum(pg_column_size(state) * CASE WHEN pg_column_compression(state) IS NULL THEN 1 ELSE 20 END)
                  OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
         FROM (
SELECT e.*
  FROM parked_streams AS p
  JOIN stored_events AS e ON e.originator_id = p.stream_id AND e.originator_version >= p.version
 WHERE p.follower = %(follower)s AND p.stream_id = %(stream_id)s
   AND e.notification_id <= %(position)s
   AND (%(topics)s::text[] IS NULL OR e.topic = ANY(%(topics)s::text[]))
 ORDER BY e.originator_version
 LIMIT %(limit)s
              ) AS page
       ) AS page
 WHERE coalesce(weight_before, 0) < %(weight_max)s;

-- name: select_parked
SELECT follower, stream_id, version, error, since
  FROM parked_streams
 WHERE %(follower)s::text IS NULL OR follower = %(follower)s
 ORDER BY since, stream_id;

-- name: select_lags
SELECT f.name,
       f.position,
       greatest(coalesce((SELECT max(notification_id) FROM stored_events), 0) - f.position, 0),
       coalesce(greatest(extract(epoch FROM now() - next.recorded_at), 0), 0)::float8,
       (SELECT count(*) FROM parked_streams AS p WHERE p.follower = f.name)
  FROM followers AS f
  LEFT JOIN LATERAL (
       SELECT recorded_at
         FROM stored_events
        WHERE notification_id > f.position
        ORDER BY notification_id
        LIMIT 1
       ) AS next ON true
 ORDER BY f.name;
