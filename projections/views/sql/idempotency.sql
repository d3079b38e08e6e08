-- name: insert_requests
-- A key that is there already is a unique violation: the same request is under way elsewhere.
INSERT INTO requests (project, key, fingerprint, kind, stream_id, first_version, last_version)
SELECT project, key, fingerprint, kind, stream_id, first_version, last_version
  FROM json_to_recordset(%s::json) AS row (
       project text, key text, fingerprint text, kind text, stream_id uuid, first_version bigint,
       last_version bigint)
 ORDER BY project, key;

-- name: find_request
SELECT fingerprint, kind, stream_id, first_version, last_version
  FROM requests
 WHERE project = %(project)s AND key = %(key)s;
