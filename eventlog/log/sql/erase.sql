-- name: select_unerased
SELECT originator_version
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version > %(gt)s AND originator_version < %(lt)s
   AND salt IS NOT NULL
 ORDER BY originator_version
 LIMIT %(limit)s;

-- name: erase_payloads
-- Keep the commitment, so that the chain still holds (see eventlog/integrity/chain.py), and the values that are
-- in columns as well, so that the event can be read.
UPDATE stored_events
   SET salt = NULL,
       state = json_build_object(
           'erased', json_build_object(
               'commitment', encode(sha256(salt || convert_to(state::text, 'UTF8')), 'hex')),
           'recorded_at', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'project', project)
 WHERE originator_id = %(id)s AND originator_version = ANY(%(versions)s::bigint[])
   AND salt IS NOT NULL;

-- name: delete_snapshots
DELETE FROM snapshots WHERE originator_id = %s;

-- name: select_names
-- Select the names that a stream had, unless they are erased.
SELECT DISTINCT state ->> 'name'
  FROM stored_events
 WHERE originator_id = %(id)s AND originator_version < %(lt)s AND topic = ANY(%(topics)s::text[])
   AND topic NOT LIKE '%%.message-added'
   AND salt IS NOT NULL;
