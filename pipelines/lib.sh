# What the pipelines share. Sourced by each of them, never run.
#
# State is below WEIR_HOME (default ./var), configuration below WEIR_CONF
# (default conf/ beside pipelines/). ENGINE is sqlite (the default) or bigquery.
# WEIR_NOW (RFC 3339) stands for the current time, for tests.
#
# shellcheck shell=bash disable=SC2034
# SC2034: much is set for those who source it

set -euo pipefail
umask 077
export LC_ALL=C

# Raise it when the rows that the same input gives change for a reason that
# stands in no configuration: another program, another form.
FORMAT_VERSION=2

SELF=${0##*/}
WEIR_ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
WEIR_CONF=${WEIR_CONF:-$WEIR_ROOT/conf}
KPIS=${KPIS:-$WEIR_CONF/kpis.jq}
APPS=${APPS:-$WEIR_CONF/apps.jq}
PII=${PII:-$WEIR_CONF/pii.jq}
PII_ASC=${PII_ASC:-$WEIR_CONF/pii-asc.jq}
ENGINE_SAID=${ENGINE:-}
ENGINE=${ENGINE:-sqlite}
WEIR_HOME=${WEIR_HOME:-var}
[[ $WEIR_HOME == /* ]] || WEIR_HOME=$PWD/$WEIR_HOME
DB=${DB:-$WEIR_HOME/warehouse.db}
SALT=${SALT:-$WEIR_HOME/salt}
JOBS=${JOBS:-$(nproc)}
export WEIR_HOME WEIR_CONF KPIS APPS PII PII_ASC DB SALT JOBS ENGINE
# From a checkout the programs are its own, installed ones are in PATH.
if [[ -n ${WEIR_BIN:-} ]]; then
	PATH=$WEIR_BIN:$PATH
elif [[ -x $WEIR_ROOT/${WEIR_B:-build}/bin/sqlite-load &&
	$(command -v sqlite-load) != "$WEIR_ROOT"/* ]]; then
	PATH=$WEIR_ROOT/${WEIR_B:-build}/bin:$PATH
fi

say() { # CONTEXT TEXT
	printf '%s: %s: %s\n' "$SELF" "$1" "$2" >&2
}

die() { # STATUS CONTEXT TEXT
	say "$2" "$3"
	exit "$1"
}

# The gravest of several exit statuses, by the order of docs/errors.md.
gravest() {
	local st rank best=0 best_rank=99
	for st; do
		case $st in
		64) rank=0 ;;
		78) rank=1 ;;
		77) rank=2 ;;
		65) rank=3 ;;
		70) rank=4 ;;
		71) rank=5 ;;
		73) rank=6 ;;
		74) rank=7 ;;
		75) rank=8 ;;
		66) rank=9 ;;
		141) rank=15 ;;
		129 | 1[3-9]? | 2??) rank=10 ;;
		3) rank=11 ;;
		4) rank=12 ;;
		1) rank=13 ;;
		2) rank=14 ;;
		0) rank=16 ;;
		*) rank=4 ;; # nobody agreed on it: as grave as a bug
		esac
		if ((rank < best_rank)); then
			best=$st best_rank=$rank
		fi
	done
	printf '%s\n' "$best"
}

class_of() { # STATUS
	case $1 in
	0) echo ok ;;
	1) echo findings ;;
	2) echo warnings ;;
	3) echo partial ;;
	4) echo notready ;;
	64) echo usage ;;
	65) echo contract ;;
	66) echo truncated ;;
	70) echo internal ;;
	71) echo oserr ;;
	73) echo cantcreat ;;
	74) echo io ;;
	75) echo transient ;;
	77) echo auth ;;
	78) echo config ;;
	129 | 1[3-9]? | 2??) echo signal ;;
	*) echo unknown ;;
	esac
}

# Looks at something for us: its status is an answer and not a stage's end.
ask() {
	env -u WEIR_STATS "$@"
}

# A line for the run record (run-log(1)). MEMBERS: JSON members.
note() { # MEMBERS
	[[ -z ${WEIR_STATS:-} ]] ||
		printf '{"event":"note",%s}\n' "$1" >>"$WEIR_STATS"
}

# The warehouse -----------------------------------------------------------------

# Sets LOAD, the loader with its place, and LOCAL, the SQLite file of this
# machine that knows the apps and the runs whatever the engine.
engine() {
	case $ENGINE in
	sqlite)
		# forgotten, it would begin a second warehouse
		[[ -n $ENGINE_SAID || -e $DB || ! -e $WEIR_HOME/bigquery.setup ]] ||
			die 78 ENGINE "is not set, and $WEIR_HOME was set up for BigQuery: say ENGINE=bigquery, or ENGINE=sqlite for a warehouse here beside it"
		LOCAL=$DB
		LOAD=(sqlite-load --db "$DB")
		;;
	bigquery)
		LOCAL=$WEIR_HOME/local.db
		read -ra BQ <<<"${WEIR_BQ_OPTIONS:-}"
		LOAD=(bq-load --quiet "${BQ[@]}")
		;;
	*) die 64 ENGINE "'$ENGINE' is none; sqlite and bigquery are" ;;
	esac
}

# What a command that we tell somebody to type needs besides.
engine_word() {
	[[ $ENGINE == sqlite ]] || printf ' ENGINE=%s' "$ENGINE"
}

# The rows of a query of pipelines/sql, NDJSON. What BigQuery bills for it is
# counted with the run. STAGE is the stage table that such a query reads.
ask_sql() { # NAME [PARAMETER=VALUE ...]
	local name=$1 p args=() text
	shift
	for p; do
		args+=(--param "$p")
	done
	if [[ $ENGINE == sqlite ]]; then
		ask sqlite-query --db "$DB" \
			--file "$WEIR_ROOT/pipelines/sql/$name.sql" "${args[@]}"
		return
	fi
	text=$(<"$WEIR_ROOT/pipelines/sql/bigquery/$name.sql")
	bq-query --quiet "${BQ[@]}" "${args[@]}" --file - \
		<<<"${text//'`analytics_ops.stage`'/"\`analytics_ops.${STAGE:-}\`"}"
}

# One column of a query on this machine, a value a line. Only for texts without
# quotes, backslashes and control characters, as all our ids are.
sql() { # QUERY, whose column is v
	ask sqlite-query --db "$LOCAL" "$1" | while IFS= read -r line; do
		line=${line#'{"v":'}
		line=${line%\}}
		line=${line#\"}
		printf '%s\n' "${line%\"}"
	done
}

# A member of a JSON line, text or number, "-" where it is not there. For our
# own records, whose texts hold no escapes.
member() { # NAME LINE
	member_of "$@"
	printf '%s\n' "$MEMBER"
}

# The same without a process: sets MEMBER.
member_of() { # NAME LINE
	MEMBER=-
	[[ ! $2 =~ \"$1\":(\"([^\"]*)\"|([0-9]+)) ]] ||
		MEMBER=${BASH_REMATCH[2]}${BASH_REMATCH[3]}
}

# Time -----------------------------------------------------------------------

now_s() {
	if [[ -n ${WEIR_NOW:-} ]]; then
		date -u -d "$WEIR_NOW" +%s
	else
		date -u +%s
	fi
}

is_date() {
	[[ $1 =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] &&
		[[ $(date -u -d "$1" +%F 2>/dev/null) == "$1" ]]
}

# The day N days after (before: negative) a date.
day_add() { # DATE N
	date -u -d "$1 12:00 UTC $2 day" +%F
}

days() { # FIRST LAST
	local s e
	s=$(date -u -d "$1 12:00 UTC" +%s)
	e=$(date -u -d "$2 12:00 UTC" +%s)
	for ((; s <= e; s += 86400)); do
		date -u -d "@$s" +%F
	done
}

yesterday() { # ZONE
	local today
	[[ $1 == UTC || -e /usr/share/zoneinfo/$1 ]] ||
		die 78 "$APPS" "no such time zone: '$1'"
	today=$(TZ=$1 date -d "@$(now_s)" +%F)
	day_add "$today" -1
}

# Places ---------------------------------------------------------------------

check_programs() {
	local t missing=
	for t in ndjson-part ndjson-scrub raw-store event-id ndjson-dedup \
		kpi-agg sqlite-load sqlite-query run-log \
		$([[ $ENGINE == sqlite ]] || echo bq-load bq-query); do
		command -v "$t" >/dev/null || missing+=" $t"
	done
	[[ -z $missing ]] ||
		die 78 PATH "programs are missing:$missing; type make, or set PATH"
}

# Makes what is not there yet and leaves what is. Safe to run at any time. Done
# once for all sources of a run.
setup_home() {
	local f
	[[ ${WEIR_READY:-} != "$ENGINE $WEIR_HOME $DB" ]] || return 0
	[[ -d $WEIR_HOME ]] || mkdir -p "$WEIR_HOME" ||
		die 73 "$WEIR_HOME" "cannot make the state directory"
	[[ -w $WEIR_HOME ]] || die 73 "$WEIR_HOME" "cannot be written"
	for f in runs raw lock quarantine fetch; do
		[[ -d $WEIR_HOME/$f ]] || mkdir -p "$WEIR_HOME/$f" ||
			die 73 "$WEIR_HOME/$f" "cannot make it"
	done
	for f in "$KPIS" "$APPS" "$PII"; do
		[[ -r $f ]] || die 78 "$f" "cannot be read"
	done
	make_salt
	sqlite-load --db "$LOCAL" --setup --apps "$APPS" >/dev/null
	[[ $ENGINE == sqlite ]] || setup_bigquery
	export WEIR_READY="$ENGINE $WEIR_HOME $DB"
}

# Datasets, tables and apps, when they or their place are new: each look at
# them is some calls.
setup_bigquery() {
	local print file=$WEIR_HOME/bigquery.setup
	print=$({
		hash_of "$APPS"
		cat "$WEIR_ROOT"/pipelines/sql/bigquery/[0-9]*.sql
		printf '%s\n' "${WEIR_BQ_OPTIONS:-}" "${BQ_DATASET:-}" \
			"${BQ_OPS_DATASET:-}" "${GOOGLE_CLOUD_PROJECT:-}" \
			"${BQ_LOCATION:-}" "${BIGQUERY_EMULATOR_HOST:-}"
	} | sha256sum)
	[[ -z ${SETUP_ANEW:-} && $(cat "$file" 2>/dev/null) == "$print" ]] || {
		"${LOAD[@]}" --setup --apps "$APPS" >/dev/null || return
		printf '%s\n' "$print" >"$file.new"
		mv "$file.new" "$file"
	}
}

# 32 random bytes in hex. Made once: with another salt, pseudonyms change.
make_salt() {
	local tmp
	[[ ! -e $SALT ]] || return 0
	tmp=$(mktemp "$WEIR_HOME/.tmp-salt.XXXXXX")
	head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$tmp"
	echo >>"$tmp"
	sync "$tmp"
	ln "$tmp" "$SALT" 2>/dev/null || true # another setup was first
	rm -f "$tmp"
	sync "$WEIR_HOME"
	[[ -s $SALT ]] || die 73 "$SALT" "cannot be made"
}

hash_of() { # FILE
	sha256sum <"$1" | cut -d' ' -f1
}

# What a generation is made of besides its input and scrubbing.
config_print() {
	if [[ -z ${CONFIG_PRINT:-} ]]; then
		CONFIG_PRINT=$(printf '%s\n' "$FORMAT_VERSION" \
			"$(hash_of "$KPIS")" "$(hash_of "$APPS")" |
			sha256sum | cut -d' ' -f1)
	fi
}

# What ndjson-scrub calls a salt and the policy: "SALT POLICY".
scrub_print() { # SALT-FILE
	local begin
	begin=$(ask ndjson-part --source x --feed x --date 2000-01-01 \
		--allow-empty -- true |
		ask ndjson-scrub --policy "$PII" --salt-file "$1") || return
	printf '%s %s\n' "$(member salt_version "$begin")" \
		"$(member pii_policy "$begin")"
}

salt_today() { # sets SALT_TODAY, POLICY
	local print
	[[ -z ${SALT_TODAY:-} ]] || return 0
	print=$(scrub_print "$SALT") || return
	read -r SALT_TODAY POLICY <<<"$print"
}

# The salt a day is scrubbed with: the one that its raw version was made with,
# where there is one, so that a new salt makes no new people of old ones; else
# today's. Older salts are kept as SALT.anything. Sets SALT_FILE, SALT_NAME.
salt_for() { # RECORDED BATCH
	local f name
	salt_today || return
	SALT_FILE=$SALT SALT_NAME=$SALT_TODAY
	[[ $1 != - && $1 != "$SALT_TODAY" ]] || return 0
	for f in "$SALT".*; do
		[[ -f $f ]] || continue
		name=$(scrub_print "$f") || return
		if [[ ${name% *} == "$1" ]]; then
			SALT_FILE=$f SALT_NAME=$1
			return 0
		fi
	done
	say "$2" "was made with the salt '$1', which is not in $SALT.*; put it there"
	return 78
}

# Runs of a pipeline -----------------------------------------------------------

# Starts the script anew below run-log, once: lock, run id, run record.
under_run_log() { # PIPELINE SOURCE WAIT ARGUMENT ...
	local pipeline=$1 source=$2 wait=$3 rc=0 top=${WEIR_RUN:-}
	shift 3
	[[ $top != "$pipeline" ]] || return 0
	local more=()
	[[ -z $source ]] || more+=(--source "$source")
	[[ -z ${WEIR_TEXTFILE:-} ]] || more+=(--textfile "$WEIR_TEXTFILE")
	[[ -z ${WEIR_PING_FILE:-} ]] || more+=(--ping-file "$WEIR_PING_FILE")
	[[ -z ${WEIR_LOG:-} ]] || more+=(--log "$WEIR_LOG")
	export WEIR_RUN=$pipeline
	set -- run-log --pipeline "$pipeline" --db "$LOCAL" --wait "$wait" \
		"${more[@]}" -- "$0" "$@"
	[[ $ENGINE != sqlite && -z $top ]] || exec "$@"
	"$@" || rc=$?
	push_runs || rc=$(gravest "$rc" 3)
	exit "$rc"
}

# The last run records to BigQuery, those too that could not go there before.
push_runs() {
	# a run that was refused at the door has nothing to tell
	[[ -e $WEIR_HOME/bigquery.setup ]] || return 0
	run-log --home "$WEIR_HOME" --last 20 |
		"${LOAD[@]}" --table pipeline_runs >/dev/null || {
		say pipeline_runs "warning: the records of the last runs are not in BigQuery; the next run sends them"
		return 3
	}
}

# Each source in a run of its own, side by side. What fails is one source's; the
# others publish, and the run is partial then. Returns the gravest status.
each_source() { # SOURCE ...
	local s st rc=0 good=0 pids=()
	for s; do
		"$0" --source "$s" </dev/null &
		pids+=($!)
	done
	for s in "${pids[@]}"; do
		st=0
		wait "$s" || st=$?
		case $st in
		0 | 1 | 2 | 3 | 4) good=1 ;;
		esac
		rc=$(gravest "$rc" "$st")
	done
	if ((good)); then
		note '"partial":true'
	fi
	note_records
	return "$rc"
}

# The rows that the sources of this run have published.
note_records() {
	local line n=0
	while IFS= read -r line; do
		member_of run_id "$line"
		[[ $MEMBER == "${RUN_ID:-}" ]] || continue
		member_of records_written "$line"
		n=$((n + MEMBER))
	done < <(ask run-log --home "$WEIR_HOME" --last 20)
	note "\"records_written\":$n"
}

# Command lines -----------------------------------------------------------------

# The sources to run: those that were asked for, a list with commas, else those
# that the apps name. Export files stand for the source ga4, and for all where
# nothing else was said.
which_sources() { # sets SOURCES
	local s
	SOURCES=()
	if [[ -z ${SOURCE:-} && -n ${GA4_DIR:-} ]]; then
		SOURCE=ga4
	fi
	SOURCE=${SOURCE:-}
	for s in ${SOURCE//,/ }; do
		[[ $s != files ]] || s=ga4
		case $s in
		ga4 | meta | asc) SOURCES+=("$s") ;;
		all) SOURCES+=(ga4 meta asc) ;;
		*) die 64 --source "'$s' is not known; ga4 (files), meta and asc are" ;;
		esac
	done
	((${#SOURCES[@]} > 0)) || SOURCES=(ga4 meta asc)
}

check_numbers() {
	[[ $JOBS =~ ^[1-9][0-9]?$ ]] || die 64 --jobs "a number from 1 to 99"
	[[ $WAIT =~ ^[0-9]{1,5}$ ]] || die 64 --wait "a number of seconds"
	[[ -z ${APP:-} || $APP =~ ^[A-Za-z0-9._-]{1,100}$ ]] ||
		die 64 --app "not an app id"
	[[ -z ${WINDOW:-} || $WINDOW =~ ^[1-9][0-9]{0,2}$ ]] ||
		die 64 --window "a number from 1 to 999"
}
