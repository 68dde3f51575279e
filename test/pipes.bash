# For the tests of the pipelines: small exports, and dumps to compare.
#
# shellcheck shell=bash disable=SC2034,SC2153

GEN=$WEIR_B/test/gen-ga4
PIPES=$ROOT/pipelines
export WEIR_BIN JOBS=2
F1=412345678 F2=398765432

pipes_setup() {
	weir_setup
	export WEIR_HOME=$T/var WEIR_NOW=2026-11-20T09:00:00Z
}

# An export in ga4/: FIRST LAST [option ...].
make_export() {
	local first=$1 last=$2
	shift 2
	"$GEN" --dir "$T/ga4" --start "$first" --end "$last" --sessions 12 \
		--as-of 2026-11-20 --incident none "$@"
}

# All of a warehouse that is not volatile, sorted.
dump_db() { # DB
	local t cols
	sqlite3 "$1" "select name from sqlite_master where type = 'table'
	    and name not like 'sqlite_%' and name <> 'pipeline_runs'
	    order by 1" | while IFS= read -r t; do
		cols=$(sqlite3 "$1" "select group_concat('\"' || name || '\"')
		    from pragma_table_info('$t')
		    where name not like '%!_at' escape '!' and name <> 'run_id'")
		printf '== %s\n' "$t"
		sqlite3 "$1" "select $cols from $t" | sort
	done
}

# The raw layer without the times and runs of its making.
dump_raw() { # DIRECTORY
	raw-store --dir "$1" --list |
		sed -E 's/,"stored_at":"[^"]*"//' | sort
}

query() {
	sqlite3 "$WEIR_HOME/warehouse.db" "$1"
}

# The last run record's member.
run_record() { # MEMBER
	run-log --last 1 | jq -r ".$1"
}

# Counts of a day by jq alone: "app|platform|metric|value", sorted, zeros left
# out. Rows that are there twice are dropped by jq's own unique.
jq_counts() { # FEED FILE ...
	local feed=$1
	shift
	for f; do
		case $f in
		*.gz) zcat "$f" ;;
		*) cat "$f" ;;
		esac
	done | jq -rs --arg feed "$feed" '
	    def app: {"4400000000":"flocken","4400000001":"flocken",
		"4400000002":"flocken","4400000100":"betet",
		"4400000101":"betet","4400000102":"betet"}[.stream_id]
		// .app_info.id // $feed;
	    def param(k): first(.event_params[]? | select(.key == k) | .value
		| .int_value // .double_value // .float_value // .string_value
		| tostring) // null;
	    def counts: [
		{m:"events", n:length},
		{m:"events_without_user",
		    n:(map(select(.user_pseudo_id == null)) | length)},
		{m:"users", n:(map(.user_pseudo_id | values) | unique | length)},
		{m:"sessions", n:(map(select(.user_pseudo_id != null)
		    | {u:.user_pseudo_id, s:param("ga_session_id")}
		    | select(.s != null)) | unique | length)},
		{m:"profile_created",
		    n:(map(select(.event_name == "profile_created")) | length)},
		{m:"purchases",
		    n:(map(select(.event_name == "purchase")) | length)},
		{m:"orders", n:(map(select(.event_name == "purchase")
		    | .ecommerce.transaction_id | values
		    | select(. != "(not set)" and . != "")) | unique | length)}];
	    unique | map(. + {app_:app, plat_:(.platform | ascii_downcase)})
	    | (group_by([.app_, .plat_])[], (map(.plat_ = "all")
		| group_by(.app_)[]))
	    | .[0].app_ as $a | .[0].plat_ as $p | counts[]
	    | select(.n > 0) | "\($a)|\($p)|\(.m)|\(.n)"' | sort
}

# The same of the warehouse.
db_counts() { # FEED DATE
	query "select app_id, platform, metric, value from fact_kpi_daily
	    where feed = '$1' and date = '$2' and segment = '' and value <> '0'
	    and metric in ('events', 'events_without_user', 'users',
	    'sessions', 'profile_created', 'purchases', 'orders')" | sort
}

# The services ---------------------------------------------------------------------

# Keys for them, once a file, in DIRECTORY.
make_keys() { # DIRECTORY
	mkdir -p "$1"
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$1/AuthKey_ABC123DEFG.p8" 2>/dev/null
	openssl pkey -in "$1/AuthKey_ABC123DEFG.p8" -pubout -out "$1/asc.pem"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		-out "$1/google.pem" 2>/dev/null
	echo EAAGsimToken0123456789 >"$1/meta-token"
	chmod 600 "$1"/*
}

# Starts weir-sim over data/ with more options, and points all tools at it.
services() { # KEYS [option ...]
	local keys=$1
	shift
	sim_start --data "$T/data" --set google_sa="$T/sa.json" \
		--set asc.public_key="$keys/asc.pem" "$@"
	(
		umask 077
		jq -n --rawfile k "$keys/google.pem" --arg u "$SIM/google-token" '
			{type: "service_account", project_id: "weir-test",
			 private_key_id: "k1", private_key: $k, token_uri: $u,
			 client_email: "robot@weir-test.iam.gserviceaccount.com"}' \
			>"$T/sa.json"
	)
	export GOOGLE_APPLICATION_CREDENTIALS=$T/sa.json \
		GOOGLE_CLOUD_PROJECT=weir-test BIGQUERY_EMULATOR_HOST=$SIM \
		ANALYTICSDATA_HOST=$SIM/ga4 META_BASE_URL=$SIM/graph \
		META_TOKEN_FILE=$keys/meta-token ASC_BASE_URL=$SIM/asc \
		ASC_KEY_FILE=$keys/AuthKey_ABC123DEFG.p8 \
		ASC_ISSUER_ID=57246542-96fe-1a63-e053-0824d011072a \
		WEIR_FETCH_OPTIONS='--allow-http --backoff 1' \
		WEIR_BQ_OPTIONS='--allow-http --backoff 1'
	unset WEIR_NOW BQ_SA_JSON GA4_DIR
}

# How the sources' runs of the last run ended: "pipeline status exit", sorted.
run_ends() {
	run-log --last 20 | jq -rs '.[-1].run_id as $r | .[]
	    | select(.run_id == $r)
	    | "\(.pipeline) \(.status) \(.exit_status)"' | sort
}

# How many receipts name each state: "published 12, unchanged 3".
receipts() {
	jq -r .state | sort | uniq -c |
		awk '{printf "%s%s %s", s, $2, $1; s = ", "} END {print ""}'
}
