-- What stands behind the KPIs: batches, what they were made of, what changed,
-- and the runs.

-- One row per partition of a generation of a batch; its state is one of
--	staged		in its stage table, nobody reads it
--	published	visible; at most one per table and partition
--	replaced	was visible, a newer one is
--	rolled_back	was visible, taken back; its rows stay for the audit
--	quarantined	never published, kept with the reason
--	aborted		forgotten
CREATE TABLE IF NOT EXISTS `analytics_ops.batches` (
	table_name STRING NOT NULL,
	batch_id STRING NOT NULL,
	generation INT64 NOT NULL,
	source_system STRING NOT NULL,
	feed STRING NOT NULL,
	date DATE NOT NULL,
	day_tz STRING NOT NULL,
	state STRING NOT NULL,
	outcome STRING NOT NULL,
	mode STRING NOT NULL,
	row_count INT64 NOT NULL,
	rejected INT64 NOT NULL,
	quality STRING,
	checksum STRING OPTIONS (description = 'of the rows without run_id'),
	stage_table STRING OPTIONS (description = 'where its rows are staged'),
	fingerprint STRING NOT NULL,
	input_sha256 STRING NOT NULL,
	replaces_batch STRING,
	replaces_generation INT64,
	reason STRING,
	run_id STRING NOT NULL,
	fetched_at TIMESTAMP,
	staged_at TIMESTAMP,
	published_at TIMESTAMP,
	replaced_at TIMESTAMP,
	rolled_back_at TIMESTAMP,
	quarantined_at TIMESTAMP,
	aborted_at TIMESTAMP
)
CLUSTER BY table_name, batch_id;

CREATE TABLE IF NOT EXISTS `analytics_ops.lineage` (
	table_name STRING NOT NULL,
	batch_id STRING NOT NULL,
	generation INT64 NOT NULL,
	source_system STRING NOT NULL,
	feed STRING NOT NULL,
	date DATE NOT NULL,
	kind STRING NOT NULL,
	ref STRING NOT NULL
)
CLUSTER BY table_name, batch_id;

-- Publishing obeys these; staging does not. '' stands for all.
CREATE TABLE IF NOT EXISTS `analytics_ops.freezes` (
	source_system STRING NOT NULL,
	feed STRING NOT NULL,
	reason STRING NOT NULL,
	frozen_at TIMESTAMP
);

-- Each visible value that a publish or a rollback changed, once. NULL where
-- the key appeared or vanished.
CREATE TABLE IF NOT EXISTS `analytics_ops.restatements` (
	source_system STRING NOT NULL,
	feed STRING NOT NULL,
	date DATE NOT NULL,
	app_id STRING NOT NULL,
	platform STRING NOT NULL,
	metric STRING NOT NULL,
	segment STRING NOT NULL,
	cause STRING NOT NULL OPTIONS (description = 'publish or rollback'),
	old_value BIGNUMERIC,
	new_value BIGNUMERIC,
	old_batch STRING NOT NULL,
	old_generation INT64 NOT NULL,
	new_batch STRING NOT NULL,
	new_generation INT64 NOT NULL,
	old_kpi_version STRING,
	new_kpi_version STRING,
	age_days INT64
	    OPTIONS (description = 'of the day when the new value was fetched'),
	run_id STRING NOT NULL,
	logged_at TIMESTAMP NOT NULL
)
PARTITION BY date
CLUSTER BY source_system, feed, metric;

CREATE TABLE IF NOT EXISTS `analytics_ops.pipeline_runs` (
	run_id STRING NOT NULL,
	pipeline STRING NOT NULL,
	source_system STRING NOT NULL,
	start_time TIMESTAMP NOT NULL,
	end_time TIMESTAMP,
	status STRING NOT NULL,
	records_written INT64,
	error_class STRING,
	error_message STRING,
	exit_status INT64,
	seconds BIGNUMERIC,
	date DATE,
	batch_id STRING,
	api_calls INT64,
	bytes_read INT64,
	bytes_written INT64,
	retries INT64,
	bytes_billed INT64,
	extra STRING
)
CLUSTER BY pipeline, source_system;

CREATE TABLE IF NOT EXISTS `analytics_ops.findings` (
	fingerprint STRING NOT NULL,
	`check` STRING NOT NULL,
	severity STRING NOT NULL,
	source_system STRING NOT NULL,
	date STRING NOT NULL,
	app_id STRING NOT NULL,
	metric STRING NOT NULL,
	observed STRING,
	expected STRING,
	threshold STRING,
	message STRING NOT NULL,
	action STRING,
	owner STRING,
	respond_by STRING,
	run_id STRING NOT NULL,
	extra STRING
)
CLUSTER BY fingerprint;

-- What never was published, with the reason.
CREATE OR REPLACE VIEW `analytics_ops.quarantine` AS
SELECT table_name, batch_id, generation, source_system, feed, date, outcome,
    row_count, rejected, reason, fingerprint, run_id, quarantined_at
FROM `analytics_ops.batches` WHERE state = 'quarantined';
