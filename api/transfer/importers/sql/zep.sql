-- Whole rows as JSON, for columns came and went; those named here have been there ever since.

-- name: messages
SELECT to_jsonb(s) AS session, to_jsonb(m) AS message
  FROM session s
  LEFT JOIN message m ON m.session_id = s.session_id AND m.deleted_at IS NULL
 WHERE s.deleted_at IS NULL
 ORDER BY s.session_id, m.id;

-- name: count_messages
SELECT count(*) AS messages FROM message WHERE deleted_at IS NULL;

-- name: users
SELECT to_jsonb(u) AS "user" FROM users u WHERE deleted_at IS NULL;

-- name: summaries
SELECT to_jsonb(s) AS summary FROM summary s WHERE deleted_at IS NULL ORDER BY created_at;
