-- name: try_alone
SELECT pg_try_advisory_lock(%s);

-- name: leave_alone
SELECT pg_advisory_unlock(%s);

-- name: cut_units
-- Ranges of streams with about so many events each. Whole streams: one that is longer is a unit alone.
INSERT INTO recount_rebuild.units (number, low, high, events)
SELECT row_number() OVER (ORDER BY share), min_id, max_id, events
  FROM (
       SELECT share, (array_agg(id ORDER BY id))[1] AS min_id, (array_agg(id ORDER BY id DESC))[1] AS max_id,
              sum(count) AS events
         FROM (
              SELECT id, count, div(sum(count) OVER (ORDER BY id) - count, %(size)s) AS share
                FROM (SELECT originator_id AS id, count(*) AS count FROM stored_events GROUP BY 1) AS streams
              ) AS shares
        GROUP BY share
       ) AS ranges;

-- name: missing_indexes
-- What makes those constraints and indexes of a table that the one in the other schema lacks.
WITH live AS (
     SELECT format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass AS id
), theirs AS (
     SELECT relname
       FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
      WHERE indrelid = format('%%I.%%I', %(schema)s::text, %(table)s::text)::regclass
)
SELECT format('ALTER TABLE %%I.%%I ADD CONSTRAINT %%I %%s', %(schema)s::text, %(table)s::text, conname,
              pg_get_constraintdef(oid))
  FROM pg_constraint
 WHERE conrelid = (SELECT id FROM live) AND contype IN ('p', 'u')
   AND conname NOT IN (SELECT relname FROM theirs)
 UNION ALL
SELECT regexp_replace(pg_get_indexdef(indexrelid), ' ON (ONLY )?\S+ USING ',
                      format(' ON %%I.%%I USING ', %(schema)s::text, %(table)s::text))
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE indrelid = (SELECT id FROM live)
   AND relname NOT IN (SELECT relname FROM theirs)
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);

-- name: make_units
CREATE TABLE recount_rebuild.units (
    number  bigint PRIMARY KEY,
    low     uuid   NOT NULL,
    high    uuid   NOT NULL,
    events  bigint NOT NULL,
    done_at timestamptz
);

-- name: make_progress
-- Up to which position the log was caught up with.
CREATE TABLE recount_rebuild.progress (position bigint NOT NULL);

-- name: begin_progress
INSERT INTO recount_rebuild.progress VALUES (%s);

-- name: be_impatient
SELECT set_config('lock_timeout', %s, true);

-- name: views
SELECT viewname, definition FROM pg_views WHERE schemaname = %s;
