#!/usr/bin/env bats
# ndjson-part: proof of their end around foreign commands.

load helper
bats_require_minimum_version 1.5.0

part() { # COMMAND ...
	ndjson-part --source x --feed y --date 2026-11-19 "$@"
}
begin='{"@stream":"begin","v":1,"source_system":"x","feed":"y","date":"2026-11-19"}'

@test "puts a begin and a counted end around what a command writes" {
	run part -- printf '{"a":1}\n\n{"b": 2} \n{"c":3}'
	assert_success
	assert_output "$begin"'
{"a":1}
{"b": 2}
{"c":3}
{"@stream":"end","records":3,"outcome":"complete"}'
}

@test "says zone, run and more in begin, as it is told" {
	RUN_ID=r1 run part --tz Europe/Stockholm --set 'quality={"sampled":true}' \
		--set 'x y="\u00e9"' -- echo '{}'
	assert_line --index 0 '{"@stream":"begin","v":1,"source_system":"x","feed":"y","date":"2026-11-19","day_tz":"Europe/Stockholm","run_id":"r1","quality":{"sampled":true},"x y":"\u00e9"}'
	run part --run-id r2 --stamp -- echo '{}'
	assert_line --index 0 --regexp '"run_id":"r2","fetched_at":"20[0-9-]*T[0-9:]*Z"\}$'
}

@test "gives the command its own stdin and stderr, and its arguments as they are" {
	run --separate-stderr part --plain -- sh -c 'cat; echo "[$1]" >&2' sh 'a  b' <<<'{"n":1}'
	assert_output '{"n":1}'
	assert_equal "$stderr" '[a  b]'
}

@test "writes no end where the command fails, and keeps a class of ours" {
	for code in 64 65 66 70 71 73 74 75 77 78; do
		run --separate-stderr part -- sh -c "echo {}; exit $code"
		assert_equal "$status" "$code"
		assert_output "$begin"$'\n{}'
		assert_equal "${#stderr_lines[@]}" 1
	done
	for code in 1 2 5 6 22 28 99; do
		run --separate-stderr part -- sh -c "echo {}; exit $code"
		assert_equal "$status" 65
		assert_output "$begin"$'\n{}'
		assert_equal "$stderr" "ndjson-part: sh: exited $code"
	done
	run --separate-stderr part -- sh -c 'echo {}; kill -TERM $$'
	assert_equal "$status" 143
	assert_output "$begin"$'\n{}'
}

@test "a command that cannot be run is 78, before anything is written" {
	run --separate-stderr part -- ./no-such-command
	assert_equal "$status" 78
	assert_output ''
	assert_equal "$stderr" 'ndjson-part: ./no-such-command: cannot run: No such file or directory'
	: >file
	run --separate-stderr part -- ./file
	assert_equal "$status" 78
	run --separate-stderr part -- sh -c 'no-such-command'
	assert_equal "$status" 78
}

@test "knows not ready and partial by the command's status" {
	run part -- sh -c 'exit 4'
	assert_equal "$status" 4
	assert_line --index 1 '{"@stream":"end","records":0,"outcome":"not_ready"}'
	run part -- sh -c 'echo {}; exit 3'
	assert_equal "$status" 3
	assert_line --index 2 '{"@stream":"end","records":1,"outcome":"partial","reason":"the command ended with status 3"}'
	# neither is believed where the records say otherwise
	for cmd in 'echo {}; exit 4' 'exit 3'; do
		run part -- sh -c "$cmd"
		assert_equal "$status" 65
		refute_line --partial '"end"'
	done
}

@test "no records are never silent: refused, or empty with --allow-empty" {
	run --separate-stderr part -- true
	assert_equal "$status" 65
	assert_output "$begin"
	assert_equal "$stderr" 'ndjson-part: true: gave no records; with --allow-empty that is an answer'
	run part --allow-empty -- true
	assert_success
	assert_line --index 1 '{"@stream":"end","records":0,"outcome":"empty"}'
	run part --allow-empty -- false
	assert_equal "$status" 65
	refute_line --partial '"end"'
}

@test "checks each record of the command, and ends it at a bad one" {
	run --separate-stderr part -- sh -c 'echo {}; echo "{1}"; exec sleep 60'
	assert_equal "$status" 65
	assert_output "$begin"$'\n{}'
	assert_equal "$stderr" 'ndjson-part: sh:2:2: a member must begin with a string'
	run --separate-stderr part -- printf '{}\n{"a":'
	assert_equal "$status" 65
	run --separate-stderr part --rejects dead -- printf '{}\noops\n'
	assert_equal "$status" 3
	assert_line --index 2 '{"@stream":"end","records":1,"outcome":"complete","rejected":1}'
	assert_equal "$(cat dead)" oops
	run part --max-line 10 -- echo '{"n":"0123456789"}'
	assert_equal "$status" 65
}

@test "refuses control records from the command" {
	run --separate-stderr part -- echo "$begin"
	assert_equal "$status" 65
	assert_output "$begin"
}

@test "--through takes the control records off and puts them back counted" {
	{
		part --set 'q=[1.0]' -- printf '{"n":1}\n{"n":2}\n{"n":3}\n'
		part --allow-empty -- true
		part -- echo '{"n":4}'
	} >in
	run ndjson-part --through -- jq -c 'select(.n != 2)' <in
	assert_success
	assert_output "${begin%\}},"'"q":[1.0]}
{"n":1}
{"n":3}
{"@stream":"end","records":2,"outcome":"complete"}
'"$begin"'
{"@stream":"end","records":0,"outcome":"empty"}
'"$begin"'
{"n":4}
{"@stream":"end","records":1,"outcome":"complete"}'
	# each partition has a run of its own
	run ndjson-part --through --plain -- jq -cn '[inputs]|{n:length}' <in
	assert_output $'{"n":3}\n{"n":0}\n{"n":1}'
	# plain records are one
	ndjson-part --strip in >plain
	run ndjson-part --through -- jq -cn '[inputs]|{n:length}' <plain
	assert_output '{"n":4}'
}

@test "--through says so where nothing is left" {
	part -- echo '{"n":1}' >in
	run --separate-stderr ndjson-part --through -- jq -c empty <in
	assert_success
	assert_line --index 1 '{"@stream":"end","records":0,"outcome":"complete"}'
	assert_equal "$stderr" "ndjson-part: warning: nothing is left of partition 'x' 'y' 2026-11-19"
}

@test "--through leaves a partition without its end where the command fails" {
	{
		part -- echo '{"n":1}'
		part -- echo '{"n":"x"}'
		part -- echo '{"n":3}'
	} >in
	run --separate-stderr ndjson-part --through -- jq -c '{n:(.n+1)}' <in
	assert_equal "$status" 65
	assert_line --index 1 '{"n":2}'
	assert_equal "$(grep -c '"end"' <<<"$output")" 2
	run ndjson-part --through -- sh -c 'cat; exit 75' <in
	assert_equal "$status" 75
	run ndjson-part --through -- sh -c 'cat; echo oops' <in
	assert_equal "$status" 65
	refute_line --partial '"end"'
	run --separate-stderr ndjson-part --through -- ./no-such <in
	assert_equal "$status" 78
}

@test "--through does not let a cut partition look whole to the command" {
	part -- sh -c 'yes "{\"n\":1}" | head -n 100000' | head -n 50000 >in
	run --separate-stderr ndjson-part --through -- sh -c 'cat >/dev/null; echo "{\"sum\":1}"' <in
	assert_equal "$status" 66
	refute_line --partial sum
	refute_line --partial '"end"'
}

@test "--through skips the command for a day without an answer" {
	for o in not_ready failed; do
		printf '%s\n{"@stream":"end","records":0,"outcome":"%s"}\n' "$begin" $o >in
		run ndjson-part --through -- sh -c 'echo ran >&2; echo {}' <in
		assert_success
		assert_output "$(cat in)"
	done
}

@test "--through lets a command stop reading early" {
	part -- sh -c 'yes "{\"n\":1}" | head -n 200000' >in
	run ndjson-part --through -- head -n 2 <in
	assert_success
	assert_line --index 3 '{"@stream":"end","records":2,"outcome":"complete"}'
}

@test "--through carries more than pipes hold, unchanged" {
	part -- sh -c 'seq 300000 | sed "s/.*/{\"n\":&,\"t\":\"some more text\"}/"' >in
	ndjson-part --through -- cat <in | cmp in -
}

@test "--check is quiet and tells by its status" {
	part -- echo '{}' >good
	run ndjson-part --check good
	assert_success
	assert_output ''
	head -n 2 good >cut
	run ndjson-part --check cut
	assert_equal "$status" 66
	echo '{}' >plain
	run ndjson-part --check plain
	assert_equal "$status" 66
	run ndjson-part --check --plain plain
	assert_success
	for o in partial:3 failed:3 not_ready:4 empty:0; do
		printf '%s\n{"@stream":"end","records":0,"outcome":"%s"}\n' "$begin" "${o%:*}" >in
		run ndjson-part --check good in
		assert_equal "$o" "${o%:*}:$status"
	done
}

@test "--summary prints a record a partition" {
	{
		part -- echo '{}'
		printf '%s\n{}\n{"@stream":"end","records":1,"outcome":"failed","rejected":2,"class":"auth","reason":"403"}\n' "$begin"
		printf '%s\n{}\n' "$begin"
	} >in
	run --separate-stderr ndjson-part --summary in
	assert_equal "$status" 66
	assert_output '{"source_system":"x","feed":"y","date":"2026-11-19","records":1,"outcome":"complete","rejected":0}
{"source_system":"x","feed":"y","date":"2026-11-19","records":1,"outcome":"failed","rejected":2,"class":"auth","reason":"403"}
{"source_system":"x","feed":"y","date":"2026-11-19","records":1,"outcome":"truncated","rejected":0}'
}

@test "--strip takes the control records off, of gzip files too" {
	part -- printf '{"n":1}\n{"n":2}' | gzip >in.gz
	run ndjson-part --strip in.gz
	assert_output $'{"n":1}\n{"n":2}'
}

@test "hands SIGTERM on to the command and ends by it, without an end" {
	ndjson-part --source x --feed y --date 2026-11-19 -- sh -c 'trap "echo got >>log; exit 0" TERM; echo {}; while :; do sleep 0.05; done' >out &
	pid=$!
	sleep 0.3
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	assert_equal "$status" 143
	assert_equal "$(cat log)" got
	assert_equal "$(cat out)" "$begin"$'\n{}'
}

@test "leaves no descriptor of its own to the command, and no child behind" {
	ls='cd /proc/$$/fd; set -- *; echo "{\"fd\":\"$*\"}"'
	sh -c "$ls" >want
	ndjson-part --source x --feed y --date 2026-11-19 --plain -- sh -c "$ls" >got
	assert_equal "$(cat got)" "$(cat want)"
}

@test "a full disk and a closed stdout are 74" {
	bash -c 'ndjson-part --source x --feed y --date 2026-11-19 -- echo {} >/dev/full' 2>err ||
		assert_equal $? 74
	bash -c 'ndjson-part --source x --feed y --date 2026-11-19 -- echo {} >&-' 2>err ||
		assert_equal $? 74
	part -- echo '{}' >in
	bash -c 'ndjson-part --through -- cat <in >/dev/full' 2>err || assert_equal $? 74
	assert_equal "$(sort -u err)" 'ndjson-part: stdout: write failed: No space left on device'
	bash -c 'ndjson-part --summary in >/dev/full' 2>err || assert_equal $? 74
	for o in --help --version; do
		bash -c "ndjson-part $o >/dev/full" 2>err || assert_equal $? 74
	done
}

@test "runs out of memory with a message, at any allocation" {
	skip_if_san
	part -- echo '{}' >in
	for n in $(seq 1 "$(fault_calls malloc ndjson-part --check in)"); do
		status=0
		with_fault "malloc:$n:ENOMEM" ndjson-part --check in 2>err || status=$?
		((status == 71 || status == 0)) || fail "malloc $n: $status: $(cat err)"
	done
}

@test "refuses wrong command lines with 64" {
	wrong() {
		run --separate-stderr ndjson-part "$@"
		assert_equal "$*:$status" "$*:64"
		assert_output ''
	}
	wrong
	wrong -- echo
	wrong --source x --feed y -- echo
	wrong --source x --feed y --date 2026-02-30 -- echo
	wrong --source x --feed y --date 2026-11-19
	wrong --source x --feed y --date 2026-11-19 --tz Nowhere/At -- echo
	wrong --source x --feed y --date 2026-11-19 --set nojson -- echo
	wrong --source x --feed y --date 2026-11-19 --set 'a={' -- echo
	wrong --source x --feed y --date 2026-11-19 --set 'date="x"' -- echo
	wrong --source x --feed y --date 2026-11-19 --set $'a=[\n]' -- echo
	wrong --through
	wrong --check --strip
	wrong --source x --check
	wrong --bogus
}

@test "has --help, --version and the same output when run again" {
	run ndjson-part --help
	assert_success
	assert_line --partial '--through'
	run ndjson-part --version
	assert_success
	part -- echo '{}' >a
	part -- echo '{}' >b
	cmp a b
}

@test "--through ends within two seconds of SIGTERM, whatever the command does" {
	part -- echo '{"n":1}' >in
	for cmd in 'cat; exec sleep 60' 'exec sleep 60' 'trap "" TERM; cat; sleep 5'; do
		ndjson-part --through -- sh -c "$cmd" <in >out 2>err &
		pid=$!
		sleep 0.3
		from=$(date +%s%N)
		kill -TERM $pid
		status=0
		wait $pid || status=$?
		took=$((($(date +%s%N) - from) / 1000000))
		assert_equal "$cmd:$status" "$cmd:143"
		((took < 3000)) || fail "$cmd: $took ms"
		run grep -c '"end"' out
		assert_output 0
	done
}
