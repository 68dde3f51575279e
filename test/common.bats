#!/usr/bin/env bats
# What every tool does alike: options, faults of stdin and stdout, limits.

bats_require_minimum_version 1.5.0
load helper

tools() {
	make -s -C "$ROOT" tools-list
}

# Plainly called, so that each failing line in the function ends the test;
# teardown says which tool it was.
for_each_tool() { # FUNCTION
	for TOOL in $(tools); do
		"$1" "$TOOL"
	done
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || echo "tool: ${TOOL:-}"
}

@test "--help begins with the usage, --version with name and number" {
	one() {
		run -0 "$1" --help
		[[ ${lines[0]} == "usage: $1 "* ]]
		assert_line --regexp '^      --help  +print this'
		run -0 "$1" --version
		[[ ${lines[0]} =~ ^"$1 "[0-9]+\.[0-9]+ ]]
		assert_output --partial "restraint:"
	}
	for_each_tool one
}

@test "--help and --version on a full or closed stdout end with 74" {
	one() {
		local o
		for o in --help --version --completion=bash; do
			run -74 bash -c '"$1" "$2" >/dev/full' - "$1" $o
			assert_output "$1: stdout: cannot write: No space left on device"
			run -74 bash -c '"$1" "$2" >&-' - "$1" $o
			assert_output --partial "$1: stdout: cannot write"
		done
	}
	for_each_tool one
}

@test "an unknown option is named with the usage, exit 64, stdout empty" {
	one() {
		run -64 --separate-stderr "$1" --no-such-option=hush
		[ -z "$output" ]
		[ "${stderr_lines[0]}" = "$1: --no-such-option: unknown option" ]
		[[ ${stderr_lines[1]} == "usage: $1 "* ]]
		[[ $stderr != *hush* ]]
	}
	for_each_tool one
}

@test "an empty environment and any locale give the same --help" {
	one() {
		local l path
		path=$(command -v "$1")
		"$1" --help >want
		(cd / && exec env -i "$path" --help) | cmp - want
		for l in C C.UTF-8 de_DE.UTF-8 tr_TR.UTF-8 none; do
			LC_ALL=$l LANG=$l TZ=Asia/Tokyo "$1" --help | cmp - want
		done
	}
	for_each_tool one
}

@test "no option takes a secret, only the name of a file that holds one" {
	one() {
		run bash -c '"$1" --help | grep -iE "^ .*--[a-z-]*(passw|token|secret|salt|credential)" |
			grep -vE -- "--[a-z-]*(file|version|member)|--[a-z-]+ (file|url) "' - "$1"
		assert_output ""
	}
	for_each_tool one
}

@test "completion for bash and zsh names every option" {
	one() {
		local o
		"$1" --completion=bash >c.bash
		bash -n c.bash
		"$1" --completion=zsh >c.zsh
		for o in $("$1" --help | grep -oE '^ .*--[a-z-]+ ' |
			grep -oE -- '--[a-z-]+'); do
			grep -q -- "$o" c.bash
			grep -q -- "$o" c.zsh
		done
	}
	for_each_tool one
}

@test "16 descriptors are enough to begin" {
	one() {
		run -0 bash -c 'ulimit -n 16; "$1" --version' - "$1"
	}
	for_each_tool one
}

@test "the programs are hardened: PIE, RELRO, no executable stack" {
	command -v readelf >/dev/null || skip "no readelf here"
	one() {
		local f
		f=$(command -v "$1")
		readelf -hW "$f" | grep -q 'Type:.*DYN'
		readelf -lW "$f" | grep -q GNU_RELRO
		readelf -dW "$f" | grep -q 'BIND_NOW\|FLAGS.*NOW'
		run -1 bash -c 'readelf -lW "$1" | grep GNU_STACK | grep E' - "$f"
	}
	for_each_tool one
}

# --- filters: faults of their input and output --------------------------------

# What each filter is run with, and on what: CMD and IN.
filter_of() { # TOOL
	IN=$BATS_FILE_TMPDIR/ids
	case $1 in
	event-id) CMD=(event-id --profile ga4 --source ga4) IN=$BATS_FILE_TMPDIR/part ;;
	ndjson-scrub) CMD=(ndjson-scrub --policy "$ROOT/conf/pii.jq"
		--salt-file "$BATS_FILE_TMPDIR/salt" --unknown keep) ;;
	ndjson-validate) CMD=(ndjson-validate
		--schema "$BATS_FILE_TMPDIR/schema.json") ;;
	ndjson-dedup) CMD=(ndjson-dedup --key event_id) ;;
	kpi-agg) CMD=(kpi-agg --kpis "$ROOT/conf/kpis.jq" --source ga4) ;;
	ndjson-part) CMD=(ndjson-part --strip) ;;
	raw-store) CMD=(raw-store --dir "$T/raw.$((++RAWS))") ;;
	esac
	WANT=$BATS_FILE_TMPDIR/want.$1
}

FILTERS=(event-id ndjson-scrub ndjson-validate ndjson-dedup kpi-agg
	ndjson-part raw-store)

for_each_filter() { # FUNCTION
	RAWS=0
	for TOOL in "${FILTERS[@]}"; do
		[[ -x $WEIR_BIN/$TOOL ]] || continue
		filter_of "$TOOL"
		"$1" "$TOOL"
	done
}

setup_file() {
	local t
	cd "$BATS_FILE_TMPDIR"
	"$WEIR_B/test/gen-ga4" --dir gen --start 2026-11-19 --end 2026-11-19 \
		--sessions 12
	ndjson-part --source ga4 --feed 412345678 --date 2026-11-19 \
		--tz Europe/Stockholm -- \
		cat gen/analytics_412345678/events_20261119.ndjson >part
	event-id --profile ga4 --source ga4 <part >ids
	(umask 077 && printf '0123456789abcdef0123456789abcdef\n' >salt)
	printf '%s\n' '{"type":"object","required":["event_name"]}' >schema.json
	T=$BATS_FILE_TMPDIR RAWS=0
	for t in "${FILTERS[@]}"; do
		[[ -x $WEIR_BIN/$t ]] || continue
		filter_of "$t"
		"${CMD[@]}" <"$IN" >"$WANT" || {
			echo "tool: $t, status $?" >&2
			return 1
		}
		[[ -s $WANT ]]
	done
}

@test "a second run gives the same bytes" {
	one() {
		"${CMD[@]}" <"$IN" | cmp - "$WANT"
	}
	for_each_filter one
}

@test "gzip input gives the same bytes" {
	one() {
		gzip -c "$IN" | "${CMD[@]}" | cmp - "$WANT"
	}
	for_each_filter one
}

@test "a byte at a time, short writes, EINTR and EAGAIN give the same" {
	one() {
		FAULT="read:3+:SHORT,read:2:EINTR,write:2:EINTR,write:3:EAGAIN,write:4+:SHORT" \
			LD_PRELOAD=$(fault_so) "${CMD[@]}" <"$IN" | cmp - "$WANT"
		(head -c 700 "$IN"; sleep 0.05; tail -c +701 "$IN") |
			"${CMD[@]}" | cmp - "$WANT"
	}
	for_each_filter one
}

@test "a stdin and a stdout that do not block give the same" {
	one() {
		(head -c 5000 "$IN"; sleep 0.1; tail -c +5001 "$IN") |
			"$WEIR_B/test/unit/state" nonblock "${CMD[@]}" |
			(sleep 0.2; cat) | cmp - "$WANT"
	}
	for_each_filter one
}

@test "no locale, any locale, any TZ, an empty environment give the same" {
	one() {
		local path
		path=$(command -v "${CMD[0]}")
		LC_ALL=de_DE.UTF-8 TZ=Asia/Tokyo "${CMD[@]}" <"$IN" | cmp - "$WANT"
		LC_ALL=tr_TR.UTF-8 TZ=nonsense "${CMD[@]}" <"$IN" | cmp - "$WANT"
		env -i "$path" "${CMD[@]:1}" <"$IN" | cmp - "$WANT"
	}
	for_each_filter one
}

@test "stderr closed, full or without a reader changes nothing else" {
	one() {
		"${CMD[@]}" <"$IN" 2>&- | cmp - "$WANT"
		filter_of "$1"
		"${CMD[@]}" <"$IN" 2>/dev/full | cmp - "$WANT"
		# a message is due here: the input breaks off
		filter_of "$1"
		run -66 bash -c 'in=$1; shift
			head -n 3 "$in" | "$@" 2> >(exec true) >/dev/null' - \
			"$IN" "${CMD[@]}"
	}
	for_each_filter one
}

@test "a stdin that is closed or a directory is not an empty input" {
	one() {
		run bash -c '"$@" <&- >out' - "${CMD[@]}"
		[[ $status == 66 || $status == 74 ]]
		[[ $output == *"$1: "* ]]
		run bash -c '"$@" <. >out' - "${CMD[@]}"
		[[ $status == 66 || $status == 74 ]]
		[[ $output == *"$1: "* ]]
	}
	for_each_filter one
}

@test "a read error in the middle is not the end: 74 or 66, and no end" {
	one() {
		export N
		for N in 1 2; do
			run bash -c 'in=$1; shift
				(head -c 3000 "$in"; sleep 0.05; tail -c +3001 "$in") |
				FAULT="read:$N+:EIO" FAULT_PATH=pipe: LD_PRELOAD=$SO "$@" >out' - "$IN" "${CMD[@]}"
			[[ $status == 66 || $status == 74 ]]
			run ! grep -q '"@stream":"end"' out
		done
	}
	SO=$(fault_so)
	export SO
	for_each_filter one
}

@test "stdout full or closed is said and ends with 74" {
	one() {
		run -74 bash -c 'in=$1; shift; "$@" <"$in" >/dev/full' - "$IN" "${CMD[@]}"
		[[ $output == *"$1: stdout: "*"No space left on device"* ]]
		filter_of "$1"
		run -74 bash -c 'in=$1; shift; "$@" <"$in" >&-' - "$IN" "${CMD[@]}"
		[[ $output == *"$1: stdout: "* ]]
	}
	for_each_filter one
}

@test "the reader gone: 141 without state, 74 with state or SIGPIPE ignored" {
	one() {
		# the pipe's reader is gone before anything is written
		run bash -c 'in=$1; shift
			{ sleep 0.1; cat "$in"; } | { "$@"; echo $? >status; } | true' \
			- "$IN" "${CMD[@]}"
		case $1 in
		raw-store) [ "$(cat status)" = 74 ] ;;
		*) [ "$(cat status)" = 141 ] ;;
		esac
		filter_of "$1"
		run bash -c 'in=$1; shift; trap "" PIPE
			{ sleep 0.1; cat "$in"; } | { "$@"; echo $? >status; } | true' \
			- "$IN" "${CMD[@]}"
		[ "$(cat status)" = 74 ]
	}
	for_each_filter one
}

@test "SIGTERM while it waits: dead by it within 2 s, without an end" {
	one() {
		local pid rc=0
		rm -f fifo && mkfifo fifo
		"${CMD[@]}" <fifo >out &
		pid=$!
		exec 7>fifo
		head -n 5 "$IN" >&7
		sleep 0.15
		kill -TERM $pid
		wait $pid || rc=$?
		exec 7>&-
		[ $rc = 143 ]
		run ! grep -q '"@stream":"end"' out
	}
	for_each_filter one
}

@test "16 descriptors and 64 MiB of addresses: right, or 71 with a message" {
	one() {
		"$BASH" -c 'ulimit -n 16; exec "$@"' - "${CMD[@]}" <"$IN" |
			cmp - "$WANT"
		[[ -z ${SAN:-} ]] || return 0
		filter_of "$1"
		run bash -c 'in=$1; shift; ulimit -v 65536; "$@" <"$in" >out' - \
			"$IN" "${CMD[@]}"
		if [[ $status == 0 ]]; then
			cmp out "$WANT"
		else
			[[ $status == 71 && $output == *"$1: "* ]]
		fi
	}
	for_each_filter one
}

@test "no memory at any allocation: 71 with a message, or the right bytes" {
	skip_if_san
	one() {
		local calls n step
		calls=$(fault_calls malloc "${CMD[@]}" <"$IN")
		step=$((calls / 30 + 1))
		for ((n = 1; n <= calls; n += n < 12 ? 1 : step)); do
			filter_of "$1"
			run bash -c 'in=$1; shift; FAULT=malloc:'$n':ENOMEM \
				LD_PRELOAD=$SO "$@" <"$in" 2>&1 >out' - "$IN" "${CMD[@]}"
			echo "allocation $n of $calls: status $status: $output"
			case $status in
			0) cmp out "$WANT" ;;
			*)
				[[ $status == 71 && -n $output ]]
				run ! grep -q '"@stream":"end"' out
				;;
			esac
		done
	}
	SO=$(fault_so)
	export SO
	for_each_filter one
}

@test "valgrind finds nothing" {
	command -v valgrind >/dev/null || skip "no valgrind here"
	skip_if_san "valgrind and sanitizers do not mix"
	one() {
		head -n 12 "$IN" >few
		WEIR_SIMD=sse2 run valgrind -q --error-exitcode=99 \
			--leak-check=full --errors-for-leak-kinds=definite,possible \
			"${CMD[@]}" <few
		[ "$status" = 66 ]
		[[ $output != *==* ]]
	}
	for_each_filter one
}
