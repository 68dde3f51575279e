#!/usr/bin/env bats
# Kill -9 in the daily run, then the same command once more: the warehouse and
# the raw layer are those of a run that nobody disturbed.
#
# WEIR_SOAK=1 plays 200 kills and more random moments, and prints what it did.

load helper
load pipes
bats_require_minimum_version 1.5.0

# Day 1 is published from an early export. What is disturbed is the run that
# finds day 1 changed and day 2 new.
setup_file() {
	load helper
	load pipes
	export KT=$BATS_FILE_TMPDIR
	cd "$KT" || return
	export WEIR_NOW=2026-11-20T09:00:00Z
	"$GEN" --dir ga4 --start 2026-11-18 --end 2026-11-18 --sessions 12 \
		--as-of 2026-11-19 --property "$F1,$F2"
	touch -d 2026-11-19T06:00:00Z ga4/*/*
	WEIR_HOME=$KT/base "$PIPES/daily" --ga4-dir ga4/analytics_$F1 \
		--date 2026-11-18 >/dev/null
	sed -i '5d' ga4/analytics_$F1/events_20261118.ndjson
	touch -d 2026-11-19T12:00:00Z ga4/analytics_$F1/events_20261118.ndjson
	"$GEN" --dir ga4 --start 2026-11-19 --end 2026-11-19 --sessions 12 \
		--as-of 2026-11-20 --incident none
	touch -d 2026-11-20T05:00:00Z ga4/*/*20261119*
	rm -rf ga4/analytics_$F2
	cp -a base calm
	WEIR_HOME=$KT/calm run_days >/dev/null
	dump_db calm/warehouse.db >calm.db
	dump_raw calm/raw >calm.raw
	[[ $(grep -c published calm.db) -ge 2 ]]
}

setup() {
	KT=$BATS_FILE_TMPDIR
	cd "$KT" || return
	export WEIR_NOW=2026-11-20T09:00:00Z
}

run_days() {
	"$PIPES/daily" --source ga4 --ga4-dir ga4 --window 2 --wait 60
}

# The same command again, then nothing may differ.
recovers() { # NAME
	export WEIR_HOME=$KT/$1
	run_days >"$1.again" 2>&1 || {
		echo "$1: the run after it failed: $?" >&2
		cat "$1.first" "$1.again" >&2
		return 1
	}
	dump_db "$1/warehouse.db" >"$1.db"
	diff calm.db "$1.db" && dump_raw "$1/raw" | diff calm.raw - &&
		sqlite-load --db "$1/warehouse.db" --verify >/dev/null &&
		raw-store --dir "$1/raw" --verify >/dev/null || {
		echo "$1: differs" >&2
		cat "$1.first" "$1.again" >&2
		return 1
	}
	rm -rf "${KT:?}/$1" "$1".{db,first,again}
}

# The run, with one program killed before one of its calls.
killed_at() { # NAME TOOL CALL N
	cp -a base "$1"
	WEIR_HOME=$KT/$1 LD_PRELOAD=$(fault_so) FAULT=$3:$4:KILL FAULT_TOOL=$2 \
		run_days >"$1.first" 2>&1 && HIT=0 || HIT=1
	recovers "$1"
}

# How often each program makes each call in an undisturbed run.
count_calls() {
	cp -a base counted
	WEIR_HOME=$KT/counted LD_PRELOAD=$(fault_so) FAULT_COUNT=$KT/calls \
		run_days >/dev/null 2>&1
	rm -rf counted
}

TOOLS=(ndjson-part ndjson-scrub raw-store event-id ndjson-dedup kpi-agg
	sqlite-load run-log)

# All counted calls of a program, in the longest of its runs.
any_calls() { # TOOL
	grep "^$1 " "$KT/calls" | while read -r _ line; do
		sum=0
		for c in $line; do
			case $c in
			read=* | malloc=* | any=*) ;;
			*) sum=$((sum + ${c#*=})) ;;
			esac
		done
		echo $sum
	done | sort -n | tail -n 1
}

# Numbers from a seed, the same each time.
draw() { # N: sets R from 1 to N
	SEED=$(((SEED * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff))
	R=$(((SEED >> 33) % $1 + 1))
}

@test "killed before a write, fsync or rename of any program, one rerun repairs all" {
	count_calls
	want=${WEIR_SOAK:+150} want=${want:-16} hits=0
	SEED=${WEIR_SEED:-20261120}
	# a kill counts where the call was reached
	for ((i = 0; hits < want && i < 4 * want; i++)); do
		tool=${TOOLS[i % ${#TOOLS[@]}]}
		calls=(write fsync rename pwrite fdatasync any)
		draw ${#calls[@]}
		call=${calls[R - 1]}
		n=$(grep "^$tool " "$KT/calls" | grep -o " $call=[0-9]*" |
			cut -d= -f2 | sort -n | tail -n 1)
		[[ ${n:-0} -gt 0 ]] || call=any n=$(any_calls "$tool")
		draw "$n"
		killed_at "k$i" "$tool" "$call" "$R"
		hits=$((hits + HIT))
		[[ -z ${WEIR_SOAK:-} ]] ||
			echo "# $tool before $call $R of $n: $( ((HIT)) && echo 'killed' || echo 'not reached'), repaired" >&3
	done
	echo "# $i tries, $hits kills" >&3
	((hits == want))
}

@test "killed as a whole at a random moment, one rerun repairs all" {
	kills=${WEIR_SOAK:+50} kills=${kills:-4}
	SEED=${WEIR_SEED:-42}
	# how long an undisturbed run takes, in ms
	cp -a base timed
	t0=$(date +%s%3N)
	WEIR_HOME=$KT/timed run_days >/dev/null 2>&1
	t=$(($(date +%s%3N) - t0))
	rm -rf timed
	for ((i = 0; i < kills; i++)); do
		draw "$t"
		cp -a base "r$i"
		WEIR_HOME=$KT/r$i setsid "$PIPES/daily" --source ga4 --ga4-dir ga4 \
			--window 2 >"r$i.first" 2>&1 &
		pid=$!
		sleep "$(printf '%d.%03d' $((R / 1000)) $((R % 1000)))"
		# everybody at once, as when the machine stops
		kill_tree $pid
		wait $pid || true
		recovers "r$i"
		[[ -z ${WEIR_SOAK:-} ]] ||
			echo "# killed after $R of $t ms: repaired" >&3
	done
}

# SIGKILL to a process we started and all below it.
kill_tree() { # PID
	local p all=$1 next=$1
	kill -STOP "$1" 2>/dev/null || return 0
	while [[ -n $next ]]; do
		next=$(for p in $next; do pgrep -P "$p"; done | tr '\n' ' ')
		[[ -z ${next// /} ]] && break
		# shellcheck disable=SC2086
		kill -STOP $next 2>/dev/null || true
		all+=" $next"
	done
	# shellcheck disable=SC2086
	kill -KILL $all 2>/dev/null || true
}
