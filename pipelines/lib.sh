# What the pipelines share. Sourced by each of them, never run.
#
# State is below WEIR_HOME (default ./var), configuration below WEIR_CONF
# (default conf/ beside pipelines/). WEIR_NOW (RFC 3339) stands for the
# current time, for tests.
#
# shellcheck shell=bash

set -euo pipefail
umask 077
export LC_ALL=C

# Raise it when the rows that the same input gives change for a reason that
# stands in no configuration: another program, another form.
FORMAT_VERSION=1

SELF=${0##*/}
WEIR_ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
WEIR_CONF=${WEIR_CONF:-$WEIR_ROOT/conf}
KPIS=${KPIS:-$WEIR_CONF/kpis.jq}
APPS=${APPS:-$WEIR_CONF/apps.jq}
PII=${PII:-$WEIR_CONF/pii.jq}
WEIR_HOME=${WEIR_HOME:-var}
[[ $WEIR_HOME == /* ]] || WEIR_HOME=$PWD/$WEIR_HOME
DB=${DB:-$WEIR_HOME/warehouse.db}
SALT=${SALT:-$WEIR_HOME/salt}
JOBS=${JOBS:-$(nproc)}
export WEIR_HOME WEIR_CONF KPIS APPS PII DB SALT JOBS
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

# One column of a query, a value a line. Only for texts without quotes,
# backslashes and control characters, as all our ids are.
sql() { # QUERY, whose column is v
	ask sqlite-query --db "$DB" "$1" | while IFS= read -r line; do
		line=${line#'{"v":'}
		line=${line%\}}
		line=${line#\"}
		printf '%s\n' "${line%\"}"
	done
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
		kpi-agg sqlite-load sqlite-query run-log; do
		command -v "$t" >/dev/null || missing+=" $t"
	done
	[[ -z $missing ]] ||
		die 78 PATH "programs are missing:$missing; type make, or set PATH"
}

# Makes what is not there yet and leaves what is. Safe to run at any time.
setup_home() {
	local f
	[[ -d $WEIR_HOME ]] || mkdir -p "$WEIR_HOME" ||
		die 73 "$WEIR_HOME" "cannot make the state directory"
	[[ -w $WEIR_HOME ]] || die 73 "$WEIR_HOME" "cannot be written"
	for f in runs raw lock quarantine; do
		[[ -d $WEIR_HOME/$f ]] || mkdir -p "$WEIR_HOME/$f" ||
			die 73 "$WEIR_HOME/$f" "cannot make it"
	done
	for f in "$KPIS" "$APPS" "$PII"; do
		[[ -r $f ]] || die 78 "$f" "cannot be read"
	done
	make_salt
	sqlite-load --db "$DB" --setup --apps "$APPS" >/dev/null
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

# A text member of a JSON line, "-" where it is not there. For our own control
# records, whose texts hold no escapes.
member() { # NAME LINE
	if [[ $2 =~ \"$1\":\"([^\"]*)\" ]]; then
		printf '%s\n' "${BASH_REMATCH[1]}"
	else
		echo -
	fi
}

salt_today() { # sets SALT_TODAY, POLICY
	local print
	[[ -z ${SALT_TODAY:-} ]] || return 0
	print=$(scrub_print "$SALT") || return
	read -r SALT_TODAY POLICY <<<"$print"
}

# The salt a day is scrubbed with: the one recorded for it, where it was loaded
# before, so that a new salt makes no new people of old ones; else today's.
# Older salts are kept as SALT.anything. Sets SALT_FILE, SALT_NAME, POLICY.
salt_for() { # BATCH
	local recorded f name
	salt_today || return
	SALT_FILE=$SALT SALT_NAME=$SALT_TODAY
	recorded=$(sql "select ref as v from lineage
	    where table_name = 'fact_kpi_daily' and batch_id = '$1'
	    and kind = 'salt_version' order by generation desc limit 1") || return
	[[ -n $recorded && $recorded != "$SALT_TODAY" ]] || return 0
	for f in "$SALT".*; do
		[[ -f $f ]] || continue
		name=$(scrub_print "$f") || return
		if [[ ${name% *} == "$recorded" ]]; then
			SALT_FILE=$f SALT_NAME=$recorded
			return 0
		fi
	done
	say "$1" "was made with the salt '$recorded', which is not in $SALT.*; put it there"
	return 78
}

# Equal prints, equal rows: input, outcome, scrubbing, configuration.
fingerprint() { # INPUT-SHA256 OUTCOME SALT POLICY
	config_print
	printf '%s\n' "$CONFIG_PRINT" "$@" | sha256sum | cut -d' ' -f1
}

# Runs of a pipeline -----------------------------------------------------------

# Starts the script anew below run-log, once: lock, run id, run record.
under_run_log() { # PIPELINE SOURCE WAIT ARGUMENT ...
	local pipeline=$1 source=$2 wait=$3
	shift 3
	[[ ${WEIR_RUN:-} != "$pipeline" ]] || return 0
	local more=()
	[[ -z ${WEIR_TEXTFILE:-} ]] || more+=(--textfile "$WEIR_TEXTFILE")
	[[ -z ${WEIR_PING_FILE:-} ]] || more+=(--ping-file "$WEIR_PING_FILE")
	[[ -z ${WEIR_LOG:-} ]] || more+=(--log "$WEIR_LOG")
	export WEIR_RUN=$pipeline
	exec run-log --pipeline "$pipeline" --source "$source" --db "$DB" \
		--wait "$wait" "${more[@]}" -- "$0" "$@"
}

# GA4 export files ---------------------------------------------------------------

# The property directories below (or at) DIR, a line each.
ga4_dirs() { # DIR
	local dir=${1%/} d found=0
	[[ -d $dir ]] || die 66 "$1" "no such directory"
	dir=$(cd "$dir" && pwd)
	for d in "$dir"/analytics_*/; do
		[[ -d $d ]] || continue
		printf '%s\n' "${d%/}"
		found=1
	done
	if ((!found)); then
		[[ ${dir##*/} == analytics_* ]] ||
			compgen -G "$dir/events_*.ndjson*" >/dev/null ||
			die 66 "$1" "holds no analytics_PROPERTY directory and no events_YYYYMMDD.ndjson"
		printf '%s\n' "$dir"
	fi
}

ga4_feed() { # DIRECTORY
	local feed=${1##*/}
	feed=${feed#analytics_}
	[[ $feed =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,59}$ ]] ||
		die 65 "$1" "the name is not one of a property"
	printf '%s\n' "$feed"
}

# The files of a day, sets FILES and OUTCOME (complete, partial, not_ready).
# The daily table is one file, or the shards of one extract job. The intraday
# table is looked at only where there is no daily one and that was asked for.
ga4_files() { # DIRECTORY DATE
	local day=${2//-/} kind f shard='^[a-z_]*[0-9]{8}([_-][0-9]+)?\.ndjson(\.gz)?$'
	FILES=() OUTCOME=not_ready
	for kind in events_ events_intraday_; do
		[[ $kind == events_ || -n ${INTRADAY:-} ]] || break
		for f in "$1/$kind$day".ndjson{,.gz} \
			"$1/$kind$day"[_-][0-9]*.ndjson{,.gz}; do
			[[ ! -f $f || ! ${f##*/} =~ $shard ]] || FILES+=("$f")
		done
		if ((${#FILES[@]} > 0)); then
			OUTCOME=complete
			[[ $kind == events_ ]] || OUTCOME=partial
			return 0
		fi
	done
}

# A file and its packed twin, or one file and shards: which one is the day?
ga4_files_clash() {
	local f one=0 many=0
	for f in "${FILES[@]}"; do
		case ${f##*/} in
		*_????????.ndjson | *_????????.ndjson.gz) one=$((one + 1)) ;;
		*) many=$((many + 1)) ;;
		esac
	done
	((one > 1 || (one > 0 && many > 0)))
}

# The zone that the days of a property are in. Asked once a process: ZONE_OF.
declare -A ZONE_OF
ga4_zone() { # FEED: sets ZONE
	ZONE=${ZONE_OF[$1]:-}
	[[ -z $ZONE ]] || return 0
	ZONE=$(sql "select coalesce(time_zone, '') as v from dim_apps,
	    json_each(config, '\$.sources.ga4.feeds')
	    where json_each.value = '$1' limit 1") || return
	if [[ -z $ZONE ]]; then
		say "ga4.$1" "warning: the property is not in ${APPS##*/}; its days are taken as UTC, its rows as app '$1'"
		ZONE=UTC
	fi
	ZONE_OF[$1]=$ZONE
}

# Does the property hold the app, as far as apps.jq knows? An app without
# properties of its own may be in any.
ga4_feed_has_app() { # FEED APP
	local n
	n=$(sql "select count(*) as v from dim_apps where app_id = '$2'") || exit
	[[ $n != 0 ]] || die 78 "$APPS" "no app '$2'"
	n=$(sql "select count(*) as v from dim_apps a where app_id = '$2' and
	    (json_extract(a.config, '\$.sources.ga4.feeds') is null or exists
	    (select 1 from json_each(a.config, '\$.sources.ga4.feeds') f
	    where f.value = '$1'))") || exit
	[[ $n != 0 ]]
}

# A partition -----------------------------------------------------------------------

receipt() { # BATCH STATE
	printf '{"tool":"%s","batch":"%s","state":"%s"}\n' "$SELF" "$1" "$2"
}

# One process at a time works on a partition, whichever pipeline it is of.
# 64 locks do for all: nobody holds two.
partition_lock() { # BATCH
	local n
	n=$(printf %s "$1" | cksum)
	exec 9>"$WEIR_HOME/lock/partition.$((${n%% *} % 64))"
	flock -w "${LOCK_WAIT:-600}" 9 || {
		say "$1" "another run works on it"
		return 75
	}
}

# State and generation of the newest generation with that fingerprint.
generation_of() { # BATCH FINGERPRINT
	sql "select state || ' ' || generation as v from batches
	    where table_name = 'fact_kpi_daily' and batch_id = '$1'
	    and fingerprint = '$2' order by generation desc limit 1"
}

# The day from what has been fetched to staged KPIs.
kpi_stages() { # BATCH FINGERPRINT
	event-id --profile ga4 |
		ndjson-dedup --key event_id |
		kpi-agg --kpis "$KPIS" --apps "$APPS" --source ga4 |
		sqlite-load --db "$DB" --table fact_kpi_daily --batch "$1" \
			--stage --allow-empty --fingerprint "$2"
	return "$(gravest "${PIPESTATUS[@]}")"
}

# The first audit of what is staged: NDJSON findings, a line each.
audit() { # BATCH GENERATION
	ask sqlite-query --db "$DB" --param "batch=$1" --param "generation=$2" \
		--file "$WEIR_ROOT/pipelines/sql/audit.sql"
}

# Publishes what is staged if the audit finds nothing, else quarantines it.
settle() { # BATCH OUTCOME
	local batch=$1 generation findings text rc=0 more=()
	generation=$(sql "select max(generation) as v from batches
	    where table_name = 'fact_kpi_daily' and batch_id = '$batch'
	    and state = 'staged'") || return
	if [[ ! $generation =~ ^[0-9]+$ ]]; then
		# the loader found the visible generation equal
		receipt "$batch" unchanged
		return 0
	fi
	findings=$(audit "$batch" "$generation") || rc=$?
	if ((rc != 0)); then
		say "$batch" "the audit could not run, nothing is published"
		return "$rc"
	fi
	if [[ -n $findings ]]; then
		store_findings "$findings" || rc=$?
		((rc == 0)) || return "$rc"
	fi
	if [[ -z ${ACCEPT:-} && $findings == *'"severity":"error"'* ]]; then
		text=$(first_message "$findings")
		sqlite-load --db "$DB" --quarantine "$batch" \
			--generation "$generation" --reason "$text" || return
		say "$batch" "quarantined: $text; look at the export; to publish it as it is: make daily DATE=${batch##*.} ACCEPT=1"
		return 1
	fi
	[[ $2 != partial ]] || more+=(--allow-partial)
	[[ -z ${FORCE:-} ]] || more+=(--force)
	text=$(sqlite-load --db "$DB" --publish "$batch" --allow-empty \
		--generation "$generation" "${more[@]}") || return
	printf '%s\n' "$text"
	[[ ! $text =~ \"total_success\":([0-9]+) ]] ||
		note "\"records_written\":${BASH_REMATCH[1]}"
}

store_findings() { # FINDINGS
	printf '%s\n' "$1" | sqlite-load --db "$DB" --table findings \
		--mode upsert >/dev/null
}

# The message of the first error among findings.
first_message() { # FINDINGS
	local line
	line=$(grep -m 1 '"severity":"error"' <<<"$1")
	line=${line#*'"message":"'}
	printf '%s\n' "${line%%'"'*}"
}

# Fetches a day of a property, and publishes its KPIs or says why not.
# The same again changes nothing.
feed_day() { # DIRECTORY DATE
	local feed batch print state rc=0 input fetched command
	feed=$(ga4_feed "$1")
	batch=ga4.$feed.$2
	ga4_files "$1" "$2"
	if [[ $OUTCOME == not_ready ]]; then
		say "$batch" "not ready: no events_${2//-/}.ndjson in $1 yet; run again when the export is there"
		receipt "$batch" not_ready
		return 4
	fi
	if ga4_files_clash; then
		say "$batch" "two exports of one day: ${FILES[*]##*/}; leave one"
		return 65
	fi
	partition_lock "$batch" || return
	input=$(cat -- "${FILES[@]}" | sha256sum | cut -d' ' -f1) || {
		say "$batch" "cannot read ${FILES[*]##*/}"
		return 66
	}
	salt_for "$batch" || return
	print=$(fingerprint "$input" "$OUTCOME" "$SALT_NAME" "$POLICY")
	state=$(generation_of "$batch" "$print")
	if [[ -z ${FORCE:-} && -z ${ACCEPT:-} ]]; then
		case $state in
		published*)
			receipt "$batch" unchanged
			return 0
			;;
		quarantined*)
			say "$batch" "still in quarantine, its input is the same; put the right export there, or publish it as it is with ACCEPT=1"
			receipt "$batch" quarantined
			return 1
			;;
		esac
	fi
	ga4_zone "$feed" || return
	fetched=$(fetched_at)
	command=(cat --)
	# status 3 makes the partition a partial one
	[[ $OUTCOME != partial ]] ||
		command=(sh -c 'cat -- "$@" && exit 3' sh)

	ndjson-part --source ga4 --feed "$feed" --date "$2" --tz "$ZONE" \
		--set "fetched_at=\"$fetched\"" \
		--set "input_sha256=\"$input\"" --allow-empty \
		-- "${command[@]}" "${FILES[@]}" |
		ndjson-scrub --policy "$PII" --salt-file "$SALT_FILE" |
		raw-store --dir "$WEIR_HOME/raw" |
		kpi_stages "$batch" "$print" >/dev/null &&
		rc=0 || rc=$(gravest "${PIPESTATUS[@]}")
	if ((rc == 0 || (rc == 3 && ${#command[@]} > 2))); then
		if [[ $(cat -- "${FILES[@]}" | sha256sum) != "$input"* ]]; then
			say "$batch" "the export changed while it was read"
			rc=75
		else
			settle "$batch" "$OUTCOME" && return 0 || return
		fi
	fi
	sqlite-load --db "$DB" --abort "$batch" >/dev/null ||
		rc=$(gravest "$rc" "$?")
	say "$batch" "nothing published ($(class_of "$rc"), $rc)"
	return "$rc"
}

# When the export was put where it is: the youngest of its files.
fetched_at() {
	local f t newest=0
	for f in "${FILES[@]}"; do
		t=$(date -u -r "$f" +%s%3N)
		((t <= newest)) || newest=$t
	done
	date -u -d "@${newest:0:-3}.${newest: -3}" +%Y-%m-%dT%H:%M:%S.%3NZ
}

# Many partitions ---------------------------------------------------------------------

# Runs `feed_day` for each line "DIRECTORY<tab>DATE" of stdin, JOBS side by
# side; the loader lets one write at a time. Returns the gravest status.
run_tasks() {
	local dir day st total=0 running=0
	# once for all: what follows is in processes of its own
	config_print
	salt_today || return
	while IFS=$'\t' read -r dir day; do
		ga4_zone "$(ga4_feed "$dir")"
		while ((running >= JOBS)); do
			st=0
			wait -n || st=$?
			running=$((running - 1))
			total=$(gravest "$total" "$st")
		done
		(feed_day "$dir" "$day") </dev/null &
		running=$((running + 1))
	done
	while ((running > 0)); do
		st=0
		wait -n || st=$?
		running=$((running - 1))
		total=$(gravest "$total" "$st")
	done
	return "$total"
}
