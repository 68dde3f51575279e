-- The first audit of a staged generation: :batch, :generation.
-- One finding a row; severity error keeps the generation from being seen.
WITH staged AS (
	SELECT source_system, feed, date, rows, outcome
	FROM batches
	WHERE table_name = 'fact_kpi_daily' AND batch_id = :batch
	    AND generation = CAST(:generation AS INTEGER)
), new AS (
	SELECT r.* FROM fact_kpi_daily_rows r JOIN staged s
	    ON r.source_system = s.source_system AND r.feed = s.feed
	    AND r.date = s.date
	WHERE r.batch_id = :batch
	    AND r.generation = CAST(:generation AS INTEGER)
), heart AS (
	-- what a day of the source is never without; for events that is an error
	SELECT CASE source_system WHEN 'ga4' THEN 'events'
	    WHEN 'meta' THEN 'impressions' ELSE 'first_downloads' END AS metric,
	    CASE source_system WHEN 'ga4' THEN 'error' ELSE 'warning' END
	    AS severity
	FROM staged
), history AS (
	-- the four weeks before, as published
	SELECT f.date, f.app_id, f.platform, CAST(f.value AS REAL) AS value
	FROM fact_kpi_daily f JOIN staged s
	    ON f.source_system = s.source_system AND f.feed = s.feed
	    AND f.date < s.date AND f.date >= date(s.date, '-28 days')
	JOIN heart h ON h.metric = f.metric
	WHERE f.segment = ''
), beat AS (
	SELECT n.app_id, n.platform FROM new n
	JOIN heart h ON h.metric = n.metric
	WHERE n.segment = '' AND CAST(n.value AS REAL) > 0
), usual AS (
	SELECT app_id, platform, count(*) AS days, min(value) AS least,
	    avg(value) AS mean
	FROM history GROUP BY app_id, platform
), found AS (
	-- the partition is whole: as many rows as were staged
	SELECT 'rows-missing' AS "check", 'error' AS severity, '' AS app_id,
	    '' AS metric, (SELECT count(*) FROM new) AS observed,
	    rows AS expected, '' AS threshold,
	    'the staged partition does not have the rows that were counted'
	    AS message
	FROM staged WHERE rows <> (SELECT count(*) FROM new)

	UNION ALL -- not a single one where there always were some
	SELECT 'no-' || h.metric, h.severity, '', h.metric, 0,
	    CAST(max(u.mean) AS INTEGER), '> 0',
	    'no ' || h.metric || ' at all, but the days before had some'
	FROM usual u CROSS JOIN heart h
	WHERE u.platform = 'all' AND NOT EXISTS (SELECT 1 FROM beat)
	GROUP BY h.metric, h.severity
	HAVING count(*) > 0 AND max(u.mean) > 0

	UNION ALL -- an app without them that had some each day
	SELECT 'app-silent', h.severity, u.app_id, h.metric, 0,
	    CAST(u.mean AS INTEGER), '> 0', 'no ' || h.metric || ' of app '
	    || u.app_id || ', but each day before had some'
	FROM usual u CROSS JOIN heart h
	WHERE u.platform = 'all' AND u.days >= 3 AND u.least > 0
	    AND u.mean >= 10
	    AND EXISTS (SELECT 1 FROM beat)
	    AND NOT EXISTS (SELECT 1 FROM beat b WHERE b.app_id = u.app_id)

	UNION ALL -- one platform without them: said, and published
	SELECT 'platform-silent', 'warning', u.app_id, h.metric, 0,
	    CAST(u.mean AS INTEGER), '> 0', 'no ' || h.metric || ' of app '
	    || u.app_id || ' on ' || u.platform
	    || ', but each day before had some'
	FROM usual u CROSS JOIN heart h
	WHERE u.platform <> 'all' AND u.days >= 3 AND u.least > 0
	    AND u.mean >= 10
	    AND EXISTS (SELECT 1 FROM beat b WHERE b.app_id = u.app_id
		AND b.platform = 'all')
	    AND NOT EXISTS (SELECT 1 FROM beat b WHERE b.app_id = u.app_id
		AND b.platform = u.platform)

	UNION ALL -- a key twice, here or in what another feed has published
	SELECT 'key-twice', 'error', app_id, metric, count(*), 1, '1',
	    'the key ' || app_id || ' ' || platform || ' ' || metric || ' '
	    || segment || ' is there twice'
	FROM (SELECT app_id, platform, metric, segment FROM new
	    UNION ALL
	    SELECT f.app_id, f.platform, f.metric, f.segment
	    FROM fact_kpi_daily f JOIN staged s
		ON f.source_system = s.source_system AND f.date = s.date
		AND f.feed <> s.feed)
	GROUP BY app_id, platform, metric, segment HAVING count(*) > 1

	UNION ALL -- what cannot be, but where refunds are taken off
	SELECT 'negative', 'error', app_id, metric, value, 0, '>= 0',
	    'a count below zero: ' || metric || ' of ' || app_id || ' on '
	    || platform
	FROM new WHERE unit = 'count' AND CAST(value AS REAL) < 0
	    AND source_system <> 'asc'
)
SELECT f."check", f.severity, s.source_system, s.date, f.app_id, f.metric,
    CAST(f.observed AS TEXT) AS observed, CAST(f.expected AS TEXT) AS expected,
    f.threshold, f.message,
    'look at what ' || s.source_system || ' says of ' || s.feed
    || '; to publish it as it is: make daily SOURCE=' || s.source_system
    || ' DATE=' || s.date
    || ' ACCEPT=1, else mend it there and run again'
    AS action, 'architect' AS owner,
    'audit.' || f."check" || '.' || s.source_system || '.' || s.feed || '.'
    || f.app_id || '.' || f.metric AS fingerprint
FROM found f CROSS JOIN staged s
ORDER BY f.severity, f."check", f.app_id, f.metric;
