#!/usr/bin/env bats
# The loader and the queries on a BigQuery of another's making
# (test/real/bigquery.bash says which).

bats_require_minimum_version 1.5.0
load ../helper
load bigquery
load pushdown

P=412345678

setup_file() {
	real_find
	export CORE=weir_core_$$ OPS=weir_ops_$$
}

teardown_file() {
	real_stop
}

setup() {
	weir_setup
	need_real
	export BIGQUERY_EMULATOR_HOST=$REAL_URL BQ_DATASET=$CORE BQ_OPS_DATASET=$OPS
	export GOOGLE_CLOUD_PROJECT=${GOOGLE_CLOUD_PROJECT:-weir-test}
	export BQ_LOCATION=${BQ_LOCATION:-EU} RUN_ID=r1
	NET=(--quiet --backoff 10)
	[[ $REAL_URL != http://* ]] || NET+=(--allow-http)
	[[ -n ${GOOGLE_APPLICATION_CREDENTIALS:-} ]] || NET+=(--no-auth)
}

ask() { bq-query "${NET[@]}" "$@"; }
# An emulator takes no gzip; Google is given it.
put() {
	bq-load "${NET[@]}" ${REAL_PID:+--no-gzip} --state "$T" "$@"
}

kpi() { # METRIC VALUE
	printf '{"date":"2026-11-19","app_id":"flocken","platform":"web","source_system":"ga4","metric":"%s","segment":"","value":%s,"unit":"count","kpi_version":"1","run_id":"r1","quality":"final"}\n' "$1" "$2"
}
day() { # VALUE
	{ kpi events "$1"; kpi users 5; } |
		ndjson-part --source ga4 --feed "$P" --date 2026-11-19 -- cat
}

@test "setup makes datasets, tables and views, and again changes nothing" {
	put --setup --apps "$ROOT/conf/apps.jq"
	put --setup --apps "$ROOT/conf/apps.jq"
	ask 'SELECT app_id FROM `analytics_core.dim_apps` ORDER BY app_id' >got
	assert_equal "$(<got)" '{"app_id":"betet"}
{"app_id":"flocken"}'
	ask 'SELECT * FROM `analytics_core.kpi_daily`' >got
	assert_equal "$(wc -l <got)" 0
}

@test "a day is loaded, published and read as the records it came as" {
	day 0.30 >in
	put --table fact_kpi_daily <in
	ask --omit-null num,den --json quality \
		'SELECT * FROM `analytics_core.kpi_daily` ORDER BY metric' >got
	{ kpi events 0.3; kpi users 5; } | diff - got
}

@test "the day again with another value replaces it, and the log has both" {
	day 12345678901234567890.5 | put --table fact_kpi_daily
	ask 'SELECT value FROM `analytics_core.kpi_daily` WHERE metric = "events"' >got
	assert_equal "$(<got)" '{"value":12345678901234567890.5}'
	ask 'SELECT old_value, new_value FROM `analytics_ops.restatements`
	    WHERE old_value IS NOT NULL AND new_value IS NOT NULL' >got
	assert_equal "$(<got)" '{"old_value":0.3,"new_value":12345678901234567890.5}'
	put --rollback "ga4.$P.2026-11-19" --reason test
	ask 'SELECT value FROM `analytics_core.kpi_daily` WHERE metric = "events"' >got
	assert_equal "$(<got)" '{"value":0.3}'
}

@test "a MERGE is done once for a run, with its counts" {
	ask --write 'CREATE TABLE `analytics_core.t` (k STRING, v INT64)'
	ask --write 'INSERT INTO `analytics_core.t` (k, v) VALUES ("a", 1), ("b", 2)'
	local merge='MERGE `analytics_core.t` t USING (SELECT "b" AS k, 20 AS v
		UNION ALL SELECT "c", 30) s ON t.k = s.k
		WHEN MATCHED THEN UPDATE SET v = t.v + s.v
		WHEN NOT MATCHED THEN INSERT (k, v) VALUES (k, v)'
	ask --write "$merge"
	ask --write "$merge" >again
	assert_equal "$(jq .found again)" true
	ask 'SELECT k, v FROM `analytics_core.t` ORDER BY k' >got
	assert_equal "$(<got)" '{"k":"a","v":1}
{"k":"b","v":22}
{"k":"c","v":30}'
}

@test "parameters of each type come back as they went" {
	ask --param s='å"\' --param i:INT64=-9223372036854775808 \
		--param n:NUMERIC=0.10 --param b:BOOL=true \
		--param d:DATE=2026-02-28 --param 'a:ARRAY<STRING>=x,y' \
		'SELECT @s AS s, @i AS i, @n AS n, @b AS b, @d AS d,
		 (SELECT COUNT(*) FROM UNNEST(@a)) AS a' >got
	assert_equal "$(<got)" '{"s":"å\"\\","i":"-9223372036854775808","n":0.1,"b":true,"d":"2026-02-28","a":2}'
}

@test "the pushed down statement stages what the stream counts" {
	# NaN in records is for pushdown.bats: stand-ins differ in it
	ga4_rows 1200 1 2026-11-19 | grep -v 'NaN\|Infinity' >rows.ndjson
	all_kpis >kpis.jq
	all_apps >apps.jq
	put --table events_20261119 --mode replace \
		--schema "$ROOT/test/data/ga4-events.schema.json" --plain \
		--source ga4 --feed "$P" --date 2026-11-19 <rows.ndjson
	kpi-agg --sql bigquery --project "$GOOGLE_CLOUD_PROJECT" --property "$P" \
		--dataset "$CORE" --date 2026-11-19 --kpis kpis.jq --apps apps.jq --source ga4 >q.sql
	ask --file q.sql >sql.ndjson
	kpi_lines <sql.ndjson | sort >sql.out
	stream_kpis kpis.jq "$P" 2026-11-19 <rows.ndjson | kpi_lines |
		sort >stream.out
	[[ -s stream.out ]]
	# `values` reads one slot of a parameter, and of two copies of an event
	# that have it in another one a table gives any
	diff <(grep -v $'\tvalues\t' sql.out) <(grep -v $'\tvalues\t' stream.out)
	(($(wc -l <sql.out) > 1000))
}
