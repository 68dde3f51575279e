#!/usr/bin/env bats
# The library, by the small programs of test/unit.

bats_require_minimum_version 1.5.0
load helper

unit() {
	local name=$1
	shift
	"$WEIR_B/test/unit/$name" "$@"
}

# --- dates ------------------------------------------------------------------

@test "date: every day from year 1 to 9999 is its own number and back" {
	run unit date calendar
	assert_success
}

@test "date: a day that is not in the calendar is refused" {
	run unit date parse
	assert_success
}

@test "date: RFC 3339 times are read to the microsecond, leap second too" {
	run unit date times
	assert_success
}

@test "date: zones give the day that libc gives, 1900 to 2100" {
	run unit date zones
	assert_success
}

@test "date: the short and the long day of Stockholm have 23 and 25 hours" {
	run unit date dst
	assert_success
}

@test "date: TZDIR names another place for zones, TZ nothing" {
	TZDIR=$T run unit date dst
	assert_failure
	TZ=Asia/Tokyo run unit date dst
	assert_success
}

# --- decimals ---------------------------------------------------------------

@test "dec: numbers are taken exactly or not at all" {
	run unit dec parse
	assert_success
}

@test "dec: overflow is said and leaves the value as it was" {
	run unit dec overflow
	assert_success
}

@test "dec: sums, products and order equal plain integers" {
	run unit dec brute
	assert_success
}

@test "dec: quotients are rounded half to even" {
	run unit dec division
	assert_success
}

@test "dec: bc finds the same sums, products and quotients" {
	command -v bc >/dev/null || skip "no bc here"
	run bash -c '"$1"/test/unit/dec bc | BC_LINE_LENGTH=0 bc | sort |
		uniq -c' - "$WEIR_B"
	assert_output --regexp '^ *9000 1$'
}

@test "dec: all ways to write a number have one form, at 5000 digits too" {
	run unit dec canonical
	assert_success
}

# --- buffers and messages ---------------------------------------------------

@test "buf: a ceiling holds to the byte and is remembered" {
	run unit text ceilings
	assert_success
}

@test "buf: numbers are written whole or not at all" {
	run unit text numbers
	assert_success
}

@test "mem: more than there is ends with 71 and a message" {
	run unit text memory
	assert_failure 71
	assert_output --partial "out of memory"
}

@test "diag: foreign text cannot move the cursor or forge a line" {
	run unit text quotes
	assert_success
	run unit text say none $'a\nb\x1b[2J' $'\xe2\x80\xaeabc'
	assert_line -n 0 'text: a\x0ab\x1b[2J'
	assert_line -n 2 'text: \u{202e}abc'
}

@test "diag: a message has a place: file, line, byte" {
	run unit text say none x
	assert_line "text: in.ndjson:42:3: bad value 'x'"
}

@test "diag: a secret is not shown, plain, base64 or percent-encoded" {
	local s='k3y+of/the=house' p
	for p in '' u us use; do
		run unit text say "$s" "<$(printf %s "$p$s$p" | base64 -w0)>"
		refute_output --partial "$(printf %s "$s" | base64 | cut -c4-14)"
		assert_output --partial '[secret]'
	done
	run unit text say "$s" "a ${s}b" 'k3y%2Bof%2fthe%3dhouse' \
		"$(printf %0190d 0)$s"
	refute_output --partial 'house'
	refute_output --partial 'k3y'
	assert_line 'text: a [secret]b'
}

@test "diag: one write a line, never over 4096 bytes" {
	run bash -c 'unit=$1
		"$unit" say none "$(printf %09000d 0)" 2>out' - \
		"$WEIR_B/test/unit/text"
	[ "$(head -n 1 out | wc -c)" -le 4096 ]
}

@test "diag: a reader of stderr that is gone does not end the run" {
	run bash -c '{ "$1" say none x; echo $? >status; } 2> >(exec true)' - \
		"$WEIR_B/test/unit/text"
	[ "$(cat status)" = 0 ]
	run bash -c '"$1" say none x 2>&-' - "$WEIR_B/test/unit/text"
	assert_success
	run bash -c '"$1" say none x 2>/dev/full' - "$WEIR_B/test/unit/text"
	assert_success
}

@test "exits: the graver status wins, in the order of the table" {
	run unit text graver
	assert_success
}

# --- options ----------------------------------------------------------------

@test "opt: --help is the usage and a line for each option" {
	run unit state options --help
	assert_success
	assert_line -n 0 "usage: state [-q] [--size size]"
	assert_line -n 1 "       state -n count file"
	assert_line "  -s, --since date             first day to keep, YYYY-MM-DD"
	assert_line "      --size size              how much"
}

@test "opt: --help and --version check that stdout took them" {
	for o in --help --version --completion=bash --completion=zsh; do
		run bash -c '"$1" options "$2" >/dev/full' - \
			"$WEIR_B/test/unit/state" $o
		assert_failure 74
		assert_output "state: stdout: cannot write: No space left on device"
		run bash -c '"$1" options "$2" >&-' - \
			"$WEIR_B/test/unit/state" $o
		assert_failure 74
	done
}

@test "opt: a wrong command line says what, shows the usage, exits 64" {
	run unit state options --token=hush
	assert_failure 64
	assert_line -n 0 "state: --token: unknown option"
	assert_line -n 1 "usage: state [-q] [--size size]"
	refute_output --partial hush
	run unit state options --quick=3
	assert_line -n 0 "state: --quick: takes no argument"
	run unit state options -z
	assert_line -n 0 "state: -z: unknown option"
	run unit state options -n
	assert_line -n 0 "state: -n: needs an argument"
	run unit state options --size
	assert_line -n 0 "state: --size: needs an argument"
}

@test "opt: numbers, sizes and dates are taken whole and within limits" {
	run unit state options --size 64K --size 2G --size 1 -n 10 \
		-s 1970-01-02 file --not-an-option
	assert_success
	assert_output - <<-'END'
	--size 65536
	--size 2147483648
	--size 1
	--number 10
	--since 1
	operand file
	operand --not-an-option
	END
	local bad
	for bad in "--size 0" "--size 1X" "--size -1" "--size 1KK" "--size K" \
		"--size 99999999999999999999" "--size 18014398509481985K" \
		"--size 2T" "-n 0" "-n 11" "-n 1.5" "-n 0x1" "-n +1" \
		"-n 18446744073709551617" "-s 2026-02-29" "-s today"; do
		# shellcheck disable=SC2086
		run unit state options $bad
		assert_failure 64
	done
	run unit state options -n ' 1'
	assert_failure 64
	run unit state options -n ''
	assert_failure 64
}

@test "opt: completion is a script that its shell takes" {
	unit state options --completion=bash >c.bash
	run bash -n c.bash
	assert_success
	# shellcheck disable=SC2016
	run bash -c 'source ./c.bash; COMP_WORDS=(state --q); COMP_CWORD=1
		_weir_state; printf "%s\n" "${COMPREPLY[@]}"'
	assert_output -- --quick
	unit state options --completion=zsh >_c
	if command -v zsh >/dev/null; then
		run zsh -n _c
		assert_success
	fi
	run unit state options --completion=fish
	assert_failure 64
}

# --- files ------------------------------------------------------------------

@test "file: a file is replaced whole, mode 0600, nothing left beside it" {
	run unit state replace f one
	assert_success
	run unit state replace f two
	assert_success
	[ "$(cat f)" = two ]
	[ "$(stat -c %a f)" = 600 ]
	[ "$(ls -A)" = f ]
}

@test "file: under umask 000 nothing is writable by others" {
	umask 000
	run unit state replace-at d f text
	assert_success
	[ "$(stat -c %a d)" = 700 ]
	[ "$(stat -c %a d/f)" = 644 ]
}

@test "file: any failed call leaves the old file and nothing else" {
	local call e n
	unit state replace f old
	for call in write fsync close rename open; do
		for e in ENOSPC EIO EACCES; do
			for n in 1 2 3 4; do
				run with_fault "$call:$n:$e" \
					"$WEIR_B/test/unit/state" replace f new
				if ((status == 0)); then
					[ "$(cat f)" = new ]
					unit state replace f old
				else
					[ "$status" = 74 ] || [ "$status" = 73 ]
					[[ $output == state:\ * ]]
					[[ $(cat f) == old || $call == fsync || $call == close ]]
				fi
				[ "$(ls -A | grep -c tmp)" = 0 ]
				unit state replace f old
			done
		done
	done
}

@test "file: a failed fsync is not asked again and drops the new file" {
	unit state replace f old
	run with_fault 'fsync:1:EIO' "$WEIR_B/test/unit/state" replace f new
	assert_failure 74
	assert_output "state: f: cannot sync: Input/output error"
	[ "$(cat f)" = old ]
	[ "$(FAULT=fsync:1:EIO fault_calls fsync "$WEIR_B/test/unit/state" \
		replace f new)" = 1 ]
}

@test "file: killed before any call, old or new stands there, whole" {
	local n calls
	calls=$(fault_calls any "$WEIR_B/test/unit/state" replace f old)
	((calls > 5))
	for ((n = 1; n <= calls; n++)); do
		unit state replace f old
		run with_fault "any:$n:KILL" "$WEIR_B/test/unit/state" \
			replace f new
		[[ $(cat f) == old || $(cat f) == new ]]
		run unit state replace f new
		assert_success
		[ "$(cat f)" = new ]
	done
	run bash -c 'ls -A | grep -v "^f$" | grep -v "^[.]tmp-" | grep -v .calls'
	assert_output ""
}

@test "file: short writes and EINTR are gone on after" {
	run with_fault 'write:1+:SHORT' "$WEIR_B/test/unit/state" replace f \
		"$(printf %01000d 7)"
	assert_success
	[ "$(size_of f)" = 1000 ]
	run with_fault 'write:1:EINTR' "$WEIR_B/test/unit/state" replace f x
	assert_success
}

@test "file: a directory is made one level deep, never over a link" {
	run unit state replace-at d/e f x
	assert_failure 73
	run unit state replace-at d f x
	assert_success
	ln -s d link
	run unit state replace-at link f y
	assert_failure 73
	[ "$(cat d/f)" = x ]
	touch plain
	run unit state replace-at plain f x
	assert_failure 73
	run unit state replace-at d ../x x
	assert_failure 73
}

@test "file: a read-only directory is said before anything is done" {
	mkdir d && chmod 555 d && chmod 755 "$T"
	((EUID != 0)) || chown 65534 d
	run as_nobody "$WEIR_B/test/unit/state" replace-at "$T/d" f x
	if [[ $output == *"Permission denied"*state* ]]; then
		skip "the build is not readable for another user"
	fi
	assert_failure 73
}

@test "file: what is not a plain file of ours is refused without a hang" {
	mkdir d && mkfifo d/fifo && ln -s /etc/passwd d/link && mkdir d/dir &&
		ln -s /dev/zero d/zero
	for n in fifo link dir zero none; do
		run timeout 5 "$WEIR_B/test/unit/state" open-state d $n
		assert_failure 73
	done
	for n in fifo link dir zero; do
		run timeout 5 "$WEIR_B/test/unit/state" replace-at d $n x
		assert_failure 73
	done
	if ((EUID == 0)); then
		touch d/theirs && chown 65534 d/theirs
		run unit state open-state d theirs
		assert_failure 73
	fi
	touch d/mine
	run unit state open-state d mine
	assert_success
}

@test "file: reading stops at the limit and at what is no file" {
	printf 12345 >f
	run unit state read f 5
	assert_output 12345
	run unit state read f 4
	assert_failure 65
	run unit state read . 4
	assert_failure 66
	run unit state read none 4
	assert_failure 66
	mkfifo p
	run timeout 5 "$WEIR_B/test/unit/state" read p 4
	assert_failure 66
	run bash -c 'printf abc | "$1" read - 5' - "$WEIR_B/test/unit/state"
	assert_output abc
}

@test "lock: the second waits as told, then says who holds it" {
	mkfifo hold
	"$WEIR_B/test/unit/state" lock d l 0 <hold >first &
	local pid=$!
	exec 7>hold
	while ! grep -q locked first; do sleep 0.02; done
	run unit state lock d l 0 </dev/null
	assert_failure 75
	assert_output --partial "l: locked by process $pid for "
	"$WEIR_B/test/unit/state" lock d l 10 </dev/null >second 7>&- &
	local waiter=$!
	sleep 0.1
	exec 7>&-
	wait $waiter
	grep -q locked second
}

@test "lock: one that a dead process left is none" {
	mkfifo hold
	"$WEIR_B/test/unit/state" lock d l 0 <hold >first &
	local pid=$!
	exec 7>hold
	while ! grep -q locked first; do sleep 0.02; done
	kill -9 $pid
	wait $pid || true
	run unit state lock d l 0 </dev/null
	assert_success
	exec 7>&-
}

@test "lock: a full disk does not stand in its way" {
	run with_fault 'pwrite:*:ENOSPC' "$WEIR_B/test/unit/state" lock d l 0 \
		</dev/null
	assert_success
}

@test "secret: it must be a file of ours that nobody else reads" {
	printf 'hush-hush\n' >s && chmod 600 s
	run unit state secret s "the hush-hush word"
	assert_success
	assert_line "9 bytes"
	assert_line "state: said: the [secret] word"
	chmod 640 s
	run unit state secret s x
	assert_failure 78
	assert_output --partial "chmod 0600"
	chmod 600 s
	printf 'a\nb' >s
	run unit state secret s x
	assert_failure 78
	printf 'ab\r\n' >s
	run unit state secret s x
	assert_failure 78
	printf 'ab\0c' >s
	run unit state secret s x
	assert_failure 78
	: >s
	run unit state secret s x
	assert_failure 78
	mkfifo p && chmod 600 p
	run timeout 5 "$WEIR_B/test/unit/state" secret p x
	assert_failure 78
	run unit state secret none x
	assert_failure 78
}

# --- the system -------------------------------------------------------------

@test "sys: a closed stdin or stdout is an error, not a file of ours" {
	run bash -c 'echo x | "$1" copy >&-' - "$WEIR_B/test/unit/state"
	assert_failure 74
	run bash -c '"$1" copy <&-' - "$WEIR_B/test/unit/state"
	assert_failure 74
}

@test "sys: a byte at a time and EINTR give the same" {
	seq 2000 >want
	run bash -c 'FAULT="read:3:EINTR,read:5:EAGAIN,write:2:EINTR,write:4+:SHORT" \
		LD_PRELOAD=$2 "$1" copy <want >got' - \
		"$WEIR_B/test/unit/state" "$(fault_so)"
	assert_success
	cmp want got
}

@test "sys: SIGTERM ends a waiting reader within two seconds by itself" {
	mkfifo p
	"$WEIR_B/test/unit/state" copy <p >out &
	local pid=$! rc=0
	exec 7>p
	echo x >&7
	while [ ! -s out ]; do sleep 0.02; done
	kill $pid
	wait $pid || rc=$?
	[ $rc = 143 ]
	exec 7>&-
}

@test "sys: the second signal ends at once" {
	mkfifo p q
	# a writer that nobody reads from hangs in write
	(exec 8<q && sleep 10) &
	local reader=$!
	bash -c 'yes | "$1" copy >q' - "$WEIR_B/test/unit/state" &
	sleep 0.3
	local pid
	pid=$(pgrep -f "^$WEIR_B/test/unit/state copy")
	kill -TERM "$pid"
	sleep 0.1
	kill -TERM "$pid" || true
	sleep 0.2
	run kill -0 "$pid"
	assert_failure
	kill $reader
	wait || true
}

@test "sys: after the restraint no program is started" {
	[[ -z ${SAN:-} ]] || skip "no filter under a sanitizer"
	run unit state restrict
	assert_output "execve: Operation not permitted"
}

@test "sys: a stdin or stdout that does not block is waited for" {
	seq 200000 >want
	run bash -c 'set -o pipefail
		(head -c 4 want; sleep 0.2; tail -c +5 want) |
			"$1" nonblock "$1" copy | (sleep 0.2; cat) >got' - \
		"$WEIR_B/test/unit/state"
	assert_success
	cmp want got
}

@test "sys: a copy that waits for its reader takes no processor time" {
	run bash -c 'yes | head -c 8000000 | "$1" nonblock bash -c "
		time -p \"$1\" copy" - "$1" 2>time | (sleep 1; cat >/dev/null)
		grep -E "^(user|sys) 0\.[01]" time | wc -l' - \
		"$WEIR_B/test/unit/state"
	assert_output 2
}

@test "stats: progress is a line on a terminal, wiped at the end" {
	command -v script >/dev/null || skip "no script(1) here"
	script -qec true /dev/null </dev/null >/dev/null 2>&1 ||
		skip "no terminals to be had here"
	run bash -c 'script -qec "\"$1\" progress" /dev/null </dev/null' - \
		"$WEIR_B/test/unit/state"
	assert_output --regexp 'state: 2000 records, [0-9]+ rows/s, [0-9]+ MB/s, 19 %, [0-9]+ s left'
	[[ $output == *$'\r\033[K' ]]
	run unit state progress
	assert_output ""
}

@test "stats: a start and an end line, one append each" {
	WEIR_STATS=$T/stats run unit state stats $'B-1 "x"\nå'
	assert_success
	run jq -c '[.event, .tool, .status, .class, .batch, .counts]' stats
	assert_line -n 0 '["start","state",null,null,null,null]'
	assert_line -n 1 '["end","state",3,"partial","B-1 \"x\"\nå",{"records_in":7,"records_out":0}]'
	WEIR_STATS=/dev/full run unit state stats x
	assert_success
	ln -s elsewhere link
	WEIR_STATS=$T/link run unit state stats x
	assert_success
	[ ! -e elsewhere ]
}
