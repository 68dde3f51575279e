-- bq-load --publish: what is staged takes the place of the visible generation
-- of its partition (source system, feed, date) and of nothing else. What stands
-- between BEGIN and COMMIT comes once for each partition of the batch, its
-- parameters with _2, _3 and so on from the second on. @seen is 1 where
-- @old_batch and @old_generation were visible when it was looked, else 0.
BEGIN TRANSACTION;

ASSERT (SELECT COUNT(*) FROM `analytics_ops.batches`
    WHERE table_name = @table AND batch_id = @batch
	AND generation = @generation AND source_system = @source
	AND feed = @feed AND date = @date AND state = 'staged'
	AND stage_table = @stage) = 1
AS 'weir: not staged';

ASSERT (SELECT COUNT(*) FROM `analytics_ops.batches`
    WHERE table_name = @table AND source_system = @source AND feed = @feed
	AND date = @date AND state = 'published') = @seen
AS 'weir: another generation became visible';

ASSERT (SELECT COUNT(*) FROM `analytics_ops.batches`
    WHERE table_name = @table AND source_system = @source AND feed = @feed
	AND date = @date AND state = 'published' AND batch_id = @old_batch
	AND generation = @old_generation) = @seen
AS 'weir: another generation became visible';

ASSERT @force OR (SELECT COUNT(*) FROM `analytics_ops.batches`
    WHERE table_name = @table AND source_system = @source AND feed = @feed
	AND date = @date AND state = 'published'
	AND fetched_at > @fetched_at) = 0
AS 'weir: fetched earlier';

ASSERT (SELECT COUNT(*) FROM `analytics_ops.freezes`
    WHERE source_system IN ('', @source) AND feed IN ('', @feed)) = 0
AS 'weir: frozen';

ASSERT (SELECT COUNT(*) FROM `analytics_ops.stage`) = @rows
AS 'weir: stage table changed';

ASSERT (SELECT COUNT(*) FROM `analytics_ops.stage` n
    JOIN `analytics_core.fact_kpi_daily` o
    ON o.app_id = n.app_id AND o.platform = n.platform
	AND o.metric = n.metric AND o.segment = n.segment
    WHERE o.date = @date AND o.source_system = @source AND o.feed <> @feed
	AND o.deleted_at IS NULL) = 0
AS 'weir: key of another feed';

-- Each value that differs, appeared or vanished.
INSERT INTO `analytics_ops.restatements` (source_system, feed, date, app_id,
    platform, metric, segment, cause, old_value, new_value, old_batch,
    old_generation, new_batch, new_generation, old_kpi_version,
    new_kpi_version, age_days, run_id, logged_at)
SELECT @source, @feed, @date, COALESCE(n.app_id, o.app_id),
    COALESCE(n.platform, o.platform), COALESCE(n.metric, o.metric),
    COALESCE(n.segment, o.segment), 'publish', o.value AS old_value,
    n.value AS new_value, @old_batch, @old_generation, @batch, @generation,
    o.kpi_version AS old_kpi_version, n.kpi_version AS new_kpi_version, @age,
    @run_id, CURRENT_TIMESTAMP()
FROM `analytics_ops.stage` n
FULL OUTER JOIN (
	SELECT app_id, platform, metric, segment, value, kpi_version
	FROM `analytics_core.fact_kpi_daily`
	WHERE date = @date AND source_system = @source AND feed = @feed
	    AND deleted_at IS NULL
) o
ON o.app_id = n.app_id AND o.platform = n.platform AND o.metric = n.metric
    AND o.segment = n.segment
WHERE @seen = 1 AND n.value IS DISTINCT FROM o.value;

-- What was visible has a tombstone from now on, what vanished too.
UPDATE `analytics_core.fact_kpi_daily`
SET deleted_at = CURRENT_TIMESTAMP()
WHERE date = @date AND source_system = @source AND feed = @feed
    AND deleted_at IS NULL;

INSERT INTO `analytics_core.fact_kpi_daily` (date, app_id, platform,
    source_system, metric, segment, value, num, den, unit, kpi_version, run_id,
    quality, feed, batch_id, generation, fetched_at, published_at)
SELECT date, app_id, platform, source_system, metric, segment, value, num, den,
    unit, kpi_version, run_id,
    CASE WHEN @partial AND SUBSTR(COALESCE(quality, ''), 1, 1)
	NOT IN ('{', '[') THEN 'partial' ELSE quality END,
    @feed, @batch, @generation, @fetched_at, CURRENT_TIMESTAMP()
FROM `analytics_ops.stage`;

UPDATE `analytics_ops.batches`
SET state = 'replaced', replaced_at = CURRENT_TIMESTAMP()
WHERE table_name = @table AND source_system = @source AND feed = @feed
    AND date = @date AND state = 'published';

UPDATE `analytics_ops.batches`
SET state = 'published', published_at = CURRENT_TIMESTAMP(),
    replaced_at = NULL, replaces_batch = NULLIF(@old_batch, ''),
    replaces_generation = NULLIF(@old_generation, 0)
WHERE table_name = @table AND batch_id = @batch AND generation = @generation
    AND source_system = @source AND feed = @feed AND date = @date;

COMMIT TRANSACTION;
