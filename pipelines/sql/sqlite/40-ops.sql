-- One row per run, source and pipeline. Members of a run record that have no
-- column go to extra.
CREATE TABLE pipeline_runs (
	run_id TEXT NOT NULL,
	pipeline TEXT NOT NULL,
	source_system TEXT NOT NULL DEFAULT '',
	start_time TEXT NOT NULL,
	end_time TEXT,
	status TEXT NOT NULL
	    CHECK (status IN ('success', 'partial', 'failed')),
	records_written INTEGER NOT NULL DEFAULT 0,
	error_class TEXT,
	error_message TEXT,
	exit_status INTEGER,
	seconds TEXT,
	date TEXT,
	batch_id TEXT,
	api_calls INTEGER,
	bytes_read INTEGER,
	bytes_written INTEGER,
	retries INTEGER,
	bytes_billed INTEGER,
	extra TEXT NOT NULL DEFAULT '{}',
	PRIMARY KEY (run_id, pipeline, source_system)
) STRICT, WITHOUT ROWID;

CREATE INDEX pipeline_runs_by_start ON pipeline_runs (start_time);

-- Findings of the checks.
CREATE TABLE findings (
	fingerprint TEXT NOT NULL,
	"check" TEXT NOT NULL,
	severity TEXT NOT NULL CHECK (severity IN ('critical', 'error',
	    'warning', 'info')),
	source_system TEXT NOT NULL DEFAULT '',
	date TEXT NOT NULL DEFAULT '',
	app_id TEXT NOT NULL DEFAULT '',
	metric TEXT NOT NULL DEFAULT '',
	observed TEXT,
	expected TEXT,
	threshold TEXT,
	message TEXT NOT NULL,
	action TEXT,
	owner TEXT,
	respond_by TEXT,
	run_id TEXT NOT NULL DEFAULT '',
	extra TEXT NOT NULL DEFAULT '{}',
	PRIMARY KEY (fingerprint, date)
) STRICT, WITHOUT ROWID;
