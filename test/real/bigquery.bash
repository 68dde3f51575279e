# A BigQuery that is not ours, for the tests of this directory:
#	WEIR_BIGQUERY	base URL of one that runs (an emulator, or Google's own
#			with credentials in the usual variables, which costs)
# Without it goccy/bigquery-emulator is installed by its module path into a
# temporary directory and started on this machine.
#
# shellcheck shell=bash

EMULATOR=github.com/goccy/bigquery-emulator/cmd/bigquery-emulator@latest

# Sets REAL_URL, or REAL_WHY it cannot be had.
real_find() {
	local dir=$BATS_FILE_TMPDIR/go why
	export REAL_URL=${WEIR_BIGQUERY:-} REAL_WHY='' REAL_PID=''
	[[ -z $REAL_URL ]] || return 0
	if ! command -v go >/dev/null; then
		REAL_WHY='no Go on this machine'
		return 0
	fi
	mkdir -p "$dir"
	if ! why=$(GOBIN=$dir/bin GOPATH=$dir GOFLAGS=-modcacherw \
		timeout 900 go install "$EMULATOR" 2>&1); then
		REAL_WHY="cannot install $EMULATOR: $(tail -1 <<<"$why")"
		return 0
	fi
	real_start "$dir/bin/bigquery-emulator"
}

# On a port that is free; another one is tried where it was taken meanwhile.
real_start() {
	local try port i
	for try in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 20000))
		"$1" --project=weir-test --host=127.0.0.1 --port=$port \
			--grpc-port=$((port + 1)) >"$BATS_FILE_TMPDIR/emulator.log" \
			2>&1 3>&- &
		REAL_PID=$!
		for ((i = 0; i < 300; i++)); do
			if curl -sf -o /dev/null \
				"http://127.0.0.1:$port/bigquery/v2/projects/weir-test/datasets"; then
				REAL_URL=http://127.0.0.1:$port
				return 0
			fi
			kill -0 "$REAL_PID" 2>/dev/null || break
			sleep 0.1
		done
		kill "$REAL_PID" 2>/dev/null || :
		wait "$REAL_PID" 2>/dev/null || :
	done
	REAL_PID=
	REAL_WHY="the emulator does not start: $(tail -1 "$BATS_FILE_TMPDIR/emulator.log")"
}

real_stop() {
	[[ -n ${REAL_PID:-} ]] || return 0
	kill "$REAL_PID" 2>/dev/null || :
}

need_real() {
	[[ -n $REAL_URL ]] || skip "${REAL_WHY:-no BigQuery}"
}
