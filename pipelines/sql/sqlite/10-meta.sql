-- The embedded warehouse, schema version 1. docs/data-model.md explains it.
-- These files are compiled into sqlite-load, which runs them, in the order of
-- their names and in one transaction, when it makes a new warehouse.
-- Every column named *_at and every run_id is volatile: two warehouses made of
-- the same input are equal in all others.

CREATE TABLE meta (
	name TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a TEXT or INTEGER column holds where its type alone does not say it:
-- decimal (an exact JSON number as text), json (JSON text), text_json (a plain
-- text, or the text of an object or array), bool (0 or 1). sqlite-query prints
-- such columns as JSON values, sqlite-load checks them.
CREATE TABLE column_kinds (
	table_name TEXT NOT NULL,
	column_name TEXT NOT NULL,
	kind TEXT NOT NULL
	    CHECK (kind IN ('decimal', 'json', 'text_json', 'bool')),
	PRIMARY KEY (table_name, column_name)
) STRICT, WITHOUT ROWID;

INSERT INTO column_kinds VALUES
    ('fact_kpi_daily_rows', 'value', 'decimal'),
    ('fact_kpi_daily_rows', 'num', 'decimal'),
    ('fact_kpi_daily_rows', 'den', 'decimal'),
    ('fact_kpi_daily_rows', 'quality', 'text_json'),
    ('batches', 'quality', 'text_json'),
    ('restatements', 'old_value', 'decimal'),
    ('restatements', 'new_value', 'decimal'),
    ('dim_apps', 'platforms', 'json'),
    ('dim_apps', 'critical_kpis', 'json'),
    ('dim_apps', 'config', 'json'),
    ('pipeline_runs', 'seconds', 'decimal'),
    ('pipeline_runs', 'extra', 'json'),
    ('findings', 'observed', 'json'),
    ('findings', 'expected', 'json'),
    ('findings', 'threshold', 'json'),
    ('findings', 'extra', 'json');
