-- name: begin_request
-- Waits for the same request where it is under way elsewhere. No row: the key was used before.
INSERT INTO answered_requests (project, key, fingerprint) VALUES (%(project)s, %(key)s, %(fingerprint)s)
    ON CONFLICT (project, key) DO NOTHING
RETURNING key;

-- name: keep_answer
UPDATE answered_requests SET answer = %(answer)s WHERE project = %(project)s AND key = %(key)s;

-- name: select_answer
SELECT fingerprint, answer::text FROM answered_requests WHERE project = %(project)s AND key = %(key)s;

-- name: is_in_log
SELECT EXISTS (SELECT FROM requests WHERE project = %(project)s AND key = %(key)s);

-- name: forget_answers
DELETE FROM answered_requests WHERE answered_at < now() - make_interval(days => %(days)s);
