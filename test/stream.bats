#!/usr/bin/env bats
# The reader and writer of streams, through the plainest filter there is: one
# case for each fault of the input.

load helper
bats_require_minimum_version 1.5.0

strip() {
	ndjson-part --strip "$@"
}
through() { # the plainest filter that keeps partitions
	ndjson-part --through "$@" -- cat
}

begin='{"@stream":"begin","v":1,"source_system":"s","feed":"f","date":"2026-11-19"}'
end() { # RECORDS [MORE]
	printf '{"@stream":"end","records":%d,"outcome":"complete"%s}\n' "$1" "${2:-}"
}
# A whole partition around stdin's lines, the count given.
part() {
	printf '%s\n' "$begin"
	cat
	end "$1"
}

# The line between two good ones, plain and in a partition. The line is text
# for printf's format, without its newline.
try_pass() { # NAME LINE [WRITTEN, where it is not LINE]
	local want=${3-$2}
	printf "{\"n\":1}\n$2\n{\"n\":3}\n" >in
	printf "{\"n\":1}\n$want\n{\"n\":3}\n" >want
	strip <in >out 2>err || fail "$1: plain: status $?: $(cat err)"
	cmp out want || fail "$1: plain: other bytes"
	part 3 <in | strip >out 2>err || fail "$1: partition: $(cat err)"
	cmp out want || fail "$1: partition: other bytes"
	part 3 <in | ndjson-part --check || fail "$1: not whole"
}
try_bad() { # NAME LINE [BYTE [REASON]]
	local status=0
	printf "{\"n\":1}\n$2\n{\"n\":3}\n" >in
	printf "$2\n" >line
	printf '{"n":1}\n{"n":3}\n' >good

	strip <in >out 2>err || status=$?
	((status == 65)) || fail "$1: status $status"
	[[ $(cat out) == '{"n":1}' ]] || fail "$1: other records before it"
	[[ $(cat err) == "ndjson-part: -:2:${3:-}"* ]] || fail "$1: $(cat err)"
	[[ $(cat err) == *"${4:-}"* ]] || fail "$1: $(cat err)"
	(($(wc -l <err) == 1)) || fail "$1: not one line: $(cat err)"

	status=0
	part 3 <in | through --rejects dead >out 2>err || status=$?
	((status == 3)) || fail "$1: status $status with --rejects"
	cmp dead line || fail "$1: another dead letter"
	why=$(<dead.why)
	[[ $why == '{"file":"-","line":3,"byte":'"${3:-}"*"${4:-}"* ]] ||
		fail "$1: $why"
	[[ $(tail -n +2 out) == "$(cat good)"$'\n'"$(end 2 ',"rejected":1')" ]] ||
		fail "$1: $(cat out)"
}

@test "takes an empty input as no records, but not for a whole stream" {
	run strip </dev/null
	assert_success
	assert_output ''
	run --separate-stderr ndjson-part --check </dev/null
	assert_equal "$status" 66
}

@test "skips blank lines and counts them as lines" {
	printf '\n  \t\r\n{"n":1}\n\n{"n":2}}\n' >in
	run strip in
	assert_equal "$status" 65
	assert_line '{"n":1}'
	assert_line --partial 'ndjson-part: in:5:8:'
	printf '%s\n\n{"n":1}\n  \n' "$begin" >in
	end 1 >>in
	run ndjson-part --check in
	assert_success
}

@test "takes CRLF and passes LF on" {
	try_pass 'CRLF' '{"n":2}\r' '{"n":2}'
	try_pass 'blanks around' ' \t{"n":2} ' '{"n":2}'
	part 1 <<<'{"n":1}' | sed 's/$/\r/' >in
	run ndjson-part --check in
	assert_success
}

@test "takes a last line without a newline and ends the output in one" {
	printf '{"n":1}\n{"n":2}' >in
	strip in >out
	printf '{"n":1}\n{"n":2}\n' | cmp - out
	part 1 <<<'{"n":1}' | head -c -1 >in
	ndjson-part --check in
}

@test "names a last line that is cut: a bad record in plain NDJSON" {
	printf '{"n":1}\n{"n":2,"te' >in
	run strip in
	assert_equal "$status" 65
	assert_line --partial 'in:2:'
	assert_line --partial 'line ends inside a string'
	run strip --rejects dead in
	assert_equal "$status" 3
	assert_equal "$(cat dead)" '{"n":2,"te'
}

@test "a last line that is cut truncates an open partition and is no dead letter" {
	part 2 <<<$'{"n":1}\n{"n":2}' >in
	for n in 5 30 60; do
		head -c -$n in >cut
		run strip --rejects dead cut
		assert_equal "$status" 66
		assert_equal "$(cat dead)" ''
	done
}

@test "skips a byte order mark at byte 0 and nowhere else" {
	printf '\xef\xbb\xbf{"n":1}\n' >in
	printf '\xef\xbb\xbf{"n":2}' >in2
	run strip in in2
	assert_success
	assert_output $'{"n":1}\n{"n":2}'
	printf '\xef\xbb\xbf' >in
	run strip in
	assert_output ''
	{
		printf '\xef\xbb\xbf'
		part 1 <<<'{"n":1}'
	} | ndjson-part --check
	try_bad 'byte order mark inside' '\xef\xbb\xbf{}' 1 'byte order mark'
	printf '\xef\xbb\xbf{"n":x}\n' >in
	run strip in
	assert_output --partial 'in:1:9:'
}

@test "names UTF-16" {
	printf '\xff\xfe{\0"\0n\0"\0:\0001\0}\0\n\0' >in
	run strip in
	assert_equal "$status" 65
	assert_output --partial 'in:1:1: text is UTF-16, not UTF-8'
	printf '{\0"\0n\0"\0:\0001\0}\0\n\0' >in
	run strip in
	assert_output --partial 'UTF-16'
}

@test "refuses what is no JSON object on a line" {
	try_bad 'garbage' 'hello' 1
	try_bad 'HTML' '<html><body>502</body></html>' 1
	try_bad 'two values' '{"n":2} {"n":2}' 9
	try_bad 'two objects together' '{}{}' 3
	try_bad 'pretty-printed' '{' 2
	try_bad 'trailing comma' '{"n":2,}' 8
	try_bad 'comment' '{"n":2} // x' 9
	try_bad 'comment inside' '{/**/"n":2}' 2
	try_bad 'NaN' '{"n":NaN}' 6
	try_bad 'Infinity' '{"n":Infinity}' 6
	try_bad '-Infinity' '{"n":-Infinity}'
	try_bad '01' '{"n":01}'
	try_bad '+1' '{"n":+1}' 6
	try_bad '.5' '{"n":.5}' 6
	try_bad '1.' '{"n":1.}'
	try_bad '0x10' '{"n":0x10}'
	try_bad 'single quotes' "{'n':2}" 2
	try_bad 'name without quotes' '{n:2}' 2
	try_bad 'True' '{"n":True}' 6
	try_bad 'no colon' '{"n" 2}'
	try_bad 'no comma' '{"n":2 "m":3}'
	try_bad 'wrong bracket' '{"n":[2}}'
}

@test "refuses scalars and arrays as lines" {
	for v in null true 12 '"text"' '[1,2]' '[]' '[{"n":2}]'; do
		try_bad "$v" "$v" 1
	done
}

@test "refuses NUL and raw control characters, and shows what follows" {
	try_bad 'NUL in a string' '{"n":"a\0b"}' 8
	try_bad 'NUL outside' '{"n":2}\0' 8
	try_bad 'only NUL' '\0' 1
	try_bad 'tab in a string' '{"n":"a\tb"}' 8
	try_bad 'CR in a string' '{"n":"a\rb"}' 8
	try_bad 'escape character' '{"n":"\x1b[31m"}' 7
}

@test "passes an escaped NUL on" {
	try_pass 'escaped NUL' '{"n":"a\\u0000b"}'
}

@test "refuses bad UTF-8, naming its first byte, and never mends it" {
	try_bad 'lone continuation' '{"n":"\x80"}' 7
	try_bad 'cut sequence' '{"n":"\xc3"}' 7
	try_bad 'Latin-1' '{"n":"caf\xe9"}' 10
	try_bad 'overlong slash' '{"n":"\xc0\xaf"}' 7
	try_bad 'overlong of 3' '{"n":"\xe0\x80\xaf"}' 7
	try_bad 'surrogate bytes' '{"n":"\xed\xa0\x80"}' 7
	try_bad 'above U+10FFFF' '{"n":"\xf4\x90\x80\x80"}' 7
	try_bad 'byte ff' '{"n":"\xff"}' 7
	try_bad 'in a name' '{"\xff":1}' 3
	try_pass 'good ones' '{"n":"é€😀\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80"}'
}

@test "refuses a lone surrogate escape" {
	try_bad 'high' '{"n":"\\ud800"}' '' surrogate
	try_bad 'low' '{"n":"\\udc00"}' '' surrogate
	try_bad 'wrong order' '{"n":"\\udc00\\ud800"}' '' surrogate
	try_pass 'pair' '{"n":"\\ud83d\\ude00"}'
	try_bad 'short escape' '{"n":"\\u12"}'
	try_bad 'unknown escape' '{"n":"\\x41"}'
}

@test "passes duplicate keys on that it does not read" {
	try_pass 'duplicate' '{"n":2,"n":3,"\\u006e":4}'
}

@test "knows @stream however it is spelled, and refuses it twice" {
	part 1 <<<'{"n":1}' >in
	sed 's/"@stream"/"\\u0040stre\\u0061m"/' in >escaped
	ndjson-part --check escaped
	run strip escaped
	assert_output '{"n":1}'
	sed '1s/}$/,"@stream":"end"}/' in >twice
	run strip twice
	assert_equal "$status" 65
	assert_output --partial 'twice:1: @stream stands twice'
	# not at the top, and not as a value: a record
	try_pass 'deeper' '{"n":{"@stream":"end"},"m":"@stream"}'
}

@test "refuses nesting over 1000, in constant stack" {
	a=$(printf '[%.0s' {1..999})
	z=$(printf ']%.0s' {1..999})
	try_pass '1000 levels' "{\"n\":$a$z}"
	try_bad '1001 levels' "{\"n\":[$a$z]}"
	printf '{"n":' >deep
	head -c 100000 /dev/zero | tr '\0' '[' >>deep
	run strip deep
	assert_equal "$status" 65
}

@test "passes numbers of any size and form unchanged" {
	digits=$(printf '7%.0s' {1..5000})
	for n in -0 0 1e400 1e-400 9223372036854775807 -9223372036854775808 \
		9223372036854775808 9007199254740993 0.10 1E+2 -0.0 0.000001 \
		120210123456789013 "$digits" "0.$digits"; do
		try_pass "$n" "{\"n\":$n}"
	done
}

@test "passes escapes, key order and blanks inside unchanged" {
	try_pass 'all of it' '{ "b" : [ 1 , {"a":"\\u0041\\/\\n"} ] ,"a":null,"":{}}'
}

@test "refuses a line over the ceiling and reads on behind it" {
	long=$(printf 'x%.0s' {1..300})
	printf '{"n":1}\n{"n":"%s"}\n{"n":3}\n' "$long" >in
	run strip --max-line 100 in
	assert_equal "$status" 65
	assert_line 'ndjson-part: in:2:101: line is longer than 100 bytes'
	run --separate-stderr strip --max-line 100 --rejects dead in
	assert_equal "$status" 3
	assert_output $'{"n":1}\n{"n":3}'
	assert_equal "$(cat dead)" "{\"n\":\"$long\"}"
	run strip --max-line 308 in
	assert_success
	run strip --max-line 307 in
	assert_equal "$status" 65
}

@test "keeps 64 KiB of a huge line and says so, in bounded memory" {
	for tail in '"}\n{"n":2}\n' ''; do
		{
			printf '{"n":1}\n{"n":"'
			head -c 50000000 /dev/zero | tr '\0' y
			printf "$tail"
		} >in
		run --separate-stderr strip --rejects dead in
		assert_equal "$status" 3
		assert_equal "$(wc -c <dead)" 65537
		run jq -c '[.line,.byte,.cut]' dead.why
		assert_output '[2,16777217,true]'
	done
	[[ -z ${SAN:-} ]] || return 0
	(
		ulimit -v 80000
		strip --rejects dead <in >/dev/null
	) || assert_equal $? 3
}

@test "names 20 of many bad lines and counts the rest; the dead letters have all" {
	yes '{"n":}' | head -n 100000 >in
	run --separate-stderr strip --rejects dead in
	assert_equal "$status" 3
	assert_equal "${#stderr_lines[@]}" 21
	assert_equal "${stderr_lines[20]}" \
		'ndjson-part: 100000 bad records, 99980 of them not named here'
	cmp in dead
	assert_equal "$(wc -l <dead.why)" 100000
	assert_equal "$(stat -c %a dead dead.why)" $'600\n600'
}

@test "ends with 65 where there are more bad records than --max-rejects" {
	printf '{"n":1}\n{\n{"n":2}\n{\n{"n":3}\n' >in
	run --separate-stderr strip --rejects dead --max-rejects 1 in
	assert_equal "$status" 65
	assert_equal "$(wc -l <dead)" 2
	run --separate-stderr strip --rejects dead --max-rejects 2 in
	assert_equal "$status" 3
	run --separate-stderr strip --rejects dead --max-rejects 40% in
	assert_equal "$status" 3
	run --separate-stderr strip --rejects dead --max-rejects 39.9% in
	assert_equal "$status" 65
	for bad in -1 x 5x % 101% 1.%; do
		run strip --max-rejects "$bad" in
		assert_equal "$status" 64
	done
}

@test "replaces the dead letters of the last run whole" {
	printf '{\n' >in
	run strip --rejects dead in
	printf '{}\n' >in
	run strip --rejects dead in
	assert_success
	assert_equal "$(cat dead dead.why)" ''
	run strip --rejects no/dir/dead in
	assert_equal "$status" 73
}

@test "judges what it read of a file that grows or is cut" {
	yes '{"n":1}' | head -n 200000 >in
	(
		sleep 0.02
		: >in
	) &
	run strip in
	wait
	((status == 0 || status == 65))
}

# ---- gzip ----

@test "reads gzip by its magic, of several members, and beside plain files" {
	printf '{"n":1}\n{"n":' | gzip >a
	printf '2}\n' | gzip >>a
	printf '' | gzip >>a
	printf '{"n":3}\n' >b
	run strip a b - < <(printf '\xef\xbb\xbf{"n":4}\n' | gzip)
	assert_success
	assert_output $'{"n":1}\n{"n":2}\n{"n":3}\n{"n":4}'
}

@test "a gzip file that is cut is truncated, one that is damaged is refused" {
	seq 20000 | sed 's/.*/{"n":&}/' | gzip >a
	for n in 1 5 8 1000; do
		head -c -$n a >cut
		run --separate-stderr strip cut
		assert_equal "$status" 66
		assert_equal "$stderr" 'ndjson-part: cut: gzip data ends early'
	done
	size=$(size_of a)
	for at in $((size - 2)) $((size - 6)) $((size / 2)) 3; do
		cp a bad
		printf '\xff' | dd of=bad bs=1 seek="$at" conv=notrunc status=none
		run --separate-stderr strip bad
		assert_equal "$status:$at" "65:$at"
	done
	{
		cat a
		echo junk
	} >bad
	run --separate-stderr strip bad
	assert_equal "$status" 65
}

# ---- the process and its files ----

@test "a read error is not the end of the file" {
	run strip /
	assert_equal "$status" 66
	bash -c 'ndjson-part --strip </' 2>err || assert_equal $? 66
	assert_equal "$(cat err)" 'ndjson-part: -: read failed: Is a directory'
	bash -c 'ndjson-part --strip <&-' 2>err || assert_equal $? 66
	assert_equal "$(cat err)" 'ndjson-part: -: read failed: Bad file descriptor'
	run strip no-such-file
	assert_equal "$status" 66
	assert_output --partial 'no-such-file: cannot open'
}

@test "a failed write is an error: full device, closed stdout, EPIPE" {
	bash -c 'ndjson-part --strip <<<"{}" >/dev/full' 2>err || assert_equal $? 74
	assert_equal "$(cat err)" \
		'ndjson-part: stdout: write failed: No space left on device'
	bash -c 'ndjson-part --strip <<<"{}" >&-' 2>err || assert_equal $? 74
	bash -c 'ndjson-part --strip </dev/null >&-' 2>err || assert_equal $? 74
	assert_equal "$(cat err)" \
		'ndjson-part: stdout: write failed: Bad file descriptor'
	yes '{"n":1}' | head -n 100000 >in
	run bash -c '(trap "" PIPE; ndjson-part --strip in; echo $? >st) 2>err | true'
	assert_equal "$(cat st)" 74
	run bash -c '(ndjson-part --strip in; echo $? >st) 2>err | true'
	assert_equal "$(cat st)" 141
}

@test "gives the same for input in pieces of a byte, and for non-blocking pipes" {
	part 3 <<<$'{"n":1}\n{"n":"é"}\n{"n":3}' >in
	dd if=in bs=1 status=none | through >out
	cmp in out
}

@test "stops at a record boundary on SIGTERM, without an end, by that signal" {
	mkfifo p
	(
		printf '%s\n{"n":1}\n{"n":' "$begin"
		sleep 5
	) >p &
	feeder=$!
	ndjson-part --strip --plain p >out &
	pid=$!
	sleep 0.3
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	kill $feeder 2>/dev/null || true
	assert_equal "$status" 143
	assert_equal "$(cat out)" '{"n":1}'
}

# ---- partitions ----

@test "a begin inside an open partition truncates that one alone" {
	{
		printf '%s\n{"n":1}\n' "$begin"
		part 1 <<<'{"n":2}'
	} >in
	run --separate-stderr through <in
	assert_equal "$status" 66
	grep -v '"n":1' <<<"$output" >out
	printf '%s\n%s\n{"n":2}\n%s\n' "$begin" "$begin" "$(end 1)" | cmp - out
	assert_equal "$stderr" "ndjson-part: -:3: partition 's' 'f' 2026-11-19 is truncated: another one begins before its end"
}

@test "an end with another count truncates the partition, and the next goes on" {
	{
		part 2 <<<'{"n":1}'
		part 1 <<<'{"n":2}'
	} >in
	run --separate-stderr ndjson-part --summary in
	assert_equal "$status" 66
	run jq -r .outcome <<<"$output"
	assert_output $'truncated\ncomplete'
}

@test "refuses records outside of a partition, before, between and after" {
	part 1 <<<'{"n":1}' >p
	for files in 'r p' 'p r p' 'p r'; do
		echo '{"n":0}' >r
		# shellcheck disable=SC2086
		cat $files >in
		run strip in
		assert_equal "$status" 65
	done
	cat p r >in
	run --separate-stderr strip in
	assert_equal "$stderr" 'ndjson-part: in:4: a record outside of a partition'
	end 0 >in
	run --separate-stderr strip in
	assert_equal "$status" 65
}

@test "a partition does not go on in the next file" {
	part 2 <<<$'{"n":1}\n{"n":2}' >in
	head -n 2 in >a
	tail -n +3 in >b
	run --separate-stderr ndjson-part --check a b
	assert_equal "$status" 65
	assert_equal "${stderr_lines[0]}" "ndjson-part: a:2: partition 's' 'f' 2026-11-19 is truncated: the input ends without its end record"
}

@test "refuses control records that are not as agreed" {
	b() { # a begin with members changed by sed
		printf '%s\n' "$begin" | sed "$1" >in
		end 0 >>in
		run --separate-stderr ndjson-part --check in
		assert_equal "$1:$status" "$1:65"
		assert_equal "${#stderr_lines[@]}" 1
	}
	b 's/"v":1/"v":2/'
	b 's/"v":1/"v":"1"/'
	b 's/"v":1,//'
	b 's/"source_system":"s",//'
	b 's/"feed":"f"/"feed":""/'
	b 's/"feed":"f"/"feed":7/'
	b 's/"feed":"f"/"feed":"a\\u0000b"/'
	b 's/2026-11-19/2026-02-30/'
	b 's/,"date":"2026-11-19"//'
	b 's/}$/,"run_id":5}/'
	b 's/"begin"/"middle"/'
	b 's/"begin"/null/'
	e() {
		printf '%s\n' "$begin" >in
		printf '%s\n' "$1" >>in
		run --separate-stderr ndjson-part --check in
		assert_equal "$1:$status" "$1:65"
	}
	e '{"@stream":"end","outcome":"complete"}'
	e '{"@stream":"end","records":0}'
	e '{"@stream":"end","records":"0","outcome":"complete"}'
	e '{"@stream":"end","records":-1,"outcome":"complete"}'
	e '{"@stream":"end","records":0.5,"outcome":"complete"}'
	e '{"@stream":"end","records":0,"outcome":"done"}'
	e '{"@stream":"end","records":0,"outcome":"complete","rejected":"1"}'
	e '{"@stream":"end","records":0,"outcome":"failed","class":1}'
}

@test "passes unknown members of begin and end on, byte for byte" {
	cat >in <<'E'
{"@stream":"begin","v":1, "x" : [1.0, "\u0041"],"source_system":"s","feed":"f","date":"2026-11-19","quality":{"sampled":false}}
{"n":1}
{"@stream":"end","y":{"z" : 1.50},"records":1,"outcome":"complete","rejected":4,"w":"\u00e9"}
E
	through <in >out
	head -n 1 in | cmp - <(head -n 1 out)
	run tail -n 1 out
	assert_output '{"@stream":"end","y":{"z" : 1.50},"records":1,"outcome":"complete","rejected":4,"w":"\u00e9"}'
	run --separate-stderr ndjson-part --through --rejects dead -- cat <<E
$(sed -n '1,2p' in)
oops
$(sed -n '3s/"records":1/"records":2/p' in)
E
	assert_equal "$status" 3
	assert_line '{"@stream":"end","y":{"z" : 1.50},"records":1,"outcome":"complete","rejected":5,"w":"\u00e9"}'
}

@test "passes a failed partition, its class and reason, and goes on" {
	{
		part 1 <<<'{"n":1}'
		printf '%s\n{"n":2}\n{"@stream":"end","records":1,"outcome":"failed","class":"auth","reason":"403 é"}\n' "$begin"
		part 1 <<<'{"n":3}'
	} >in
	run through <in
	assert_success
	assert_output "$(cat in)"
}

@test "agrees with JSONTestSuite on all of its cases" {
	need_shared samples/json-test-suite
	suite=$(shared samples/json-test-suite)
	lines() { # each case as the value of a member, on a line of its own
		local f
		for f in "$suite"/test_parsing/"$1"_*.json; do
			printf '{"v":'
			# a newline inside of a string is what that case is about
			if [[ $f == *_unescaped_newline* ]]; then
				cat "$f"
			else
				tr '\n\r' '  ' <"$f"
			fi
			printf '}\n'
		done
	}
	lines y >y
	strip y | cmp y -
	lines n >n
	run --separate-stderr strip --rejects dead n
	assert_equal "$status" 3
	assert_output ''
	assert_equal "$(wc -l <dead)" "$(wc -l <n)" # all, the long ones cut
	lines i >i
	run --separate-stderr strip --rejects dead i
	assert_equal "$status" 3
}

@test "same bytes with few descriptors, little memory, any umask and locale" {
	part 3 <<<$'{"n":1}\n{"n":"\u0130"}\n{"n":1.5}' >in
	(
		ulimit -n 16
		through <in | cmp in -
	)
	if [[ -z ${SAN:-} ]]; then
		(
			ulimit -v 65536
			through <in | cmp in -
		)
	fi
	(
		umask 000
		strip --rejects dead <in >/dev/null
	)
	assert_equal "$(stat -c %a dead dead.why)" $'600\n600'
	for l in de_DE.UTF-8 tr_TR.UTF-8 C.UTF-8; do
		LC_ALL=$l TZ=Asia/Kathmandu ndjson-part --through -- cat <in | cmp in -
	done
	run env -i "$(command -v ndjson-part)" --check in
	assert_success
}

@test "stopped and continued, it gives the same" {
	yes '{"n":1}' | head -n 300000 | part 300000 >in
	mkfifo p
	ndjson-part --strip in >p &
	pid=$!
	(
		for _ in 1 2 3 4 5; do
			kill -STOP $pid
			kill -CONT $pid
		done
	) 2>/dev/null
	cmp <(yes '{"n":1}' | head -n 300000) <(cat p)
	wait $pid
}

@test "messages are lost where stderr is closed or full, data is not" {
	printf '{"n":1}\nbad\n{"n":2}\n' >in
	for to in '2>/dev/full' '2>&-'; do
		bash -c "ndjson-part --strip --rejects dead in $to" >out || assert_equal $? 3
		assert_equal "$(cat out)" $'{"n":1}\n{"n":2}'
		assert_equal "$(cat dead)" bad
	done
}

@test "dead letters on a full disk are 74 and leave the old ones" {
	printf 'bad\n' >in
	run strip --rejects dead in
	cp dead old
	for f in write fsync renameat; do
		path=.tmp-
		[[ $f != renameat ]] || path=dead
		run env FAULT_PATH=$path FAULT="$f:1:ENOSPC" LD_PRELOAD="$(fault_so)" \
			ndjson-part --strip --rejects dead in
		assert_equal "$f:$status" "$f:74"
		cmp dead old
		assert_equal "$(find . -name '.tmp*' | wc -l)" 0
	done
}
