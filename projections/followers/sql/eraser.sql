-- name: try_share
-- Not while the views are made again: they would be filled with what is just being erased.
SELECT pg_try_advisory_xact_lock_shared(%s, 'stored_events'::regclass::oid::int);

-- name: delete_erased_messages
DELETE FROM messages WHERE stream_id = %(id)s AND version = ANY(%(versions)s::bigint[]);

-- name: delete_erased_requests
-- Those of which nothing is left.
DELETE FROM requests AS r
 WHERE r.stream_id = %(id)s
   AND EXISTS (SELECT FROM unnest(%(versions)s::bigint[]) AS erased
                WHERE erased BETWEEN r.first_version AND r.last_version)
   AND NOT EXISTS (SELECT FROM stored_events AS e
                    WHERE e.originator_id = r.stream_id AND e.salt IS NOT NULL
                      AND e.originator_version BETWEEN r.first_version AND r.last_version);

-- name: narrow_requests
-- To what is left of them, as a fold of the log has it.
UPDATE requests AS r
   SET first_version = left_over.first, last_version = left_over.last
  FROM (SELECT o.project, o.key, min(e.originator_version) AS first, max(e.originator_version) AS last
          FROM requests AS o
          JOIN stored_events AS e
            ON e.originator_id = o.stream_id AND e.salt IS NOT NULL
           AND e.originator_version BETWEEN o.first_version AND o.last_version
         WHERE o.stream_id = %(id)s
           AND EXISTS (SELECT FROM unnest(%(versions)s::bigint[]) AS erased
                        WHERE erased BETWEEN o.first_version AND o.last_version)
         GROUP BY o.project, o.key) AS left_over
 WHERE r.project = left_over.project AND r.key = left_over.key;
