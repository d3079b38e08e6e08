-- name: put_states
INSERT INTO states (stream_id, key, state, version, updated_at)
SELECT stream_id, key, state, version, updated_at
  FROM json_to_recordset(%s::json) AS row (
       stream_id uuid, key text, state json, version bigint, updated_at timestamptz)
ON CONFLICT (stream_id, key) DO UPDATE
   SET state = excluded.state, version = excluded.version, updated_at = excluded.updated_at;

-- name: get_state
-- A deleted owner shows no state; one that a write revived shows only what was set since.
SELECT state.state
  FROM names n
 CROSS JOIN LATERAL (
       SELECT deleted_at, hidden_through FROM threads WHERE stream_id = n.stream_id
        UNION ALL
       SELECT deleted_at, hidden_through FROM users WHERE stream_id = n.stream_id
       ) AS owner
  JOIN states state USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = '' AND n.name = %(name)s
   AND state.key IS NOT DISTINCT FROM %(key)s
   AND owner.deleted_at IS NULL AND state.version > owner.hidden_through;

-- name: list_states
-- As get_state, all that have a key.
SELECT state.key, state.state
  FROM names n
 CROSS JOIN LATERAL (
       SELECT deleted_at, hidden_through FROM threads WHERE stream_id = n.stream_id
        UNION ALL
       SELECT deleted_at, hidden_through FROM users WHERE stream_id = n.stream_id
       ) AS owner
  JOIN states state USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = '' AND n.name = %(name)s
   AND state.key IS NOT NULL AND json_typeof(state.state) <> 'null'
   AND owner.deleted_at IS NULL AND state.version > owner.hidden_through
 ORDER BY state.version;
