#!/usr/bin/env bats
# The daily job over HTTP: GA4's export, Meta and the App Store, all played by
# weir-sim, into the embedded warehouse and into BigQuery.
#
# WEIR_SOAK=1 plays a month in place of a few days.

load helper
load pipes
load sim
bats_require_minimum_version 1.5.0

setup_file() {
	load helper
	load pipes
	export KEYS=$BATS_FILE_TMPDIR/keys
	export Y P # yesterday in Stockholm, in California
	Y=$(TZ=Europe/Stockholm date -d '1 day ago' +%F)
	P=$(TZ=America/Los_Angeles date -d '1 day ago' +%F)
	make_keys "$KEYS"
	"$GEN" --dir "$BATS_FILE_TMPDIR/data" --start "$(ago 3)" --end "$Y" \
		--sessions 6 --as-of "$(date -u +%F)" --incident none
}

setup() {
	weir_setup
	export WEIR_HOME=$T/var
	cp -a "$BATS_FILE_TMPDIR/data" .
}

ago() { # DAYS before yesterday
	date -u -d "$Y - $1 days" +%F
}
daily() {
	"$PIPES/daily" --window "${W:-2}" "$@"
}
# Facts that must be equal whatever the engine and the run.
facts() {
	query "select date, app_id, platform, source_system, metric, segment,
	    value, num, den, unit, kpi_version, quality, feed, batch_id,
	    generation from fact_kpi_daily
	    order by 1, 2, 3, 4, 5, 6, feed"
}

@test "three sources side by side, each with its days; again nothing changes" {
	services "$KEYS"
	run --separate-stderr daily
	assert_success
	assert_equal "$(receipts <<<"$output")" 'published 18'
	assert_equal "$(run_ends)" 'asc-daily success 0
daily success 0
ga4-daily success 0
meta-daily success 0'
	assert_equal "$(query "select distinct source_system || ' ' || max(date) from fact_kpi_daily group by source_system")" "asc $P
ga4 $Y
meta $Y"
	[[ $(run_record records_written) == "$(query 'select count(*) from fact_kpi_daily')" ]]
	[[ $(run-log --pipeline meta-daily --last 1 | jq .api_calls) -gt 3 ]]
	# events count as they do from files
	for f in $F1 $F2; do
		jq_counts $f data/analytics_$f/events_"${Y//-/}".ndjson >want
		db_counts $f "$Y" >got
		diff want got
	done
	dump_db var/warehouse.db >one
	dump_raw var/raw >raw1
	run --separate-stderr daily
	assert_success
	assert_equal "$(receipts <<<"$output")" 'unchanged 18'
	dump_db var/warehouse.db | diff one -
	dump_raw var/raw | diff raw1 -
	"$PIPES/status" | grep -q 'all is published up to yesterday'
}

@test "restated days: exactly those change, with old value, new value and age" {
	services "$KEYS"
	daily >/dev/null
	facts >one
	sim_stop
	# a late row, and a change of heart of Meta's
	sed -i 3d data/analytics_$F1/events_"$(tr -d - <<<"$(ago 1)")".ndjson
	services "$KEYS" --set meta.revision=7
	run --separate-stderr daily
	assert_success
	facts >two
	jq -r 'select(.state == "published") | .batch' <<<"$output" | sort >changed
	grep -q "^ga4.$F1.$(ago 1)" changed
	run ! grep -v "^ga4.$F1.$(ago 1)\|^meta" changed
	# what changed is what the log says, and nothing else
	diff one two | grep '^>' | cut -d'|' -f14 | sort -u | diff changed -
	query "select distinct new_batch from restatements order by 1" | diff changed -
	query "select count(*) from restatements r where new_value = old_value
	    or old_generation <> 1 or new_generation <> 2
	    or age_days <> julianday(date('now')) - julianday(r.date)" >bad
	assert_equal "$(<bad)" 0
	assert_equal "$(query "select count(*) from restatements r join fact_kpi_daily f
	    using (source_system, feed, date, app_id, platform, metric, segment)
	    where r.new_value = f.value")" "$(query 'select count(*) from restatements')"
	run --separate-stderr daily
	refute_output --partial '"published"'
}

@test "one source that fails leaves the others published; the run is partial" {
	(umask 077 && echo EAAGnotTheRightOne >wrong)
	services "$KEYS"
	META_TOKEN_FILE=$T/wrong run --separate-stderr daily
	assert_failure 77
	assert_equal "$(run_ends)" 'asc-daily success 0
daily partial 77
ga4-daily success 0
meta-daily failed 77'
	assert_equal "$(run_record error_class)" auth
	assert_equal "$(query "select group_concat(distinct source_system) from fact_kpi_daily")" asc,ga4
	[[ $stderr != *EAAGnot* ]]
	daily --source meta >/dev/null
	assert_equal "$(query "select count(distinct source_system) from fact_kpi_daily")" 3
}

@test "a day that is not there yet is 4 and no alarm; the next run takes it" {
	mv data/analytics_$F2/events_"${Y//-/}".ndjson .
	services "$KEYS"
	run --separate-stderr daily --source ga4,asc
	assert_failure 4
	assert_equal "$(receipts <<<"$output")" 'not_ready 1, published 9'
	assert_equal "$(run_ends)" 'asc-daily success 0
daily partial 4
ga4-daily partial 4'
	mv events_* data/analytics_$F2/
	run --separate-stderr daily --source ga4
	assert_success
	assert_equal "$(receipts <<<"$output")" 'published 1, unchanged 3'
}

@test "a link made within the window: days before it are no failure" {
	local y=data/analytics_$F1
	rm "$y"/events_"$(tr -d - <<<"$(ago 1)")".ndjson \
		"$y"/events_"$(tr -d - <<<"$(ago 2)")".ndjson \
		"$y"/events_"$(tr -d - <<<"$(ago 3)")".ndjson
	services "$KEYS"
	for want in 'published 5' 'unchanged 5'; do
		W=4 run --separate-stderr daily --source ga4
		assert_success
		assert_equal "$(receipts <<<"$output")" "$want"
	done
	[[ $stderr == *"analytics_$F1: the export begins with $Y"* ]]
	[[ $stderr != *failed* && $stderr != *lacks* ]]
	assert_equal "$(run_record error_class)" null
	# what was fetched once is missed as ever
	chmod -R u+w var/raw
	rm -rf "var/raw/ga4/$F2/$Y"
	W=4 run daily --source ga4
	assert_failure 75
	assert_output --partial "ga4.$F2: the raw layer lacks $Y, which"
	# asked for by name, a day that cannot be there is no silence
	run --separate-stderr daily --source ga4 --date "$(ago 1)"
	assert_failure 65
	[[ $stderr == *"$(ago 1): no table of this day: the export begins with $Y"* ]]
	assert_equal "$(jq -r 'select(.state == "failed") | .batch + " " + .class' <<<"$output")" "ga4.$F1.$(ago 1) contract"
	run --separate-stderr "$PIPES/backfill" --source ga4 --start "$(ago 3)" --end "$Y"
	assert_success
}

@test "a fetch that dies half way: whole days are used, the cut one is not" {
	# a page in the middle of the second day never comes
	fault "{\"match\":\"GET *$F1/tables/events_${Y//-/}/data\",\"times\":0,\"do\":\"cut\"}"
	services "$KEYS"
	run --separate-stderr daily --source ga4
	assert_failure 3
	assert_equal "$(jq -r 'select(.state == "failed") | .batch + " " + .class' <<<"$output")" "ga4.$F1.$Y transient"
	assert_equal "$(query "select group_concat(distinct date) from fact_kpi_daily where feed = '$F1'")" "$(ago 1)"
	assert_equal "$(query "select count(distinct date) from fact_kpi_daily where feed = '$F2'")" 2
	sim_stop
	rm .sim.faults
	services "$KEYS"
	run --separate-stderr daily --source ga4
	assert_success
	assert_equal "$(receipts <<<"$output")" 'published 1, unchanged 3'
}

@test "killed in a fetch or in between, the same command again repairs all" {
	local i tool n=${WEIR_SOAK:+60} tools=(fetch-ga4 fetch-meta fetch-asc
		raw-store sqlite-load kpi-agg ndjson-scrub event-id)
	services "$KEYS"
	WEIR_HOME=$T/base "$PIPES/setup" >/dev/null
	cp -a base calm
	WEIR_HOME=$T/calm daily >/dev/null
	dump_db calm/warehouse.db >calm.db
	dump_raw calm/raw | sed 's/,"fetched_at":"[^"]*"//' >calm.raw
	RANDOM=${WEIR_SEED:-20261120}
	for ((i = 0; i < ${n:-5}; i++)); do
		tool=${tools[i % ${#tools[@]}]}
		export WEIR_HOME=$T/k$i
		cp -a base "$WEIR_HOME"
		LD_PRELOAD=$(fault_so) FAULT=any:$((RANDOM % 40 + 1)):KILL \
			FAULT_TOOL=$tool run daily
		[[ -n ${WEIR_SOAK:-} ]] || assert_failure
		daily >/dev/null
		dump_db "$WEIR_HOME/warehouse.db" | diff calm.db -
		dump_raw "$WEIR_HOME/raw" |
			sed 's/,"fetched_at":"[^"]*"//' | diff calm.raw -
		rm -rf "$WEIR_HOME"
	done
}

@test "days that the raw layer lost are fetched anew, though nothing changed" {
	services "$KEYS"
	daily --source ga4 >/dev/null
	chmod -R u+w var/raw
	rm -rf "var/raw/ga4/$F1/$Y"
	run daily --source ga4
	assert_failure 75
	assert_output --partial "lacks $Y"
	run --separate-stderr daily --source ga4
	assert_success
	raw-store --dir var/raw --list --source ga4 --feed $F1 --from "$Y" --to "$Y" | grep -q complete
}

@test "backfill takes a span of all sources, by app or source; rebuild makes it again" {
	services "$KEYS"
	backfill=("$PIPES/backfill" --start "$(ago 2)" --end "$(ago 1)")
	run --separate-stderr "${backfill[@]}" --dry-run
	assert_success
	assert_equal "$(receipts <<<"$output")" 'fetch 18'
	assert_equal "$(requests '')" 0
	run --separate-stderr "${backfill[@]}" --app betet --source ga4,meta
	assert_success
	assert_equal "$(query 'select group_concat(distinct feed) from (select feed from batches order by 1)')" "$F2,act_1002.account,act_1002.campaign"
	run --separate-stderr "${backfill[@]}" --reason 'all of it'
	assert_success
	assert_equal "$(receipts <<<"$output")" 'published 12, unchanged 6'
	assert_equal "$(run_record reason)" 'all of it'
	dump_db var/warehouse.db >one
	"$PIPES/rebuild"
	dump_db var/warehouse.db | diff one -
}

# The records of a warehouse, in one order, without the run.
kpis_sqlite() {
	sqlite-query --db "$WEIR_HOME/warehouse.db" "select * from kpi_daily
	    order by date, app_id, platform, source_system, metric, segment" |
		sed 's|"run_id":"[^"]*",||'
}
kpis_bigquery() {
	bq 'select * from `analytics_core.kpi_daily`
	    order by date, app_id, platform, source_system, metric, segment' |
		sed 's|"run_id":"[^"]*",||'
}
bq() {
	# shellcheck disable=SC2086 # words
	bq-query $WEIR_BQ_OPTIONS --quiet "$@"
}

@test "SQLite and BigQuery hold the same rows, before and after days are restated" {
	[[ -z ${WEIR_SOAK:-} ]] || {
		export W=31
		"$GEN" --dir data --start "$(ago 31)" --end "$Y" --sessions 6 \
			--as-of "$(date -u +%F)" --incident none
	}
	export BQ_LOCATION=EU SALT=$T/salt
	services "$KEYS"
	# the simulator keeps the warehouse, so this one stays
	daily >/dev/null
	kpis_sqlite >sqlite.one
	export WEIR_HOME=$T/bq ENGINE=bigquery
	"$PIPES/setup" | grep -q 'analytics_core and analytics_ops'
	"$PIPES/setup"
	run --separate-stderr daily
	assert_success
	n=$(jq -c 'select(.state == "published")' <<<"$output" | wc -l)
	[[ $n -ge 18 ]]
	kpis_bigquery >bq.one
	[[ $(wc -l <bq.one) -gt 500 ]]
	cmp sqlite.one bq.one
	run --separate-stderr daily
	assert_success
	assert_equal "$(receipts <<<"$output")" "unchanged $n"
	# one question a source, and none of the days
	[[ $(run-log --last 1 | jq '.counts["bq-query"].queries // 0') -le 3 ]]
	kpis_bigquery | cmp bq.one -
	assert_equal "$(bq 'select count(*) as n from `analytics_ops.restatements`')" '{"n":0}'

	# a late row of two days
	for d in "$(ago 1)" "$Y"; do
		sed -i 3d "data/analytics_$F1/events_${d//-/}.ndjson"
	done
	run --separate-stderr daily
	assert_success
	assert_equal "$(receipts <<<"$output")" "published 2, unchanged $((n - 2))"
	kpis_bigquery >bq.two
	ENGINE=sqlite WEIR_HOME=$T/var daily >/dev/null
	WEIR_HOME=$T/var kpis_sqlite | cmp bq.two -
	# the log has old, new and age, as the embedded one has
	log="select source_system, feed, date, app_id, platform, metric,
	    segment, cause, old_value, new_value, old_batch, old_generation,
	    new_batch, new_generation, age_days from"
	order='order by date, feed, app_id, platform, metric, segment'
	bq "$log \`analytics_ops.restatements\` $order" >log.bq
	sqlite-query --db var/warehouse.db "$log restatements $order" | diff log.bq -
	[[ -s log.bq ]]
	bq 'select pipeline, status, error_class from `analytics_ops.pipeline_runs`
	    order by start_time desc limit 4' |
		jq -r '"\(.pipeline) \(.status)"' | sort >runs
	assert_equal "$(<runs)" 'asc-daily success
daily success
ga4-daily success
meta-daily success'
	run "$PIPES/status"
	assert_success
	assert_output --partial 'all is published up to yesterday'
}

@test "BigQuery: what a first user reads names the next command, and no second warehouse begins" {
	services "$KEYS"
	ENGINE=bigquery run "$PIPES/status"
	assert_failure 1
	assert_output --partial 'next: make setup ENGINE=bigquery'
	ENGINE=bigquery run "$PIPES/setup"
	assert_failure 78
	assert_output --partial '$BQ_LOCATION: where is dataset analytics_core to lie'
	ENGINE=bigquery run "$PIPES/status"
	assert_failure 78
	assert_output --partial 'if it was not made yet: make setup ENGINE=bigquery'
	ENGINE=bigquery BQ_LOCATION=EU "$PIPES/setup" >/dev/null
	ENGINE=bigquery run "$PIPES/status"
	assert_output --partial 'make daily ENGINE=bigquery'
	for what in daily status setup; do
		run "$PIPES/$what"
		assert_failure 78
		assert_output --partial 'say ENGINE=bigquery, or ENGINE=sqlite'
	done
	[[ ! -e var/warehouse.db ]]
	ENGINE=sqlite "$PIPES/setup" >/dev/null
	[[ -e var/warehouse.db ]]
}

@test "BigQuery: what the audit refuses is kept back, one source's failure is its own" {
	export BQ_LOCATION=EU ENGINE=bigquery
	services "$KEYS"
	daily --source ga4 --date "$(ago 1)" >/dev/null
	# a day without events, and a token that is none
	: >"data/analytics_$F1/events_${Y//-/}.ndjson"
	(umask 077 && echo EAAGnotTheRightOne >wrong)
	META_TOKEN_FILE=$T/wrong run --separate-stderr daily --source ga4,meta
	assert_failure 77
	assert_equal "$(run_ends)" 'daily partial 77
ga4-daily failed 1
meta-daily failed 77'
	assert_equal "$(bq 'select batch_id, reason from `analytics_ops.quarantine`')" \
		"{\"batch_id\":\"ga4.$F1.$Y\",\"reason\":\"no events at all, but the days before had some\"}"
	bq 'select severity, date from `analytics_ops.findings`' |
		grep -q "{\"severity\":\"error\",\"date\":\"$Y\"}"
	run "$PIPES/status"
	assert_failure 1
	assert_output --partial "quarantined ga4.$F1.$Y"
	run daily --source ga4
	assert_failure 1
	daily --source ga4 --date "$Y" --accept >/dev/null
	assert_equal "$(bq "select count(distinct date) as n from \`analytics_core.kpi_daily\`")" '{"n":2}'
}

@test "BigQuery: killed loads are repaired by the same command; rebuilt elsewhere from raw" {
	local tool i=5
	export BQ_LOCATION=EU ENGINE=bigquery
	services "$KEYS"
	for tool in bq-load bq-query raw-store; do
		LD_PRELOAD=$(fault_so) FAULT=any:$((i * 4)):KILL FAULT_TOOL=$tool \
			run daily --source meta
		i=$((i + 3))
	done
	daily --source meta >/dev/null
	kpis_bigquery >bq.kpi
	ENGINE=sqlite WEIR_HOME=$T/calm daily --source meta >/dev/null
	WEIR_HOME=$T/calm kpis_sqlite | cmp bq.kpi -
	run "$PIPES/rebuild"
	assert_failure 65
	BQ_DATASET=core_new BQ_OPS_DATASET=ops_new "$PIPES/rebuild"
	BQ_DATASET=core_new BQ_OPS_DATASET=ops_new kpis_bigquery | cmp bq.kpi -
}
