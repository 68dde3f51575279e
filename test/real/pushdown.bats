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
	export PG_DIR
	[[ -z ${PG_WHY:-} ]] || return 0
	pg_schema <"$ROOT/test/data/ga4-events.schema.json"
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

# equal: both engines said the same, and something.
equal() {
	run diff sql.out stream.out
	assert_output ''
	[[ -s sql.out ]]
}

@test "the shipped dictionary gives the stream's rows of a generated day, repeats and late rows in it" {
	local property
	KPIS=$ROOT/conf/kpis.jq APPS=$ROOT/conf/apps.jq
	"$WEIR_B/test/gen-ga4" --dir . --start 2026-11-19 --end 2026-11-19 \
		--sessions 120
	for property in 412345678 398765432; do
		psql -qX -c 'drop table if exists events_20261119'
		cat "analytics_$property/events_20261119.ndjson" >rows.ndjson
		# a tenth of the rows once more, parameters the other way round
		awk 'NR % 10 == 0' rows.ndjson |
			jq -c '.event_params |= reverse' >again
		cat again >>rows.ndjson
		both "$property" 2026-11-19
		equal
	done
}

@test "the samples give the stream's rows, each day" {
	need_shared samples/ga4/export
	local f day dir n=0
	KPIS=$ROOT/conf/kpis.jq APPS=$ROOT/conf/apps.jq
	dir=$(shared samples/ga4/export)
	for f in "$dir"/analytics_web/events_202012{01,15,31}.ndjson \
		"$dir"/analytics_app/events_*.ndjson; do
		day=${f##*_}
		day=${day%.ndjson}
		cp "$f" rows.ndjson
		both web "${day:0:4}-${day:4:2}-${day:6}"
		equal
		n=$((n + 1))
	done
	((n == 6))
}

@test "rows that are the same are one: order of parameters, null slots, 7 and 7.0, NaN" {
	local row='{"event_date":"20261119","event_timestamp":"1795042800000001","event_name":"a","user_pseudo_id":"u","stream_id":"11","platform":"WEB"'
	{
		# one
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"7\"}},{\"key\":\"y\",\"value\":{\"string_value\":\"\"}}]}"
		echo "$row,\"event_params\":[{\"key\":\"y\",\"value\":{\"string_value\":\"\",\"int_value\":null}},{\"key\":\"x\",\"value\":{\"int_value\":\"7\"}}]}"
		echo "$row,\"event_params\":[{\"key\":\"y\",\"value\":{\"string_value\":\"\",\"double_value\":\"NaN\"}},{\"key\":\"x\",\"value\":{\"double_value\":7.0}}]}"
		# another: null and "" are not the same, nor 7 and "7"
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"7\"}},{\"key\":\"y\",\"value\":{}}]}"
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"7\"}},{\"key\":\"y\"}]}"
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"string_value\":\"7\"}},{\"key\":\"y\",\"value\":{\"string_value\":\"\"}}]}"
		# and of large numbers: a double is its shortest digits
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"double_value\":1152921504606846976}}]}"
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"1152921504606846976\"}}]}"
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"1152921504606847000\"}}]}"
		# a parameter twice is two
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"1\"}},{\"key\":\"x\",\"value\":{\"int_value\":\"1\"}}]}"
		echo "$row,\"event_params\":[{\"key\":\"x\",\"value\":{\"int_value\":\"1\"}}]}"
		echo "$row,\"event_params\":[],\"batch_page_id\":\"1\"}"
		echo "$row,\"event_params\":[],\"batch_event_index\":\"1\"}"
	} >rows.ndjson
	# the stream reads the double as it is written there: in shortest digits
	sed -i 's/1152921504606846976}/1152921504606847000}/' rows.ndjson
	both 412 2026-11-19
	equal
	run -0 grep -c $'\tall\tga4\tevents\t\t9\t' sql.out
}

@test "of rows that are the same but for what is read, the statement takes the least, in any order" {
	local row='{"event_date":"20261119","event_timestamp":"1","event_name":"a","event_params":[],"platform":'
	printf '%s"%s"}\n' "$row" WEB "$row" IOS "$row" ANDROID >rows.ndjson
	both 412 2026-11-19
	grep -q $'\tandroid\tga4\tevents\t\t1\t' sql.out
	cp sql.out first
	psql -qX -c 'drop table events_20261119'
	tac rows.ndjson >r && mv r rows.ndjson
	both 412 2026-11-19
	cmp first sql.out
}

@test "days stand beside each other, each with its own repeats; intraday days are partial" {
	local d
	for d in 2026-11-18 2026-11-19 2026-11-20; do
		ga4_rows 150 9 "$d" >"$d"
	done
	pg_load events_20261118 <2026-11-18
	pg_load events_20261119 <2026-11-18 # the table of another day, put right:
	psql -qX -c "update events_20261119 set event_date = '20261119'"
	pg_load events_intraday_20261120 <2026-11-20
	kpi-agg --sql bigquery --project p --property 412 --since 2026-11-18 \
		--until 2026-11-20 --intraday 2026-11-20 --kpis kpis.jq \
		--source ga4 | pg_kpis | sort >sql.out
	{
		stream_kpis kpis.jq 412 2026-11-18 <2026-11-18
		sed 's/"event_date":"20261118"/"event_date":"20261119"/' 2026-11-18 |
			stream_kpis kpis.jq 412 2026-11-19
		{ cat 2026-11-20; exit 3; } | {
			ndjson-part --source ga4 --feed 412 --date 2026-11-20 -- \
				sh -c 'cat; exit 3' || true
		} | event-id --profile ga4 | ndjson-dedup --key event_id |
			kpi-agg --kpis kpis.jq --source ga4 --plain
	} | kpi_lines | sort >stream.out
	equal
	grep -q 'partial$' sql.out
}

@test "a day without its table ends the statement, and an empty table is a day of zeros" {
	: >rows.ndjson
	both 412 2026-11-19
	equal
	grep -q $'\tall\tga4\tevents\t\t0\t' sql.out
	run -3 --separate-stderr pg_kpis < <(kpi-agg --sql bigquery --project p \
		--property 412 --since 2026-11-19 --until 2026-11-20 \
		--kpis kpis.jq --source ga4)
	[[ $stderr == *events_20261120*'does not exist'* ]]
	[[ -z $output ]]
	# and where no app has the property
	psql -qX -c 'drop table events_20261119'
	both 777 2026-11-19
	equal
	grep -q $'\t777\tall\t' sql.out
}

@test "no rows over all platforms, platforms by a map, another id where one is empty, times in milliseconds" {
	jq '.all = [] | .sources.ga4 += {app_id: [".app_info.id", ".stream_id"],
	    platform: {value: ".platform", map: {"web": ["WEB", "SM\u00c5"], "phone": ["IOS", "Android"]}, default: "other"}}
	    | .metrics |= map(del(.rollup, .additive))' kpis.jq >other.jq
	ga4_rows 400 11 2026-11-19 >rows.ndjson
	KPIS=other.jq
	both 412 2026-11-19
	equal
	run ! grep -q $'\tall\tga4' sql.out
	jq '.sources.ga4.platform = "all" | .sources.ga4.time_unit = "ms" | .sources.ga4.time = ".batch_page_id"' kpis.jq >other.jq
	psql -qX -c 'drop table events_20261119'
	both 412 2026-11-19
	equal
}

@test "columns that the tables do not have are null, by their schema" {
	jq 'map(select(.name | startswith("batch_") or . == "session_traffic_source_last_click" | not))' \
		"$ROOT/test/data/ga4-events.schema.json" >old.json
	ga4_rows 300 12 2026-11-19 | jq -c 'with_entries(select(.key |
		startswith("batch_") or . == "session_traffic_source_last_click" | not))' >rows.ndjson
	both 412 2026-11-19 --schema old.json
	equal
	run ! grep -q 't\.batch_\|t\.session' q.sql
}

# ends ROW TEXT [KPIS]: with a row more, both engines refuse.
ends() {
	psql -qX -c 'drop table if exists events_20261119'
	printf '%s\n' "$1" >rows.ndjson
	run --separate-stderr stream_kpis kpis.jq 412 2026-11-19 <rows.ndjson
	kpi-agg --sql bigquery --project p --property 412 --date 2026-11-19 \
		--kpis kpis.jq --source ga4 >q.sql
	pg_load events_20261119 <rows.ndjson
	run -3 --separate-stderr pg_kpis <q.sql
	[[ $stderr == *"$2"* ]] || {
		echo "$stderr"
		return 1
	}
}

@test "what only a row can tell ends the statement by name" {
	local row='{"event_date":"20261119","event_timestamp":"1","event_name":"a","platform":"WEB"'
	ends "${row/20261119/20261118},\"event_params\":[]}" 'the date is not that of the table'
	ends "${row/\"a\"/null},\"event_params\":[]}" 'event_name is null'
	ends "${row/\"1\"/null},\"event_params\":[]}" 'event_timestamp is null'
	ends "${row/WEB/All},\"event_params\":[]}" 'platform "all" is kept'
	ends "$row,\"event_params\":[{\"value\":{}}]}" 'an event parameter has no key'
	ends "$row,\"event_params\":[],\"ecommerce\":{\"purchase_revenue\":1e-25}}" \
		'more decimals than a BIGNUMERIC'
	ends "$row,\"event_params\":[{\"key\":\"ga_session_id\",\"value\":{\"double_value\":1e-9}}]}" \
		'a FLOAT64 in a key'
	jq '.metrics += [{"name": "second", "source": "ga4", "agg": "distinct",
		"key": "(.event_params[] | select(.key == \"note\") | .value.string_value) // .platform"}]' \
		kpis.jq >k && mv k kpis.jq
	ends "$row,\"event_params\":[{\"key\":\"note\"},{\"key\":\"note\",\"value\":{\"string_value\":\"x\"}}]}" \
		'there twice'
}
