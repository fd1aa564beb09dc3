SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (lower(c.relname) = lower($2::text)
       OR strpos(lower(c.relname), rtrim(lower($2::text), 's')) > 0
       OR strpos(lower($2::text), rtrim(lower(c.relname), 's')) > 0)
ORDER BY n.nspname = $1::text DESC, abs(length(c.relname) - length($2::text)), 1
