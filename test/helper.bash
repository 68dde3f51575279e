# Loaded by every test: `load helper`.
#
# A test runs in $T, an empty directory of its own, with the built programs in
# PATH, no locale, and nothing of the caller's weir environment. Tests that
# have a setup() of their own call weir_setup in it.
#
# shellcheck shell=bash

ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
WEIR_B=${WEIR_B:-build}
[[ $WEIR_B == /* ]] || WEIR_B=$ROOT/$WEIR_B
if [[ -n ${WEIR_BIN:-} ]]; then
	[[ $WEIR_BIN == /* ]] || WEIR_BIN=$ROOT/$WEIR_BIN
	WEIR_B=${WEIR_BIN%/bin}
fi
WEIR_BIN=$WEIR_B/bin
PATH=$WEIR_BIN:$PATH
export ROOT WEIR_B WEIR_BIN PATH LC_ALL=C TZ=UTC
unset WEIR_STATS WEIR_HOME WEIR_SIMD RUN_ID LD_PRELOAD FAULT FAULT_PATH \
	FAULT_TOOL FAULT_COUNT CREDENTIALS_DIRECTORY MAKEFLAGS MFLAGS \
	MAKEOVERRIDES MAKELEVEL

load /usr/lib/bats/bats-support/load.bash
load /usr/lib/bats/bats-assert/load.bash

# A preloaded library comes before the sanitizer's own, and may.
if [[ -n ${SAN:-} ]]; then
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
fi

weir_setup() {
	T=$BATS_TEST_TMPDIR
	cd "$T" || return
}

setup() {
	weir_setup
}

# The fault library (test/shim/fault.c):
#   FAULT=write:3:ENOSPC LD_PRELOAD=$(fault_so) TOOL ...
fault_so() {
	[[ -e $WEIR_B/test/fault.so ]] ||
		make -s -C "$ROOT" B="${WEIR_B#"$ROOT"/}" \
			"${WEIR_B#"$ROOT"/}/test/fault.so" >&2
	printf '%s\n' "$WEIR_B/test/fault.so"
}

# with_fault SPEC COMMAND ...: the command under that fault.
with_fault() {
	local spec=$1
	shift
	env FAULT="$spec" LD_PRELOAD="$(fault_so)" "$@"
}

# fault_calls CALL COMMAND ...: how often the command makes that call, in all
# its processes. Its input, output and status do not matter.
fault_calls() {
	local call=$1 file=$BATS_TEST_TMPDIR/.calls
	shift
	rm -f "$file"
	env FAULT_COUNT="$file" LD_PRELOAD="$(fault_so)" "$@" \
		>/dev/null 2>&1 || true
	echo $(($(grep -o " $call=[0-9]*" "$file" | cut -d= -f2 | paste -sd+ -)))
}

# Memory faults cannot be played under a sanitizer that brings its own malloc.
skip_if_san() {
	[[ -z ${SAN:-} ]] || skip "${1:-not under a sanitizer}"
}

# As a user without rights where the tests run as root.
as_nobody() {
	if ((EUID == 0)); then
		setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
	else
		"$@"
	fi
}

# shared PATH: a file of the samples beside the checkout; skips without it.
shared() {
	local dir=${WEIR_SHARED:-$ROOT/../shared}
	[[ -e $dir/$1 ]] || return 1
	printf '%s\n' "$dir/$1"
}
need_shared() {
	shared "$1" >/dev/null || skip "no ${1} beside the checkout (../shared)"
}

# The size of a file in bytes.
size_of() {
	stat -c %s "$1"
}
