#!/usr/bin/env bats
# ndjson-dedup: keys, order, the store and its batches.

bats_require_minimum_version 1.5.0
load helper

unit() {
	"$WEIR_B/test/unit/fpset" "$@"
}

# ids FROM TO [DAYS]: a record for each number, in our own form of event id.
ids() {
	mawk -v a="$1" -v b="$2" -v days="${3:-3}" 'BEGIN {
		for (i = a; i <= b; i++)
			printf "{\"event_id\":\"app:202601%02d120000000:%064x\",\"n\":%d}\n",
				1 + i % days, i, i
	}'
}

d() {
	ndjson-dedup --key event_id "$@"
}

begin='{"@stream":"begin","v":1,"source_system":"app","feed":"f","date":"2026-01-01"}'
part() { # OUTCOME < records
	local text
	text=$(cat)
	printf '%s\n' "$begin"
	[[ -z $text ]] || printf '%s\n' "$text"
	printf '{"@stream":"end","records":%d,"outcome":"%s"}\n' \
		"$([[ -z $text ]] && echo 0 || wc -l <<<"$text")" "$1"
}

# --- the set of fingerprints --------------------------------------------------

@test "fpset: three million adds agree with sorting, removals too" {
	run -0 unit adds
}

@test "fpset: equal halves, the ends of the range and zero are right" {
	run -0 unit collide
}

@test "fpset: eight times the ids take about eight times the time" {
	[[ -z ${SAN:-} ]] || skip "times mean nothing under a sanitizer"
	run -0 unit timing
}

@test "fpset: under 40 bytes a member from a million up" {
	[[ -z ${SAN:-} ]] || skip "the sanitizer takes memory of its own"
	run -0 unit memory
}

@test "fpset: the secret counts for keys of every length" {
	run -0 unit secret
}

@test "fpset: words stay with their members while it grows" {
	unit words
}

@test "fpset: a limit of memory is kept, and what was added stays" {
	run -0 unit limit
}

# --- keys ---------------------------------------------------------------------

@test "keeps the first of each key in the order of the input, byte for byte" {
	{ ids 1 500; ids 200 900; ids 1 3; } >in
	d <in >out
	awk -F'"' '!s[$4]++' in | cmp - out
	printf '%s\n' ' {"n" : 1.50e1, "event_id":"\u0061", "x":[ ]} ' \
		'{"event_id":"a"}' '' '{"event_id":"b"}' >in
	run -0 d in
	assert_output '{"n" : 1.50e1, "event_id":"\u0061", "x":[ ]}
{"event_id":"b"}'
}

@test "a key with escapes equals the one without" {
	printf '%s\n' '{"k":"a/b\n"}' '{"k":"\u0061\/b\u000a"}' \
		'{"\u006b":"a\u002fb\n"}' '{"k":"🐑"}' '{"k":"\ud83d\udc11"}' >in
	run -0 ndjson-dedup --key k in
	assert_output '{"k":"a/b\n"}
{"k":"🐑"}'
}

@test "the string 1, the number 1 and true differ; 1.0 is 1, digits are exact" {
	printf '%s\n' '{"k":"1"}' '{"k":1}' '{"k":1.0}' '{"k":10e-1}' \
		'{"k":true}' '{"k":"true"}' '{"k":false}' '{"k":true}' \
		'{"k":9007199254740993}' '{"k":9007199254740992}' \
		'{"k":-0}' '{"k":0}' '{"k":1e400}' '{"k":1e401}' >in
	run -0 ndjson-dedup --key k in
	assert_output '{"k":"1"}
{"k":1}
{"k":true}
{"k":"true"}
{"k":false}
{"k":9007199254740993}
{"k":9007199254740992}
{"k":-0}
{"k":1e400}
{"k":1e401}'
}

@test "keys of several paths are not confused, and their order counts" {
	printf '%s\n' '{"a":"a","b":{"c":"bc"}}' '{"a":"ab","b":{"c":"c"}}' \
		'{"a":"bc","b":{"c":"a"}}' '{"b":{"c":"bc"},"a":"\u0061"}' \
		'{"a":"a,","b":{"c":"bc"}}' '{"a":"a","b":{"c":",bc"}}' >in
	ndjson-dedup --key a,b.c in >one
	ndjson-dedup --key a --key b.c in >two
	cmp one two
	sed 4d in | cmp - one
	run -64 ndjson-dedup --key a,a in
	run -64 ndjson-dedup --key 'a..b' in
	run -64 ndjson-dedup in
	printf '%s\n' '{"p":[{"key":"x,y","v":1}]}' '{"p":[{"key":"x,y","v":1}]}' >in
	run -0 ndjson-dedup --key 'p[key="x,y"].v' in
	[ "${#lines[@]}" = 1 ]
}

@test "a key that is missing, null, empty, no scalar or twice is named" {
	local bad why
	while IFS='|' read -r bad why; do
		printf '%s\n' '{"k":1}' "$bad" '{"k":2}' >in
		run -65 --separate-stderr ndjson-dedup --key k <in
		assert_output '{"k":1}'
		[ "$stderr" = "ndjson-dedup: -:2:$why" ]
		run -3 --separate-stderr ndjson-dedup --key k --rejects dead <in
		assert_output '{"k":1}
{"k":2}'
		[ "$(cat dead)" = "$bad" ]
		rm -f dead dead.why
	done <<-'END'
	{"x":1}|1: key k is missing
	{"k":null}|6: key k is null
	{"k":""}|6: key k is empty
	{"k":[1]}|6: key k is an array
	{"x":0,"k":{}}|12: key k is an object
	{"k":1,"k":1}|6: key k stands twice
	{"k":1,"\u006b":2}|6: key k stands twice
	END
}

@test "empty input, no last newline, NUL, bad UTF-8, a line over the ceiling" {
	run -0 d </dev/null
	assert_output ""
	printf '{"event_id":"a"}\n{"event_id":"b"}' >in
	run -0 d in
	assert_output '{"event_id":"a"}
{"event_id":"b"}'
	printf '{"event_id":"a"}\n{"event_id":"\0"}\n' >in
	run -65 --separate-stderr d in
	[[ $stderr == "ndjson-dedup: in:2:14: "* ]]
	printf '{"event_id":"a"}\n{"event_id":"\xff"}\n' >in
	run -65 --separate-stderr d in
	[[ $stderr == "ndjson-dedup: in:2:14: "* ]]
	{ ids 1 2; printf '{"event_id":"%05000d"}\n' 1; ids 3 4; } >in
	run -65 --separate-stderr d --max-line 1000 in
	[ "${#lines[@]}" = 2 ]
	run -3 --separate-stderr d --max-line 1000 --rejects dead in
	[ "${#lines[@]}" = 4 ]
}

@test "--last keeps the last of each key, in the order of the input" {
	{ ids 1 300; ids 100 400; ids 7 9; } >in
	d --last in >out
	tac in | awk -F'"' '!s[$4]++' | tac | cmp - out
	run -64 d --last --across in
	run -71 --separate-stderr d --last --max-memory 64K in
	[[ $stderr == "ndjson-dedup: --max-memory: "* ]]
}

@test "each partition is a scope of its own, --across has one" {
	{ ids 1 3 | part complete; ids 2 4 | part complete; } >in
	run -0 d in
	[ "$(grep -c event_id <<<"$output")" = 6 ]
	d --across in >out
	[ "$(grep -c event_id out)" = 4 ]
	ndjson-part --check <out
	[ "$(tail -n 1 out | jq -c '[.records, .outcome]')" = '[1,"complete"]' ]
	{ ids 1 3 | part complete; ids 2 4 | part complete; } |
		d --last | grep -c event_id | grep -qx 6
}

@test "--across: what a failed or truncated partition brought is not seen" {
	{ ids 1 3 | part failed; ids 2 4 | part complete; } >in
	run -0 --separate-stderr d --across in
	[ "$(grep -c event_id <<<"$output")" = 6 ]
	{ printf '%s\n' "$begin"; ids 1 3; ids 2 4 | part complete; } >in
	run -66 --separate-stderr d --across in
	[ "$(grep -c event_id <<<"$output")" = 6 ]
}

@test "a truncated partition gets no end, with --last no records either" {
	{ printf '%s\n' "$begin"; ids 1 3; } >in
	run -66 --separate-stderr d in
	[ "${#lines[@]}" = 4 ]
	run -66 --separate-stderr d --last in
	assert_output "$begin"
}

@test "a failed partition passes with its outcome" {
	ids 1 3 | part failed | d >out || [ $? = 3 ]
	tail -n 1 out | jq -e '.outcome == "failed" and .records == 3'
}

@test "gzip and files give the same; a second run gives the same bytes" {
	{ ids 1 300; ids 100 400; } >in
	d in >want
	gzip -c in | d | cmp - want
	gzip in && d in.gz | cmp - want
}

@test "the limit of memory ends the run with 71 and says how many fitted" {
	ids 1 9000 >in
	run -71 --separate-stderr bash -c 'ndjson-dedup --key event_id --max-memory 64K in >out'
	[[ $stderr =~ ^"ndjson-dedup: --max-memory: no room for more than "[0-9]+" keys"$ ]]
}

@test "WEIR_STATS gets the duplicates" {
	{ ids 1 5; ids 1 3; } >in
	WEIR_STATS=$T/stats d in >out
	tail -n 1 stats | jq -e '.counts | .duplicates == 3 and .records_out == 5'
}

# --- the store ----------------------------------------------------------------

stage() { # BATCH [FILE ...]
	local b=$1
	shift
	d --store s --batch "$b" "$@"
}
commit() {
	ndjson-dedup --store s --commit "$1"
}
@test "an id of a published batch is dropped, its owner is recorded" {
	ids 1 100 >a
	ids 50 150 >b
	stage A a >out && cmp out a
	commit A | jq -e '.state == "published" and .ids == 100'
	stage B b >out
	sed 1,51d b | cmp - out
	commit B | jq -e '.dropped == 51 and
		.on_account_of == [{batch: "A", generation: 1}]'
	[ "$(stat -c %a s s/store s/day-20260101)" = $'700\n600\n600' ]
	[ "$(find s/locks s/pending -type f)" = "" ]
}

@test "a pending id robs no other batch, an aborted one nobody" {
	ids 1 100 >a
	stage A a >out
	stage B a | cmp - a
	ndjson-dedup --store s --abort A
	commit B | jq -e '.on_account_of == []'
	run -65 commit A
	assert_output "ndjson-dedup: A: nothing is staged for this batch"
	run -0 stage C a
	assert_output ""
	ndjson-dedup --store s --abort C
	ndjson-dedup --store s --abort C
}

@test "the same batch again passes the same bytes, pending or published" {
	{ ids 1 100; ids 30 60; } >a
	ids 20 80 >b
	stage A a >one
	stage A a | cmp - one
	commit A >r1
	stage A a | cmp - one
	stage A a | cmp - one
	commit A | cmp - r1
	commit A | cmp - r1
	ndjson-dedup --store s --stats | jq -e 'select(.batch) | .generation == 1'
	# others have come to own what it passed on
	stage B b >bs && [ ! -s bs ]
	ndjson-dedup --store s --rollback A
	stage B b | cmp - b
	stage A a | cmp - one
	commit B
	stage A a | cmp - one
}

@test "two batches side by side may both pass an id; both go on doing so" {
	ids 1 60 >a
	ids 40 100 >b
	stage A a >outa &
	stage B b >outb
	wait $!
	cmp outa a && cmp outb b
	commit A && commit B | jq -e '.on_account_of == []'
	stage A a | cmp - a
	stage B b | cmp - b
	ids 50 55 >c
	run -0 stage C c
	assert_output ""
	commit C | jq -ce '[.on_account_of[].batch]' | grep -Fx '["A","B"]'
}

@test "the same batch twice at once: the second waits, then 75 with pid and age" {
	mkfifo f
	ndjson-dedup --key event_id --store s --batch A <f >out &
	pid=$!
	exec 7>f
	ids 1 10 >&7
	while [ ! -e s/locks/A ]; do sleep 0.02; done
	ids 1 10 >a
	run -75 stage A a
	[[ $output =~ "locked by process $pid for "[0-9]+" seconds" ]]
	stage B a | cmp - a
	(sleep 0.3; exec 7>&-) &
	exec 7>&-
	stage A --wait 10 a | cmp - a
	wait $pid
}

@test "a rollback names the batches that must run again, once" {
	ids 1 100 >a
	ids 50 150 >b
	ids 120 200 >c
	for b in a b c; do
		stage $b $b >/dev/null
		commit $b
	done
	ndjson-dedup --store s --rollback a >r1
	jq -e '.state == "rolled_back" and .run_again == ["b"]' r1
	ndjson-dedup --store s --rollback a | cmp - r1
	stage b b | cmp - b
	commit b | jq -e '.generation == 2 and .on_account_of == []'
	ndjson-dedup --store s --rollback b |
		jq -e '.generation == 2 and .run_again == ["c"]'
	# generation 1 is back, and a second rollback leaves it there
	ndjson-dedup --store s --rollback b | jq -e '.generation == 2'
	ndjson-dedup --store s --rollback b --generation 1 |
		jq -e '.state == "rolled_back"'
	run -65 ndjson-dedup --store s --rollback b --generation 7
	run -65 ndjson-dedup --store s --rollback nobody
	[[ $output == *"nobody: any generation of this batch is not published" ]]
}

@test "a batch whose owner was taken back since cannot be committed" {
	ids 1 100 >a
	ids 50 150 >b
	stage a a >/dev/null && commit a
	stage b b >/dev/null
	ndjson-dedup --store s --rollback a
	run -65 commit b
	[[ $output == "ndjson-dedup: b: ids were dropped on account of batch a,"* ]]
	stage b b | cmp - b
	commit b
}

@test "other ids make a new generation; what it lost is named" {
	ids 1 100 >a
	ids 50 150 >b
	stage a a >/dev/null && commit a
	stage b b >/dev/null && commit b
	ids 1 120 >a2
	stage a a2 >out
	{ ids 1 100; } | cmp - out
	ids 1 60 >a3
	stage a a3 | cmp - a3
	commit a | jq -e '.generation == 2 and .run_again == ["b"]'
	stage b b >out
	ids 61 150 | cmp - out
}

@test "only the days that are touched are read" {
	ids 1 30 >a
	stage a a >/dev/null && commit a
	: >s/day-20260102
	printf '{"event_id":"app:20260101120000000:%064x"}\n' 99 >b
	run -0 stage b b
	[ "${#lines[@]}" = 1 ]
	run -65 stage b a
	[[ $output == *"s/day-20260102: damaged: it was cut; move the store"* ]]
}

@test "an id without a day, --day, --one-file, another key or day" {
	printf '%s\n' '{"event_id":"x","t":"2026-01-05T23:30:00-01:00"}' >a
	run -65 --separate-stderr stage a a
	[[ $stderr == "ndjson-dedup: a:1:13: key event_id is not of the form "* ]]
	rm -r s
	stage a --day t a | cmp - a
	commit a
	ls s/day-20260106
	run -0 stage b --day t a
	assert_output ""
	run -78 stage b a
	[[ $output == "ndjson-dedup: s: made for --day 't', not for '(key)'" ]]
	run -78 ndjson-dedup --key id --day t --store s --batch b a
	printf '%s\n' '{"event_id":"x","t":"yesterday"}' >bad
	run -65 --separate-stderr stage b --day t bad
	[[ $stderr == "ndjson-dedup: bad:1:21: day t is neither a date nor "* ]]
	rm -r s
	stage a --one-file a | cmp - a
	commit a
	ls s/day-all
	run -78 ndjson-dedup --store s --retain-days 3
	rm -r s
	ndjson-dedup --key t,event_id --store s --batch a a | cmp - a
	ndjson-dedup --store s --commit a
	ls s/day-all
}

@test "retention: an older id is refused, never new" {
	local old new
	old=$(date -u -d '-9 days' +%Y%m%d) new=$(date -u +%Y%m%d)
	printf '{"event_id":"app:%s120000000:%064x"}\n' "$old" 1 "$new" 2 >a
	stage a a >/dev/null && commit a
	ndjson-dedup --store s --retain-days 5
	[ ! -e s/day-$old ] && [ -e s/day-$new ]
	ndjson-dedup --store s --retain-days 5
	run -65 --separate-stderr stage b a
	assert_output ""
	[[ $stderr == *"a:1:1: day $(date -u -d '-9 days' +%F) is older than what the store retains" ]]
	run -3 --separate-stderr stage b --rejects dead a
	assert_output ""
	head -n 1 a | cmp - dead
	# the clock stands before the newest day
	printf '{"event_id":"app:29990101120000000:%064x"}\n' 3 >c
	stage c c >/dev/null && commit c
	run -0 --separate-stderr ndjson-dedup --store s --retain-days 1
	[[ $stderr == *"warning: the clock stands before the newest day"* ]]
	[ -e s/day-$new ]
}

@test "a day let go while a run goes on is refused there, no damage" {
	local old pid
	old=$(date -u -d '-9 days' +%Y%m%d)
	printf '{"event_id":"app:%s120000000:%064x"}\n' "$old" 1 >a
	stage a a >/dev/null && commit a
	mkfifo f
	ndjson-dedup --key event_id --store s --batch b --rejects dead <f >out &
	pid=$!
	exec 7>f
	until [[ -e s/pending/.new-b ]]; do sleep 0.01; done
	ndjson-dedup --store s --retain-days 5
	cat a >&7
	exec 7>&-
	rc=0
	wait $pid || rc=$?
	[ $rc = 3 ]
	cmp a dead
}

@test "a batch whose days are let go while it is pending commits the rest" {
	local old new
	old=$(date -u -d '-9 days' +%Y%m%d) new=$(date -u +%Y%m%d)
	printf '{"event_id":"app:%s120000000:%064x"}\n' "$old" 1 "$new" 2 >a
	stage a a | cmp - a
	ndjson-dedup --store s --retain-days 5
	commit a
	[ ! -e s/day-$old ] && [ -e s/day-$new ]
	commit a
	# a longer span from now on does not bring days back
	ndjson-dedup --store s --retain-days 30
	ndjson-dedup --store s --stats | head -n 1 |
		jq -e '.retained_from == "'"$(date -u -d '-4 days' +%F)"'"'
}

@test "ids of failed, not ready and truncated partitions are not kept" {
	{ ids 1 3 | part failed; ids 2 4 | part complete
		printf '%s\n' "$begin"; ids 5 6; } >in
	run -66 --separate-stderr stage a in
	[ "$(grep -c event_id <<<"$output")" = 8 ]
	ndjson-dedup --store s --abort a
	{ ids 1 3 | part failed; ids 2 4 | part complete; } >in
	run -0 --separate-stderr stage a in
	commit a | jq -e '.ids == 3'
	ids 1 4 >b
	stage b b | cmp - <(ids 1 1)
}

@test "a batch without ids is a batch; several partitions are one" {
	run -0 stage a </dev/null
	commit a | jq -e '.ids == 0 and .generation == 1'
	commit a | jq -e '.generation == 1'
	{ ids 1 5 | part complete; ids 3 8 | part complete
		part empty </dev/null; } >in
	stage b in >out
	ndjson-part --check <out
	[ "$(grep -c event_id out)" = 8 ]
	commit b | jq -e '.ids == 8 and .dropped == 3'
}

@test "many days, few descriptors: 400 days with 16 of them" {
	mawk 'BEGIN { for (i = 0; i < 4000; i++)
		printf "{\"event_id\":\"app:%04d%02d%02d120000000:%08x\"}\n",
			2024 + i % 2, 1 + i % 12, 1 + i % 28, i }' >a
	(ulimit -n 16; stage a a | cmp - a; commit a)
	(ulimit -n 16; run -0 stage b a; assert_output "")
}

@test "--stats tells store, days and batches" {
	ids 1 90 >a
	stage a a >/dev/null && commit a
	stage b a >/dev/null
	run -0 ndjson-dedup --store s --stats
	[ "${#lines[@]}" = 6 ]
	jq -e '.ids == 90 and .days == 3 and .batches == 1' <<<"${lines[0]}"
	jq -e '.day == "2026-01-01" and .ids == 30 and .bytes == 656' <<<"${lines[1]}"
	jq -e '.batch == "b" and .state == "pending" and .dropped == 90' <<<"${lines[5]}"
}

@test "an id takes 16 bytes on disk" {
	ids 1 50000 >a
	stage a a >/dev/null && commit a
	[ "$(cat s/* 2>/dev/null | wc -c)" -lt $((50000 * 17)) ]
}

# --- damage -------------------------------------------------------------------

damaged() { # FILE: each way of damage is noticed
	local size at file=$1 cmd=$2
	cp -p "$file" good
	size=$(size_of "$file")
	try() {
		run "$BASH" -c "$cmd"
		[[ $status == 65 && $output == *damaged* ||
			$status == 65 && $output == *"newer version"* ]] ||
			{ echo "$1: status $status: $output"; return 1; }
	}
	: >"$file"
	try empty
	for at in 1 7 40 $((size / 3)) $((size / 2)) $((size - 33)) \
		$((size - 17)) $((size - 1)); do
		head -c "$at" good >"$file"
		try "cut at $at"
	done
	for ((at = 0; at < size; at += at < 150 || at > size - 40 ? 5 : 131)); do
		cp good "$file"
		byte=$(od -An -tu1 -j$at -N1 good)
		printf "\\x$(printf %x $((byte ^ 1 << at % 8)))" |
			dd of="$file" bs=1 seek=$at conv=notrunc status=none
		try "a bit at $at of $size"
	done
	for ((at = 0; at < size; at += 211)); do
		cp good "$file"
		dd if=/dev/zero of="$file" bs=1 seek=$at count=24 conv=notrunc \
			status=none
		cmp -s good "$file" || try "zeros at $at"
	done
	tr '\0-\377' '\377\0-\376' <good >"$file"
	try foreign
	cp good "$file"
	run -0 "$BASH" -c "$cmd"
}

@test "damage: every region of a day file is noticed" {
	ids 1 60 1 >a
	stage a a >/dev/null && commit a
	stage b <(ids 100 120 1) >/dev/null && commit b
	export -f d
	damaged s/day-20260101 'ndjson-dedup --key event_id --store s --batch c a >/dev/null'
	rm s/day-20260101
	run -65 stage c a
	[[ $output == *"damaged: the file is gone"* ]]
}

@test "damage: every region of the ledger is noticed, a missing one too" {
	ids 1 60 1 >a
	stage a a >/dev/null && commit a
	damaged s/store 'ndjson-dedup --store s --stats'
	rm s/store
	run -65 stage b a
	[[ $output == *"s/store: damaged: the file is gone, its days are here;"* ]]
}

@test "damage: every region of what is pending is noticed" {
	ids 1 60 1 >a
	stage a a >/dev/null
	damaged s/pending/a 'ndjson-dedup --store s --stats'
	head -c 100 s/pending/a >x && cp x s/pending/a
	run -65 commit a
	[[ $output == *"s/pending/a: damaged: it was cut; take it away with --abort a"* ]]
	run -65 stage a a
	ndjson-dedup --store s --abort a
	stage a a | cmp - a
}

@test "a store of a newer version is refused" {
	ids 1 3 >a
	stage a a >/dev/null
	sed -i '1s/"version":1/"version":2/' s/store
	run -65 commit a
	assert_output "ndjson-dedup: s: made by a newer version of ndjson-dedup"
}

@test "a link, a FIFO, a directory, another's store: 73, nothing is touched" {
	ids 1 3 >a
	stage a a >/dev/null && commit a
	mv s/store real && ln -s "$T/real" s/store
	run -73 timeout 5 ndjson-dedup --store s --stats
	rm s/store && mkfifo s/store
	run -73 timeout 5 ndjson-dedup --store s --stats
	rm s/store && mkdir s/store
	run -73 timeout 5 ndjson-dedup --store s --stats
	rmdir s/store && mv real s/store
	mv s/day-20260101 real && ln -s "$T/real" s/day-20260101
	run -73 stage b a
	rm s/day-20260101 && mv real s/day-20260101
	ln -s s link
	run -73 d --store link --batch b a
	run -73 d --store none/s --batch b a
	((EUID == 0)) || skip "the rest needs root"
	chmod 755 . && chmod -R a+rX s
	run -73 as_nobody "$WEIR_BIN/ndjson-dedup" --key event_id --store s --batch b a
	mkdir ro && chmod 555 ro && chown 65534 ro
	run -73 as_nobody "$WEIR_BIN/ndjson-dedup" --key event_id --store ro --batch b a
}

@test "--require-state refuses a first run" {
	ids 1 3 >a
	run -65 stage a --require-state a
	[ ! -e s ]
	mkdir -m 700 s
	run -65 stage a --require-state a
	rm -r s
	stage a a >/dev/null
	stage b --require-state a | cmp - a
}

@test "wrong calls of the store end with 64 before anything is touched" {
	run -64 ndjson-dedup --commit a
	run -64 ndjson-dedup --store s --commit ../a
	run -64 ndjson-dedup --store s --commit .a
	run -64 ndjson-dedup --store s --commit "$(printf %0101d 1)"
	run -64 ndjson-dedup --store s --commit a --abort a
	run -64 ndjson-dedup --store s --commit a file
	run -64 ndjson-dedup --store s --key k
	run -64 ndjson-dedup --batch a --key k
	run -64 ndjson-dedup --store s --batch a --key k --last
	run -64 ndjson-dedup --store s --batch a --commit a --key k
	run -64 ndjson-dedup --store s --generation 1 --commit a
	[ ! -e s ]
}

# --- crashes ------------------------------------------------------------------

# A store that has A; x/ holds it, ready to be copied.
scene() { # DIR
	[[ -e x ]] || {
		d --store x --batch A a >/dev/null
		ndjson-dedup --store x --commit A >/dev/null
	}
	rm -rf "$1"
	cp -a x "$1"
}
stats() {
	ndjson-dedup --store "$1" --stats
}

@test "kill -9 at every write, fsync, rename of a run: again, it is as if none" {
	skip_if_san
	local n call calls so
	so=$(fault_so)
	ids 1 60 >a
	{ ids 30 50 | part complete; ids 45 80 | part complete; } >b
	scene want
	d --store want --batch B b >outw
	stats want >pendw
	ndjson-dedup --store want --commit B >recw
	stats want >statew
	for call in write fsync rename ftruncate unlink; do
		scene s
		calls=$(fault_calls $call ndjson-dedup --key event_id --store s --batch B b)
		((calls > 0))
		for ((n = 1; n <= calls; n++)); do
			scene s
			FAULT=$call:$n:KILL LD_PRELOAD=$so \
				ndjson-dedup --key event_id --store s --batch B b >out &&
				{ echo "$call $n of $calls did not kill"; false; }
			d --store s --batch B b | cmp - outw
			stats s | cmp - pendw
			ndjson-dedup --store s --commit B | cmp - recw
			stats s | cmp - statew
			[ "$(find s -name '.*' -type f)" = "" ]
		done
	done
}

@test "kill -9 at every write, fsync, rename of a commit, abort, rollback: the same" {
	skip_if_san
	local n call calls so verb batch
	so=$(fault_so)
	ids 1 60 >a
	ids 30 80 >b
	scene y
	d --store y --batch B b >/dev/null
	for verb in commit abort rollback; do
		batch=B
		[[ $verb != rollback ]] || batch=A
		rm -rf s && cp -a y s
		ndjson-dedup --store s --$verb $batch >recw
		stats s >statew
		for call in write fsync rename ftruncate unlink; do
			rm -rf s && cp -a y s
			calls=$(fault_calls $call ndjson-dedup --store s --$verb $batch)
			for ((n = 1; n <= calls; n++)); do
				rm -rf s && cp -a y s
				FAULT=$call:$n:KILL LD_PRELOAD=$so \
					ndjson-dedup --store s --$verb $batch >out &&
					{ echo "$call $n of $calls did not kill"; false; }
				ndjson-dedup --store s --$verb $batch | cmp - recw
				stats s | cmp - statew
			done
		done
	done
	# what dead ones left is gone with the next change
	stage C a >/dev/null && commit C >/dev/null
	[ "$(find s -name '.*' -type f)" = "" ]
}

@test "kill -9 in flight, before the end of the input: the rerun is the same" {
	local k pid
	ids 1 300 >a
	ids 200 9000 >b
	scene s
	d --store s --batch B b >want
	ndjson-dedup --store s --abort B >/dev/null
	mkfifo f
	for k in 0 500 4000 8000; do
		ndjson-dedup --key event_id --store s --batch B <f >out &
		pid=$!
		exec 7>f
		head -n $k b >&7
		until [[ -e s/pending/.new-B ]]; do sleep 0.01; done
		sleep 0.02
		kill -KILL $pid
		wait $pid || true
		exec 7>&-
		run -65 commit B
		stage B b | cmp - want
		ndjson-dedup --store s --abort B >/dev/null
	done
}

@test "SIGTERM in flight: nothing is staged, the rerun is the same" {
	local pid rc=0
	ids 1 3000 >b
	mkfifo f
	ndjson-dedup --key event_id --store s --batch B <f >out &
	pid=$!
	exec 7>f
	cat b >&7
	until [[ -e s/pending/.new-B ]]; do sleep 0.01; done
	kill -TERM $pid
	wait $pid || rc=$?
	exec 7>&-
	[ $rc = 143 ]
	[ ! -e s/pending/B ]
	run -65 commit B
	stage B b | cmp - b
}

@test "no space, EIO, failed fsync: 74 or 73, and with room again it completes" {
	skip_if_san
	local call n calls so what
	so=$(fault_so)
	ids 1 60 >a
	{ ids 30 50 | part complete; ids 45 80 | part complete; } >b
	scene want
	d --store want --batch B b >outw
	cp -a want y
	ndjson-dedup --store want --commit B >recw
	export FAULT_PATH=/s/
	fails() { # PATTERN of the messages
		[[ $status == 7[34] && $output == *"ndjson-dedup: "* &&
			$output != *damaged* ]] && return
		# what is closed or cut there is no data, or synced before
		[[ $status == 0 && $call == @(close|open|ftruncate|write) ]]
	}
	for what in write:ENOSPC fsync:EIO rename:EIO close:EIO \
		ftruncate:EIO open:ENOSPC; do
		call=${what%:*}
		scene s
		calls=$(fault_calls $call ndjson-dedup --key event_id --store s --batch B b)
		for ((n = 1; n <= calls; n++)); do
			scene s
			run bash -c "FAULT=$call:$n:${what#*:} LD_PRELOAD=$so ndjson-dedup --key event_id --store s --batch B b 2>&1 >out"
			echo "$what $n of $calls: $status $output"
			fails
			d --store s --batch B b | cmp - outw
			ndjson-dedup --store s --commit B | cmp - recw
		done
		rm -rf s && cp -a y s
		calls=$(fault_calls $call ndjson-dedup --store s --commit B)
		for ((n = 1; n <= calls; n++)); do
			rm -rf s && cp -a y s
			run bash -c "FAULT=$call:$n:${what#*:} LD_PRELOAD=$so ndjson-dedup --store s --commit B"
			echo "commit, $what $n of $calls: $status $output"
			fails
			ndjson-dedup --store s --commit B | cmp - recw
		done
	done
}

@test "no memory at any allocation of a run with a store: 71, and it completes" {
	skip_if_san
	local n calls so
	so=$(fault_so)
	ids 1 60 >a
	ids 30 80 >b
	scene want
	d --store want --batch B b >outw
	scene s
	calls=$(fault_calls malloc ndjson-dedup --key event_id --store s --batch B b)
	for ((n = 1; n <= calls; n += n < 10 ? 1 : 4)); do
		run bash -c "FAULT=malloc:$n:ENOMEM LD_PRELOAD=$so ndjson-dedup --key event_id --store s --batch B b 2>&1 >out"
		echo "$n of $calls: $status $output"
		[[ $status == 71 && -n $output || $status == 0 ]]
		d --store s --batch B b | cmp - outw
	done
}

@test "a stdout that fails leaves nothing to commit" {
	ids 1 3000 >a
	run -74 bash -c 'ndjson-dedup --key event_id --store s --batch A a >/dev/full'
	run -65 commit A
	run -74 bash -c '{ sleep 0.1; cat a; } | { ndjson-dedup --key event_id --store s --batch A; echo $? >rc; } | true; exit "$(cat rc)"'
	run -65 commit A
	stage A a | cmp - a
	run -74 bash -c 'ndjson-dedup --store s --commit A >/dev/full'
	commit A | jq -e '.ids == 3000'
	run -65 bash -c '{ cat a; echo "{"; } | ndjson-dedup --key event_id --store s --batch B >out'
	run -65 commit B
}

@test "on a small file system the store is whole at every size" {
	((EUID == 0)) || skip "needs root"
	mkdir fs
	mount -t tmpfs -o size=256k tmpfs fs 2>/dev/null || skip "no mount here"
	ids 1 9000 >a
	d --store fs/s --batch A a >/dev/null || { umount fs; false; }
	local rc=0
	ndjson-dedup --store fs/s --commit A || rc=$?
	mount -o remount,size=1m fs
	[ $rc = 74 ] || { umount fs; false; }
	ndjson-dedup --store fs/s --commit A | jq -e '.ids == 9000'
	umount fs
}
