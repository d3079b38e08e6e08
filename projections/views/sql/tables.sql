-- name: existing
-- Of sets that a rebuild made: others may call a table so, too.
SELECT prefix || name
  FROM unnest(%(prefixes)s::text[]) AS sets (prefix)
 CROSS JOIN unnest(%(tables)s::text[]) AS tables (name)
 WHERE to_regclass(prefix || name) IS NOT NULL
   AND (prefix = '' OR to_regclass(prefix || 'units') IS NOT NULL);

-- name: create_like
-- What LIKE does not copy comes with it: how full pages are made, and who else may use the table.
SELECT format('CREATE TABLE %%I (LIKE %%I INCLUDING DEFAULTS INCLUDING STORAGE)', %(made)s::text, %(live)s::text)
       || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '')
  FROM pg_class
 WHERE oid = %(live)s::regclass
 UNION ALL
SELECT format('GRANT %%s ON TABLE %%I TO %%s', string_agg(privilege_type, ', '), %(made)s::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
       || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
  FROM pg_class CROSS JOIN aclexplode(relacl)
 WHERE oid = %(live)s::regclass AND grantee <> relowner
 GROUP BY grantee, is_grantable;

-- name: missing_indexes
-- What makes those constraints and indexes of a table in use that the one made in its shape lacks.
WITH indexes AS (
     SELECT indexrelid, indisunique, live.relname AS live,
            %(prefix)s || indexes.relname AS name,
            format('CREATE %%sINDEX %%I ON %%I.%%I USING ', CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END,
                   indexes.relname, nspname, live.relname) AS beginning
       FROM pg_index
       JOIN pg_class AS indexes ON indexes.oid = indexrelid
       JOIN pg_class AS live ON live.oid = indrelid
       JOIN pg_namespace ON pg_namespace.oid = live.relnamespace
      WHERE indrelid = %(live)s::regclass
        AND NOT EXISTS (SELECT FROM pg_index AS made JOIN pg_class ON pg_class.oid = made.indexrelid
                         WHERE made.indrelid = %(made)s::regclass
                           AND pg_class.relname = %(prefix)s || indexes.relname)
)
SELECT CASE WHEN conname IS NULL
            THEN format('CREATE %%sINDEX %%I ON %%I USING ', CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END,
                        name, %(made)s::text)
                 || substr(pg_get_indexdef(indexrelid), length(beginning) + 1)
            ELSE format('ALTER TABLE %%I ADD CONSTRAINT %%I %%s', %(made)s::text, name,
                        pg_get_constraintdef(pg_constraint.oid))
       END
  FROM indexes
  LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u');

-- name: indexes
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE indrelid = ANY(%s::text[]::regclass[]);
