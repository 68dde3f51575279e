#!/usr/bin/env bats
# The daily job, backfill and rebuild on the embedded warehouse.

load helper
load pipes
bats_require_minimum_version 1.5.0

setup() {
	pipes_setup
}

daily() {
	"$PIPES/daily" --source ga4 --ga4-dir ga4 "$@"
}
backfill() {
	"$PIPES/backfill" --ga4-dir ga4 --start "$1" --end "$2" "${@:3}"
}

@test "counts, distinct users and sessions equal a count by jq alone" {
	make_export 2026-11-18 2026-11-19 --gzip
	daily --date 2026-11-18
	daily --date 2026-11-19
	for d in 2026-11-18 2026-11-19; do
		for f in $F1 $F2; do
			jq_counts $f ga4/analytics_$f/events_${d//-/}.ndjson.gz >want
			db_counts $f $d >got
			[[ $(wc -l <want) -ge 15 ]]
			diff want got
		done
	done
	[[ $(zcat ga4/*/*.gz | sort | uniq -d | wc -l) -gt 0 ]]
}

@test "a property that holds two apps gives each its own rows" {
	make_export 2026-11-19 2026-11-19 --shape shared
	daily --date 2026-11-19
	jq_counts $F1 ga4/analytics_$F1/events_20261119.ndjson >want
	db_counts $F1 2026-11-19 >got
	diff want got
	assert_equal "$(query 'select group_concat(distinct app_id) from fact_kpi_daily')" betet,flocken
}

@test "the sample exports: real rows equal the count by jq" {
	need_shared samples/ga4/export
	ga4=$(shared samples/ga4/export)
	"$PIPES/backfill" --ga4-dir "$ga4" --start 2018-10-01 --end 2018-10-03 >/dev/null
	"$PIPES/backfill" --ga4-dir "$ga4" --start 2020-12-01 --end 2020-12-20 >/dev/null
	for p in app web; do
		for file in "$ga4/analytics_$p"/events_*.ndjson; do
			d=${file##*_}
			d=${d%.ndjson}
			d=${d:0:4}-${d:4:2}-${d:6}
			[[ $d < 2020-12-21 ]] || continue
			jq_counts $p "$file" >want
			db_counts $p "$d" >got
			diff want got
		done
	done
	assert_equal "$(query "select count(distinct date) from fact_kpi_daily where feed = 'web'")" 20
	assert_equal "$(query "select count(distinct date) from fact_kpi_daily where feed = 'app'")" 3
}

@test "run again, no row changes" {
	make_export 2026-11-18 2026-11-19
	daily --date 2026-11-19
	dump_db var/warehouse.db >one
	dump_raw var/raw >raw1
	run --separate-stderr daily --date 2026-11-19
	assert_success
	assert_output --partial '"state":"unchanged"'
	dump_db var/warehouse.db >two
	dump_raw var/raw >raw2
	diff one two
	diff raw1 raw2
	daily --date 2026-11-19 --force
	query "select app_id, platform, metric, segment, value from fact_kpi_daily order by 1, 2, 3, 4" >three
	grep -q revenue three
	assert_equal "$(query 'select count(*) from restatements')" 0
}

@test "rows twice in the input change no number" {
	make_export 2026-11-19 2026-11-19
	daily --date 2026-11-19
	query "select app_id, platform, metric, segment, value, num, den from fact_kpi_daily order by 1, 2, 3, 4" >one
	f=ga4/analytics_$F1/events_20261119.ndjson
	cat $f $f >twice
	mv twice $f
	daily --date 2026-11-19
	query "select app_id, platform, metric, segment, value, num, den from fact_kpi_daily order by 1, 2, 3, 4" >two
	diff one two
	assert_equal "$(query 'select count(*) from restatements')" 0
}

@test "a source that dies half way: nothing published, 66 in the run record" {
	make_export 2026-11-19 2026-11-19 --gzip
	f=ga4/analytics_$F1/events_20261119.ndjson.gz
	head -c $(($(stat -c %s $f) / 2)) $f >half
	mv half $f
	run daily --date 2026-11-19
	assert_failure 66
	assert_equal "$(run_record exit_status)" 66
	assert_equal "$(run_record error_class)" truncated
	assert_equal "$(run_record status)" failed
	assert_equal "$(query "select count(*) from batches where feed = '$F1'")" 0
	run raw-store --dir var/raw --list --feed $F1
	refute_output --partial "$F1"
	# the other property was not held up
	assert_equal "$(query "select state from batches where feed = '$F2'")" published
}

@test "a file whose last line is cut is named, and nothing of it published" {
	make_export 2026-11-19 2026-11-19
	f=ga4/analytics_$F1/events_20261119.ndjson
	truncate -s -20 $f
	run daily --date 2026-11-19
	assert_failure 65
	assert_output --partial "line ends inside"
	assert_equal "$(query "select count(*) from batches where feed = '$F1'")" 0
}

@test "a bad line is named and ends in 65, the visible day stays" {
	make_export 2026-11-19 2026-11-19
	daily --date 2026-11-19
	dump_db var/warehouse.db >one
	f=ga4/analytics_$F1/events_20261119.ndjson
	sed -i '7s/{/{oops/' $f
	run daily --date 2026-11-19
	assert_failure 65
	assert_equal "$(run_record error_class)" contract
	run run_record error_message
	assert_output --partial ':7:2:'
	dump_db var/warehouse.db >two
	diff one two
}

@test "a late file makes a new generation, and the log says what changed" {
	make_export 2026-11-18 2026-11-18 --as-of 2026-11-19 --sessions 100
	daily --date 2026-11-18
	make_export 2026-11-18 2026-11-18 --as-of 2026-11-22 --sessions 100
	backfill 2026-11-18 2026-11-18
	for f in $F1 $F2; do
		jq_counts $f ga4/analytics_$f/events_20261118.ndjson >want
		db_counts $f 2026-11-18 >got
		diff want got
	done
	[[ $(query 'select count(*) from restatements') -gt 0 ]]
	assert_equal "$(query "select group_concat(state) from (select state from batches where feed = '$F1' order by generation)")" replaced,published
}

@test "backfill skips what is equal, and never a changed kpis.jq or file" {
	make_export 2026-11-17 2026-11-19
	run --separate-stderr backfill 2026-11-17 2026-11-19
	assert_success
	assert_equal "$(grep -c '"state":"published"' <<<"$output")" 6
	run --separate-stderr backfill 2026-11-17 2026-11-19
	assert_success
	assert_equal "$(grep -c '"state":"unchanged"' <<<"$output")" 6
	# a late file
	echo "$(head -n 1 ga4/analytics_$F1/events_20261118.ndjson | sed 's/"event_name":"[^"]*"/"event_name":"late_one"/')" >>ga4/analytics_$F1/events_20261118.ndjson
	run --separate-stderr backfill 2026-11-17 2026-11-19 --dry-run
	assert_equal "$(grep -c '"state":"load"' <<<"$output")" 1
	run --separate-stderr backfill 2026-11-17 2026-11-19
	assert_success
	assert_equal "$(grep -c '"state":"unchanged"' <<<"$output")" 5
	# a changed dictionary
	sed 's/"version": "2026-11-20"/"version": "2026-11-21"/' "$ROOT/conf/kpis.jq" >kpis.jq
	KPIS=$T/kpis.jq run --separate-stderr backfill 2026-11-17 2026-11-19
	assert_success
	refute_output --partial unchanged
	assert_equal "$(query 'select group_concat(distinct kpi_version) from fact_kpi_daily')" 2026-11-21
}

@test "backfill takes only the properties of an app, and keeps the reason" {
	make_export 2026-11-19 2026-11-19
	backfill 2026-11-19 2026-11-19 --app betet --reason 'a "new" connector'
	assert_equal "$(query 'select group_concat(distinct feed) from batches')" $F2
	assert_equal "$(run_record reason)" 'a "new" connector'
	assert_equal "$(run_record pipeline)" ga4-backfill
	run backfill 2026-11-19 2026-11-19 --app nosuch
	assert_failure 78
	[[ ! -e var/runs/ga4-daily.lock ]]
}

@test "an app or property that nobody knows is loaded under its own id and said" {
	make_export 2026-11-19 2026-11-19 --shape shared --property 777
	sed -i 's/com.example.betet/com.example.other/; s/"stream_id":"44000001/"stream_id":"99000001/; s/"stream_id":"44000000/"stream_id":"99000000/' ga4/analytics_777/*
	run daily --date 2026-11-19
	assert_success
	assert_output --partial "the property is not in apps.jq"
	assert_equal "$(query "select group_concat(distinct app_id) from (select app_id from fact_kpi_daily where value <> '0' order by 1)")" 777,com.example.other,flocken
}

@test "no file yet is not ready: 4, nothing touched, no alarm" {
	make_export 2026-11-18 2026-11-18
	run daily --date 2026-11-19
	assert_failure 4
	assert_output --partial 'run again when the export is there'
	assert_equal "$(run_record status)" partial
	assert_equal "$(run_record error_class)" notready
	assert_equal "$(query 'select count(*) from batches')" 0
}

@test "without a date: yesterday in the property's own zone, and what came late" {
	make_export 2026-11-17 2026-11-20 --as-of 2026-11-25
	# 23:30 in UTC is the next day in Stockholm
	WEIR_NOW=2026-11-19T23:30:00Z daily
	assert_equal "$(query 'select max(date) from fact_kpi_daily')" 2026-11-19
	assert_equal "$(query 'select count(distinct date) from fact_kpi_daily')" 3
	WEIR_NOW=2026-11-20T22:30:00Z run --separate-stderr daily
	assert_success
	refute_output --partial published
	WEIR_NOW=2026-11-20T23:30:00Z daily
	assert_equal "$(query 'select max(date) from fact_kpi_daily')" 2026-11-20
	assert_equal "$(run_record data_through)" 2026-11-20
	WEIR_NOW=2026-11-21T23:30:00Z run daily
	assert_failure 4
}

@test "the intraday file counts only where asked for and no daily one is there" {
	make_export 2026-11-18 2026-11-18
	make_export 2026-11-19 2026-11-19 --intraday --sessions 5
	run daily --date 2026-11-19
	assert_failure 4
	run daily --date 2026-11-19 --intraday
	assert_failure 3
	assert_equal "$(query "select group_concat(distinct outcome) from batches where state = 'published'")" partial
	assert_equal "$(query 'select group_concat(distinct quality) from fact_kpi_daily')" partial
	make_export 2026-11-19 2026-11-19
	daily --date 2026-11-19 --intraday
	jq_counts $F1 ga4/analytics_$F1/events_20261119.ndjson >want
	db_counts $F1 2026-11-19 >got
	diff want got
	assert_equal "$(query "select group_concat(distinct outcome) from batches where state = 'published'")" complete
}

@test "an empty day: rows of 0 without a history, quarantine with one" {
	make_export 2026-11-17 2026-11-18
	: >ga4/analytics_$F1/events_20261116.ndjson
	"$PIPES/daily" --ga4-dir ga4/analytics_$F1 --date 2026-11-16
	assert_equal "$(query "select outcome, state from batches")" 'empty|published'
	assert_equal "$(query "select value from fact_kpi_daily where metric = 'events' and platform = 'ios'")" 0
	backfill 2026-11-17 2026-11-18
	: >ga4/analytics_$F1/events_20261119.ndjson
	cp ga4/analytics_$F2/events_20261118.ndjson x
	run "$PIPES/daily" --ga4-dir ga4/analytics_$F1 --date 2026-11-19
	assert_failure 1
	assert_output --partial 'quarantined'
	assert_equal "$(run_record error_class)" findings
	assert_equal "$(query "select count(*) from fact_kpi_daily where date = '2026-11-19'")" 0
	assert_equal "$(query "select state, reason from batches where date = '2026-11-19'")" 'quarantined|no events at all, but the days before had some'
	assert_equal "$(query "select \"check\", severity, date from findings")" 'no-events|error|2026-11-19'
	run "$PIPES/daily" --ga4-dir ga4/analytics_$F1 --date 2026-11-19
	assert_failure 1
	assert_equal "$(query "select count(*) from batches where date = '2026-11-19'")" 1
	run "$PIPES/status"
	assert_failure 1
	assert_output --partial 'quarantined ga4.'
	"$PIPES/daily" --ga4-dir ga4/analytics_$F1 --date 2026-11-19 --accept
	assert_equal "$(query "select value from fact_kpi_daily where date = '2026-11-19' and metric = 'events' and platform = 'ios'")" 0
}

@test "a day whose events all belong elsewhere is refused, the others go on" {
	make_export 2026-11-18 2026-11-19
	cp ga4/analytics_$F1/events_20261118.ndjson ga4/analytics_$F1/events_20261119.ndjson
	run daily --date 2026-11-19
	assert_failure 65
	assert_equal "$(query "select group_concat(feed) from batches")" $F2
}

@test "an older export does not take the place of a newer one" {
	make_export 2026-11-19 2026-11-19
	daily --date 2026-11-19
	f=ga4/analytics_$F1/events_20261119.ndjson
	sed -i '$d' $f
	touch -d 2026-11-01 $f
	run daily --date 2026-11-19
	assert_failure 65
	daily --date 2026-11-19 --force
}

@test "two exports of one day are refused" {
	make_export 2026-11-19 2026-11-19
	gzip -k ga4/analytics_$F1/events_20261119.ndjson
	run daily --date 2026-11-19
	assert_failure 65
	assert_output --partial 'two exports of one day'
}

@test "shards of one extract job are one day" {
	make_export 2026-11-19 2026-11-19
	cd ga4/analytics_$F1
	split -n l/3 -d -a 12 --additional-suffix=.ndjson events_20261119.ndjson events_20261119_
	mv events_20261119.ndjson "$T/whole.ndjson"
	cd "$T"
	daily --date 2026-11-19
	jq_counts $F1 whole.ndjson >want
	db_counts $F1 2026-11-19 >got
	diff want got
}

@test "rebuild makes the same warehouse from raw, table by table" {
	make_export 2026-11-17 2026-11-19 --as-of 2026-11-18
	backfill 2026-11-17 2026-11-17
	make_export 2026-11-17 2026-11-19 --as-of 2026-11-25
	backfill 2026-11-17 2026-11-19
	sqlite-load --db var/warehouse.db --rollback ga4.$F2.2026-11-19 --reason test
	dump_db var/warehouse.db >one
	"$PIPES/rebuild"
	dump_db var/warehouse.db >two
	diff one two
	[[ $(grep -c replaced two) -gt 0 ]]
	rm var/warehouse.db
	"$PIPES/rebuild"
	query "select date, app_id, platform, metric, segment, value from fact_kpi_daily where feed = '$F1' order by 1, 2, 3, 4, 5" >three
	[[ $(wc -l <three) -gt 100 ]]
	assert_equal "$(ls var/*.rebuild* 2>/dev/null)" ''
}

@test "only one daily run at a time; a backfill may go on beside it" {
	make_export 2026-11-19 2026-11-19
	"$PIPES/setup"
	run-log --pipeline ga4-daily -- sleep 3 &
	until [[ -s var/runs/ga4-daily.open ]]; do sleep 0.02; done
	run daily --date 2026-11-19
	assert_failure 75
	backfill 2026-11-19 2026-11-19
	wait
}

@test "setup makes a salt once, private, and status names the next command" {
	run "$PIPES/status"
	assert_failure 1
	assert_output --partial 'make setup'
	(umask 000; "$PIPES/setup")
	assert_equal "$(stat -c %a var/salt)" 600
	assert_equal "$(wc -c <var/salt)" 65
	sum=$(sha256sum var/salt)
	"$PIPES/setup"
	assert_equal "$(sha256sum var/salt)" "$sum"
	run find var -perm /077
	assert_output ''
	make_export 2026-11-19 2026-11-19
	run "$PIPES/status"
	assert_output --partial 'make daily'
	daily
	run "$PIPES/status"
	assert_success
	assert_output --partial 'all is published up to yesterday'
	"$PIPES/status" --max-age 0
	WEIR_NOW=2026-11-25T09:00:00Z run "$PIPES/status" --max-age 2
	assert_failure 1
}


@test "a new salt changes no day that was loaded, and the old one is needed for a late file" {
	make_export 2026-11-18 2026-11-19
	daily --date 2026-11-18
	mv var/salt var/salt.2026-11
	run --separate-stderr daily --date 2026-11-18
	assert_success
	assert_output --partial unchanged
	daily --date 2026-11-19
	[[ $(query "select count(distinct ref) from lineage where kind = 'salt_version'") == 2 ]]
	sed -i 3d ga4/*/events_20261118.ndjson
	run --separate-stderr daily --date 2026-11-18
	assert_success
	assert_output --partial '"generation":2'
	assert_equal "$(query "select count(distinct ref) from lineage where kind = 'salt_version' and date = '2026-11-18'")" 1
	sed -i 3d ga4/*/events_20261118.ndjson
	mv var/salt.2026-11 kept
	run daily --date 2026-11-18
	assert_failure 78
	assert_output --partial 'put it there'
}

@test "backfill owes no day before the first export, and says so; a gap is not ready" {
	make_export 2026-11-17 2026-11-19
	rm ga4/analytics_$F2/events_20261118.ndjson
	run backfill 2026-11-15 2026-11-17
	assert_success
	assert_line --partial 'warning: exports begin on 2026-11-17'
	run backfill 2026-11-15 2026-11-19
	assert_failure 4
	assert_line --partial "ga4.$F2.2026-11-18: not ready"
	assert_equal "$(query "select count(*) from batches where state = 'published'")" 5
	run backfill 2026-01-01 2026-01-02
	assert_failure 4
}
@test "wrong calls are 64 and touch nothing" {
	run daily --date 2026-02-30
	assert_failure 64
	run "$PIPES/daily" --source sheets --date 2026-11-19
	assert_failure 64
	ENGINE=oracle run daily --date 2026-11-19
	assert_failure 64
	run daily --nonsense
	assert_failure 64
	run "$PIPES/backfill" --start 2026-11-19 --end 2026-11-18 --ga4-dir ga4
	assert_failure 64
	run daily --date 2026-11-19 --ga4-dir nowhere
	assert_failure 66
}

@test "the gravest status of a pipe is one function, in the order of the contract" {
	source "$PIPES/lib.sh"
	assert_equal "$(gravest 0 0)" 0
	assert_equal "$(gravest 66 65 141)" 65
	assert_equal "$(gravest 3 4 141 0)" 3
	assert_equal "$(gravest 141 0)" 141
	assert_equal "$(gravest 137 66)" 66
	assert_equal "$(gravest 4 1 2)" 4
	assert_equal "$(gravest 75 74 78 77)" 78
}
