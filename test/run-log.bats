#!/usr/bin/env bats
# run-log: one run of a pipeline, and what is written down of it.

load helper
bats_require_minimum_version 1.5.0

setup() {
	weir_setup
	export WEIR_HOME=$T/var
}

record() { # MEMBER: of the last run
	run-log --last 1 | jq -r ".$1"
}

# What a weir program would write to WEIR_STATS.
stage() { # TOOL PID STATUS
	printf '{"event":"start","tool":"%s","pid":%d,"time":"2026-11-20T00:00:00Z"}\n' "$1" "$2"
	[[ -z $3 ]] ||
		printf '{"event":"end","tool":"%s","pid":%d,"time":"2026-11-20T00:00:01Z","status":%d,"class":"x","seconds":1.000,"counts":{"records_in":5,"bytes_in":700,"api_calls":2,"retries":1}}\n' "$1" "$2" "$3"
}

@test "passes stdout, stderr, arguments and the exit status on" {
	run --separate-stderr run-log -p x -- sh -c 'echo "out $1"; echo err >&2; exit 7' sh 'a b'
	assert_equal "$status" 7
	assert_equal "$output" 'out a b'
	assert_equal "$stderr" 'err'
}

@test "writes every field of a run record" {
	RUN_ID=my-run run-log -p x --source ga4 -- true
	run jq -c 'keys_unsorted' var/runs/runs.ndjson
	for f in run_id pipeline source_system start_time end_time status \
		records_written error_class error_message exit_status seconds \
		api_calls retries bytes_read; do
		assert_output --partial "\"$f\""
	done
	run jq -r '[.run_id,.pipeline,.source_system,.status,.exit_status,.error_class]|@csv' var/runs/runs.ndjson
	assert_output '"my-run","x","ga4","success",0,'
	run jq -e '(.start_time|fromdateiso8601? // (sub("\\.[0-9]+";"")|fromdateiso8601)) <= now' var/runs/runs.ndjson
	assert_success
}

@test "gives a run id that sorts by time, and one that is set already stays" {
	run run-log -p x -- sh -c 'echo $RUN_ID'
	assert_output --regexp '^20[0-9]{6}T[0-9]{9}-[0-9a-f]{8}$'
	first=$output
	sleep 0.01
	run run-log -p x -- sh -c 'echo $RUN_ID'
	[[ $first < $output ]]
	RUN_ID=abc run run-log -p x -- sh -c 'echo $RUN_ID'
	assert_output abc
	RUN_ID='../x' run run-log -p x -- true
	assert_failure 78
}

@test "classifies each exit code by its word, and says success, partial or failed" {
	while read -r rc class st; do
		run run-log -p x -- sh -c "exit $rc"
		assert_equal "$status" "$rc"
		assert_equal "$(record 'error_class')" "$class"
		assert_equal "$(record 'status')" "$st"
	done <<-END
		1 findings failed
		2 warnings partial
		3 partial partial
		4 notready partial
		64 usage failed
		65 contract failed
		66 truncated failed
		70 internal failed
		74 io failed
		75 transient failed
		77 auth failed
		78 config failed
	END
}

@test "takes the gravest stage of a pipe, not the last" {
	{ stage src 11 75; stage mid 12 65; stage load 13 66; } >lines
	run run-log -p x -- sh -c 'cat lines >>"$WEIR_STATS"; echo "mid: -:3:1: bad line" >&2; echo "load: truncated" >&2; exit 66'
	assert_failure 65
	assert_equal "$(record error_class)" contract
	assert_equal "$(record error_message)" 'mid: -:3:1: bad line'
	assert_equal "$(record api_calls)" 6
	assert_equal "$(record retries)" 3
	assert_equal "$(record counts.mid.records_in)" 5
}

@test "a stage that died fails the run though the command says 0" {
	{ stage src 11 0; stage mid 12 ''; stage load 13 0; } >lines
	run run-log -p x -- sh -c 'cat lines >>"$WEIR_STATS"'
	assert_failure 137
	assert_equal "$(record status)" failed
	assert_equal "$(record error_class)" signal
	assert_equal "$(record error_message)" 'mid was killed'
	assert_equal "$(record stages_killed)" 1
}

@test "a half line in the counts is passed over" {
	{ stage src 11 0; printf '{"event":"en'; } >lines
	run run-log -p x -- sh -c 'cat lines >>"$WEIR_STATS"'
	assert_success
}

@test "real stages are counted: a filter that refuses its input is the class" {
	[[ -x $WEIR_BIN/ndjson-dedup ]] || skip 'ndjson-dedup is not built'
	printf '{"a":1}\nnonsense\n' >in
	run run-log -p x -- sh -c 'ndjson-dedup --key a <in | cat'
	assert_failure 65
	assert_equal "$(record error_class)" contract
	assert_equal "$(record 'counts["ndjson-dedup"].records_in > 0')" true
	run record error_message
	assert_output --partial 'ndjson-dedup: -:2:'
}

@test "notes of the pipeline go into the record" {
	run run-log -p x -- sh -c 'echo "{\"event\":\"note\",\"data_through\":\"2026-11-19\",\"records_written\":12}" >>"$WEIR_STATS"'
	assert_success
	assert_equal "$(record data_through)" 2026-11-19
	assert_equal "$(record records_written)" 12
}

@test "a run that published a part of its work is partial, and its status stays" {
	run run-log -p x -- sh -c 'echo "{\"event\":\"note\",\"partial\":true}" >>"$WEIR_STATS"; exit 77'
	assert_failure 77
	run jq -r '"\(.status) \(.exit_status) \(.error_class)"' var/runs/runs.ndjson
	assert_output 'partial 77 auth'
	run run-log -p x -- sh -c 'echo "{\"event\":\"note\",\"partial\":true}" >>"$WEIR_STATS"'
	assert_success
	assert_equal "$(run-log --last 1 | jq -r .status)" success
}

@test "a second run of a pipeline is refused with 75, another pipeline is not" {
	run-log -p x -- sleep 3 &
	until [[ -s var/runs/x.open ]]; do sleep 0.02; done
	run run-log -p x -- true
	assert_failure 75
	run run-log -p y -- true
	assert_success
	run run-log -p x --wait 10 -- true
	assert_success
	wait
}

@test "what a killed run-log left running keeps the next run out" {
	run-log -p x -- sh -c 'trap "" TERM; sleep 1; echo done >left' &
	pid=$!
	until [[ -s var/runs/x.open ]]; do sleep 0.02; done
	sleep 0.2
	kill -9 $pid
	wait $pid || true
	run run-log -p x -- true
	assert_failure 75
	run run-log -p x --wait 10 -- cat left
	assert_success
	assert_line done
}

@test "a run whose run-log was killed is recorded by the next" {
	RUN_ID=gone run-log -p x --source s -- sleep 5 &
	pid=$!
	until [[ -s var/runs/x.open ]]; do sleep 0.02; done
	sleep 0.1
	kill -9 $pid
	wait $pid || true
	run run-log -p x --wait 10 -- true
	assert_success
	assert_line --partial 'warning: run gone never ended'
	run jq -rs 'map([.run_id,.status,.error_class,.end_time]|map(tostring)|join(" "))[0]' var/runs/runs.ndjson
	assert_output 'gone failed signal null'
	assert_equal "$(wc -l <var/runs/runs.ndjson)" 2
	[[ ! -e var/runs/x.open ]]
}

@test "hands SIGTERM on to the whole pipe, records the run, dies by it" {
	run-log -p x -- sh -c 'sleep 30 | sleep 30' &
	pid=$!
	until [[ -s var/runs/x.open ]]; do sleep 0.02; done
	sleep 0.2
	kill -TERM $pid
	st=0
	wait $pid || st=$?
	assert_equal $st 143
	assert_equal "$(record error_class)" signal
	assert_equal "$(record exit_status)" 143
	run pgrep -g "$pid"
	assert_failure
}

@test "kills what does not heed the signal when patience ends" {
	run-log -p x --grace 1 -- sh -c 'trap "" TERM; while :; do sleep 0.1; done' &
	pid=$!
	until [[ -s var/runs/x.open ]]; do sleep 0.02; done
	sleep 0.2
	kill -TERM $pid
	st=0
	wait $pid || st=$?
	assert_equal $st 143
	assert_equal "$(record exit_status)" 137
}

@test "no secret, address or control character gets into a record" {
	export MY_API_TOKEN=hunter2hunter2
	run run-log -p x -- sh -c 'printf "x: Bearer abc.def-123 key=topsecret1 hunter2hunter2 sk-ant-api03-zzzzzz a.b+c@example.com \033[31mred https://u.example/p?sig=1234\n" >&2; exit 65'
	assert_failure 65
	assert_equal "$(record error_message)" 'x: Bearer [secret] key=[secret] [secret] [secret] [address]  [31mred https://u.example/p?[cut]'
	run grep -rE 'hunter2|topsecret|abc.def|zzzzzz|example.com' var
	assert_failure
}

@test "a message is cut at 500 bytes, between characters" {
	run run-log -p x -- sh -c 'i=0; while [ $i -lt 400 ]; do printf å; i=$((i+1)); done >&2; echo >&2; exit 65'
	assert_equal "$(record 'error_message|utf8bytelength')" 500
	assert_equal "$(record 'error_message|explode|unique|length')" 1
}

@test "writes Pipeline execution completed to the common log" {
	run-log -p x -- true
	run-log -p y --log "$T/my.log" -- true
	run jq -r '[.severity,.message,.pipeline,.status]|join("|")' var/runs/weir.log
	assert_output 'INFO|Pipeline execution completed|x|success'
	run jq -r '.pipeline' my.log
	assert_output y
}

@test "the textfile keeps the last success over a failure and has no timestamps" {
	mkdir prom
	run-log -p x --source ga4 --textfile prom -- true
	f=prom/weir_x.prom
	grep '^analytics_run_status{tool="x",source="ga4"} 0' $f
	ok=$(grep '^analytics_run_last_success' $f)
	sleep 0.01
	run run-log -p x --source ga4 --textfile prom -- sh -c 'exit 65'
	assert_failure 65
	assert_equal "$(grep '^analytics_run_last_success' $f)" "$ok"
	grep '^analytics_run_status{tool="x",source="ga4"} 2' $f
	run grep -vE '^(# (HELP|TYPE) analytics_[a-z_]+ .+|analytics_[a-z_]+\{tool="[^"]*",source="[^"]*"\} [0-9.]+)$' $f
	assert_failure
	assert_equal "$(stat -c %a $f)" 644
	assert_equal "$(find prom -type f | wc -l)" 1
}

@test "a textfile that cannot be written ends in 3 and does not lose the run" {
	run run-log -p x --textfile nowhere -- true
	assert_failure 3
	assert_equal "$(record status)" success
}


@test "pings start, success and fail, and never shows the URL" {
	"$WEIR_B"/test/answer port asked 4 &
	pid=$!
	until [[ -s port ]]; do sleep 0.02; done
	port=$(<port)
	(umask 077; echo "http://127.0.0.1:$port/SECRET" >url)
	run run-log -p x --ping-file url --ping-http -- true
	assert_success
	run run-log -p x --ping-file url --ping-http -- false
	assert_failure 1
	wait $pid
	run cut -d' ' -f2 asked
	assert_line -n 0 /SECRET/start
	assert_line -n 1 /SECRET
	assert_line -n 2 /SECRET/start
	assert_line -n 3 /SECRET/fail
}

@test "a ping that fails is a warning without the URL, and the run goes on" {
	(umask 077; echo 'http://127.0.0.1:1/SECRET' >url)
	run run-log -p x --ping-file url --ping-http -- true
	assert_success
	assert_line --partial 'warning: start not sent'
	refute_output --partial SECRET
	run grep -r SECRET var
	assert_failure
}

@test "refuses a URL file that others can read, and a URL that is not https" {
	echo https://example.com/x >url
	chmod 644 url
	run run-log -p x --ping-file url -- touch ran
	assert_failure 78
	chmod 600 url
	echo http://127.0.0.1/SECRET >url
	run run-log -p x --ping-file url -- touch ran
	assert_failure 78
	refute_output --partial SECRET
	echo http://example.com/ >url
	run run-log -p x --ping-file url --ping-http -- touch ran
	assert_failure 78
	[[ ! -e ran ]]
}

@test "stores its records in pipeline_runs, and what was missed comes later" {
	[[ -x $WEIR_BIN/sqlite-load ]] || skip 'sqlite-load is not built'
	run-log -p x --source ga4 -- true
	run-log -p x --source ga4 --db w.db -- true
	run-log -p x --source ga4 --db w.db -- sh -c 'exit 4' || true
	run sqlite3 w.db 'select status, exit_status, pipeline, error_class from pipeline_runs order by start_time'
	assert_output 'success|0|x|
success|0|x|
partial|4|x|notready'
}

@test "a torn last line of the run list does not spoil the next" {
	run-log -p x -- true
	printf '{"run_id":"to' >>var/runs/runs.ndjson
	run-log -p x -- true
	run run-log --last
	assert_equal "$(echo "$output" | jq -s length)" 2
}

@test "lists the last runs, of one pipeline if asked" {
	for p in a b a b; do run-log -p $p -- true; done
	run run-log --last
	assert_equal "${#lines[@]}" 4
	run run-log --last 3
	assert_equal "${#lines[@]}" 3
	run run-log -p a --last 1
	assert_output --partial '"pipeline":"a"'
	assert_equal "${#lines[@]}" 1
	run run-log --last 0
	assert_failure 64
	run-log --last >/dev/full 2>err && false
	assert_equal $? 74 || true
}

@test "state is private whatever the umask, and a bad place is refused before the run" {
	(umask 000; run-log -p x -- true)
	run find var -perm /077
	assert_output ''
	: >file
	run run-log --home file -p x -- touch ran
	assert_failure 73
	run run-log --home a/b/c -p x -- touch ran
	assert_failure 73
	[[ ! -e ran ]]
}

@test "a full disk is said and ends in 74" {
	run with_fault write:*:ENOSPC env FAULT_PATH=runs.ndjson run-log -p x -- true
	assert_failure 74
	assert_output --partial 'runs.ndjson'
}

@test "a command that does not exist is 127 and is recorded" {
	run -127 run-log -p x -- no-such-command
	assert_equal "$(record error_message)" 'cannot run the command: No such file or directory'
}

@test "works with stderr closed, stdout full, and stdin a file" {
	run sh -c 'run-log -p x -- sh -c "echo x >&2" 2>&-'
	assert_success
	run sh -c 'run-log -p x -- echo hi >/dev/full'
	assert_failure
	echo data >f
	run sh -c 'run-log -p x -- cat <f'
	assert_output data
}

@test "usage: a pipeline and a command are needed, names are checked" {
	run run-log -- true
	assert_failure 64
	run run-log -p x
	assert_failure 64
	run run-log -p ../x -- true
	assert_failure 64
	run run-log --help
	assert_success
	assert_output --partial '--ping-file'
	run run-log --version
	assert_success
	run sh -c 'run-log --help >/dev/full'
	assert_failure 74
}

@test "no program but run-log and those that talk to services links libcurl" {
	for t in "$WEIR_BIN"/*; do
		case ${t##*/} in run-log | fetch-* | bq-*) continue ;; esac
		run sh -c "ldd '$t' | grep curl"
		assert_failure
	done
}
