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
