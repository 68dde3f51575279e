-- The first audit of a staged generation: @batch, @generation, @date. The same
-- findings as ../audit.sql has; `analytics_ops.stage` stands for its stage table.
WITH staged AS (
	SELECT source_system, feed, date, row_count
	FROM `analytics_ops.batches`
	WHERE table_name = 'fact_kpi_daily' AND batch_id = @batch
	    AND generation = CAST(@generation AS INT64)
), fresh AS (
	SELECT app_id, platform, metric, segment, unit, source_system,
	    CAST(value AS FLOAT64) AS value
	FROM `analytics_ops.stage`
), heart AS (
	-- what a day of the source is never without; for events that is an error
	SELECT CASE source_system WHEN 'ga4' THEN 'events'
	    WHEN 'meta' THEN 'impressions' ELSE 'first_downloads' END AS metric,
	    CASE source_system WHEN 'ga4' THEN 'error' ELSE 'warning' END
	    AS severity
	FROM staged
), visible AS (
	-- the four weeks before and the day itself, as published
	SELECT f.date, f.feed, f.app_id, f.platform, f.metric, f.segment,
	    CAST(f.value AS FLOAT64) AS value
	FROM `analytics_core.fact_kpi_daily` f
	JOIN staged s ON f.source_system = s.source_system
	WHERE f.date BETWEEN DATE_SUB(CAST(@date AS DATE), INTERVAL 28 DAY)
	    AND CAST(@date AS DATE) AND f.deleted_at IS NULL
), usual AS (
	SELECT v.app_id, v.platform, COUNT(*) AS days, MIN(v.value) AS least,
	    AVG(v.value) AS mean
	FROM visible v
	JOIN staged s ON v.feed = s.feed
	JOIN heart h ON h.metric = v.metric
	WHERE v.segment = '' AND v.date < s.date
	GROUP BY v.app_id, v.platform
), beat AS (
	SELECT n.app_id, n.platform
	FROM fresh n
	JOIN heart h ON h.metric = n.metric
	WHERE n.segment = '' AND n.value > 0
), keys AS (
	SELECT app_id, platform, metric, segment FROM fresh
	UNION ALL
	SELECT v.app_id, v.platform, v.metric, v.segment
	FROM visible v
	JOIN staged s ON v.date = s.date
	WHERE v.feed <> s.feed
), found AS (
	-- the partition is whole: as many rows as were staged
	SELECT 'rows-missing' AS check_name, 'error' AS severity, '' AS app_id,
	    '' AS metric, CAST(c.n AS FLOAT64) AS observed,
	    CAST(s.row_count AS FLOAT64) AS expected, '' AS threshold,
	    'the staged partition does not have the rows that were counted'
	    AS message
	FROM staged s CROSS JOIN (SELECT COUNT(*) AS n FROM fresh) c
	WHERE s.row_count <> c.n

	UNION ALL -- not a single one where there always were some
	SELECT CONCAT('no-', h.metric), h.severity, '', h.metric, 0,
	    FLOOR(MAX(u.mean)), '> 0',
	    CONCAT('no ', h.metric, ' at all, but the days before had some')
	FROM usual u CROSS JOIN heart h
	CROSS JOIN (SELECT COUNT(*) AS n FROM beat) b
	WHERE u.platform = 'all' AND b.n = 0
	GROUP BY h.metric, h.severity
	HAVING MAX(u.mean) > 0

	UNION ALL -- an app without them that had some each day
	SELECT 'app-silent', h.severity, u.app_id, h.metric, 0, FLOOR(u.mean),
	    '> 0', CONCAT('no ', h.metric, ' of app ', u.app_id,
	    ', but each day before had some')
	FROM usual u CROSS JOIN heart h
	CROSS JOIN (SELECT COUNT(*) AS n FROM beat) b
	LEFT JOIN (SELECT DISTINCT app_id FROM beat) a ON a.app_id = u.app_id
	WHERE u.platform = 'all' AND u.days >= 3 AND u.least > 0
	    AND u.mean >= 10 AND b.n > 0 AND a.app_id IS NULL

	UNION ALL -- one platform without them: said, and published
	SELECT 'platform-silent', 'warning', u.app_id, h.metric, 0,
	    FLOOR(u.mean), '> 0', CONCAT('no ', h.metric, ' of app ', u.app_id,
	    ' on ', u.platform, ', but each day before had some')
	FROM usual u CROSS JOIN heart h
	JOIN beat b ON b.app_id = u.app_id AND b.platform = 'all'
	LEFT JOIN beat p ON p.app_id = u.app_id AND p.platform = u.platform
	WHERE u.platform <> 'all' AND u.days >= 3 AND u.least > 0
	    AND u.mean >= 10 AND p.app_id IS NULL

	UNION ALL -- a key twice, here or in what another feed has published
	SELECT 'key-twice', 'error', app_id, metric,
	    CAST(COUNT(*) AS FLOAT64), 1, '1', CONCAT('the key ', app_id, ' ',
	    platform, ' ', metric, ' ', segment, ' is there twice')
	FROM keys
	GROUP BY app_id, platform, metric, segment
	HAVING COUNT(*) > 1

	UNION ALL -- what cannot be, but where refunds are taken off
	SELECT 'negative', 'error', app_id, metric, value, 0, '>= 0',
	    CONCAT('a count below zero: ', metric, ' of ', app_id, ' on ',
	    platform)
	FROM fresh
	WHERE unit = 'count' AND value < 0 AND source_system <> 'asc'
)
SELECT f.check_name AS `check`, f.severity, s.source_system,
    CAST(s.date AS STRING) AS date, f.app_id, f.metric,
    CAST(f.observed AS STRING) AS observed,
    CAST(f.expected AS STRING) AS expected, f.threshold, f.message,
    CONCAT('look at what ', s.source_system, ' says of ', s.feed,
    '; to publish it as it is: make daily SOURCE=', s.source_system, ' DATE=',
    CAST(s.date AS STRING), ' ACCEPT=1, else mend it there and run again')
    AS action, 'architect' AS owner,
    CONCAT('audit.', f.check_name, '.', s.source_system, '.', s.feed, '.',
    f.app_id, '.', f.metric) AS fingerprint
FROM found f CROSS JOIN staged s
ORDER BY f.severity, f.check_name, f.app_id, f.metric
