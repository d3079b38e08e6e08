-- name: find_sessions
SELECT n.scope, n.name, s.stream_id, s.deleted_at IS NOT NULL,
       (SELECT count(*) FROM messages m WHERE m.stream_id = s.stream_id)
  FROM unnest(%(scopes)s::text[], %(names)s::text[]) AS asked (scope, name)
  JOIN names n ON n.project = %(project)s AND n.kind = 'session'
              AND n.scope = asked.scope AND n.name = asked.name
  JOIN sessions s ON s.stream_id = n.stream_id;

-- name: find_message_ids
SELECT m.stream_id, m.message_id
  FROM unnest(%(streams)s::uuid[], %(messages)s::uuid[]) AS asked (stream_id, message_id)
  JOIN messages m ON m.message_id = asked.message_id AND m.stream_id = asked.stream_id;
