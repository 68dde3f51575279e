# A listener that does what it is told (test/sim/raw.c), and the HTTP module
# driven by test/unit/http_get. Loaded after helper.
#
# shellcheck shell=bash

# For setup(): no proxies and credentials of the caller's.
raw_setup() {
	weir_setup
	shopt -s lastpipe # `raw` at the end of a pipe sets variables
	GET=$WEIR_B/test/unit/http_get
	unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY no_proxy NO_PROXY
	unset all_proxy ALL_PROXY BQ_SA_JSON GOOGLE_APPLICATION_CREDENTIALS
	unset CLOUDSDK_CONFIG GCE_METADATA_HOST NO_GCE_CHECK
	export HOME=$T/home
	mkdir -p "$HOME"
}

teardown() {
	local pid
	for pid in ${RAW_PIDS:-}; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
}

# raw [options] <script: starts a listener; $PORT, $URL, requests in $T/log.N
raw() {
	local i n=${RAW_N:-0}
	RAW_N=$((n + 1))
	cat >"script.$n"
	LOG=$T/log.$n
	: >"$LOG"
	"$WEIR_B/test/raw" --port-file "port.$n" --log "$LOG" "$@" \
		"script.$n" 3>&- &
	RAW_PIDS+=" $!"
	for ((i = 0; i < 500; i++)); do
		[[ ! -s port.$n ]] || break
		sleep 0.01
	done
	PORT=$(<"port.$n")
	# shellcheck disable=SC2034 # for the tests
	URL=http://127.0.0.1:$PORT
}

get() {
	"$GET" --allow-http --backoff 0 "$@"
}
