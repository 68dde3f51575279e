CREATE TABLE dim_apps (
	app_id TEXT NOT NULL PRIMARY KEY,
	name TEXT NOT NULL DEFAULT '',
	platforms TEXT NOT NULL DEFAULT '[]',
	time_zone TEXT,
	currency TEXT,
	owner TEXT,
	critical_kpis TEXT NOT NULL DEFAULT '[]',
	config TEXT NOT NULL DEFAULT '{}' -- the app's whole configuration
) STRICT, WITHOUT ROWID;

-- All generations of all partitions. Numbers are exact decimals as text.
CREATE TABLE fact_kpi_daily_rows (
	source_system TEXT NOT NULL,
	feed TEXT NOT NULL,
	date TEXT NOT NULL,
	batch_id TEXT NOT NULL,
	generation INTEGER NOT NULL,
	app_id TEXT NOT NULL,
	platform TEXT NOT NULL,
	metric TEXT NOT NULL,
	segment TEXT NOT NULL DEFAULT '',
	value TEXT, -- NULL: unknown
	num TEXT, -- of a ratio
	den TEXT,
	unit TEXT NOT NULL DEFAULT '',
	kpi_version TEXT NOT NULL DEFAULT '',
	run_id TEXT NOT NULL DEFAULT '',
	quality TEXT,
	PRIMARY KEY (source_system, feed, date, batch_id, generation, app_id,
	    platform, metric, segment)
) STRICT, WITHOUT ROWID;

-- What is visible: the published generations.
CREATE VIEW fact_kpi_daily AS
SELECT b.date, r.app_id, r.platform, b.source_system, r.metric, r.segment,
    r.value, r.num, r.den, r.unit, r.kpi_version, r.run_id, r.quality,
    b.feed, b.batch_id, b.generation, b.fetched_at, b.published_at
FROM batches b CROSS JOIN fact_kpi_daily_rows r
    ON r.source_system = b.source_system AND r.feed = b.feed
    AND r.date = +b.date AND r.batch_id = b.batch_id
    AND r.generation = b.generation
WHERE b.table_name = 'fact_kpi_daily' AND b.state = 'published';

-- The same as KPI records (weir-kpis(5)), members in their order.
CREATE VIEW kpi_daily AS
SELECT date, app_id, platform, source_system, metric, segment, value, num,
    den, unit, kpi_version, run_id, quality
FROM fact_kpi_daily;

-- Everything that was ever staged and not aborted, with its state. Rows of a
-- rolled back generation are tombstones: deleted_at says since when.
CREATE VIEW fact_kpi_daily_all AS
SELECT b.date, r.app_id, r.platform, b.source_system, r.metric, r.segment,
    r.value, r.num, r.den, r.unit, r.kpi_version, r.run_id, r.quality,
    b.feed, b.batch_id, b.generation, b.state,
    b.rolled_back_at AS deleted_at
FROM batches b CROSS JOIN fact_kpi_daily_rows r
    ON r.source_system = b.source_system AND r.feed = b.feed
    AND r.date = +b.date AND r.batch_id = b.batch_id
    AND r.generation = b.generation
WHERE b.table_name = 'fact_kpi_daily';

-- Each visible value that a publish or a rollback changed, once. NULL where
-- the key appeared or vanished.
CREATE TABLE restatements (
	source_system TEXT NOT NULL,
	feed TEXT NOT NULL,
	date TEXT NOT NULL,
	app_id TEXT NOT NULL,
	platform TEXT NOT NULL,
	metric TEXT NOT NULL,
	segment TEXT NOT NULL,
	cause TEXT NOT NULL CHECK (cause IN ('publish', 'rollback')),
	old_value TEXT,
	new_value TEXT,
	old_batch TEXT NOT NULL,
	old_generation INTEGER NOT NULL,
	new_batch TEXT NOT NULL DEFAULT '', -- '' and 0: nothing is visible
	new_generation INTEGER NOT NULL DEFAULT 0,
	old_kpi_version TEXT,
	new_kpi_version TEXT,
	age_days INTEGER, -- of the day when the new value was fetched
	run_id TEXT NOT NULL DEFAULT '',
	logged_at TEXT NOT NULL,
	PRIMARY KEY (source_system, feed, date, new_batch, new_generation,
	    old_batch, old_generation, cause, app_id, platform, metric,
	    segment)
) STRICT, WITHOUT ROWID;
