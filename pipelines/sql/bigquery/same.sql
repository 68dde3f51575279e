-- bq-load: the rows in which what is staged and what is visible differ, but for
-- the run that made them.
SELECT COUNT(*) AS differ
FROM `analytics_ops.stage` n
FULL OUTER JOIN (
	SELECT app_id, platform, metric, segment, value, num, den, unit,
	    kpi_version, quality
	FROM `analytics_core.fact_kpi_daily`
	WHERE date = @date AND source_system = @source AND feed = @feed
	    AND deleted_at IS NULL
) o
ON o.app_id = n.app_id AND o.platform = n.platform AND o.metric = n.metric
    AND o.segment = n.segment
WHERE o.app_id IS NULL OR n.app_id IS NULL
    OR n.value IS DISTINCT FROM o.value
    OR n.num IS DISTINCT FROM o.num
    OR n.den IS DISTINCT FROM o.den
    OR n.unit IS DISTINCT FROM o.unit
    OR n.kpi_version IS DISTINCT FROM o.kpi_version
    OR n.quality IS DISTINCT FROM o.quality
