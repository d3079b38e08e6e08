-- name: try_alone
SELECT pg_try_advisory_lock(%s, 'stored_events'::regclass::oid::int);

-- name: leave_alone
SELECT pg_advisory_unlock(%s, 'stored_events'::regclass::oid::int);

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

-- name: make_notes
-- progress: up to which position the log was caught up with.
CREATE TABLE recount_rebuild.progress (position bigint NOT NULL);

CREATE TABLE recount_rebuild.units (
    number  bigint PRIMARY KEY,
    low     uuid   NOT NULL,
    high    uuid   NOT NULL,
    events  bigint NOT NULL,
    done_at timestamptz
);

CREATE TABLE recount_rebuild.views (LIKE views);

CREATE TABLE recount_rebuild.set_aside (
    stream_id uuid   PRIMARY KEY,
    version   bigint NOT NULL,
    reason    text   NOT NULL
);

-- name: begin_progress
INSERT INTO recount_rebuild.progress VALUES (%s);

-- name: note_views
INSERT INTO recount_rebuild.views (name, version, built_at)
SELECT name, version, now() FROM unnest(%s::text[], %s::integer[]) AS view (name, version);

-- name: set_aside
INSERT INTO recount_rebuild.set_aside VALUES (%s, %s, %s) ON CONFLICT (stream_id) DO NOTHING;

-- name: those_aside
SELECT stream_id, reason FROM recount_rebuild.set_aside ORDER BY stream_id;

-- name: keep_counters
INSERT INTO recount_rebuild.counters AS counter (project, kind, last)
SELECT project, kind, last FROM public.counters ORDER BY project, kind
    ON CONFLICT (project, kind) DO UPDATE SET last = greatest(counter.last, excluded.last);

-- name: exchange_versions
-- Both see the rows as they were before.
WITH putting_aside AS (
     UPDATE recount_rebuild.views AS made
        SET version = live.version, built_at = live.built_at
       FROM public.views AS live
      WHERE live.name = made.name
)
UPDATE public.views AS live
   SET version = made.version, built_at = made.built_at
  FROM recount_rebuild.views AS made
 WHERE made.name = live.name;

-- name: wait_for_locks
-- How long, at most, to the end of the transaction.
SELECT set_config('lock_timeout', %s, true);

-- name: views_on
-- Views in the schema that read one of these tables of it.
SELECT DISTINCT viewname, definition
  FROM pg_views
  JOIN information_schema.view_table_usage AS read ON (read.view_schema, read.view_name) = (schemaname, viewname)
 WHERE schemaname = %s AND read.table_schema = schemaname AND read.table_name = ANY(%s::text[]);
