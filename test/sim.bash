# Tests against the local stand-in of the services: `load sim` after helper.
#
#   sim_start [option ...]   starts weir-sim; $SIM is its base URL,
#                            $SIM_LOG its request log
#   sim_stop                 and teardown() stop it; a test file with its own
#                            teardown calls sim_stop
#   fault '{"match":...}'    one more line of sim's script, before sim_start
#   requests 'GET /x'        how many requests began so
#
# shellcheck shell=bash

WEIR_SIM=$WEIR_B/test/weir-sim

sim_start() {
	local i
	SIM_PORT_FILE=$BATS_TEST_TMPDIR/.sim.port
	SIM_LOG=$BATS_TEST_TMPDIR/.sim.log
	rm -f "$SIM_PORT_FILE" "$SIM_LOG"
	: >"$SIM_LOG"
	if [[ -e $BATS_TEST_TMPDIR/.sim.faults ]]; then
		set -- --faults "$BATS_TEST_TMPDIR/.sim.faults" "$@"
	fi
	"$WEIR_SIM" --port-file "$SIM_PORT_FILE" --log "$SIM_LOG" "$@" \
		2>"$BATS_TEST_TMPDIR/.sim.err" 3>&- &
	SIM_PID=$!
	for ((i = 0; i < 500; i++)); do
		[[ ! -s $SIM_PORT_FILE ]] || break
		kill -0 "$SIM_PID" 2>/dev/null || break
		sleep 0.01
	done
	if [[ ! -s $SIM_PORT_FILE ]]; then
		cat "$BATS_TEST_TMPDIR/.sim.err" >&2
		return 1
	fi
	SIM=http://127.0.0.1:$(<"$SIM_PORT_FILE")
	export SIM SIM_LOG
}

sim_stop() {
	[[ -n ${SIM_PID:-} ]] || return 0
	kill "$SIM_PID" 2>/dev/null || :
	wait "$SIM_PID" 2>/dev/null || :
	SIM_PID=
}

teardown() {
	sim_stop
}

fault() {
	printf '%s\n' "$@" >>"$BATS_TEST_TMPDIR/.sim.faults"
}

requests() {
	jq -r '"\(.method) \(.path)"' "$SIM_LOG" | grep -c "^$1" || :
}
