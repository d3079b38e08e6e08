-- name: insert_reads
-- Notes come some moments late: one of what was purged since, and whose name nobody has any more, does not
-- name it. More purges than that are not carried out in these moments.
WITH notes AS (
     SELECT *
       FROM json_to_recordset(%s::json) AS row (
            read_at timestamptz, project text, actor text, request_id text, method text, route text,
            parameters json, status integer)
), purged AS MATERIALIZED (
     SELECT project, kind, recorded_at
       FROM (SELECT DISTINCT project FROM notes) AS projects
      CROSS JOIN LATERAL (
            SELECT replace(topic, '.purged', '') AS kind, recorded_at
              FROM stored_events AS e
             WHERE e.project = projects.project AND topic LIKE '%%.purged'
             ORDER BY notification_id DESC
             LIMIT 5000) AS last
)
INSERT INTO reads (read_at, project, actor, request_id, method, route, parameters, status)
SELECT read_at, project, actor, request_id, method, route,
       CASE WHEN EXISTS (
                 SELECT FROM purged
                   JOIN json_each_text(parameters) AS part ON part.key = kind || '_id'
                  WHERE purged.project = notes.project AND recorded_at >= read_at
                    AND NOT EXISTS (SELECT FROM names AS n
                                     WHERE n.project = notes.project AND n.kind = purged.kind
                                       AND n.name = part.value))
            THEN '{}'::json ELSE parameters END,
       status
  FROM notes;

-- name: select_reads
SELECT number, read_at, project, actor, request_id, method, route, parameters, status
  FROM reads
 WHERE number > %(after)s
   AND (%(project)s::text IS NULL OR project = %(project)s)
   AND (%(actor)s::text IS NULL OR actor = %(actor)s)
 ORDER BY number
 LIMIT %(limit)s;

-- name: select_reads_descending
SELECT number, read_at, project, actor, request_id, method, route, parameters, status
  FROM reads
 WHERE number < %(after)s
   AND (%(project)s::text IS NULL OR project = %(project)s)
   AND (%(actor)s::text IS NULL OR actor = %(actor)s)
 ORDER BY number DESC
 LIMIT %(limit)s;

-- name: forget_reads
UPDATE reads
   SET parameters = json_build_object('stream_id', %(stream_id)s::text)
 WHERE project = %(project)s AND read_at <= %(until)s
   AND ((%(kind)s = 'session' AND parameters ->> 'session_id' = ANY(%(names)s::text[]))
        OR (%(kind)s = 'thread' AND parameters ->> 'thread_id' = ANY(%(names)s::text[]))
        OR (%(kind)s = 'user' AND parameters ->> 'user_id' = ANY(%(names)s::text[])));
