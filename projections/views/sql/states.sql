-- name: upsert_states
INSERT INTO states SELECT * FROM json_populate_recordset(NULL::states, %s::json)
ON CONFLICT (stream_id, key) DO UPDATE
   SET state = excluded.state, version = excluded.version, updated_at = excluded.updated_at;

-- part: from_what_is_shown
-- A deleted owner shows no state; one that a write revived shows only what was set since.
  FROM names n
 CROSS JOIN LATERAL (
       SELECT deleted_at, hidden_through FROM threads WHERE stream_id = n.stream_id
        UNION ALL
       SELECT deleted_at, hidden_through FROM users WHERE stream_id = n.stream_id
       ) AS owner
  JOIN states state USING (stream_id)
 WHERE n.project = %(project)s AND n.kind = %(kind)s AND n.scope = '' AND n.name = %(name)s
   AND owner.deleted_at IS NULL AND state.version > owner.hidden_through;

-- name: get_state
SELECT state.state
-- here: from_what_is_shown
   AND state.key IS NOT DISTINCT FROM %(key)s;

-- name: list_states
-- All that have a key.
SELECT state.key, state.state
-- here: from_what_is_shown
   AND state.key IS NOT NULL AND json_typeof(state.state) <> 'null'
 ORDER BY state.version;
