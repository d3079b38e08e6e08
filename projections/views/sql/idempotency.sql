-- name: insert_requests
-- A key that is there already is a unique violation: the same request is under way elsewhere.
INSERT INTO requests
SELECT * FROM json_populate_recordset(NULL::requests, %s::json) ORDER BY project, key;

-- name: find_request
SELECT fingerprint, kind, stream_id, first_version, last_version
  FROM requests
 WHERE project = %(project)s AND key = %(key)s;
