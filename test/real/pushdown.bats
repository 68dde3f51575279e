#!/usr/bin/env bats
# The pushed down statement against kpi-agg's own counting, row by row, on a
# database of another's making.

bats_require_minimum_version 1.5.0
load ../helper
load postgres
load pushdown

setup_file() {
	[[ -n $(pg_bin) ]] && command -v psql >/dev/null || return 0
	pg_start
	pg_schema <"$ROOT/test/data/ga4-events.schema.json"
	export PG_DIR
}

teardown_file() {
	pg_stop
}

setup() {
	weir_setup
	need_postgres
	psql -qXAt -c "select format('drop table %I;', relname) from pg_class
	    where relname ~ '^events_'" | psql -qX
	all_kpis >kpis.jq
	all_apps >apps.jq
	export RUN_ID="r'1"
}

# both PROPERTY DATE [OPTION ...]: sql.out and stream.out of rows.ndjson.
both() {
	kpi-agg --sql bigquery --project p --property "$1" --date "$2" \
		--kpis "${KPIS:-kpis.jq}" --apps "${APPS:-apps.jq}" --source ga4 \
		"${@:3}" >q.sql
	pg_load "events_${2//-/}" <rows.ndjson
	pg_kpis <q.sql | sort >sql.out
	stream_kpis "${KPIS:-kpis.jq}" "$1" "$2" <rows.ndjson >stream.ndjson
	kpi_lines <stream.ndjson | sort >stream.out
	[[ -s stream.out ]]
}

@test "a dictionary of every construct gives the stream's rows, digit by digit" {
	local seed
	for seed in 1 2 3 4 5 6 7 8; do
		psql -qX -c 'drop table if exists events_20261119'
		ga4_rows 700 "$seed" 2026-11-19 >rows.ndjson
		both 412 2026-11-19
		run diff sql.out stream.out
		assert_output ''
	done
}
