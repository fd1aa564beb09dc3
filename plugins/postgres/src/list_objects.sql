SELECT o.name, o.kind, o.comment, o.estimated_rows, o.readable
FROM pg_namespace n
LEFT JOIN LATERAL (
    SELECT c.relname::text AS name,
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized_view' WHEN 'f' THEN 'foreign_table'
                          WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
           obj_description(c.oid, 'pg_class') AS comment,
           CASE WHEN c.relkind IN ('r', 'p', 'm') AND c.reltuples >= 0 THEN c.reltuples::int8 END AS estimated_rows,
           has_table_privilege(c.oid, 'SELECT') AS readable
    FROM pg_class c
    WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT c.relispartition
    UNION ALL
    SELECT format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), 'function',
           obj_description(p.oid, 'pg_proc'), NULL, has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc p
    WHERE p.pronamespace = n.oid AND p.prokind IN ('f', 'w')
) o ON (o.kind = $2::text OR $2::text IS NULL AND o.kind NOT IN ('sequence', 'function'))
    AND ($3::text IS NULL OR o.name COLLATE "C" > $3::text)
WHERE n.nspname = $1::text
ORDER BY o.name COLLATE "C"
