#!/usr/bin/env bats
# raw-store: the raw layer, immutable and checksummed.

load helper
bats_require_minimum_version 1.5.0

day=raw/s/f/2026-11-19
part() { # DATE RECORD ...
	local d=$1
	shift
	ndjson-part --source s --feed f --date "$d" -- printf '%s\n' "$@"
}
outcome() { # DATE OUTCOME [RECORD ...]: a partition with that end
	local d=$1 o=$2
	shift 2
	printf '{"@stream":"begin","v":1,"source_system":"s","feed":"f","date":"%s"}\n' "$d"
	(($# == 0)) || printf '%s\n' "$@"
	printf '{"@stream":"end","records":%d,"outcome":"%s","why":"x"}\n' $# "$o"
}
store() {
	raw-store --dir raw "$@"
}
versions() {
	store --list | jq -c '[.date,.version,.outcome,.rows]'
}
# All that must be equal after a re-run: names, data, manifests without times.
state() {
	find raw -mindepth 1 ! -name lock -printf '%P %m\n' | sort
	find raw -name '*.gz' | sort | xargs -r sha256sum
	find raw -name '*.json' | sort | xargs -r cat |
		jq -c 'del(.began_at, .stored_at, .check)'
}

@test "passes the stream on unchanged, and keeps records and manifest" {
	part 2026-11-19 '{"n":1}' '{"n": 2}' >in
	store <in >out
	cmp in out
	assert_equal "$(zcat $day/v0001.ndjson.gz)" $'{"n":1}\n{"n": 2}'
	run jq -c '[.format,.source_system,.feed,.date,.version,.outcome,.rows,.bytes,.file,.rejected]' $day/v0001.json
	assert_output '[1,"s","f","2026-11-19",1,"complete",2,17,"v0001.ndjson.gz",0]'
	assert_equal "$(jq -r .sha256 $day/v0001.json)" \
		"$(zcat $day/v0001.ndjson.gz | sha256sum | cut -d' ' -f1)"
	assert_equal "$(jq -r .gz_sha256 $day/v0001.json)" \
		"$(sha256sum <$day/v0001.ndjson.gz | cut -d' ' -f1)"
	assert_equal "$(jq .gz_bytes $day/v0001.json)" "$(size_of $day/v0001.ndjson.gz)"
	assert_equal "$(jq -c .begin $day/v0001.json)" "$(head -n 1 in)"
	assert_equal "$(jq -c .end $day/v0001.json)" "$(tail -n 1 in)"
	assert_equal "$(stat -c %a raw $day $day/v0001.ndjson.gz $day/v0001.json | tr '\n' ' ')" \
		'700 700 400 400 '
	run jq -e '(.began_at <= .stored_at)' $day/v0001.json
	assert_success
}

@test "a second run with the same content makes no second version" {
	part 2026-11-19 '{"n":1}' >in
	store <in >/dev/null
	state >one
	store <in | cmp in -
	ndjson-part --source s --feed f --date 2026-11-19 --stamp -- echo '{"n":1}' |
		store >/dev/null
	state | cmp one -
}

@test "other content, or another outcome, is a new version beside the old" {
	part 2026-11-19 '{"n":1}' | store >/dev/null
	cp -r raw old
	part 2026-11-19 '{"n":2}' | store >/dev/null
	part 2026-11-19 '{"n":1}' | store >/dev/null
	outcome 2026-11-19 partial '{"n":1}' | store >/dev/null
	run versions
	assert_output '["2026-11-19",1,"complete",1]
["2026-11-19",2,"complete",1]
["2026-11-19",3,"complete",1]
["2026-11-19",4,"partial",1]'
	cmp old/s/f/2026-11-19/v0001.json $day/v0001.json
	cmp old/s/f/2026-11-19/v0001.ndjson.gz $day/v0001.ndjson.gz
}

@test "keeps empty days, and nothing of not ready and failed ones" {
	{
		outcome 2026-11-17 empty
		outcome 2026-11-18 not_ready
		outcome 2026-11-19 failed '{"n":1}'
		outcome 2026-11-20 complete '{"n":1}'
	} >in
	store <in | cmp in -
	run versions
	assert_output '["2026-11-17",1,"empty",0]
["2026-11-20",1,"complete",1]'
	assert_equal "$(find raw -name '.tmp*' -o -name '*.gz' | wc -l)" 2
}

@test "keeps nothing of a truncated partition, and the next one whole" {
	{
		part 2026-11-18 '{"n":1}' | head -n 2
		part 2026-11-19 '{"n":2}'
		part 2026-11-20 '{"n":1}' '{"n":2}' | sed 2d
	} >in
	run --separate-stderr store <in
	assert_equal "$status" 66
	run versions
	assert_output '["2026-11-19",1,"complete",1]'
	head -c -20 in | run --separate-stderr store
	assert_equal "$(find raw -name '.tmp*' | wc -l)" 0
	run store </dev/null
	assert_equal "$status" 66
	run store <<<'{"n":1}'
	assert_equal "$status" 66
	assert_output --partial 'no control records'
}

@test "refuses names that are no names, and a bad record, keeping nothing" {
	for f in .. . a/b '' -x .hid "$(printf 'a%.0s' {1..101})" 'a b'; do
		jq -cn --arg f "$f" '{"@stream":"begin",v:1,source_system:"s",feed:$f,date:"2026-11-19"}' >in
		echo '{"@stream":"end","records":0,"outcome":"empty"}' >>in
		run --separate-stderr store <in
		assert_equal "$f:$status" "$f:65"
	done
	ndjson-part --source meta --feed act_123.ad --date 2026-11-19 -- echo '{}' | store >/dev/null
	test -e raw/meta/act_123.ad/2026-11-19/v0001.json
	part 2026-11-19 '{"n":1}' '{"n":2}' | sed '2s/1/x/' >in
	run --separate-stderr store <in
	assert_equal "$status" 65
	run --separate-stderr store --rejects dead <in
	assert_equal "$status" 3
	run store --list --source s
	assert_output --partial '"rows":1'
	assert_output --partial '"rejected":1'
}

@test "replays what was stored, byte for byte, with its own begin and end" {
	{
		ndjson-part --source s --feed f --date 2026-11-18 --set 'q={"a":1.0}' \
			--run-id r -- printf '{"n":1.50}\n{"n":"\xc3\xa9"}\n'
		outcome 2026-11-19 empty
		outcome 2026-11-20 complete '{"n":3}'
	} >in
	store <in >/dev/null
	store --replay --source s | cmp in -
	store --replay --source s --feed f --from 2026-11-18 --to 2026-11-20 | cmp in -
	run store --replay --source s --from 2026-11-20 --plain
	assert_output '{"n":3}'
}

@test "replays the newest complete version, or the newest as of a time" {
	for n in 1 2 3; do
		ndjson-part --source s --feed f --date 2026-11-19 \
			--set "fetched_at=\"2026-11-2${n}T00:00:00Z\"" -- echo "{\"n\":$n}" |
			store >/dev/null
	done
	outcome 2026-11-19 partial '{"n":4}' | store >/dev/null
	outcome 2026-11-20 partial '{"n":5}' | store >/dev/null
	run store --replay --source s --from 2026-11-19 --to 2026-11-19 --plain
	assert_output '{"n":3}'
	run store --replay --source s --feed f --as-of 2026-11-22T12:00:00+02:00 --plain --to 2026-11-19
	assert_output '{"n":2}'
	run store --replay --source s --as-of 2026-11-21 --plain --to 2026-11-19
	assert_output '{"n":1}'
	run store --replay --source s --from 2026-11-20
	assert_success
	assert_line --partial '"outcome":"partial"'
}

@test "names each day of the span that is not there, and ends with 3, or 4" {
	part 2026-11-19 '{"n":1}' | store >/dev/null
	run --separate-stderr store --replay --source s --from 2026-11-18 --to 2026-11-20
	assert_equal "$status" 3
	assert_equal "$stderr" 'raw-store: raw/s/f/2026-11-18: nothing is stored
raw-store: raw/s/f/2026-11-20: nothing is stored'
	run --separate-stderr store --replay --source s --feed other --from 2026-11-18 --to 2026-11-19
	assert_equal "$status" 4
	run --separate-stderr store --replay --source other
	assert_equal "$status" 4
	run raw-store --dir none --replay --source s
	assert_equal "$status" 66
}

@test "notices every kind of damage, names the file, and replays no end" {
	part 2026-11-18 '{"n":1}' | store >/dev/null
	part 2026-11-19 '{"n":2}' >in2
	store <in2 >/dev/null
	part 2026-11-20 '{"n":3}' | store >/dev/null
	cp -r raw good
	damaged() { # FILE-PART
		run --separate-stderr store --verify
		assert_equal "$1:$status" "$1:65"
		assert_regex "$stderr" "^raw-store: $day/v0001\.$1"
		run --separate-stderr store --replay --source s
		assert_equal "$1:$status" "$1:65"
		assert_equal "$(grep -c '"end"' <<<"$output")" 2
		refute_line '{"n":2}'
		rm -rf raw
		cp -r good raw
	}
	run --separate-stderr store --verify
	assert_success
	assert_output ''
	gz=$day/v0001.ndjson.gz
	chmod -R u+w raw good
	printf '\1' | dd of=$gz bs=1 seek=12 conv=notrunc status=none
	damaged ndjson.gz
	truncate -s -1 $gz
	damaged ndjson.gz
	: >$gz
	damaged ndjson.gz
	echo '{"n":9}' | gzip >$gz
	damaged ndjson.gz
	rm $gz
	damaged ndjson.gz
	rm $gz
	ln -s ../2026-11-18/v0001.ndjson.gz $gz
	damaged ndjson.gz
	for change in 's/"rows":1/"rows":2/' 's/s/S/' 's/}$//' 's/"format":1/"format":2/' 'd'; do
		sed -i "$change" $day/v0001.json
		damaged json
	done
	: >$day/v0001.json
	damaged json
	# a manifest that cannot be read is no reason to begin anew
	echo junk >$day/v0001.json
	run store <in2
	assert_equal "$status" 65
}

@test "a replay that finds damage after a while says so in its end only" {
	for d in 17 18; do
		ndjson-part --source s --feed f --date 2026-11-$d -- sh -c \
			'seq 200000 | sed "s/.*/{\"n\":&}/"' | store >/dev/null
	done
	chmod -R u+w raw
	printf x | dd of=raw/s/f/2026-11-17/v0001.ndjson.gz bs=1 seek=200000 conv=notrunc status=none
	store --replay --source s >out 2>err || assert_equal $? 65
	run --separate-stderr ndjson-part --summary out
	run jq -r .outcome <<<"$output"
	assert_output $'truncated\ncomplete'
}

@test "kill -9 at any write, fsync, rename and close, then again: the same" {
	{
		part 2026-11-18 '{"n":1}' '{"n":2}'
		part 2026-11-19 '{"n":3}'
	} >in
	part 2026-11-19 '{"n":0}' >before
	fresh() {
		rm -rf raw
		store <before >/dev/null
	}
	fresh
	store <in >want.out
	state >want
	for call in write fsync rename renameat close; do
		fresh
		n=$(fault_calls $call raw-store --dir raw <in)
		for i in $(seq 1 "$n"); do
			fresh
			with_fault "$call:$i:KILL" raw-store --dir raw <in >out 2>/dev/null || true
			# nothing half-made is ever taken for whole
			store --verify 2>/dev/null
			ndjson-part --summary out >sum 2>/dev/null || true
			for d in $(jq -r 'select(.outcome=="complete").date' sum); do
				test -e "raw/s/f/$d/v0001.json"
			done
			store <in >out
			cmp out want.out
			state | cmp want - || fail "$call $i"
		done
	done
}

@test "a failed write, fsync, rename or close keeps the old and says why" {
	part 2026-11-19 '{"n":1}' | store >/dev/null
	part 2026-11-19 '{"n":2}' >in
	state >want
	cp -r raw old
	for f in write:ENOSPC write:EIO fsync:EIO renameat:EIO close:EIO open:ENOSPC; do
		call=${f%:*}
		for i in $(seq 1 12); do
			rm -rf raw
			cp -r old raw
			status=0
			FAULT_PATH=raw/ with_fault "$call:$i:${f#*:}" raw-store --dir raw <in >out 2>err || status=$?
			((status == 0)) && break
			((status == 74 || status == 73)) || fail "$f $i: status $status: $(cat err)"
			[[ $(cat err) == raw-store:* ]] || fail "$f $i: no message"
			ndjson-part --check out 2>/dev/null && fail "$f $i: an end went out"
			store --verify 2>/dev/null || fail "$f $i: damage"
			cmp old/s/f/2026-11-19/v0001.json $day/v0001.json
			store <in >/dev/null || fail "$f $i: not after it either"
			(($(versions | wc -l) == 2)) || fail "$f $i: $(versions)"
		done
	done
}

@test "runs out of memory with a message, at any allocation" {
	skip_if_san
	part 2026-11-19 '{"n":1}' >in
	for n in $(seq 1 3 "$(fault_calls malloc raw-store --dir raw <in)"); do
		rm -rf raw
		status=0
		with_fault "malloc:$n:ENOMEM" raw-store --dir raw <in >out 2>err || status=$?
		((status == 71 || status == 0 || status == 73)) || fail "malloc $n: $status: $(cat err)"
	done
	store <in >/dev/null
	store --verify
}

@test "one run at a time for a day; a dead one's lock does not hold" {
	part 2026-11-19 '{"n":1}' >in
	store <in >/dev/null
	(
		exec 9<>$day/lock
		flock 9
		status=0
		store <in >/dev/null 2>err || status=$?
		assert_equal "$status" 75
		part 2026-11-18 '{"n":1}' | store >/dev/null
	)
	store <in >/dev/null
}

@test "two runs side by side keep both, or one of them says 75" {
	part 2026-11-19 '{"n":1}' >a
	part 2026-11-19 '{"n":2}' >b
	for i in 1 2 3 4 5; do
		store --wait 10 <a >/dev/null &
		store --wait 10 <b >/dev/null
		wait $!
	done
	store --verify
	assert_equal "$(find raw -name '.tmp*' | wc -l)" 0
}

@test "makes its directory, and refuses one that it cannot use before it reads" {
	part 2026-11-19 '{"n":1}' >in
	run raw-store --dir no/such/raw <in
	assert_equal "$status" 73
	: >file
	run raw-store --dir file <in
	assert_equal "$status" 73
	mkdir real
	ln -s real link
	run raw-store --dir link <in
	assert_equal "$status" 73
	mkdir -m 555 ro
	chown 65534 ro . 2>/dev/null || true
	run as_nobody raw-store --dir ro <in
	assert_equal "$status" 73
}

@test "a closed reader and a full disk at stdout are 74, and nothing is kept" {
	part 2026-11-19 '{"n":1}' >in
	for to in '>/dev/full' '>&-'; do
		bash -c "raw-store --dir raw <in $to" 2>err || assert_equal $? 74
	done
	ndjson-part --source s --feed f --date 2026-11-18 -- sh -c \
		'yes "{\"n\":1}" | head -n 200000' >big
	bash -c '(raw-store --dir raw <big; echo $? >st) 2>err | head -n 1 >/dev/null'
	assert_equal "$(cat st)" 74
	run store --list --from 2026-11-18 --to 2026-11-18
	assert_output ''
	for o in --help --version; do
		bash -c "raw-store $o >/dev/full" 2>err || assert_equal $? 74
	done
}

@test "takes gzip, a last line without newline, blank lines, and levels" {
	part 2026-11-19 '{"n":1}' '' '{"n":2}' >in
	gzip <in | store --level 9 >out
	cmp <(part 2026-11-19 '{"n":1}' '{"n":2}') out
	head -c -1 in | store >/dev/null
	run versions
	assert_output '["2026-11-19",1,"complete",2]'
	{
		printf '%s\n' "$(head -n 1 in)"
		head -c 3000 /dev/zero | tr '\0' x
		printf '\n{"n":"\xff"}\n{"n":"\x01"}\n{"@stream":"end","records":3,"outcome":"complete"}\n'
	} >bad
	run --separate-stderr store --rejects dead --max-line 2000 <bad
	assert_equal "$status" 3
	assert_equal "$(wc -l <dead.why)" 3
}

@test "refuses wrong command lines with 64, and shows --help" {
	wrong() {
		run raw-store "$@" </dev/null
		assert_equal "$*:$status" "$*:64"
	}
	wrong
	wrong --dir raw --source s
	wrong --dir raw --replay
	wrong --dir raw --replay --verify --source s
	wrong --dir raw --verify --feed f
	wrong --dir raw --level 0
	wrong --dir raw --replay --source ../x
	wrong --dir raw --replay --source s --from 2026-11-20 --to 2026-11-19
	wrong --dir raw --list --as-of never
	wrong --dir raw operand
	run raw-store --help
	assert_success
	assert_line --partial '--replay'
	run raw-store --version
	assert_success
}

@test "SIGTERM in a partition stores nothing of it, and it ends by that signal" {
	part 2026-11-19 '{"n":1}' >in
	mkfifo p
	(
		cat in
		head -n 2 in | sed s/19/20/
		sleep 3
	) >p &
	feeder=$!
	raw-store --dir raw <p >out 2>err &
	pid=$!
	sleep 0.3
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	kill $feeder 2>/dev/null || true
	assert_equal "$status" 143
	run versions
	assert_output '["2026-11-19",1,"complete",1]'
	assert_equal "$(find raw -name '.tmp*' | wc -l)" 0
}
