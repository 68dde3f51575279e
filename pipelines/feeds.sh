# Which feeds a source has, and how their days come into the raw layer: over
# HTTP by the fetchers, or for GA4 from export files. Sourced by the pipelines.
#
# shellcheck shell=bash disable=SC2153
# SC2153: SOURCE is the source that this process works on

# Kinds of feeds: export (GA4 over HTTP), files (GA4 export files), insights
# (Meta) and sales (App Store Connect).
declare -A KIND=() ACCOUNT=() ZONE_OF=() WINDOW_OF=() LAG_OF=() ARGS=() \
	APPS_OF=() DIR_OF=() FIRST=() LAST=()
FEEDS=()

feeds_sql() { # SOURCE
	local common="'|' || coalesce(json_extract(config, '\$.sources.$1.zone'),
	    time_zone, 'UTC')" tail
	tail="'|' || coalesce(json_extract(config, '\$.sources.$1.window'), %d)
	    || '|' || coalesce(json_extract(config, '\$.sources.$1.lag'), %d)
	    || '|' || %s || '|' || app_id as v from dim_apps, "
	# shellcheck disable=SC2059 # the format is ours
	case $1 in
	ga4)
		printf "select 'export|' || f.value || '|' || f.value || $common ||
		    $tail json_each(config, '\$.sources.ga4.feeds') f" 7 3 \
			"coalesce(json_extract(config, '\$.sources.ga4.project'), '')
			|| ';' || coalesce(json_extract(config,
			'\$.sources.ga4.dataset'), '')"
		;;
	meta)
		printf "select 'insights|act_' || account || '.' || level ||
		    case when breakdowns = '' then ''
		    else '.' || replace(breakdowns, ',', '-') end || '|' ||
		    account || '|' || zone || $tail
		    (select app_id as app, json_extract(a.value, '\$.account')
			as account,
			coalesce(json_extract(a.value, '\$.level'), 'campaign')
			as level,
			coalesce((select group_concat(value, ',') from
			json_each(a.value, '\$.breakdowns')), '') as breakdowns,
			coalesce(json_extract(a.value, '\$.zone'),
			json_extract(config, '\$.sources.meta.zone'), time_zone,
			'UTC') as zone
		    from dim_apps, json_each(config, '\$.sources.meta.accounts') a)
		    where app = app_id" 28 1 "level || ';' || breakdowns"
		;;
	asc)
		printf "select 'sales|' || vendor || '.' || lower(report) ||
		    case report when 'SUBSCRIBER' then '_detailed' else '_summary'
		    end || '_daily|' || vendor || '|' ||
		    coalesce(json_extract(config, '\$.sources.asc.zone'),
		    'America/Los_Angeles') || $tail
		    (select app_id as app, r.value as report,
			json_extract(config, '\$.sources.asc.vendor') as vendor
		    from dim_apps, json_each(config, '\$.sources.asc.reports') r)
		    where app = app_id" 7 2 "report"
		;;
	esac
}

# Fills FEEDS and what is known of each from the apps. A feed that several apps
# share is there once, with the longest window.
read_feeds() { # SOURCE
	local kind feed account zone window lag args app list
	list=$(sql "$(feeds_sql "$1")") || return
	while IFS='|' read -r kind feed account zone window lag args app; do
		[[ -n $kind && -n $feed ]] || continue
		if [[ ! $feed =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$ ]]; then
			say "$APPS" "'$feed' is no name of a feed"
			return 78
		fi
		if [[ -n ${KIND[$feed]:-} ]]; then
			APPS_OF[$feed]+=" $app"
			((window <= WINDOW_OF[$feed])) || WINDOW_OF[$feed]=$window
			continue
		fi
		FEEDS+=("$feed")
		KIND[$feed]=$kind ACCOUNT[$feed]=$account ZONE_OF[$feed]=$zone
		WINDOW_OF[$feed]=$window LAG_OF[$feed]=$lag ARGS[$feed]=$args
		APPS_OF[$feed]=$app
	done <<<"$list"
}

# The feeds to work on: FEEDS, without those that do not hold APP. With GA4_DIR,
# those of ga4 are its directories.
choose_feeds() {
	local feed kept=() n
	read_feeds "$SOURCE" || return
	if [[ $SOURCE == ga4 && -n ${GA4_DIR:-} ]]; then
		file_feeds || return
	fi
	if [[ -n ${APP:-} ]]; then
		n=$(sql "select count(*) as v from dim_apps
		    where app_id = '$APP'") || return
		[[ $n != 0 ]] || die 78 "$APPS" "no app '$APP'"
	fi
	for feed in "${FEEDS[@]}"; do
		if [[ -z ${APP:-} ]] || feed_has_app "$feed"; then
			kept+=("$feed")
		fi
	done
	FEEDS=("${kept[@]}")
}

# An app without properties of its own may be in any.
feed_has_app() { # FEED
	[[ " ${APPS_OF[$1]:-} " == *" $APP "* ]] || {
		[[ ${KIND[$1]} == files && " ${APPS_OF[*]} " != *" $APP "* ]]
	}
}

file_feeds() {
	local dir feed list
	list=$(ga4_dirs "$GA4_DIR") || return
	FEEDS=()
	while IFS= read -r dir; do
		feed=$(ga4_feed "$dir") || return
		FEEDS+=("$feed")
		if [[ -z ${ZONE_OF[$feed]:-} ]]; then
			say "ga4.$feed" "warning: the property is not in ${APPS##*/}; its days are taken as UTC, its rows as app '$feed'"
			ZONE_OF[$feed]=UTC WINDOW_OF[$feed]=7 LAG_OF[$feed]=3
		fi
		KIND[$feed]=files DIR_OF[$feed]=$dir ACCOUNT[$feed]=$feed
	done <<<"$list"
}

# The days of each feed, FIRST and LAST: DATE, or START to END, or the window up
# to yesterday in the feed's zone. No service is asked for a day that is not
# over.
choose_days() {
	local feed last
	for feed in "${FEEDS[@]}"; do
		last=$(yesterday "${ZONE_OF[$feed]}") || return
		if [[ -n ${DATE:-} ]]; then
			FIRST[$feed]=$DATE LAST[$feed]=$DATE
		elif [[ -n ${START:-} ]]; then
			FIRST[$feed]=$START LAST[$feed]=$END
			[[ ${KIND[$feed]} == files || ! $END > $last ]] ||
				LAST[$feed]=$last
		else
			FIRST[$feed]=$(day_add "$last" \
				$((1 - ${WINDOW:-${WINDOW_OF[$feed]}})))
			LAST[$feed]=$last
		fi
	done
}

is_late() { # FEED DAY
	local due
	due=$(day_add "$(yesterday "${ZONE_OF[$1]}")" "-${LAG_OF[$1]}") || return
	[[ $2 < $due ]]
}

# The raw layer ------------------------------------------------------------------

# What the raw layer has of days of a feed. RAW: of "FEED DAY" the record of the
# version that counts, the newest that is complete or empty, else the newest
# partial one. RAW_LAST: of the newest of any outcome.
declare -A RAW=() RAW_LAST=()
load_raw() { # FEED FIRST LAST
	local line day list
	list=$(ask raw-store --dir "$WEIR_HOME/raw" --list --source "$SOURCE" \
		--feed "$1" --from "$2" --to "$3" 2>/dev/null) || {
		[[ -d $WEIR_HOME/raw/$SOURCE/$1 ]] || return 0
		say "$WEIR_HOME/raw" "cannot be listed; try raw-store --dir $WEIR_HOME/raw --verify"
		return 65
	}
	while IFS= read -r line; do
		[[ -n $line ]] || continue
		member_of date "$line"
		day=$MEMBER
		RAW_LAST["$1 $day"]=$line
		[[ $line == *'"outcome":"partial"'* &&
			${RAW["$1 $day"]:-} == *'"outcome":"'[ce]* ]] ||
			RAW["$1 $day"]=$line
	done <<<"$list"
}

# Over HTTP -------------------------------------------------------------------------

# Words for all fetchers, and for one.
fetch_options() { # SOURCE: sets OPTIONS
	local own=FETCH_${1^^}_OPTIONS
	read -ra OPTIONS <<<"${WEIR_FETCH_OPTIONS:-} ${!own:-}"
}

# The command that fetches days of a feed: sets COMMAND.
fetch_command() { # FEED FIRST LAST
	local args=${ARGS[$1]} OPTIONS
	fetch_options "$SOURCE"
	case ${KIND[$1]} in
	export)
		COMMAND=(fetch-ga4 --export --property "${ACCOUNT[$1]}"
			--tz "${ZONE_OF[$1]}" --feed "$1" --state "$SEEN" --quiet)
		# a day asked for by name must be there
		if [[ -n ${DATE:-} ]]; then
			COMMAND+=(--date "$DATE")
		else
			COMMAND+=(--since "$2" --until "$3")
		fi
		[[ -z ${args%;*} ]] || COMMAND+=(--project "${args%;*}")
		[[ -z ${args#*;} ]] || COMMAND+=(--dataset "${args#*;}")
		[[ -z ${INTRADAY:-} ]] || COMMAND+=(--intraday-after 1)
		;;
	insights)
		COMMAND=(fetch-meta --account "${ACCOUNT[$1]}"
			--level "${args%;*}" --since "$2" --date "$3"
			--state "$WEIR_HOME/fetch/meta" --wait 60)
		[[ -z ${args#*;} ]] || COMMAND+=(--breakdowns "${args#*;}")
		[[ -z ${META_TOKEN_FILE:-} ]] ||
			COMMAND+=(--token-file "$META_TOKEN_FILE")
		[[ -z ${META_APP_SECRET_FILE:-} ]] ||
			COMMAND+=(--app-secret-file "$META_APP_SECRET_FILE")
		;;
	sales)
		COMMAND=(fetch-asc --vendor "${ACCOUNT[$1]}" --report "$args"
			--from "$2" --to "$3")
		;;
	esac
	COMMAND+=("${OPTIONS[@]}")
}

# How many days one call asks for, so that a long backfill that is killed does
# not begin anew.
piece_of() { # KIND
	case $1 in
	export) echo 7 ;;
	insights) echo 28 ;;
	*) echo 30 ;;
	esac
}

# Fetches the days of a feed into the raw layer, and notes what the service said
# of each in its .said file. Those who ask the same account take turns.
fetch_feed() { # FEED
	local feed=$1 said=$WEIR_HOME/fetch/$WEIR_RUN.$1.said rc=0 st first last
	local lock=$WEIR_HOME/lock/account.$SOURCE.${ACCOUNT[$1]}
	: >"$said"
	exec 8>"$lock"
	flock -w "${FETCH_WAIT:-7200}" 8 || {
		say "$SOURCE.$feed" "another run asks this account"
		return 75
	}
	while read -r first last salt; do
		st=0
		fetch_span "$feed" "$first" "$last" "$salt" >>"$said" || st=$?
		((st == 0)) || rc=$(gravest "$rc" "$st")
		case $st in
		0 | 3 | 4) ;;
		*)
			# the rest would end alike
			say "$SOURCE.$feed" "not all days from $first to ${LAST[$feed]} could be fetched ($(class_of "$st"), $st)"
			break
			;;
		esac
	done < <(pieces "$feed")
	return "$rc"
}

# "FIRST LAST SALT", a line for each call: days of one salt, not too many.
pieces() { # FEED
	local day first='' last='' salt='' was='' n=0 most
	most=$(piece_of "${KIND[$1]}")
	for day in $(days "${FIRST[$1]}" "${LAST[$1]}"); do
		salt=-
		if scrubbed "$1"; then
			member_of salt_version "${RAW_LAST["$1 $day"]:-}"
			salt=$MEMBER
			[[ $salt != "$SALT_TODAY" ]] || salt=-
		fi
		if [[ -n $first && ($salt != "$was" || $n -ge $most) ]]; then
			printf '%s %s %s\n' "$first" "$last" "$was"
			first=
		fi
		[[ -n $first ]] || first=$day n=0
		last=$day was=$salt n=$((n + 1))
	done
	[[ -z $first ]] || printf '%s %s %s\n' "$first" "$last" "$was"
}

# Do its records hold what the policy is for?
scrubbed() { # FEED
	[[ ${KIND[$1]} == export || ${KIND[$1]} == files ||
		${ARGS[$1]:-} == SUBSCRIBER ]]
}

# Prints what became of each partition, as ndjson-part --summary does. Of what
# did not come whole nothing is in the raw layer.
fetch_span() { # FEED FIRST LAST SALT
	local rc st SEEN COMMAND
	if scrubbed "$1"; then
		salt_for "$4" "$SOURCE.$1.$2" || return
	fi
	# another policy asks for all days anew
	SEEN=$WEIR_HOME/fetch/$SOURCE.$1.${POLICY:0:16}.seen
	# what was seen is worth nothing without what was kept
	if [[ -n ${FORCE:-} || ! -d $WEIR_HOME/raw/$SOURCE/$1 ]]; then
		rm -f "$SEEN" "$SEEN.next"
	fi
	fetch_command "$1" "$2" "$3"
	"${COMMAND[@]}" </dev/null | unless_empty keep_stream "$1" &&
		rc=0 || rc=$(gravest "${PIPESTATUS[@]}")
	case $rc in
	0 | 3 | 4) ;;
	*) return "$rc" ;;
	esac
	if [[ ${KIND[$1]} == export ]]; then
		fetch-ga4 --commit --state "$SEEN" || {
			st=$?
			rc=$(gravest "$rc" "$st")
		}
	fi
	return "$rc"
}

# Runs the command over stdin, but not over nothing at all: days that did not
# change are no stream that was cut.
unless_empty() { # COMMAND ...
	local line
	IFS= read -r line || return 0
	{
		printf '%s\n' "$line"
		exec cat
	} | "$@"
	return "$(gravest "${PIPESTATUS[@]}")"
}

keep_stream() { # FEED
	local policy=$PII
	if scrubbed "$1"; then
		[[ $SOURCE != asc ]] || policy=$PII_ASC
		ndjson-scrub --policy "$policy" --salt-file "$SALT_FILE" |
			raw-store --dir "$WEIR_HOME/raw" --wait 60 |
			summary
	else
		raw-store --dir "$WEIR_HOME/raw" --wait 60 | summary
	fi
	return "$(gravest "${PIPESTATUS[@]}")"
}

# What it finds was said by those before it.
summary() {
	ask ndjson-part --summary --quiet 2>/dev/null || true
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

# Is the property without an export before that day?
ga4_none_before() { # DIRECTORY DATE
	local f
	for f in "$1"/events_[0-9]*.ndjson*; do
		[[ ! ${f##*/} < events_${2//-/} ]] || return 1
	done
}

# The days that a property owes: those of its span, but none before its first
# export.
file_days() { # FEED
	local day dir=${DIR_OF[$1]}
	for day in $(days "${FIRST[$1]}" "${LAST[$1]}"); do
		ga4_files "$dir" "$day"
		if [[ $OUTCOME != not_ready || -n ${DATE:-} ||
			(-z ${START:-} && $day == "${LAST[$1]}") ]] ||
			! ga4_none_before "$dir" "$day"; then
			printf '%s\n' "$day"
		fi
	done
}

# Brings a day of export files into the raw layer, unless the same is there.
file_day() { # FEED DATE
	local feed=$1 batch=ga4.$1.$2 rc=0 input fetched command line
	ga4_files "${DIR_OF[$feed]}" "$2"
	if [[ $OUTCOME == not_ready ]]; then
		say "$batch" "not ready: no events_${2//-/}.ndjson in ${DIR_OF[$feed]} yet; run again when the export is there"
		receipt "$batch" not_ready
		return 4
	fi
	if ga4_files_clash; then
		say "$batch" "two exports of one day: ${FILES[*]##*/}; leave one"
		return 65
	fi
	input=$(cat -- "${FILES[@]}" | sha256sum) || {
		say "$batch" "cannot read ${FILES[*]##*/}"
		return 66
	}
	input=${input%% *}
	line=${RAW_LAST["$feed $2"]:-}
	member_of salt_version "$line"
	salt_for "$MEMBER" "$batch" || return
	if [[ -z ${FORCE:-} && $line == *"\"$input\""* &&
		$line == *"\"salt_version\":\"$SALT_NAME\""* &&
		$line == *"\"pii_policy\":\"$POLICY\""* ]]; then
		case $OUTCOME:$line in
		partial:*'"outcome":"partial"'* | \
			complete:*'"outcome":"complete"'* | \
			complete:*'"outcome":"empty"'*) return 0 ;;
		esac
	fi
	fetched=$(fetched_at)
	command=(cat --)
	# status 3 makes the partition a partial one
	# shellcheck disable=SC2016
	[[ $OUTCOME != partial ]] ||
		command=(sh -c 'cat -- "$@" && exit 3' sh)
	ndjson-part --source ga4 --feed "$feed" --date "$2" \
		--tz "${ZONE_OF[$feed]}" --set "fetched_at=\"$fetched\"" \
		--set "input_sha256=\"$input\"" --allow-empty \
		-- "${command[@]}" "${FILES[@]}" |
		ndjson-scrub --policy "$PII" --salt-file "$SALT_FILE" |
		raw-store --dir "$WEIR_HOME/raw" --wait 60 >/dev/null &&
		rc=0 || rc=$(gravest "${PIPESTATUS[@]}")
	[[ $rc != 3 || ${#command[@]} == 2 ]] || rc=0
	if ((rc != 0)); then
		say "$batch" "nothing published ($(class_of "$rc"), $rc)"
		return "$rc"
	fi
	if [[ $(cat -- "${FILES[@]}" | sha256sum) != "$input"* ]]; then
		say "$batch" "the export changed while it was read"
		return 75
	fi
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
