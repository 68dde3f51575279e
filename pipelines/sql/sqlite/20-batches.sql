-- One row per partition of a generation of a batch. Rows of tables under batch
-- rules name their generation and never change; what changes is its state:
--	staged		written, nobody reads it
--	published	visible; at most one per table and partition
--	replaced	was visible, a newer one is
--	rolled_back	was visible, taken back; its rows stay for the audit
--	quarantined	never published, kept with the reason
--	aborted		forgotten; its rows are gone
CREATE TABLE batches (
	table_name TEXT NOT NULL,
	batch_id TEXT NOT NULL,
	generation INTEGER NOT NULL CHECK (generation > 0),
	source_system TEXT NOT NULL,
	feed TEXT NOT NULL,
	date TEXT NOT NULL CHECK (date GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
	day_tz TEXT NOT NULL DEFAULT '',
	state TEXT NOT NULL CHECK (state IN ('staged', 'published',
	    'replaced', 'rolled_back', 'quarantined', 'aborted')),
	outcome TEXT NOT NULL
	    CHECK (outcome IN ('complete', 'empty', 'partial')),
	mode TEXT NOT NULL CHECK (mode IN ('replace', 'upsert', 'append')),
	rows INTEGER NOT NULL CHECK (rows >= 0),
	rejected INTEGER NOT NULL CHECK (rejected >= 0),
	quality TEXT, -- of the partition, as its begin said it
	checksum TEXT NOT NULL, -- of the rows without run_id
	fingerprint TEXT NOT NULL DEFAULT '',
	input_sha256 TEXT NOT NULL DEFAULT '',
	-- what was visible when this was published (upsert, append: staged)
	replaces_batch TEXT,
	replaces_generation INTEGER,
	reason TEXT,
	run_id TEXT NOT NULL DEFAULT '',
	fetched_at TEXT,
	staged_at TEXT,
	published_at TEXT,
	replaced_at TEXT,
	rolled_back_at TEXT,
	quarantined_at TEXT,
	aborted_at TEXT,
	PRIMARY KEY (batch_id, table_name, generation, source_system, feed,
	    date)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX batches_visible
    ON batches (table_name, date, source_system, feed)
    WHERE state = 'published';

-- What each generation was made of: a row per *_sha256 member of the
-- partition's begin record, and its salt_version.
CREATE TABLE lineage (
	table_name TEXT NOT NULL,
	batch_id TEXT NOT NULL,
	generation INTEGER NOT NULL,
	source_system TEXT NOT NULL,
	feed TEXT NOT NULL,
	date TEXT NOT NULL,
	kind TEXT NOT NULL, -- input, kpis, policy, salt_version, ...
	ref TEXT NOT NULL,
	PRIMARY KEY (table_name, batch_id, generation, source_system, feed,
	    date, kind)
) STRICT, WITHOUT ROWID;

-- Publishing obeys these; staging does not. '' stands for all.
CREATE TABLE freezes (
	source_system TEXT NOT NULL DEFAULT '',
	feed TEXT NOT NULL DEFAULT '',
	reason TEXT NOT NULL,
	frozen_at TEXT,
	PRIMARY KEY (source_system, feed)
) STRICT, WITHOUT ROWID;

-- What never was published, with the reason.
CREATE VIEW quarantine AS
SELECT table_name, batch_id, generation, source_system, feed, date, outcome,
    rows, rejected, reason, fingerprint, run_id, quarantined_at
FROM batches WHERE state = 'quarantined';
