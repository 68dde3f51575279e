#!/usr/bin/env bats
# sqlite-load: partitions become generations, and what can go wrong.

bats_require_minimum_version 1.5.0
load helper
load loader

LOADER=sqlite-load
loader() {
	sqlite-load --db w.db "$@"
}

values() {
	sqlite3 w.db 'SELECT feed || " " || metric || "=" || value || " g" ||
	    generation FROM fact_kpi_daily ORDER BY 1'
}

states() {
	sqlite3 w.db 'SELECT generation || " " || state FROM batches
	    ORDER BY batch_id, generation'
}

quality() {
	sqlite3 w.db 'SELECT quality FROM fact_kpi_daily'
}

# Every table without what is volatile, one line a row, sorted.
dump() { # FILE
	sqlite3 "$1" "SELECT 'SELECT ''' || t.name || ''', ' ||
	        group_concat('\"' || c.name || '\"') || ' FROM \"' || t.name || '\";'
	    FROM sqlite_schema t, pragma_table_info(t.name) c
	    WHERE t.type = 'table' AND t.name <> 'pipeline_runs'
	    AND c.name NOT LIKE '%\_at' ESCAPE '\' AND c.name <> 'run_id'
	    GROUP BY t.name" | sqlite3 "$1" | sort
}

# ---- loading ----

@test "a partition is published, and the receipt says so" {
	day 10 >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.verb,.table,.batch,.generation,.state,.rows,.restated,.total_success,.total_errors]' <<<"$output")" = \
		'["load","fact_kpi_daily","ga4.1.2026-11-19",1,"published",2,0,2,0]' ]
	[ "$(jq -c '.partitions[0]|[.source_system,.feed,.date,.outcome,.state,.rows,.rejected]' <<<"$output")" = \
		'["ga4","1","2026-11-19","complete","published",2,0]' ]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
}

@test "what was loaded comes back byte for byte" {
	{
		kpi a 120210123456789013
		kpi b -0.50
		kpi c 1e400
		kpi d null
		kpi e 9007199254740993
		kpi 'f \u00e9\ud83d\ude00 \" \\' 1
	} | part complete >in
	load_kpi <in >/dev/null
	sqlite-query --db w.db --omit-null num,den \
		'SELECT * FROM kpi_daily ORDER BY metric' >out
	sed -e '/@stream/d' -e 's/\\u00e9\\ud83d\\ude00/é😀/' in | diff - out
}

@test "the same partition again changes nothing, not even its number" {
	day 10 '"fetched_at":"2026-11-20T01:00:00Z"' | load_kpi >/dev/null
	dump w.db >before
	day 10 '"fetched_at":"2026-11-20T02:00:00Z"' >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.generation,.state,.unchanged,.restated]' <<<"$output")" = \
		'[1,"published",true,0]' ]
	dump w.db | diff before -
	[ "$(sqlite3 w.db 'SELECT fetched_at FROM batches')" = \
		2026-11-20T02:00:00Z ]
}

@test "another fingerprint makes a new generation of equal values" {
	claim_fingerprint
	[ "$(sqlite3 w.db 'SELECT count(*) FROM restatements')" = 0 ]
}

@test "a staged generation is not seen until it is published" {
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi --stage >receipt
	[ "$(jq -c '[.generation,.state]' receipt)" = '[2,"staged"]' ]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	run -0 --separate-stderr sqlite-load --db w.db --publish $B
	[ "$(jq -c '[.verb,.generation,.state,.restated]' <<<"$output")" = \
		'["publish",2,"published",1]' ]
	run -0 values
	assert_output $'1 events=11 g2\n1 users=5 g2'
}

@test "staging again replaces what was staged, under the same number" {
	day 10 | load_kpi --stage >/dev/null
	day 12 | load_kpi --stage >receipt
	[ "$(jq .generation receipt)" = 1 ]
	[ "$(sqlite3 w.db 'SELECT count(*), max(value) FROM fact_kpi_daily_rows')" = '2|5' ]
	run -0 states
	assert_output '1 staged'
}

@test "publishing twice changes nothing and logs nothing twice" {
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi --stage >/dev/null
	sqlite-load --db w.db --publish $B >/dev/null
	dump w.db >before
	run -0 --separate-stderr sqlite-load --db w.db --publish $B
	[ "$(jq -c '[.state,.unchanged]' <<<"$output")" = '["published",true]' ]
	dump w.db | diff before -
}

@test "abort forgets what was staged, twice is no error" {
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi --stage >/dev/null
	run -0 sqlite-load --db w.db --abort $B
	run -0 sqlite-load --db w.db --abort $B
	[ "$(sqlite3 w.db 'SELECT count(*) FROM fact_kpi_daily_rows')" = 2 ]
	run -0 states
	assert_output $'1 published\n2 aborted'
	day 12 | load_kpi >/dev/null
	run -0 states
	assert_output $'1 replaced\n2 published'
}

@test "rollback makes the replaced generation visible again and keeps the rows" {
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi >/dev/null
	run -0 --separate-stderr sqlite-load --db w.db --rollback $B --reason wrong
	[ "$(jq -c '[.generation,.state,.restated]' <<<"$output")" = \
		'[2,"rolled_back",1]' ]
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	[ "$(sqlite3 w.db "SELECT count(*) FROM fact_kpi_daily_all
	    WHERE state = 'rolled_back' AND deleted_at IS NOT NULL")" = 2 ]
	[ "$(sqlite3 w.db 'SELECT reason FROM batches WHERE generation = 2')" = wrong ]
	# the number of a generation that was seen is never given again
	day 11 | load_kpi >receipt
	[ "$(jq .generation receipt)" = 3 ]
}

@test "rollback of the only generation leaves nothing visible; twice is once" {
	day 10 | load_kpi >/dev/null
	sqlite-load --db w.db --rollback $B >/dev/null
	dump w.db >before
	run -0 sqlite-load --db w.db --rollback $B
	dump w.db | diff before -
	run -0 values
	assert_output ""
	run -0 sqlite3 w.db 'SELECT metric, old_value, new_value IS NULL, cause
	    FROM restatements ORDER BY 1'
	assert_output $'events|10|1|rollback\nusers|5|1|rollback'
}

@test "a repeated rollback with --generation takes back one and not two" {
	claim_rollback_one
}

@test "quarantine keeps the rows unseen, with the reason; the same again reuses the number" {
	day 10 | load_kpi >/dev/null
	day 99 | load_kpi --stage --fingerprint ff >/dev/null
	run -64 sqlite-load --db w.db --quarantine $B
	run -0 sqlite-load --db w.db --quarantine $B --reason 'floor: events'
	run -0 sqlite-load --db w.db --quarantine $B --reason 'floor: events'
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	[ "$(sqlite3 w.db 'SELECT generation, rows, reason FROM quarantine')" = \
		'2|2|floor: events' ]
	run -65 sqlite-load --db w.db --publish $B
	assert_output --partial 'nothing to publish: generation 2 is quarantined'
	day 99 | load_kpi --stage --fingerprint ff >receipt
	[ "$(jq .generation receipt)" = 2 ]
	day 98 | load_kpi --stage --fingerprint ee >receipt
	[ "$(jq .generation receipt)" = 2 ]
}

@test "a batch that is not there: publish and rollback 65, abort 0" {
	sqlite-load --db w.db --setup >/dev/null
	run -65 sqlite-load --db w.db --publish x
	assert_output --partial 'sqlite-load: x: there is no such batch'
	run -65 sqlite-load --db w.db --rollback x
	run -65 sqlite-load --db w.db --quarantine x --reason y
	run -0 sqlite-load --db w.db --abort x
}

# ---- restatements ----

@test "each value that changed is logged once, with both values and the age" {
	{ kpi a 1; kpi b 1.50; kpi c 3; kpi gone 4; kpi n null; } |
		part complete '"fetched_at":"2026-11-20T22:30:00Z"' | load_kpi >/dev/null
	{ kpi a 2; kpi b 1.5; kpi c 3.0; kpi new 5; kpi n null; } |
		part complete '"fetched_at":"2026-11-21T23:30:00Z"' >in
	load_kpi <in >receipt
	[ "$(jq .restated receipt)" = 3 ]
	load_kpi <in >/dev/null
	run -0 sqlite3 -nullvalue - w.db 'SELECT metric, old_value, new_value,
	    old_generation, new_generation, age_days FROM restatements ORDER BY 1'
	# 23:30 UTC is already the 22nd in Stockholm
	assert_output $'a|1|2|1|2|3\ngone|4|-|1|2|3\nnew|-|5|1|2|3'
}

@test "a first publication restates nothing, nor do equal values" {
	day 10 | load_kpi >/dev/null
	day 10.0 | load_kpi >/dev/null
	[ "$(sqlite3 w.db 'SELECT count(*) FROM restatements')" = 0 ]
	run -0 states
	assert_output $'1 replaced\n2 published'
}

# ---- outcomes ----

@test "not_ready touches nothing and ends with 4" {
	day 10 | load_kpi >/dev/null
	dump w.db >before
	part not_ready </dev/null >in
	run -4 --separate-stderr load_kpi <in
	[ "$(jq -c '[.state,.rows,.total_errors]' <<<"$output")" = '["not_ready",0,0]' ]
	dump w.db | diff before -
}

@test "failed touches nothing and ends with 3; the next partition is loaded" {
	{
		END='"class":"auth","reason":"expired"' part failed </dev/null
		FEED=2 day 7
	} >in
	run -3 --separate-stderr load_kpi <in
	[ "$(jq -c '[.partitions[]|[.feed,.state,.reason]]' <<<"$output")" = \
		'[["1","failed","expired"],["2","published",null]]' ]
	run -0 values
	assert_output $'2 events=7 g1\n2 users=5 g1'
}

@test "empty over rows is refused without --allow-empty" {
	day 10 | load_kpi >/dev/null
	dump w.db >before
	part empty </dev/null >in
	run -65 load_kpi <in
	assert_output --partial 'see --allow-empty'
	run -65 load_kpi --stage <in
	dump w.db | diff before -
	run -0 load_kpi --allow-empty <in
	run -0 values
	assert_output ""
	[ "$(sqlite3 w.db 'SELECT count(*) FROM restatements WHERE new_value IS NULL')" = 2 ]
}

@test "a complete partition without rows counts as empty" {
	day 10 | load_kpi >/dev/null
	part complete </dev/null >in
	run -65 load_kpi <in
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
}

@test "an empty partition alone is published; rows may replace it" {
	part empty </dev/null >in
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.state,.rows]' <<<"$output")" = '["published",0]' ]
	day 10 >in
	run -0 load_kpi <in
}

@test "partial is staged, marked, published only when allowed, never over a complete one" {
	claim_partial
}

@test "rejects on the way stop the publication, up to --max-rejects" {
	claim_rejects
}

@test "fetched earlier than the visible one is refused without --force" {
	claim_earlier
}

@test "while frozen a partition is staged, not published" {
	sqlite-load --db w.db --setup >/dev/null
	echo '{"source_system":"ga4","reason":"backfill gates"}' |
		sqlite-load --db w.db --table freezes >/dev/null
	day 10 >in
	run -75 load_kpi <in
	assert_output --partial "not published: frozen, 'backfill gates'"
	run -0 states
	assert_output '1 staged'
	sqlite-query --db w.db --write 'DELETE FROM freezes'
	run -0 sqlite-load --db w.db --publish $B
}

@test "a truncated partition is not loaded and ends with 66; others are" {
	claim_truncated
}

@test "with --batch the stream is all or nothing" {
	{ FEED=1 day 1; FEED=2 DATE=2026-11-18 day 2 | sed 's/19/18/g'; } >good
	{ cat good; FEED=3 day 3 | head -2; } >cut
	run -66 load_kpi --batch b1 <cut
	run -0 values
	assert_output ""
	{ cat good; FEED=3 part not_ready </dev/null; } >waits
	run -4 --separate-stderr load_kpi --batch b1 <waits
	[ "$(jq -c '[.partitions[].state]' <<<"$output")" = '["refused","refused","not_ready"]' ]
	run -0 values
	assert_output ""
	run -0 --separate-stderr load_kpi --batch b1 --stage <good
	[ "$(jq -c '[.batch,.generation,.state,.rows]' <<<"$output")" = '["b1",1,"staged",4]' ]
	run -0 sqlite-load --db w.db --publish b1
	run -0 load_kpi --batch b1 <good
	run -0 sqlite-load --db w.db --rollback b1
	run -0 values
	assert_output ""
}

@test "rollback of a batch takes back what it shows, and what it replaced returns" {
	claim_rollback_batch
}

# ---- what a partition may hold ----

@test "a record of another date or source is named and refused" {
	claim_other_place
}

@test "a key of another feed is refused, naming both" {
	day 10 | load_kpi >/dev/null
	{ kpi events 7; kpi mine 1; } | FEED=2 part complete >in
	run -65 load_kpi <in
	assert_output --partial "feed '2' has a key that feed '1' has too (batch $B)"
	{ FEED=3 day 1; FEED=4 day 1; } | sed s/flocken/x/ >in
	run -65 load_kpi --batch b <in
	assert_output --partial "feed '4' has a key that feed '3' has too"
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
}

@test "staged side by side, the second of two feeds with one key is not published" {
	FEED=1 day 1 | load_kpi --stage >/dev/null
	FEED=2 day 2 | load_kpi --stage >/dev/null
	run -0 sqlite-load --db w.db --publish $B
	run -65 sqlite-load --db w.db --publish ga4.2.2026-11-19
	run -0 values
	assert_output $'1 events=1 g1\n1 users=5 g1'
}

@test "only the partition is replaced" {
	claim_only_partition
}

@test "a key twice is refused; --mode upsert lets the last win and keeps the rest" {
	{ kpi a 1; kpi a 2; } | part complete >twice
	run -65 load_kpi <twice
	assert_output --partial 'sqlite-load: -:3:1: its key is there already'
	day 10 | load_kpi >/dev/null
	run -0 load_kpi --mode upsert <twice
	run -0 values
	assert_output $'1 a=2 g2\n1 events=10 g2\n1 users=5 g2'
	run -65 load_kpi --mode append <twice
	kpi b 3 | part complete | load_kpi --mode append >/dev/null
	run -0 values
	assert_output $'1 a=2 g3\n1 b=3 g3\n1 events=10 g3\n1 users=5 g3'
	day 1 >in
	run -65 load_kpi --mode append <in
	assert_output --partial 'a key is there already'
	run -64 load_kpi --mode ignore <in
}

@test "members that are missing, unknown, twice or of the wrong type are refused" {
	refuse() { # SED TEXT
		kpi a 1 | sed "$1" | part complete >in
		run -65 load_kpi <in
		assert_output --partial "sqlite-load: -:2:"
		assert_output --partial "$2"
	}
	refuse 's/"metric":"a",//' "'metric': is missing"
	refuse 's/"value":1/"value":"1"/' "'value': not a number"
	refuse 's/"value":1/"value":true/' "'value': not a number"
	refuse 's/"value":1/"value":1,"extra":2/' "'extra': the table has no such column"
	refuse 's/"value":1/"value":1,"\\u0076alue":2/' "'value': comes twice"
	refuse 's/"unit":"count"/"unit":5/' "'unit': not a text"
	refuse 's/"unit":"count"/"unit":"a\\u0000b"/' 'u0000'
	refuse 's/"metric":"a"/"metric":null/' "'metric': is null"
	refuse 's/"value":1/"value":1,"generation":4/' "'generation': is given by the loader"
	run -0 values
	assert_output ""
}

@test "bad lines: the first ends the run with 65, with --rejects they are kept" {
	claim_bad_lines
}

@test "a piece of an aggregation is refused" {
	day 10 '"kind":"kpi-partial"' >in
	run -65 load_kpi <in
	assert_output --partial 'kpi-agg --merge'
}

@test "plain input: 66 without --plain and the partition, and 66 when empty" {
	claim_plain
}

@test "gzip, a last line without newline, files: the same" {
	day 10 >in
	gzip -k in
	printf %s "$(cat in)" >cut.in
	load_kpi in.gz >/dev/null && dump w.db >a
	rm -f w.db*
	load_kpi cut.in >/dev/null && dump w.db | diff a -
	run -66 load_kpi nowhere.in
}

@test "lineage keeps what a generation was made of" {
	day 10 '"input_sha256":"aa","kpis_sha256":"bb","salt_version":3' |
		load_kpi --fingerprint cc >/dev/null
	run -0 sqlite3 w.db 'SELECT kind, ref FROM lineage ORDER BY 1'
	assert_output $'input|aa\nkpis|bb\nsalt_version|3'
	[ "$(sqlite3 w.db 'SELECT input_sha256, fingerprint FROM batches')" = 'aa|cc' ]
}

# ---- other tables ----

@test "pipeline_runs takes run records, by key, the rest in extra" {
	r='{"run_id":"r1","pipeline":"ga4-daily","source_system":"ga4","start_time":"2026-11-20T03:00:00Z","end_time":"2026-11-20T03:01:00Z","status":"success","records_written":7,"error_message":null,"seconds":60.5,"counts":{"a":1},"host":"h"}'
	echo "$r" | sqlite-load --db w.db --table pipeline_runs >receipt
	[ "$(jq -c '[.state,.rows,.batch]' receipt)" = '["loaded",1,null]' ]
	echo "${r/success/failed}" | sqlite-load --db w.db --table pipeline_runs >/dev/null
	run -0 sqlite-query --db w.db 'SELECT status, seconds, records_written, extra FROM pipeline_runs'
	assert_output '{"status":"failed","seconds":60.5,"records_written":7,"extra":{"counts":{"a":1},"host":"h"}}'
	echo "${r/success/good}" >in
	run -65 sqlite-load --db w.db --table pipeline_runs <in
	assert_output --partial 'the table refuses it'
	run -66 sqlite-load --db w.db --table pipeline_runs </dev/null
}

@test "--create makes a table of the records' members, exact to the digit" {
	cat >in <<-'X'
	{"id":1,"name":"a","amount":1.10,"ok":true,"tags":[1,{"b":"c"}],"n":9223372036854775807}
	{"id":2,"name":null,"amount":12345678901234567890.5,"ok":false,"tags":{"x":1e3},"n":-9223372036854775808}
	X
	run -0 sqlite-load --db w.db --table things --create --key id <in
	sqlite-query --db w.db 'SELECT * FROM things ORDER BY id' | diff in -
	echo '{"id":1,"name":"z","amount":2,"ok":true,"tags":[],"n":0}' |
		sqlite-load --db w.db --table things --mode ignore >/dev/null
	[ "$(sqlite3 w.db 'SELECT name FROM things WHERE id = 1')" = a ]
	echo '{"id":1,"name":"z","amount":2,"ok":true,"tags":[],"n":0}' |
		sqlite-load --db w.db --table things >/dev/null
	[ "$(sqlite3 w.db 'SELECT name, count(*) OVER () FROM things WHERE id = 1')" = 'z|1' ]
	echo '{"id":3,"n":9223372036854775808}' >in
	run -65 sqlite-load --db w.db --table things <in
	assert_output --partial "'n': not an integer of 64 bits"
	echo '{"id":1}' >in
	run -65 sqlite-load --db w.db --table things --mode append <in
	run -66 sqlite-load --db w.db --table things --mode replace <in
	run -0 sqlite-load --db w.db --table things --mode replace --plain <in
	[ "$(sqlite3 w.db 'SELECT count(*) FROM things')" = 1 ]
	run -65 sqlite-load --db w.db --table other <in
	run -64 sqlite-load --db w.db --table things --batch b <in
	run -65 sqlite-load --db w.db --table batches <in
	run -65 sqlite-load --db w.db --table fact_kpi_daily_rows <in
}

@test "--create --versioned puts a table under batch rules" {
	rows() { printf '{"event_id":"a:%s","v":1}\n' "$@"; }
	rows 1 2 3 | part complete >in
	run -0 sqlite-load --db w.db --table events --create --versioned --key event_id <in
	rows 2 3 4 5 | part complete | sqlite-load --db w.db --table events >/dev/null
	[ "$(sqlite3 w.db 'SELECT count(*) FROM events')" = 4 ]
	run -0 sqlite-load --db w.db --rollback $B
	[ "$(sqlite3 w.db 'SELECT group_concat(event_id) FROM events')" = 'a:1,a:2,a:3' ]
	rows 3 | FEED=2 part complete >in
	run -65 sqlite-load --db w.db --table events <in
	assert_output --partial 'has a key that feed'
	run -0 sqlite-load --db w.db --verify
}

@test "--foreign loads into a database of the user's own" {
	sqlite3 mine.db 'CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL, s)'
	echo '{"id":1,"x":0.1,"s":"a"}' >in
	run -65 sqlite-load --db mine.db --table t <in
	assert_output --partial 'not a warehouse of weir (see --foreign)'
	run -0 sqlite-load --db mine.db --foreign --table t <in
	[ "$(sqlite3 mine.db 'SELECT * FROM t')" = '1|0.1|a' ]
	run -0 sqlite-load --db new.db --foreign --table t --create <in
	[ "$(sqlite3 new.db '.tables')" = t ]
	sqlite-query --db new.db "SELECT * FROM t" | diff in -
	echo '{"id":1,"x":1e400}' >in
	run -65 sqlite-load --db mine.db --foreign --table t <in
}

@test "dim_apps comes from the configuration" {
	run -0 sqlite-load --db w.db --setup --apps "$ROOT/conf/apps.jq"
	[ "$(sqlite3 w.db "SELECT name, time_zone, currency FROM dim_apps
	    WHERE app_id = 'flocken'")" = 'Flocken|Europe/Stockholm|SEK' ]
	dump w.db >a
	run -0 sqlite-load --db w.db --setup --apps "$ROOT/conf/apps.jq"
	dump w.db | diff a -
	echo '{"apps":[{"name":"x"}]}' >bad.jq
	run -78 sqlite-load --db w.db --setup --apps bad.jq
	dump w.db | diff a -
}

# ---- faults ----

@test "kill -9 at every write and sync: the same command then gives one load" {
	day 10 | load_kpi >/dev/null
	cp w.db start.db
	day 11 >in
	load_kpi <in >/dev/null
	dump w.db >want
	local n i
	n=$(fault_calls any sqlite-load --db w.db --table fact_kpi_daily <in)
	for ((i = 1; i <= n + 3; i++)); do
		rm -f w.db*
		cp start.db w.db
		with_fault "any:$i:KILL" sqlite-load --db w.db \
			--table fact_kpi_daily <in >/dev/null 2>&1 || true
		load_kpi <in >/dev/null
		dump w.db | diff want - || { echo "at call $i of $n"; false; }
	done
	((n > 10))
}

@test "kill -9 while the database is made: the same command makes it" {
	day 10 >in
	load_kpi <in >/dev/null
	dump w.db >want
	local n i
	rm -f w.db*
	n=$(fault_calls any sqlite-load --db w.db --table fact_kpi_daily <in)
	for ((i = 1; i <= n; i++)); do
		rm -f w.db*
		with_fault "any:$i:KILL" sqlite-load --db w.db \
			--table fact_kpi_daily <in >/dev/null 2>&1 || true
		load_kpi <in >/dev/null
		dump w.db | diff want - || { echo "at call $i of $n"; false; }
	done
}

@test "kill -9 in publish, rollback and abort: the same command ends it" {
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi --stage >/dev/null
	cp w.db staged.db
	sqlite-load --db w.db --publish $B >/dev/null
	cp w.db published.db
	local from verb n i
	for verb in publish abort rollback; do
		from=staged.db
		[[ $verb != rollback ]] || from=published.db
		verb_on() {
			sqlite-load --db w.db "--$verb" $B --generation 2
		}
		rm -f w.db*
		cp $from w.db
		n=$(fault_calls any sqlite-load --db w.db "--$verb" $B --generation 2)
		rm -f w.db*
		cp $from w.db
		verb_on >/dev/null
		dump w.db >want
		for ((i = 1; i <= n; i += 2)); do
			rm -f w.db*
			cp $from w.db
			with_fault "any:$i:KILL" sqlite-load --db w.db \
				"--$verb" $B --generation 2 >/dev/null 2>&1 || true
			verb_on >/dev/null
			dump w.db | diff want - || { echo "$verb at $i of $n"; false; }
		done
	done
}

@test "ENOSPC and EIO at each write and sync: 74 or 73, and the old data stays" {
	day 10 | load_kpi >/dev/null
	cp w.db start.db
	dump w.db >old
	day 11 >in
	load_kpi <in >/dev/null
	dump w.db >new
	local call err n i s
	for call in pwrite fsync fdatasync ftruncate; do
		rm -f w.db*
		cp start.db w.db
		n=$(fault_calls $call sqlite-load --db w.db --table fact_kpi_daily <in)
		for err in ENOSPC EIO; do
			for ((i = 1; i <= n; i++)); do
				rm -f w.db*
				cp start.db w.db
				s=0
				with_fault "$call:$i+:$err" sqlite-load --db w.db \
					--table fact_kpi_daily <in >out 2>err || s=$?
				# what fails after the commit harms nothing
				case $s in
				0) dump w.db | diff -q new - ;;
				73 | 74) dump w.db | diff -q old - || dump w.db | diff -q new - ;;
				*) cat err; echo "$call $i $err: $s"; false ;;
				esac
				load_kpi <in >/dev/null
				dump w.db | diff new -
			done
		done
	done
}

@test "no memory at any allocation: 71 and the old data, no crash" {
	skip_if_san
	day 10 | load_kpi >/dev/null
	cp w.db start.db
	dump w.db >old
	day 11 >in
	local n i s
	n=$(fault_calls malloc sqlite-load --db w.db --table fact_kpi_daily <in)
	rm -f w.db*
	cp start.db w.db
	load_kpi <in >/dev/null
	dump w.db >new
	for ((i = 1; i <= n; i += 1 + n / 60)); do
		rm -f w.db*
		cp start.db w.db
		s=0
		with_fault "malloc:$i+:ENOMEM" sqlite-load --db w.db \
			--table fact_kpi_daily <in >out 2>err || s=$?
		((s == 71)) || { cat err; echo "allocation $i of $n: $s"; false; }
		dump w.db | diff -q old - || dump w.db | diff new -
	done
}

@test "a full disk: 74, and with room again the same command completes" {
	day 10 | load_kpi >/dev/null
	seq 20000 | jq -c '{date:"2026-11-19",app_id:"a",platform:"web",source_system:"ga4",metric:"m\(.)",segment:"",value:.}' |
		part complete >in
	run -74 bash -c 'ulimit -f 256; trap "" XFSZ; exec sqlite-load --db w.db --table fact_kpi_daily <in'
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	run -0 load_kpi --quiet <in
	[ "$(sqlite3 w.db 'SELECT count(*) FROM fact_kpi_daily')" = 20000 ]
}

@test "two loaders at once: both land; without waiting the second gets 75" {
	sqlite-load --db w.db --setup >/dev/null
	local i
	for i in 1 2 3 4 5 6; do
		FEED=$i day "$i" | sed "s/flocken/app$i/" >in$i
		load_kpi <in$i >/dev/null &
	done
	wait
	[ "$(sqlite3 w.db 'SELECT count(*), count(DISTINCT feed) FROM fact_kpi_daily')" = '12|6' ]
	sqlite3 w.db <<-X &
	BEGIN IMMEDIATE;
	.shell touch held; sleep 1
	X
	while [[ ! -e held ]]; do sleep 0.02; done
	FEED=7 day 7 | sed s/flocken/app7/ >in7
	run -75 load_kpi --wait 0 <in7
	assert_output --partial 'another process holds the lock, waited 0 s'
	run -0 load_kpi --wait 20 <in7
	wait
}

@test "several make the database at once: one file, all rows" {
	local i
	for i in 1 2 3 4 5; do
		FEED=$i day "$i" | sed "s/flocken/app$i/" | load_kpi >/dev/null &
	done
	wait
	[ "$(sqlite3 w.db 'SELECT count(*) FROM fact_kpi_daily')" = 10 ]
	[ -z "$(find . -name '.tmp-*')" ]
}

@test "a damaged database is refused with 65, whatever was done to it" {
	local i
	for ((i = 1; i <= 60; i++)); do
		kpi "metric_$i" "$i"
	done | part complete >in
	load_kpi <in >/dev/null
	cp w.db good.db
	local size at
	size=$(size_of good.db)
	refused() {
		rm -f w.db-wal w.db-shm
		run -65 load_kpi <in
		assert_output --partial 'sqlite-load: w.db: '
		run -65 sqlite-query --db w.db 'SELECT 1'
	}
	: >w.db && refused
	head -c 100 good.db >w.db && refused
	head -c 4096 good.db >w.db && refused
	head -c $((size - 1)) good.db >w.db && refused
	head -c "$size" /dev/zero >w.db && refused
	head -c "$size" /dev/urandom >w.db && refused
	for ((at = 4096; at < size; at += 4096)); do # each page zeroed
		cp good.db w.db
		head -c 4096 /dev/zero | dd of=w.db bs=4096 seek=$((at / 4096)) \
			conv=notrunc status=none
		refused
	done
	cp good.db w.db
	sqlite3 w.db 'DROP TABLE lineage'
	refused
	cp good.db w.db
	sqlite3 w.db 'PRAGMA user_version = 2'
	run -65 load_kpi <in
	assert_output --partial 'schema version 2, this program knows 1'
}

@test "bit flips are noticed at the latest by --verify, and never crash" {
	local i at size s
	for ((i = 1; i <= 60; i++)); do
		kpi "metric_$i" "$i"
	done | part complete >in
	load_kpi <in >/dev/null
	sqlite3 w.db "UPDATE fact_kpi_daily_rows SET value = '7' WHERE metric = 'metric_3'"
	run -65 sqlite-load --db w.db --verify
	assert_output --partial 'its rows are not those that were staged'
	rm -f w.db*
	load_kpi <in >/dev/null
	sqlite3 w.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	cp w.db good.db
	dump good.db >good
	size=$(size_of good.db)
	RANDOM=7
	for ((i = 0; i < 40; i++)); do
		rm -f w.db*
		cp good.db w.db
		at=$(((RANDOM * 32768 + RANDOM) % size))
		dd if=good.db bs=1 skip=$at count=1 status=none |
			tr '\000-\377' '\001-\377\000' |
			dd of=w.db bs=1 seek=$at conv=notrunc status=none
		s=0
		sqlite-load --db w.db --verify >/dev/null 2>err || s=$?
		((s == 0 || s == 65)) || { cat err; echo "byte $at: $s"; false; }
		# accepted: then no value may differ
		((s == 65)) || [ "$(sqlite3 w.db 'SELECT metric, value FROM fact_kpi_daily')" = \
			"$(sqlite3 good.db 'SELECT metric, value FROM fact_kpi_daily')" ]
	done
}

@test "a link, a directory, a FIFO, a missing or read-only directory: 73" {
	day 10 >in
	ln -s x.db link.db
	run -73 sqlite-load --db link.db --table fact_kpi_daily <in
	[ ! -e x.db ]
	mkdir d.db && run -73 sqlite-load --db d.db --table fact_kpi_daily <in
	mkfifo f.db && run -73 sqlite-load --db f.db --table fact_kpi_daily <in
	run -73 sqlite-load --db no/such/w.db --table fact_kpi_daily <in
	run -0 sqlite-load --db one/w.db --table fact_kpi_daily <in
	[ "$(stat -c '%a %n' one one/w.db | tr '\n' ' ')" = '700 one 600 one/w.db ' ]
	chmod 777 . && as_nobody mkdir ro
	as_nobody chmod 500 ro
	run -73 as_nobody sqlite-load --db ro/w.db --table fact_kpi_daily <in
	run -66 load_kpi --require-state <in
}

@test "a journal without its database is not played into a new one" {
	day 10 | load_kpi >/dev/null
	sqlite3 w.db 'BEGIN IMMEDIATE; UPDATE freezes SET reason = 1; COMMIT' >/dev/null
	rm w.db && echo junk >w.db-wal
	day 10 >in
	run -65 load_kpi <in
	assert_output --partial 'a journal without its database'
}

@test "stdout full or closed: 74; what was published stays, and again is the same" {
	day 10 >in
	run -74 bash -c 'sqlite-load --db w.db --table fact_kpi_daily <in >/dev/full'
	run -0 --separate-stderr load_kpi <in
	[ "$(jq -c '[.generation,.unchanged]' <<<"$output")" = '[1,true]' ]
	run -74 bash -c 'sqlite-load --db c.db --table fact_kpi_daily <in >&-'
	[ ! -e c.db ]
}

@test "SIGTERM in the middle of a partition: nothing of it is kept" {
	mkfifo pipe
	sqlite-load --db w.db --table fact_kpi_daily <pipe >out 2>err &
	local pid=$!
	exec 9>pipe
	day 10 | head -2 >&9
	sleep 0.3
	kill -TERM $pid
	local s=0
	wait $pid || s=$?
	exec 9>&-
	((s == 143))
	[ "$(sqlite3 w.db 'SELECT count(*) FROM fact_kpi_daily_rows')" = 0 ]
}

@test "wrong calls end with 64 and touch nothing" {
	run -64 sqlite-load --db w.db
	run -64 sqlite-load --table fact_kpi_daily
	run -64 sqlite-load --db w.db --publish a --abort b
	run -64 sqlite-load --db w.db --table 'x; drop' --plain
	run -64 sqlite-load --db w.db --table fact_kpi_daily --batch ../x
	run -64 sqlite-load --db w.db --table fact_kpi_daily --mode merge
	run -64 sqlite-load --db w.db --publish a x
	run -64 sqlite-load --db w.db --table t --fingerprint "a'b"
	[ ! -e w.db ]
}

@test "texts that look like SQL are only texts" {
	kpi "x'); DROP TABLE batches; --" 1 "2026-11-19" "a' OR '1'='1" |
		FEED="f'; DROP TABLE meta; --" part complete | load_kpi >/dev/null
	[ "$(sqlite3 w.db 'SELECT count(*) FROM fact_kpi_daily')" = 1 ]
	run -0 sqlite-load --db w.db --rollback "ga4.f'; DROP TABLE meta; --.2026-11-19"
	run -0 sqlite-load --db w.db --verify
}
