-- Each row asked for is looked up by its key: OFFSET 0 keeps the planner from reading whole tables into
-- a hash instead, which would cost more the more is stored.

-- name: find_sessions
SELECT asked.scope, asked.name, s.stream_id, s.is_deleted, s.message_count
  FROM unnest(%(scopes)s::text[], %(names)s::text[]) AS asked (scope, name)
 CROSS JOIN LATERAL (
       SELECT stream_id
         FROM names n
        WHERE n.project = %(project)s AND n.kind = 'session'
          AND n.scope = asked.scope AND n.name = asked.name
       OFFSET 0
       ) AS n
 CROSS JOIN LATERAL (
       SELECT stream_id, deleted_at IS NOT NULL AS is_deleted,
              (SELECT count(*) FROM messages m WHERE m.stream_id = n.stream_id) AS message_count
         FROM sessions
        WHERE stream_id = n.stream_id
       OFFSET 0
       ) AS s;

-- name: find_message_ids
SELECT asked.stream_id, asked.message_id
  FROM unnest(%(streams)s::uuid[], %(messages)s::uuid[]) AS asked (stream_id, message_id)
 CROSS JOIN LATERAL (
       SELECT FROM messages m
        WHERE m.message_id = asked.message_id AND m.stream_id = asked.stream_id
       OFFSET 0
       ) AS m;

-- name: find_sources
SELECT stream_id, message_id, metadata -> %(member)s::text
  FROM messages
 WHERE stream_id = ANY (%(streams)s::uuid[])
 ORDER BY stream_id, version;
