-- The filters that are not given are gone once the statement is planned for its values, and one of the
-- indexes of eventlog/migrations/0002_audit.sql serves what is left.

-- part: columns
       notification_id, originator_id, originator_version, project, topic, recorded_at;

-- part: weigh_entries
-- Rows are weighed as in eventlog/log/sql/log.sql.
SELECT
       -- here: columns
       , state::text, page_rows, weight_before
  FROM (
       SELECT *, count(*) OVER () AS page_rows,
              sum(pg_column_size(state) * CASE WHEN pg_column_compression(state) IS NULL THEN 1 ELSE 20 END)
                  OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS weight_before
         FROM (;

-- part: within_weight
              ) AS page
       ) AS page
 WHERE coalesce(weight_before, 0) < coalesce(%(weight_max)s::bigint, 9223372036854775807);

-- part: select_asked_for
SELECT
       -- here: columns
       , state
  FROM stored_events
 WHERE notification_id > %(gt)s AND notification_id < %(lt)s
   AND (%(project)s::text IS NULL OR project = %(project)s)
   AND (%(actor)s::text IS NULL OR state ->> 'actor' = %(actor)s)
   AND (%(stream)s::uuid IS NULL OR originator_id = %(stream)s::uuid)
   AND (%(user_id)s::text IS NULL OR originator_id IN (
        SELECT stream_id FROM users
         WHERE name = %(user_id)s AND (%(project)s::text IS NULL OR project = %(project)s)
         UNION ALL
        SELECT stream_id FROM sessions
         WHERE user_id = %(user_id)s AND (%(project)s::text IS NULL OR project = %(project)s)))
   AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s::text[]))
   AND (%(since)s::timestamptz IS NULL OR recorded_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR recorded_at < %(until)s)
   AND (%(request_id)s::text IS NULL OR state ->> 'request_id' = %(request_id)s)
   AND (%(causes)s::text[] IS NULL OR state ->> 'causation_id' = ANY(%(causes)s::text[])
        OR (originator_id = %(root_stream)s::uuid AND originator_version = %(root_version)s::bigint));

-- name: select_audit
-- here: weigh_entries
-- here: select_asked_for
 ORDER BY notification_id
 LIMIT %(limit)s
-- here: within_weight;

-- name: select_audit_descending
-- here: weigh_entries
-- here: select_asked_for
 ORDER BY notification_id DESC
 LIMIT %(limit)s
-- here: within_weight;

-- name: select_chain
-- The event, what it led to, what that led to, and so on; each once, also where they go in a circle.
-- Each is looked up by the index: OFFSET 0 keeps the planner from reading the whole log into a hash.
WITH RECURSIVE chain (cause) AS (
     SELECT %(causation_id)s::text
      UNION
     SELECT concat(event.originator_id, '/', event.originator_version)
       FROM chain
      CROSS JOIN LATERAL (
            SELECT originator_id, originator_version
              FROM stored_events
             WHERE state ->> 'causation_id' = chain.cause
               AND (%(project)s::text IS NULL OR project = %(project)s)
            OFFSET 0
            ) AS event
     )
SELECT cause FROM chain;
