-- bq-load: what keeps staged rows from being entered. A key that comes twice, a
-- key of another feed, a row of another day or source. One is told.
SELECT what, app_id, platform, metric, segment, feed, batch_id
FROM (
	SELECT 'twice' AS what, app_id, platform, metric, segment, '' AS feed,
	    '' AS batch_id
	FROM `analytics_ops.stage`
	GROUP BY app_id, platform, metric, segment
	HAVING COUNT(*) > 1
	UNION ALL
	SELECT 'feed', n.app_id, n.platform, n.metric, n.segment, o.feed,
	    o.batch_id
	FROM `analytics_ops.stage` n
	JOIN `analytics_core.fact_kpi_daily` o
	ON o.app_id = n.app_id AND o.platform = n.platform
	    AND o.metric = n.metric AND o.segment = n.segment
	WHERE o.date = @date AND o.source_system = @source AND o.feed <> @feed
	    AND o.deleted_at IS NULL
	UNION ALL
	SELECT 'place', app_id, platform, metric, segment, '', ''
	FROM `analytics_ops.stage`
	WHERE date IS DISTINCT FROM @date
	    OR source_system IS DISTINCT FROM @source
)
ORDER BY what, app_id, platform, metric, segment
LIMIT 1
