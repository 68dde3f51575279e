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
), history AS (
	-- the four weeks before, as published
	SELECT f.date, f.app_id, f.platform, CAST(f.value AS REAL) AS value
	FROM fact_kpi_daily f JOIN staged s
	    ON f.source_system = s.source_system AND f.feed = s.feed
	    AND f.date < s.date AND f.date >= date(s.date, '-28 days')
	WHERE f.metric = 'events' AND f.segment = ''
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

	UNION ALL -- not a single event where there always were some
	SELECT 'no-events', 'error', '', 'events', 0,
	    CAST(max(u.mean) AS INTEGER), '> 0',
	    'no events at all, but the days before had some'
	FROM usual u
	WHERE u.platform = 'all' AND NOT EXISTS (SELECT 1 FROM new n
	    WHERE n.metric = 'events' AND n.segment = ''
	    AND CAST(n.value AS REAL) > 0)
	HAVING count(*) > 0 AND max(u.mean) > 0

	UNION ALL -- an app without events that had some each day
	SELECT 'app-silent', 'error', u.app_id, 'events', 0,
	    CAST(u.mean AS INTEGER), '> 0',
	    'no events of app ' || u.app_id || ', but each day before had some'
	FROM usual u
	WHERE u.platform = 'all' AND u.days >= 3 AND u.least > 0
	    AND u.mean >= 10
	    AND EXISTS (SELECT 1 FROM new n WHERE n.metric = 'events'
		AND n.segment = '' AND CAST(n.value AS REAL) > 0)
	    AND NOT EXISTS (SELECT 1 FROM new n WHERE n.metric = 'events'
		AND n.segment = '' AND n.app_id = u.app_id
		AND CAST(n.value AS REAL) > 0)

	UNION ALL -- one platform without events: said, and published
	SELECT 'platform-silent', 'warning', u.app_id, 'events', 0,
	    CAST(u.mean AS INTEGER), '> 0', 'no events of app ' || u.app_id
	    || ' on ' || u.platform || ', but each day before had some'
	FROM usual u
	WHERE u.platform <> 'all' AND u.days >= 3 AND u.least > 0
	    AND u.mean >= 10
	    AND EXISTS (SELECT 1 FROM new n WHERE n.metric = 'events'
		AND n.segment = '' AND n.app_id = u.app_id
		AND n.platform = 'all' AND CAST(n.value AS REAL) > 0)
	    AND NOT EXISTS (SELECT 1 FROM new n WHERE n.metric = 'events'
		AND n.segment = '' AND n.app_id = u.app_id
		AND n.platform = u.platform AND CAST(n.value AS REAL) > 0)

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

	UNION ALL -- what cannot be
	SELECT 'negative', 'error', app_id, metric, value, 0, '>= 0',
	    'a count below zero: ' || metric || ' of ' || app_id || ' on '
	    || platform
	FROM new WHERE unit = 'count' AND CAST(value AS REAL) < 0
)
SELECT f."check", f.severity, s.source_system, s.date, f.app_id, f.metric,
    CAST(f.observed AS TEXT) AS observed, CAST(f.expected AS TEXT) AS expected,
    f.threshold, f.message,
    'look at the export of property ' || s.feed
    || '; to publish it as it is: make daily DATE=' || s.date
    || ' ACCEPT=1 GA4_DIR=..., else put the right file there and run again'
    AS action, 'architect' AS owner,
    'audit.' || f."check" || '.' || s.source_system || '.' || s.feed || '.'
    || f.app_id || '.' || f.metric AS fingerprint
FROM found f CROSS JOIN staged s
ORDER BY f.severity, f."check", f.app_id, f.metric;
