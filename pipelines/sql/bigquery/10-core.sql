-- What is read: the apps and the daily KPIs. docs/data-model.md explains them.
-- bq-load --setup runs these files in the order of their names; they may be
-- run by hand as they stand. Other datasets than analytics_core and
-- analytics_ops take the place of these names where they are configured.

CREATE TABLE IF NOT EXISTS `analytics_core.dim_apps` (
	app_id STRING NOT NULL,
	name STRING NOT NULL,
	platforms STRING NOT NULL OPTIONS (description = 'JSON array'),
	time_zone STRING,
	currency STRING,
	owner STRING,
	critical_kpis STRING NOT NULL OPTIONS (description = 'JSON array'),
	config STRING NOT NULL
	    OPTIONS (description = 'the whole configuration of the app, JSON')
);

-- Every row that was ever published. What is not visible any more, because it
-- was replaced or taken back, has a tombstone: deleted_at.
CREATE TABLE IF NOT EXISTS `analytics_core.fact_kpi_daily` (
	date DATE NOT NULL,
	app_id STRING NOT NULL,
	platform STRING NOT NULL,
	source_system STRING NOT NULL,
	metric STRING NOT NULL,
	segment STRING NOT NULL,
	value BIGNUMERIC OPTIONS (description = 'NULL: unknown'),
	num BIGNUMERIC OPTIONS (description = 'of a ratio'),
	den BIGNUMERIC,
	unit STRING NOT NULL,
	kpi_version STRING NOT NULL,
	run_id STRING NOT NULL,
	quality STRING OPTIONS (description = 'a word, or JSON'),
	feed STRING NOT NULL,
	batch_id STRING NOT NULL,
	generation INT64 NOT NULL,
	fetched_at TIMESTAMP,
	published_at TIMESTAMP,
	deleted_at TIMESTAMP OPTIONS (description = 'tombstone')
)
PARTITION BY date
CLUSTER BY source_system, feed, app_id, metric;

-- What is visible: read this one.
CREATE OR REPLACE VIEW `analytics_core.fact_kpi_daily_live` AS
SELECT date, app_id, platform, source_system, metric, segment, value, num, den,
    unit, kpi_version, run_id, quality, feed, batch_id, generation, fetched_at,
    published_at
FROM `analytics_core.fact_kpi_daily`
WHERE deleted_at IS NULL;

-- The same as KPI records (weir-kpis(5)), members in their order.
CREATE OR REPLACE VIEW `analytics_core.kpi_daily` AS
SELECT date, app_id, platform, source_system, metric, segment, value, num, den,
    unit, kpi_version, run_id, quality
FROM `analytics_core.fact_kpi_daily`
WHERE deleted_at IS NULL;
