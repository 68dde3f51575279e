# Faults of services, each played against every connector. Loaded after helper.
#
# A row is: what goes wrong (a script of test/sim/raw.c, which stands before
# one weir-sim that serves the whole file), and what each connector must make
# of it: exit status, number of requests. What must hold in any row is looked
# at by `look`: no secret shown or recorded, nothing of a spoilt page printed,
# no partition that a loader would take.
#
# It is a program too (play, keys, good): bats watches each command of its own
# shell, which is slow.
#
# shellcheck shell=bash

# ga4x: export of BigQuery, ga4r: Data API, meta: insights, metaa: the pages of
# a report run, ascs: sales file,
# ascj: a JSON page of Analytics Reports, ascf: one of its presigned files.
CONNECTORS=(ga4x ga4r meta metaa ascs ascj ascf)
declare -gA TARGET=(
	[ga4x]='GET /bigquery/v2/*/data[?]'
	[ga4r]='POST /ga4/v1beta/'
	[meta]='GET /graph/v25.0/act_1001/insights'
	[metaa]='GET /graph/v25.0/6*/insights'
	[ascs]='GET /asc/v1/salesReports'
	[ascj]='GET /asc/v1/analyticsReports/*/instances'
	[ascf]='GET /asc-files/'
)
GA4_DAY=2026-11-10
FAULTS=$ROOT/test/faults.bash

# The command of a connector against a base URL.
connector() { # NAME URL [option ...]
	local name=$1 url=$2
	shift 2
	case $name in
	ga4x)
		fetch-ga4 --export --project weir-test --property 412345678 \
			--credentials "$F/key.json" --quiet \
			--token-url "$url/google-token" --bigquery-url "$url" \
			--data-url "$url/ga4" --tz Europe/Stockholm \
			--date $GA4_DAY --allow-http --backoff 0 "$@"
		;;
	ga4r)
		fetch-ga4 --report --property 412345678 --quiet \
			--credentials "$F/key.json" \
			--token-url "$url/google-token" \
			--data-url "$url/ga4" --tz Europe/Stockholm \
			--dimensions date,platform --metrics sessions \
			--date $GA4_DAY --allow-http --backoff 0 "$@"
		;;
	meta | metaa)
		[[ $name == meta ]] || set -- --mode async "$@"
		fetch-meta --account act_1001 --base-url "$url/graph" \
			--token-file "$F/token" --app-secret-file "$F/secret" \
			--since "$DAY3" --date "$DAY3" --mode sync \
			--poll-ms 3 --allow-http --backoff 0 "$@"
		;;
	ascs)
		fetch-asc --base-url "$url/asc" --date "$DAY3" --allow-http \
			--backoff 0 "$@"
		;;
	ascj | ascf)
		fetch-asc --base-url "$url/asc" --app 1000000001 \
			--report-name 'App Downloads Standard' \
			--date "$DAY6" --allow-http --backoff 0 "$@"
		;;
	esac
}

ago() { # DAYS: a Pacific day
	date -u -d "$(TZ=America/Los_Angeles date +%F) - $1 days" +%F
}

faults_env() {
	unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY no_proxy NO_PROXY \
		all_proxy ALL_PROXY BQ_SA_JSON GOOGLE_APPLICATION_CREDENTIALS \
		CLOUDSDK_CONFIG GCE_METADATA_HOST NO_GCE_CHECK \
		GOOGLE_CLOUD_PROJECT BIGQUERY_EMULATOR_HOST
	export ASC_ISSUER_ID=57246542-96fe-1a63-e053-0824d011072a
	export ASC_KEY_FILE=$F/AuthKey_ABC123DEFG.p8
	export ASC_VENDOR_NUMBER=80012345 HOME=$F
}

# In setup_file: one server for all tests, which ends with its parent.
faults_start() {
	local i
	export F=$BATS_FILE_TMPDIR SIM_PORT DAY3 DAY6
	DAY3=$(ago 3) DAY6=$(ago 6)
	faults_env
	bash "$FAULTS" keys
	"$WEIR_B"/test/weir-sim --port-file "$F/port" --log "$F/sim.log" \
		--data "$F/data" --set google_sa="$F/key.json" \
		--set asc.public_key="$F/pub.pem" 2>"$F/sim.err" 3>&- &
	echo $! >"$F/sim.pid"
	for ((i = 0; i < 500; i++)); do
		[[ ! -s $F/port ]] || break
		sleep 0.01
	done
	SIM_PORT=$(<"$F/port")
	bash "$FAULTS" good
}

faults_stop() {
	kill "$(<"$BATS_FILE_TMPDIR/sim.pid")" 2>/dev/null || :
}

keys() {
	cd "$F"
	umask 077
	"$WEIR_B"/test/gen-ga4 --dir data --start $GA4_DAY --end $GA4_DAY \
		--sessions 12
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >sa.pem
	jq -n --rawfile k sa.pem '{type: "service_account",
		project_id: "weir-test", private_key_id: "k1", private_key: $k,
		client_email: "robot@weir-test.iam.gserviceaccount.com"}' \
		>key.json
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out AuthKey_ABC123DEFG.p8 2>/dev/null
	openssl pkey -in AuthKey_ABC123DEFG.p8 -pubout -out pub.pem
	printf 'EAAGsimToken0123456789\n' >token
	printf 'simAppSecret\n' >secret
	cat token secret sa.pem AuthKey_ABC123DEFG.p8 | grep -v -- '---' |
		disguised >secrets
}

# What an undisturbed run gives, and the body of its target.
good() {
	local c
	cd "$F"
	for c in "${CONNECTORS[@]}"; do
		mkdir "$c"
		connector "$c" "http://127.0.0.1:$SIM_PORT" \
			--record "$c/rec" >"$c/good" 2>"$c/err" || {
			cat "$c/err" >&2
			return 1
		}
		bodies "$c"
	done
}

# Out of the good body: whole (gzip), cut, with a wrong checksum, junk behind,
# two members. Report files are gzip by themselves.
bodies() { # NAME
	local d=$F/$1 head n
	for head in "$d"/rec/*.head; do
		jq -r '"\(.method) \(.url | sub("^https?://[^/]*"; ""))"' \
			"$head" >"$d/what"
		# shellcheck disable=SC2254 # a pattern
		case $(<"$d/what") in
		${TARGET[$1]}*) cp "${head%.head}.body" "$d/body" ;;
		esac
	done
	if [[ $1 == asc[sf] ]]; then
		gzip -dc "$d/body" >"$d/plain"
	else
		cp "$d/body" "$d/plain"
	fi
	gzip -nc "$d/plain" >"$d/gz"
	n=$(stat -c %s "$d/gz")
	head -c $((n / 2)) "$d/gz" >"$d/cut.gz"
	head -c $((n - 4)) "$d/gz" >"$d/tail.gz"
	{
		head -c $((n - 8)) "$d/gz"
		printf 'abcd'
		tail -c 4 "$d/gz"
	} >"$d/crc.gz"
	{
		cat "$d/gz"
		printf 'junk'
	} >"$d/junk.gz"
	{
		head -c 99 "$d/plain" | gzip -n
		tail -c +100 "$d/plain" | gzip -n
	} >"$d/two.gz"
	head -c $(($(stat -c %s "$d/body") / 2)) "$d/body" >"$d/half"
}

rows_of() {
	grep -av '^{"@stream"' "$1" || :
}

# row NAME WANT ... <SCRIPT: plays the script against every connector, beside
# others. WANT is 'STATUS REQUESTS' for all or 'CONNECTOR:STATUS REQUESTS' for
# one (a pattern), '-' to leave one out; REQUESTS counts those to the target,
# with a * all, - any number. In the script @T is the target, @E the header
# that says gzip, @F the directory of the connector's bodies. Options for the
# connector stand in OPTS, for the listener in FRONT; SCHEME is http; EMPTY:
# no rows are wanted; PREFIX: so many come before the fault; URL: another base;
# SHIM: a fault of the fault library on files that are kept while they are read.
row() {
	local name=$1 c w want script
	shift
	script=$(cat)
	for c in "${CONNECTORS[@]}"; do
		want=-
		for w in "$@"; do
			# shellcheck disable=SC2053 # a pattern
			if [[ $w != *:* ]]; then
				want=$w
			elif [[ $c == ${w%%:*} ]]; then
				want=${w#*:}
			fi
		done
		[[ $want != - ]] || continue
		mkdir "$T/$name.$c"
		w='Content-Encoding: gzip\\r\\n'
		[[ $c != asc[sf] ]] || w=
		sed "s|@T|${TARGET[$c]}|g;s|@E|$w|g;s|@F|$F/$c|g" \
			<<<"$script" >"$T/$name.$c/script"
		while (($(jobs -rp | wc -l) >= ${FAULT_JOBS:-6})); do
			wait -n || :
		done
		# shellcheck disable=SC2086 # want is two words
		T=$T SCHEME=${SCHEME:-http} URL=${URL:-} EMPTY=${EMPTY:-} \
			PREFIX=${PREFIX:-0} SHIM=${SHIM:-} SHIM_SO=${SHIM_SO:-} \
			bash "$FAULTS" play "$name" "$c" $want "${#FRONT[@]}" \
			"${FRONT[@]}" "${OPTS[@]}" 3>&- 4>&- &
	done
}

# NAME CONNECTOR STATUS REQUESTS N LISTENER-OPTION{N} [CONNECTOR-OPTION ...]
play() {
	local d=$T/$1.$2 i status=0 pid url=$URL row=("${@:1:4}")
	local front=("${@:6:$5}")
	shift $((5 + $5))
	cd "$d"
	: >log
	: >log.full
	"$WEIR_B/test/raw" --front "$SIM_PORT" --port-file port --log log \
		"${front[@]}" script &
	pid=$!
	for ((i = 0; i < 1000; i++)); do
		[[ ! -s port ]] || break
		sleep 0.01
	done
	[[ -n $url ]] || url=$SCHEME://127.0.0.1:$(<port)
	if [[ -n $SHIM ]]; then
		export LD_PRELOAD=$SHIM_SO FAULT=$SHIM FAULT_PATH='(deleted)'
	fi
	TMPDIR=$d connector "${row[1]}" "$url" --record rec "$@" \
		>out 2>err || status=$?
	unset LD_PRELOAD FAULT FAULT_PATH
	kill $pid
	wait $pid 2>/dev/null || :
	look "${row[@]}" $status >bad 2>&1 || echo "not looked at to the end" >>bad
	[[ -s bad ]] || rm bad
}

# Ours, as they are, cut where they are long, and in other clothes.
disguised() {
	local line
	tr -d '\r' | sort -u | grep -E '.{8}' >.plain || return 0
	cut -c1-60 .plain
	while read -r line; do
		line=$(printf '%s' "$line" | base64 -w 0)
		echo "${line:0:24}"
	done <.plain
	jq -Rr '@uri' .plain | cut -c1-60
}

# What the listener saw of them.
seen() {
	grep -aoiE '^Authorization: Bearer .*' log.full | cut -d' ' -f3-
	grep -aoE '(access_token|assertion|appsecret_proof|client_secret|X-Amz-Security-Token|X-Amz-Signature)=[^& ]*' \
		log.full | cut -d= -f2-
}

look() { # NAME CONNECTOR STATUS REQUESTS STATUS-SEEN
	local want=$4 n=0 all=0 line status=0
	[[ $3 == "$5" ]] || echo "exit $5 in place of $3"
	while read -r line; do
		all=$((all + 1))
		# shellcheck disable=SC2254 # a pattern
		case ${line#* } in
		${TARGET[$2]}*) n=$((n + 1)) ;;
		esac
	done <log
	[[ $want != \** ]] || n=$all
	[[ $want == - || ${want#\*} == "$n" ]] ||
		echo "$n requests in place of ${want#\*}"
	seen | disguised | cat - "$F/secrets" >secret
	! grep -aqFf secret err || echo "a secret on stderr"
	! grep -aqFf secret out || echo "a secret on stdout"
	! grep -rqaFf secret rec 2>/dev/null || echo "a secret in the recording"
	! LC_ALL=C grep -aqP '[\x00-\x08\x0b-\x1f\x7f]' err ||
		echo "control characters on stderr"
	ndjson-part --check out >part 2>&1 || status=$?
	if [[ $5 == 0 ]]; then
		[[ $status == 0 ]] || echo "the stream is not whole"
		if [[ -n $EMPTY ]]; then
			[[ -z $(rows_of out) ]] || echo "rows out of nothing"
		else
			cmp -s <(rows_of "$F/$2/good") <(rows_of out) ||
				echo "other rows than else"
		fi
	else
		rows_of out | cmp -s - <(rows_of "$F/$2/good" | head -n "${PREFIX:-0}") ||
			echo "not whole pages were printed"
		! grep -qE '"outcome":"(complete|empty|partial)"' out ||
			echo "a spoilt partition says it is whole"
		[[ ! -s out || $status != 0 || $5 == 4 ]] ||
			echo "a loader would take it"
	fi
	[[ -z $(find . -name '.tmp*') ]] || echo "files were left"
}

# Waits for the rows of a test, then ends the other jobs that are named; what
# is wrong with any row is printed.
judged() {
	local bad=0 f pid
	for pid in $(jobs -p); do
		[[ " $* " == *" $pid "* ]] || wait "$pid" || :
	done
	for pid; do
		kill "$pid"
		wait "$pid" || :
	done
	for f in "$T"/*/bad; do
		[[ -e $f ]] || continue
		bad=1
		echo "== ${f%/bad}"
		cat "$f" "${f%bad}err" "${f%bad}log"
		head -c 600 "${f%bad}out"
	done
	return $bad
}

# status TEXT [HEADER ...]: a script for one answer, to each request or TIMES.
status() {
	local h
	printf 'on %s @T\nsend HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n' \
		"${TIMES:-0}" "$1" "${#BODY}"
	shift
	for h in "$@"; do printf '%s\\r\\n' "$h"; done
	printf '\\r\\n%s\n' "${BODY//\\/\\\\}"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	set -e
	"$@"
fi
