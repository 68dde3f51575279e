#!/usr/bin/env bats
# bq-load: partitions become generations in BigQuery, and what can go wrong.

bats_require_minimum_version 1.5.0
load helper
load sim
load loader
load bq

LOADER=bq-load

setup_file() {
	load bq
	bq_key_file
}

setup() {
	weir_setup
	bq_setup
}

# ---- loading ----

@test "a partition is published, and the receipt says so" {
	start
	day 10 >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.verb,.table,.batch,.generation,.state,.rows,.restated,.total_success,.total_errors]' <<<"$output")" = \
		'["load","fact_kpi_daily","ga4.1.2026-11-19",1,"published",2,0,2,0]' ]
	[ "$(jq -c '.partitions[0]|[.source_system,.feed,.date,.outcome,.state,.rows,.rejected]' <<<"$output")" = \
		'["ga4","1","2026-11-19","complete","published",2,0]' ]
	jq -e '.jobs >= 3 and .bytes_billed >= 0' <<<"$output"
	[[ $stderr == *"bytes will be read, more than 10737418240 are not billed"* ]]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	# one load job, and nothing is left beside
	[ "$(loads)" = 1 ]
	[ "$(stages)" = 0 ]
}

@test "what was loaded comes back byte for byte" {
	start
	{
		kpi a 120210123456789013
		kpi b -0.5
		kpi c 12345678901234567890123456789012345678
		kpi d null
		kpi e 9007199254740993
		kpi 'f \u00e9\ud83d\ude00 \" \\' 0.00000000000000000000000000000000000001
		kpi g 0
	} | part complete >in
	load_kpi <in >/dev/null
	q --omit-null num,den 'SELECT * FROM `analytics_core.kpi_daily` ORDER BY metric' >out
	sed -e '/@stream/d' -e 's/\\u00e9\\ud83d\\ude00/é😀/' in | diff - out
	{ kpi a 1.2300e2; kpi b -0.0; kpi c 1E-3; kpi d 10e36; } |
		part complete | load_kpi >/dev/null
	run -0 q 'SELECT metric, value FROM `analytics_core.kpi_daily` ORDER BY metric'
	assert_output '{"metric":"a","value":123}
{"metric":"b","value":0}
{"metric":"c","value":0.001}
{"metric":"d","value":10000000000000000000000000000000000000}'
}

@test "the same partition again changes nothing and makes no load job" {
	start
	day 10 '"fetched_at":"2026-11-20T01:00:00Z"' | load_kpi >/dev/null
	dump >before
	day 10 '"fetched_at":"2026-11-20T02:00:00Z"' >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.generation,.state,.unchanged,.restated]' <<<"$output")" = \
		'[1,"published",true,0]' ]
	dump | diff before -
	[ "$(loads)" = 1 ]
	run -0 q 'SELECT fetched_at AS v FROM `analytics_ops.batches`'
	assert_output '{"v":"2026-11-20T02:00:00Z"}'
	# rows in another order, another run: still equal
	{ kpi users 5; kpi events 10.0 | sed s/r1/r2/; } | part complete >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq .unchanged <<<"$output")" = true ]
}

@test "another fingerprint makes a new generation of equal values" {
	start
	claim_fingerprint
	[ "$(count restatements)" = 0 ]
}

@test "a staged generation is not seen until it is published; staging again replaces it" {
	start
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi --stage >receipt
	[ "$(jq -c '[.generation,.state]' receipt)" = '[2,"staged"]' ]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	[ "$(stages)" = 1 ]
	day 12 | load_kpi --stage >receipt
	[ "$(jq -c '[.generation,.state]' receipt)" = '[2,"staged"]' ]
	[ "$(stages)" = 1 ]
	day 11 | load_kpi --stage >receipt # and back again: loaded anew
	run -0 --separate-stderr bql --publish $B
	[ "$(jq -c '[.verb,.generation,.state,.restated]' <<<"$output")" = \
		'["publish",2,"published",1]' ]
	run -0 values
	assert_output $'1 events=11 g2\n1 users=5 g2'
	dump >before
	run -0 --separate-stderr bql --publish $B
	[ "$(jq -c '[.state,.unchanged]' <<<"$output")" = '["published",true]' ]
	dump | diff before -
}

@test "abort forgets what was staged, twice is no error; then the same is staged anew" {
	start
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi --stage >/dev/null
	run -0 bql --abort $B
	run -0 bql --abort $B
	run -0 states
	assert_output $'1 published\n2 aborted'
	[ "$(stages)" = 0 ]
	day 11 | load_kpi >/dev/null
	run -0 states
	assert_output $'1 replaced\n2 published'
	run -0 values
	assert_output $'1 events=11 g2\n1 users=5 g2'
}

@test "rollback makes the replaced generation visible again and keeps the rows" {
	start
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi >/dev/null
	run -0 --separate-stderr bql --rollback $B --reason wrong
	[ "$(jq -c '[.generation,.state,.restated]' <<<"$output")" = \
		'[2,"rolled_back",1]' ]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	run -0 q 'SELECT COUNT(*) AS n FROM `analytics_core.fact_kpi_daily`
	    WHERE generation = 2 AND deleted_at IS NOT NULL'
	assert_output '{"n":2}'
	run -0 q 'SELECT reason FROM `analytics_ops.batches` WHERE generation = 2'
	assert_output '{"reason":"wrong"}'
	# the number of a generation that was seen is never given again
	day 11 | load_kpi >receipt
	[ "$(jq .generation receipt)" = 3 ]
	run -0 bql --verify
}

@test "rollback of the only generation leaves nothing visible; twice is once" {
	start
	day 10 | load_kpi >/dev/null
	bql --rollback $B >/dev/null
	dump >before
	run -0 bql --rollback $B
	dump | diff before -
	run -0 values
	assert_output ""
	run -0 q 'SELECT metric, old_value, new_value, cause
	    FROM `analytics_ops.restatements` ORDER BY metric'
	assert_output '{"metric":"events","old_value":10,"new_value":null,"cause":"rollback"}
{"metric":"users","old_value":5,"new_value":null,"cause":"rollback"}'
}

@test "a repeated rollback with --generation takes back one and not two" {
	start
	claim_rollback_one
}

@test "quarantine keeps the rows unseen, with the reason; the same again reuses the number" {
	start
	day 10 | load_kpi >/dev/null
	day 99 | load_kpi --stage --fingerprint ff >/dev/null
	run -64 bql --quarantine $B
	run -0 bql --quarantine $B --reason 'floor: events'
	run -0 bql --quarantine $B --reason 'floor: events'
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	run -0 q 'SELECT generation, row_count, reason FROM `analytics_ops.quarantine`'
	assert_output '{"generation":2,"row_count":2,"reason":"floor: events"}'
	[ "$(stages)" = 1 ]
	run -65 bql --publish $B
	assert_output --partial 'nothing to publish: generation 2 is quarantined'
	day 99 | load_kpi --stage --fingerprint ff >receipt
	[ "$(jq .generation receipt)" = 2 ]
	day 98 | load_kpi --stage --fingerprint ee >receipt
	[ "$(jq .generation receipt)" = 2 ]
}

@test "a batch that is not there: publish and rollback 65, abort 0" {
	start
	run -65 bql --publish x
	assert_output --partial 'bq-load: x: there is no such batch'
	run -65 bql --rollback x
	run -65 bql --quarantine x --reason y
	run -0 bql --abort x
}

# ---- restatements ----

@test "each value that changed is logged once, with both values and the age" {
	start
	{ kpi a 1; kpi b 1.50; kpi c 3; kpi gone 4; kpi n null; } |
		part complete '"fetched_at":"2026-11-20T22:30:00Z"' | load_kpi >/dev/null
	{ kpi a 2; kpi b 1.5; kpi c 3.0; kpi new 5; kpi n null; } |
		part complete '"fetched_at":"2026-11-21T23:30:00Z"' >in
	load_kpi <in >receipt
	[ "$(jq .restated receipt)" = 3 ]
	load_kpi <in >/dev/null
	run -0 q --omit-null all 'SELECT metric, old_value, new_value, old_generation,
	    new_generation, age_days FROM `analytics_ops.restatements` ORDER BY metric'
	# 23:30 UTC is already the 22nd in Stockholm
	assert_output '{"metric":"a","old_value":1,"new_value":2,"old_generation":1,"new_generation":2,"age_days":3}
{"metric":"gone","old_value":4,"old_generation":1,"new_generation":2,"age_days":3}
{"metric":"new","new_value":5,"old_generation":1,"new_generation":2,"age_days":3}'
}

# ---- outcomes ----

@test "not_ready ends with 4, failed with 3, and they touch nothing; the next is loaded" {
	start
	day 10 | load_kpi >/dev/null
	dump >before
	part not_ready </dev/null >in
	run -4 --separate-stderr load_kpi <in
	[ "$(jq -c '[.state,.rows,.total_errors]' <<<"$output")" = '["not_ready",0,0]' ]
	dump | diff before -
	{
		END='"class":"auth","reason":"expired"' part failed </dev/null
		FEED=2 day 7 | sed s/flocken/other/
	} >in
	run -3 --separate-stderr load_kpi <in
	[ "$(jq -c '[.partitions[]|[.feed,.state,.reason]]' <<<"$output")" = \
		'[["1","failed","expired"],["2","published",null]]' ]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1\n2 events=7 g1\n2 users=5 g1'
}

@test "empty over rows is refused without --allow-empty; a complete one without rows is empty" {
	start
	day 10 | load_kpi >/dev/null
	dump >before
	part empty </dev/null >in
	run -65 load_kpi <in
	assert_output --partial 'see --allow-empty'
	run -65 load_kpi --stage <in
	part complete </dev/null >none
	run -65 load_kpi <none
	dump | diff before -
	run -0 load_kpi --allow-empty <in
	run -0 values
	assert_output ""
	run -0 q 'SELECT COUNT(*) AS n FROM `analytics_ops.restatements` WHERE new_value IS NULL'
	assert_output '{"n":2}'
	run -0 load_kpi <in # over an empty one
	day 10 >in
	run -0 load_kpi <in
}

@test "partial is staged, marked, published only when allowed, never over a complete one" {
	start
	claim_partial
}

@test "rejects on the way stop the publication, up to --max-rejects" {
	start
	claim_rejects
}

@test "fetched earlier than the visible one is refused without --force" {
	start
	claim_earlier
}

@test "while frozen a partition is staged, not published" {
	start
	echo '{"source_system":"ga4","reason":"backfill gates"}' |
		bql --table freezes >/dev/null
	day 10 >in
	run -75 load_kpi <in
	assert_output --partial "not published: frozen, 'backfill gates'"
	run -0 states
	assert_output '1 staged'
	q --write 'DELETE FROM `analytics_ops.freezes` WHERE TRUE' >/dev/null
	# the job that failed is burnt, the next one publishes
	run -0 bql --publish $B
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
}

@test "a truncated partition is not loaded and ends with 66; others are" {
	start
	claim_truncated
}

@test "with --batch the stream is all or nothing" {
	start
	{ FEED=1 day 1; FEED=2 DATE=2026-11-18 day 2 | sed 's/19/18/g'; } >good
	{ cat good; FEED=3 day 3 | head -2; } >cut
	run -66 load_kpi --batch b1 <cut
	{ cat good; FEED=3 part not_ready </dev/null; } >waits
	run -4 --separate-stderr load_kpi --batch b1 <waits
	[ "$(jq -c '[.partitions[].state]' <<<"$output")" = '["refused","refused","not_ready"]' ]
	run -0 values
	assert_output ""
	[ "$(count batches)" = 0 ]
	run -0 --separate-stderr load_kpi --batch b1 --stage <good
	[ "$(jq -c '[.batch,.generation,.state,.rows]' <<<"$output")" = '["b1",1,"staged",4]' ]
	run -0 bql --publish b1
	run -0 --separate-stderr load_kpi --batch b1 <good
	[ "$(jq .unchanged <<<"$output")" = true ]
	run -0 values
	assert_output $'1 events=1 g1\n1 users=5 g1\n2 events=2 g1\n2 users=5 g1'
	run -0 bql --rollback b1
	run -0 values
	assert_output ""
	# two feeds of it with one key: neither is published
	{ FEED=3 day 1; FEED=4 day 1; } | sed s/flocken/x/ >in
	run -65 load_kpi --batch b <in
	assert_output --partial 'key of another feed'
	run -0 values
	assert_output ""
}

@test "rollback of a batch takes back what it shows, and what it replaced returns" {
	start
	claim_rollback_batch
	run -0 bql --verify
}

# ---- what a partition may hold ----

@test "a record of another date or source is named and refused" {
	start
	claim_other_place
	[ "$(loads)" = 0 ]
}

@test "a key of another feed is refused, naming both; so when both were staged" {
	start
	day 10 | load_kpi >/dev/null
	{ kpi events 7; kpi mine 1; } | FEED=2 part complete >in
	run -65 load_kpi <in
	assert_output --partial "feed '2' has a key that feed '1' has too (batch $B)"
	day 1 | sed s/flocken/x/ >in
	FEED=3 day 1 | sed s/flocken/x/ | load_kpi --stage >/dev/null
	FEED=4 day 2 | sed s/flocken/x/ | load_kpi --stage >/dev/null
	run -0 bql --publish ga4.3.2026-11-19
	run -65 bql --publish ga4.4.2026-11-19
	assert_output --partial "feed '4' has a key that feed '3' has too"
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1\n3 events=1 g1\n3 users=5 g1'
}

@test "only the partition is replaced" {
	start
	claim_only_partition
}

@test "members that are missing, unknown, twice, of the wrong type or size are refused" {
	start
	refuse() { # SED TEXT
		kpi a 1 | sed "$1" | part complete >in
		run -65 load_kpi <in
		assert_output --partial "bq-load: -:2:"
		assert_output --partial "$2"
	}
	{ kpi a 1; kpi a 2; } | part complete >twice
	run -65 load_kpi <twice
	assert_output --partial 'bq-load: -:3:1: its key is there already'
	refuse 's/"metric":"a",//' "'metric': is missing"
	refuse 's/"value":1/"value":"1"/' "'value': not a number"
	refuse 's/"value":1/"value":1e38/' "'value': a number of more digits than the column holds"
	refuse 's/"value":1/"value":1e-39/' 'more digits'
	refuse 's/"value":1/"value":1,"extra":2/' "'extra': the table has no such column"
	refuse 's/"value":1/"value":1,"\\u0076alue":2/' "'value': comes twice"
	refuse 's/"unit":"count"/"unit":5/' "'unit': not a text"
	refuse 's/"unit":"count"/"unit":"a\\u0000b"/' 'u0000'
	refuse 's/"metric":"a"/"metric":null/' "'metric': is null"
	refuse 's/"value":1/"value":1,"generation":4/' "'generation': is given by the loader"
	[ "$(loads)" = 0 ]
}

@test "bad lines: the first ends the run with 65, with --rejects they are kept" {
	start
	claim_bad_lines
	day 10 '"kind":"kpi-partial"' >in
	run -65 load_kpi <in
	assert_output --partial 'kpi-agg --merge'
}

@test "plain input: 66 without --plain and the partition, and 66 when empty" {
	start
	claim_plain
	# gzip, a last line without newline, a file: the same rows
	day 10 >in
	gzip -k in
	load_kpi in.gz >/dev/null
	printf %s "$(cat in)" >cut.in
	run -0 --separate-stderr load_kpi cut.in
	[ "$(jq .unchanged <<<"$output")" = true ]
	run -66 load_kpi nowhere.in
}

@test "lineage keeps what a generation was made of" {
	start
	day 10 '"input_sha256":"aa","kpis_sha256":"bb","salt_version":3' |
		load_kpi --fingerprint cc >/dev/null
	run -0 q 'SELECT kind, ref FROM `analytics_ops.lineage` ORDER BY kind'
	assert_output '{"kind":"input","ref":"aa"}
{"kind":"kpis","ref":"bb"}
{"kind":"salt_version","ref":"3"}'
	run -0 q 'SELECT input_sha256, fingerprint FROM `analytics_ops.batches`'
	assert_output '{"input_sha256":"aa","fingerprint":"cc"}'
}

# ---- other tables ----

@test "pipeline_runs takes run records, by key, the rest in extra" {
	start
	r='{"run_id":"r1","pipeline":"ga4-daily","source_system":"ga4","start_time":"2026-11-20T03:00:00Z","end_time":"2026-11-20T03:01:00Z","status":"success","records_written":7,"error_message":null,"seconds":60.5,"counts":{"a":1},"host":"h"}'
	echo "$r" | bql --table pipeline_runs >receipt
	[ "$(jq -c '[.state,.rows,.batch]' receipt)" = '["loaded",1,null]' ]
	{ echo "${r/60.5/1}"; echo "${r/success/failed}"; } |
		bql --table pipeline_runs >/dev/null
	run -0 q --json extra 'SELECT status, seconds, records_written, extra
	    FROM `analytics_ops.pipeline_runs`'
	assert_output '{"status":"failed","seconds":60.5,"records_written":7,"extra":{"counts":{"a":1},"host":"h"}}'
	run -66 bql --table pipeline_runs </dev/null
	[ "$(stages)" = 0 ]
}

@test "a table of one's own: made from --schema, merged by --key, replaced, completed" {
	start
	echo '[{"name":"id","type":"INTEGER","mode":"REQUIRED"},
	    {"name":"name","type":"STRING"},{"name":"amount","type":"NUMERIC"},
	    {"name":"ok","type":"BOOLEAN"},{"name":"on","type":"DATE"}]' >s.json
	printf '%s\n' '{"id":1,"name":"a","amount":1.10,"ok":true,"on":"2026-11-19"}' \
		'{"id":9007199254740993,"amount":12345678901234567890.5}' >in
	run -65 bql --table things --key id in
	assert_output --partial 'see --setup, --schema'
	run -0 bql --table things --schema s.json --key id in
	echo '{"id":1,"name":"z"}' | bql --table things --key id >/dev/null
	run -0 q 'SELECT * FROM `analytics_core.things` ORDER BY id'
	assert_output '{"id":1,"name":"z","amount":null,"ok":null,"on":null}
{"id":"9007199254740993","name":null,"amount":12345678901234567890.5,"ok":null,"on":null}'
	jq -c '. + [{"name":"more","type":"STRING"}]' s.json >s2.json
	echo '{"id":2,"more":"x"}' >in
	run -0 bql --table things --schema s2.json --key id in
	run -66 bql --table things --mode replace in
	run -0 bql --table things --mode replace --plain in
	run -0 q 'SELECT id, more FROM `analytics_core.things`'
	assert_output '{"id":2,"more":"x"}'
	jq -c '.[1].type = "INTEGER"' s.json >s3.json
	run -65 bql --table things --schema s3.json --key id in
	assert_output --partial 'column name of table things is of type STRING, not INTEGER'
	run -64 bql --table things in
	run -64 bql --table things --key id --batch b in
	run -65 bql --table things --key nothing in
	echo '{"id":1.5}' >in
	run -65 bql --table things --key id in
	assert_output --partial "'id': not an integer of 64 bits"
	run -65 bql --table batches in
	run -65 bql --table fact_kpi_daily_live --mode replace in
}

@test "dim_apps comes from the configuration" {
	start
	run -0 bql --setup --apps "$ROOT/conf/apps.jq"
	run -0 q 'SELECT name, time_zone, currency FROM `analytics_core.dim_apps`
	    WHERE app_id = "flocken"'
	assert_output '{"name":"Flocken","time_zone":"Europe/Stockholm","currency":"SEK"}'
	q 'SELECT * FROM `analytics_core.dim_apps` ORDER BY app_id' >a
	run -0 bql --apps "$ROOT/conf/apps.jq"
	q 'SELECT * FROM `analytics_core.dim_apps` ORDER BY app_id' | diff a -
	echo '{"apps":[{"name":"x"}]}' >bad.jq
	run -78 bql --apps bad.jq
	q 'SELECT * FROM `analytics_core.dim_apps` ORDER BY app_id' | diff a -
}

# ---- setting up ----

@test "--setup makes all once, adds columns, and never moves data out of the EU" {
	bq_sim
	run -78 env -u BQ_LOCATION bq-load "${BQ[@]}" --setup
	assert_output --partial '--location'
	run -0 bql --setup
	run -0 bql --setup
	run -0 bql --check
	run -78 bql --location US --setup
	assert_output --partial 'lies in EU'
	# of an older version: a column that may be null is not there yet
	local t=/datasets/analytics_ops/tables
	api $t/batches | jq '{tableReference, schema: {fields: [.schema.fields[]
	    | select(.name != "checksum")]}}' >old.json
	api $t/batches -X DELETE
	api $t -X POST -H 'Content-Type: application/json' -d @old.json >/dev/null
	day 10 >in
	run -65 load_kpi <in
	run -0 bql --setup
	run -0 load_kpi <in
	jq '.schema.fields |= map(if .name == "feed" then .type = "INTEGER" else . end)' \
		old.json >wrong.json
	api $t/batches -X DELETE
	api $t -X POST -H 'Content-Type: application/json' -d @wrong.json >/dev/null
	run -65 bql --setup
	assert_output --partial 'column feed of table batches is of type INTEGER, not STRING'
}

@test "data that were declared to be in the EU are not sent elsewhere" {
	bq_sim
	bql --location US --setup >/dev/null
	: >"$SIM_LOG"
	day 10 >in
	run -78 load_kpi <in
	assert_output --partial 'data must not leave the EU'
	[ "$(requests 'POST')" = "$(requests 'POST /google-token')" ]
	run -0 load_kpi --location US in
}

# ---- --query ----

@test "--query stages what a SELECT gives, its cost said before" {
	start
	day 10 | load_kpi >/dev/null
	cat >q.sql <<-'X'
	SELECT DATE '2026-11-19' AS date, app_id, 'ios' AS platform, source_system,
	    metric, segment, value, num, den, unit, kpi_version, run_id, quality
	FROM `analytics_core.kpi_daily` WHERE metric = 'events'
	X
	query() {
		bql --table fact_kpi_daily --query q.sql --source ga4 --feed 2 \
			--date 2026-11-19 --fingerprint f1 "$@"
	}
	run -0 --separate-stderr query
	[ "$(jq -c '[.batch,.generation,.state,.rows]' <<<"$output")" = \
		'["ga4.2.2026-11-19",1,"published",1]' ]
	[[ $stderr == *"--query: about "*" bytes will be read"* ]]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1\n2 events=10 g1'
	sed -i 's/AND .*//; s/$/ /' q.sql
	sed -i "s/metric = 'events'/metric = 'events' AND platform = 'web'/" q.sql
	run -0 --separate-stderr query
	[ "$(jq -c '[.generation,.unchanged]' <<<"$output")" = '[1,true]' ]
	[ "$(stages)" = 0 ]
	sed -i "s/segment, value/segment, value + 1 AS value/" q.sql
	run -0 --separate-stderr query
	[ "$(jq -c '[.generation,.restated]' <<<"$output")" = '[2,1]' ]
	sed -i "s/'ios'/'web'/" q.sql
	run -65 query
	assert_output --partial "feed '2' has a key that feed '1' has too"
	sed -i "s/'web' AS/'tv' AS/; s/-19'/-18'/" q.sql
	run -65 query
	assert_output --partial 'a row of another date or source'
	sed -i "s/, quality *$//" q.sql
	run -65 query
	assert_output --partial 'column quality of the query is missing'
	run -64 query in
	run -64 bql --query q.sql --source ga4
}

# ---- both engines ----

@test "the same streams give the same kpi_daily in SQLite, row by row" {
	local k
	start
	for k in 1 2 3 4; do
		{
			DATE=2026-11-18 day $((k * 7)) '"fetched_at":"2026-11-20T0'$k':00:00Z"' |
				sed 's/"date":"2026-11-19"/"date":"2026-11-18"/'
			{ kpi spend 12.3$k; kpi ratio 0.$k; kpi only$k 1; } |
				sed 's/"unit":"count"/"num":1,"den":'$k',"unit":"EUR"/' |
				FEED=2 part complete
			FEED=3 part empty </dev/null
		} >in$k
		run -0 load_kpi --allow-empty in$k
		run -0 sqlite-load --db w.db --table fact_kpi_daily --allow-empty in$k
	done
	bql --rollback ga4.2.2026-11-19 >/dev/null
	sqlite-load --db w.db --rollback ga4.2.2026-11-19 >/dev/null
	q 'SELECT * FROM `analytics_core.kpi_daily`
	    ORDER BY date, app_id, platform, metric' >bq
	sqlite-query --db w.db 'SELECT * FROM kpi_daily
	    ORDER BY date, app_id, platform, metric' | diff - bq
	[ "$(wc -l <bq)" = 5 ]
	q 'SELECT source_system, feed, date, metric, cause, old_value, new_value,
	    old_generation, new_generation, age_days FROM `analytics_ops.restatements`
	    ORDER BY feed, metric, old_generation, new_generation' >bq
	sqlite-query --db w.db 'SELECT source_system, feed, date, metric, cause, old_value,
	    new_value, old_generation, new_generation, age_days FROM restatements
	    ORDER BY feed, metric, old_generation, new_generation' | diff - bq
	q 'SELECT batch_id, generation, state, outcome, row_count AS n
	    FROM `analytics_ops.batches` ORDER BY batch_id, generation' >bq
	sqlite-query --db w.db 'SELECT batch_id, generation, state, outcome, rows AS n
	    FROM batches ORDER BY batch_id, generation' | diff - bq
}

# ---- uploads ----

@test "a large partition goes up in pieces, and comes out whole" {
	start
	big >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq .rows <<<"$output")" = $BIG ]
	(($(requests 'PUT /upload') >= 2))
	[ "$(loads)" = 1 ]
	[ -z "$(ls -A var/bq)" ]
}

@test "pieces that are cut, answered 401 or 503 or kept in part: sent on from where it broke" {
	local round
	big >big
	fault '{"match":"PUT /upload","nth":1,"do":"reset"}' \
		'{"match":"PUT /upload","nth":3,"do":"expire"}' \
		'{"match":"PUT /upload","nth":4,"do":"status","status":503}' \
		'{"match":"PUT /upload","nth":6,"do":"cut"}'
	for round in x=1 bq_short=2; do
		start --set $round
		run -0 --separate-stderr load_kpi --stage <big
		[ "$(jq .rows <<<"$output")" = $BIG ]
		[ "$(loads)" = 1 ]
		[ "$(requests 'POST /upload')" = 1 ]
		(($(requests 'PUT /upload') >= 7))
		sim_stop
	done
}

@test "a session that is gone is begun again under the same job, however it is told" {
	local gone
	big >big
	for gone in 404 410; do
		start --set bq_dies=1 --set bq_gone=$gone
		run -0 --separate-stderr load_kpi --stage <big
		[ "$(jq .rows <<<"$output")" = $BIG ]
		[ "$(loads)" = 1 ]
		[ "$(requests 'POST /upload')" = 2 ]
		sim_stop
	done
}

@test "an upload that never comes on ends with 75, and the next run sends the rest" {
	fault '{"match":"PUT /upload","nth":2,"times":12,"do":"status","status":503}'
	start
	big >big
	run -75 load_kpi --tries 2 <big
	[ "$(jq -r '"\(.method) \(.path)"' "$SIM_LOG" | grep -c 'POST /upload')" = 1 ]
	run -0 --separate-stderr load_kpi <big
	[ "$(loads)" = 1 ]
	[ "$(requests 'POST /upload')" = 1 ]
	[ -z "$(ls -A var/bq)" ]
}

@test "an upload that was killed goes on in the next process; its session is a secret" {
	fault '{"match":"PUT /upload","nth":1,"do":"slow","ms":3000}'
	start
	big >in
	bq-load "${BQ[@]}" --table fact_kpi_daily <in >/dev/null 2>err &
	local pid=$! i
	for ((i = 0; i < 300; i++)); do
		[[ ! -s $(echo var/bq/*.session) ]] || break
		sleep 0.02
	done
	sleep 0.3
	kill -9 $pid
	wait $pid || :
	[ "$(stat -c %a var/bq/*.session)" = 600 ]
	local secret
	secret=$(jq -r .session var/bq/*.session)
	run -0 --separate-stderr load_kpi --verbose <in
	[ "$(jq .rows <<<"$output")" = $BIG ]
	[[ $stderr != *"${secret#*upload_id=}"* ]]
	[ "$(requests 'POST /upload')" = 1 ]
	[ "$(requests 'PUT /upload')" = 3 ] # one, what is there?, the rest
	[ "$(loads)" = 1 ]
}

# ---- faults ----

@test "answers that are lost at any request: the same is loaded, once" {
	start
	day 9 | load_kpi >/dev/null
	local n at before
	before=$(wc -l <"$SIM_LOG")
	day 10 >in
	load_kpi <in >/dev/null
	n=$(($(wc -l <"$SIM_LOG") - before))
	dump >want
	((n > 8))
	for ((at = 1; at <= n; at += ${WEIR_SOAK:-0} ? 1 : 3)); do
		sim_stop
		rm -f .sim.faults
		fault "{\"match\":\"\",\"nth\":$((before + at)),\"do\":\"$( ((at % 2)) && echo cut || echo reset)\"}"
		start
		day 9 | load_kpi >/dev/null
		run -0 load_kpi <in
		dump | diff want - || { echo "at request $at of $n"; false; }
		[ "$(loads)" = 2 ]
	done
}

@test "kill -9 at any moment: the same command then gives one load" {
	run -0 "$ROOT/test/soak-bq-load" $((${WEIR_SOAK:-0} ? 100 : 5)) 7
	echo "$output"
}

@test "stdout full or closed: 74; what was published stays, and again is the same" {
	start
	day 10 >in
	run -74 bash -c 'bq-load "$@" --table fact_kpi_daily <in >&-' _ "${BQ[@]}"
	[ "$(loads)" = 0 ]
	run -74 bash -c 'bq-load "$@" --table fact_kpi_daily <in >/dev/full' _ "${BQ[@]}"
	run -0 --separate-stderr load_kpi <in
	[ "$(jq .unchanged <<<"$output")" = true ]
}

@test "no room for the rows: 73 or 74, and nothing is sent" {
	start
	day 10 >in
	TMPDIR=$T/nowhere run -73 load_kpi <in
	assert_output --partial 'cannot make a file for the rows'
	[ "$(loads)" = 0 ]
}

@test "a quota that is spent is 75, missing rights 77, and no secret is shown" {
	fault '{"match":"POST /upload","nth":1,"do":"status","status":403,"body":{"error":{"code":403,"message":"Quota exceeded: x","errors":[{"reason":"quotaExceeded","message":"Quota exceeded: x"}]}}}' \
		'{"match":"POST /upload","nth":2,"do":"status","status":403,"body":{"error":{"code":403,"message":"Access Denied: x","errors":[{"reason":"accessDenied","message":"Access Denied: x"}]}}}'
	start
	day 10 >in
	run -75 load_kpi <in
	run -77 load_kpi <in
	assert_output --partial 'Access Denied'
	[ "$(count batches)" = 0 ]
	run -0 load_kpi <in
}

@test "datasets deleted and made anew: the same load is a new one, its old jobs are not met" {
	local d
	start --set google_token=tok
	day 10 >in
	run -0 --separate-stderr load_kpi <in
	day 11 >in2
	run -0 --separate-stderr load_kpi <in2
	values >want
	[ "$(loads)" = 2 ]
	for d in analytics_core analytics_ops; do
		curl -sSf -X DELETE -H 'Authorization: Bearer tok' \
			"$SIM/bigquery/v2/projects/weir-test/datasets/$d?deleteContents=true"
	done
	run -78 load_kpi <in
	run -0 bql --setup
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.generation,.state,.rows]' <<<"$output")" = '[1,"published",2]' ]
	run -0 --separate-stderr load_kpi <in2
	[ "$(jq -c '[.generation,.state,.rows]' <<<"$output")" = '[2,"published",2]' ]
	values | diff want -
	[ "$(loads)" = 4 ]
	run -0 bql --verify
	# and in one call with the setup
	for d in analytics_core analytics_ops; do
		curl -sSf -X DELETE -H 'Authorization: Bearer tok' \
			"$SIM/bigquery/v2/projects/weir-test/datasets/$d?deleteContents=true"
	done
	run -0 --separate-stderr bql --setup --table fact_kpi_daily <in
	run -0 --separate-stderr bql --setup --table fact_kpi_daily <in
	assert_output --partial '"unchanged":true'
	[ "$(loads)" = 5 ]
}

@test "wrong calls end with 64 and touch nothing" {
	bq_sim
	run -64 bql
	run -64 bql --publish a --abort b
	run -64 bql --publish a --table fact_kpi_daily
	run -64 bql --table 'a;b'
	run -64 bql --table fact_kpi_daily --batch '../x'
	run -64 bql --table fact_kpi_daily --mode append
	run -64 bql --table fact_kpi_daily --key date
	run -64 bql --generation 1 --table fact_kpi_daily
	run -64 bql --setup --replay x
	[ "$(requests '')" = 0 ]
	bq-load --help | grep -q -- --quarantine
	bq-load --version | grep -q '^bq-load '
}

@test "texts that look like SQL are only texts" {
	start
	kpi "x'; DROP TABLE batches; -- \`@date" 1 | FEED="f'; --" part complete >in
	run -0 load_kpi <in
	run -0 q 'SELECT metric, feed FROM `analytics_core.fact_kpi_daily_live`'
	assert_output "{\"metric\":\"x'; DROP TABLE batches; -- \`@date\",\"feed\":\"f'; --\"}"
	run -0 bql --rollback "ga4.f'; --.2026-11-19"
	run -0 bql --verify
}
