-- name: insert_reads
INSERT INTO reads (read_at, project, actor, request_id, method, route, parameters, status)
SELECT read_at, project, actor, request_id, method, route, parameters, status
  FROM json_to_recordset(%s::json) AS row (
       read_at timestamptz, project text, actor text, request_id text, method text, route text,
       parameters json, status integer);

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
