SELECT n.nspname AS name,
       obj_description(n.oid, 'pg_namespace') AS comment,
       (SELECT count(*)::int4 FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'f')
          AND NOT c.relispartition) AS tables,
       (SELECT count(*)::int4 FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('v', 'm')) AS views
FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_schema_privilege(n.oid, 'USAGE')
  AND ($1::text IS NULL OR n.nspname COLLATE "C" > $1::text)
ORDER BY n.nspname COLLATE "C"
