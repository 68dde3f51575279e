-- bq-load --verify: generations whose rows are not those that were counted, or
-- are visible where they should not be, and the other way round.
SELECT b.table_name, b.source_system, b.feed, b.date, b.batch_id, b.generation,
    b.state, b.row_count, COALESCE(f.found, 0) AS found,
    COALESCE(f.visible, 0) AS visible
FROM `analytics_ops.batches` b
LEFT JOIN (
	SELECT source_system, feed, date, batch_id, generation,
	    COUNT(*) AS found,
	    SUM(CASE WHEN deleted_at IS NULL THEN 1 ELSE 0 END) AS visible
	FROM `analytics_core.fact_kpi_daily`
	GROUP BY source_system, feed, date, batch_id, generation
) f
ON f.source_system = b.source_system AND f.feed = b.feed AND f.date = b.date
    AND f.batch_id = b.batch_id AND f.generation = b.generation
WHERE b.table_name = 'fact_kpi_daily' AND b.state <> 'aborted'
ORDER BY b.date, b.source_system, b.feed, b.batch_id, b.generation
