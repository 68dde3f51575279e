-- bq-load --rollback: the visible generation gets a tombstone, what it had
-- replaced (@old_batch and @old_generation where @seen is 1) is visible again.
-- What stands between BEGIN and COMMIT comes once for each partition of the
-- batch, its parameters with _2, _3 and so on from the second on.
BEGIN TRANSACTION;

ASSERT (SELECT COUNT(*) FROM `analytics_ops.batches`
    WHERE table_name = @table AND batch_id = @batch
	AND generation = @generation AND source_system = @source
	AND feed = @feed AND date = @date AND state = 'published') = 1
AS 'weir: not visible';

ASSERT (SELECT COUNT(*) FROM `analytics_ops.batches`
    WHERE table_name = @table AND batch_id = @old_batch
	AND generation = @old_generation AND source_system = @source
	AND feed = @feed AND date = @date AND state = 'replaced') = @seen
AS 'weir: the replaced generation is gone';

ASSERT (SELECT COUNT(*) FROM `analytics_core.fact_kpi_daily`
    WHERE date = @date AND source_system = @source AND feed = @feed
	AND batch_id = @old_batch AND generation = @old_generation) = @rows
AS 'weir: rows of the replaced generation are missing';

ASSERT (SELECT COUNT(*) FROM `analytics_core.fact_kpi_daily` n
    JOIN `analytics_core.fact_kpi_daily` o
    ON o.app_id = n.app_id AND o.platform = n.platform
	AND o.metric = n.metric AND o.segment = n.segment
    WHERE n.date = @date AND n.source_system = @source AND n.feed = @feed
	AND n.batch_id = @old_batch AND n.generation = @old_generation
	AND o.date = @date AND o.source_system = @source AND o.feed <> @feed
	AND o.deleted_at IS NULL) = 0
AS 'weir: key of another feed';

INSERT INTO `analytics_ops.restatements` (source_system, feed, date, app_id,
    platform, metric, segment, cause, old_value, new_value, old_batch,
    old_generation, new_batch, new_generation, old_kpi_version,
    new_kpi_version, age_days, run_id, logged_at)
SELECT @source, @feed, @date, COALESCE(n.app_id, o.app_id),
    COALESCE(n.platform, o.platform), COALESCE(n.metric, o.metric),
    COALESCE(n.segment, o.segment), 'rollback', o.value AS old_value,
    n.value AS new_value, @batch, @generation, @old_batch, @old_generation,
    o.kpi_version AS old_kpi_version, n.kpi_version AS new_kpi_version, @age,
    @run_id, CURRENT_TIMESTAMP()
FROM (
	SELECT app_id, platform, metric, segment, value, kpi_version
	FROM `analytics_core.fact_kpi_daily`
	WHERE date = @date AND source_system = @source AND feed = @feed
	    AND batch_id = @old_batch AND generation = @old_generation
) n
FULL OUTER JOIN (
	SELECT app_id, platform, metric, segment, value, kpi_version
	FROM `analytics_core.fact_kpi_daily`
	WHERE date = @date AND source_system = @source AND feed = @feed
	    AND batch_id = @batch AND generation = @generation
) o
ON o.app_id = n.app_id AND o.platform = n.platform AND o.metric = n.metric
    AND o.segment = n.segment
WHERE n.value IS DISTINCT FROM o.value;

UPDATE `analytics_core.fact_kpi_daily`
SET deleted_at = CURRENT_TIMESTAMP()
WHERE date = @date AND source_system = @source AND feed = @feed
    AND batch_id = @batch AND generation = @generation AND deleted_at IS NULL;

UPDATE `analytics_core.fact_kpi_daily`
SET deleted_at = NULL
WHERE date = @date AND source_system = @source AND feed = @feed
    AND batch_id = @old_batch AND generation = @old_generation;

UPDATE `analytics_ops.batches`
SET state = 'rolled_back', rolled_back_at = CURRENT_TIMESTAMP(),
    reason = COALESCE(@reason, reason)
WHERE table_name = @table AND batch_id = @batch AND generation = @generation
    AND source_system = @source AND feed = @feed AND date = @date;

UPDATE `analytics_ops.batches`
SET state = 'published', replaced_at = NULL
WHERE table_name = @table AND batch_id = @old_batch
    AND generation = @old_generation AND source_system = @source
    AND feed = @feed AND date = @date;

COMMIT TRANSACTION;
