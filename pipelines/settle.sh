# From the raw layer to published KPIs: stage, audit, publish, a partition at a
# time. Sourced by the pipelines after lib.sh and feeds.sh.
#
# shellcheck shell=bash

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

# Equal prints, equal rows: the configuration, and the version in the raw layer,
# whose records show salt and policy. Sets PRINT; no process, as it is asked of
# each day of each window.
fingerprint() { # RECORD-OF-RAW
	local outcome rejected
	config_print
	member_of outcome "$1"
	outcome=$MEMBER
	member_of rejected "$1"
	rejected=$MEMBER
	member_of sha256 "$1"
	PRINT=$CONFIG_PRINT.$outcome.$rejected.$MEMBER
}

# The generations that the warehouse knows of a source's days: of "BATCH PRINT"
# the state and number of the newest. One question for all.
declare -A STATE=()
load_states() { # FIRST LAST
	local line batch state generation list
	list=$(ask_sql states "source=$SOURCE" "first=$1" "last=$2") || return
	while IFS= read -r line; do
		[[ -n $line ]] || continue
		member_of batch_id "$line"
		batch=$MEMBER
		member_of state "$line"
		state=$MEMBER
		member_of generation "$line"
		generation=$MEMBER
		member_of fingerprint "$line"
		STATE["$batch $MEMBER"]="$state $generation"
	done <<<"$list"
}

# The day out of the raw layer, up to staged KPIs; prints the loader's receipt.
stage_day() { # SOURCE FEED DATE FINGERPRINT [OPTION OF THE REPLAY ...]
	local source=$1 feed=$2 day=$3 print=$4
	shift 4
	raw-store --dir "$WEIR_HOME/raw" --replay --source "$source" \
		--feed "$feed" --from "$day" --to "$day" "$@" |
		with_ids "$source" |
		kpi-agg --kpis "$KPIS" --apps "$APPS" --source "$source" |
		"${LOAD[@]}" --table fact_kpi_daily \
			--batch "$source.$feed.$day" --stage --allow-empty \
			--fingerprint "$print"
	return "$(gravest "${PIPESTATUS[@]}")"
}

# Events get ids, and those that come twice go. Reports have keys of their own:
# the partition replaces.
with_ids() { # SOURCE
	if [[ $1 != ga4 ]]; then
		exec cat
	fi
	event-id --profile ga4 | ndjson-dedup --key event_id
	return "$(gravest "${PIPESTATUS[@]}")"
}

# The first audit of what is staged: NDJSON findings, a line each.
audit() { # BATCH GENERATION STAGE-TABLE
	local more=()
	[[ $ENGINE == sqlite ]] || more+=("date=${1##*.}")
	STAGE=$3 ask_sql audit "batch=$1" "generation=$2" "${more[@]}"
}

# Publishes what is staged if the audit finds nothing, else quarantines it.
settle() { # BATCH OUTCOME RECEIPT
	local batch=$1 generation findings text rc=0 more=()
	member_of state "$3"
	if [[ $MEMBER == published ]]; then
		# the loader found the visible generation equal
		receipt "$batch" unchanged
		return 0
	fi
	member_of generation "$3"
	generation=$MEMBER
	if [[ $MEMBER == - ]]; then
		say "$batch" "the loader did not say what it staged"
		return 70
	fi
	member_of stage_table "$3"
	findings=$(audit "$batch" "$generation" "$MEMBER") || rc=$?
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
		"${LOAD[@]}" --quarantine "$batch" \
			--generation "$generation" --reason "$text" || return
		say "$batch" "quarantined: $text; look at what the source says; to publish it as it is: make daily SOURCE=${batch%%.*} DATE=${batch##*.}$(engine_word) ACCEPT=1"
		return 1
	fi
	[[ $2 != partial ]] || more+=(--allow-partial)
	[[ -z ${FORCE:-} ]] || more+=(--force)
	text=$("${LOAD[@]}" --publish "$batch" --allow-empty \
		--generation "$generation" "${more[@]}") || return
	printf '%s\n' "$text"
	[[ ! $text =~ \"total_success\":([0-9]+) ]] ||
		note "\"records_written\":${BASH_REMATCH[1]}"
}

store_findings() { # FINDINGS
	printf '%s\n' "$1" | "${LOAD[@]}" --table findings \
		--mode upsert >/dev/null
}

# The message of the first error among findings.
first_message() { # FINDINGS
	local line
	line=$(grep -m 1 '"severity":"error"' <<<"$1")
	line=${line#*'"message":"'}
	printf '%s\n' "${line%%'"'*}"
}

# What need not be staged, because it is published or kept back from the same
# input and configuration, is said here: then 0, or 1 for a quarantined one.
# Else 4: there is work to do.
settled_already() { # FEED DATE
	local batch=$SOURCE.$1.$2
	[[ -z ${FORCE:-} && -z ${ACCEPT:-} ]] || return 4
	fingerprint "${RAW["$1 $2"]}"
	case ${STATE["$batch $PRINT"]:-} in
	published*)
		receipt "$batch" unchanged
		return 0
		;;
	quarantined*)
		say "$batch" "still in quarantine, its input is the same; put the right data there, or publish it as it is with ACCEPT=1"
		receipt "$batch" quarantined
		return 1
		;;
	esac
	return 4
}

# Publishes a day out of the raw layer, or says why not. The same again changes
# nothing.
settle_day() { # FEED DATE
	local feed=$1 batch=$SOURCE.$1.$2 rc=0 outcome text
	if [[ ${KIND[$feed]} == files ]]; then
		partition_lock "$batch" || return
		file_day "$feed" "$2" || return
		load_raw "$feed" "$2" "$2" || return
		settled_already "$feed" "$2" || rc=$?
		((rc == 4)) || return "$rc"
		rc=0
	else
		partition_lock "$batch" || return
	fi
	fingerprint "${RAW["$feed $2"]}"
	member_of outcome "${RAW["$feed $2"]}"
	outcome=$MEMBER
	text=$(stage_day "$SOURCE" "$feed" "$2" "$PRINT") || rc=$?
	if ((rc == 0)) || { ((rc == 3)) && [[ $outcome == partial ]]; }; then
		settle "$batch" "$outcome" "$text" && return 0 || return
	fi
	"${LOAD[@]}" --abort "$batch" >/dev/null || rc=$(gravest "$rc" "$?")
	say "$batch" "nothing published ($(class_of "$rc"), $rc)"
	return "$rc"
}

# Many partitions -------------------------------------------------------------------

# What a fetch said of the days that it brought nothing for.
tell_fetched() { # FEED
	local line day
	while IFS= read -r line; do
		member_of date "$line"
		day=$MEMBER
		case $line in
		*'"outcome":"not_ready"'*)
			if is_late "$1" "$day"; then
				say "$SOURCE.$1.$day" "warning: not ready, and later than ${LAG_OF[$1]} days after its end"
			fi
			receipt "$SOURCE.$1.$day" not_ready
			;;
		*'"outcome":"failed"'*)
			member_of class "$line"
			printf '{"tool":"%s","batch":"%s","state":"failed","class":"%s"}\n' \
				"$SELF" "$SOURCE.$1.$day" "$MEMBER"
			;;
		esac
	done <"$WEIR_HOME/fetch/$WEIR_RUN.$1.said"
}

# Was the day fetched once? A fetch says nothing of days of GA4 from before the
# link to BigQuery.
was_seen() { # FEED DAY
	[[ ${KIND[$1]} != export ]] ||
		grep -qs "\"$2\"" "$WEIR_HOME/fetch/$SOURCE.$1".*.seen
}

# Appends to TASKS the days of a feed that must be staged; what need not is said
# now. Sets DONE to the gravest of those.
declare -a TASKS=()
plan_days() { # FEED [STATUS OF THE FETCH]
	local day st list said='' gone=''
	DONE=0
	load_raw "$1" "${FIRST[$1]}" "${LAST[$1]}" || {
		DONE=65
		return 0
	}
	if [[ ${KIND[$1]} == files ]]; then
		list=$(file_days "$1")
	else
		list=$(days "${FIRST[$1]}" "${LAST[$1]}")
		said=$(<"$WEIR_HOME/fetch/$WEIR_RUN.$1.said")
	fi
	for day in $list; do
		if [[ ${KIND[$1]} == files ]]; then
			TASKS+=("$1 $day")
			continue
		fi
		if [[ -z ${RAW["$1 $day"]:-} ]]; then
			[[ $said == *"\"$day\""* ]] || ! was_seen "$1" "$day" ||
				gone+=" $day"
			continue
		fi
		st=0
		settled_already "$1" "$day" || st=$?
		case $st in
		4) TASKS+=("$1 $day") ;;
		0) ;;
		*) DONE=$(gravest "$DONE" "$st") ;;
		esac
	done
	case ${2:-} in
	0 | 3 | 4) ;;
	*) return 0 ;;
	esac
	if [[ -n $gone ]]; then
		# seen once, unchanged since, and yet not kept
		say "$SOURCE.$1" "the raw layer lacks$gone, which will be fetched anew by the next run"
		rm -f "$WEIR_HOME/fetch/$SOURCE.$1".*.seen
		DONE=$(gravest "$DONE" 75)
	fi
}

# Fetches what the feeds owe and publishes it. Accounts are asked side by side,
# a few at a time, the feeds of one after the other; days are staged as soon as
# they are there, JOBS at a time. Returns the gravest status.
run_feeds() {
	local feed account pid st total=0 running=0 at=0 next=0
	local -A fetching=() left=()
	local chains=()
	config_print
	salt_today || return
	load_states "$(earliest)" "$(latest)" || return
	for feed in "${FEEDS[@]}"; do
		if [[ ${KIND[$feed]} == files ]]; then
			plan_days "$feed"
			total=$(gravest "$total" "$DONE")
			continue
		fi
		[[ ! ${FIRST[$feed]} > ${LAST[$feed]} ]] || continue
		account=${ACCOUNT[$feed]}
		[[ -n ${left[$account]:-} ]] || chains+=("$account")
		left[$account]+="$feed "
		load_raw "$feed" "${FIRST[$feed]}" "${LAST[$feed]}" || return
	done
	while :; do
		while ((${#fetching[@]} < FETCHES && next < ${#chains[@]})); do
			start_fetch "${chains[next]}"
			next=$((next + 1))
		done
		while ((running < JOBS && at < ${#TASKS[@]})); do
			# shellcheck disable=SC2086 # feed and day
			(settle_day ${TASKS[at]}) </dev/null &
			at=$((at + 1)) running=$((running + 1))
		done
		((running > 0 || ${#fetching[@]} > 0)) || break
		st=0
		wait -n -p pid || st=$?
		((st == 0)) || total=$(gravest "$total" "$st")
		feed=${fetching[$pid]:-}
		if [[ -z $feed ]]; then
			running=$((running - 1))
			continue
		fi
		unset "fetching[$pid]"
		tell_fetched "$feed"
		plan_days "$feed" "$st"
		((DONE == 0)) || total=$(gravest "$total" "$DONE")
		# the next one of the account
		account=${ACCOUNT[$feed]}
		[[ -z ${left[$account]} ]] || start_fetch "$account"
	done
	return "$total"
}
FETCHES=${FETCHES:-4}

# Uses the variables of run_feeds.
start_fetch() { # ACCOUNT
	local feed=${left[$1]%% *}
	left[$1]=${left[$1]#* }
	(fetch_feed "$feed") </dev/null &
	fetching[$!]=$feed
}

earliest() {
	local feed first=9999-12-31
	for feed in "${FEEDS[@]}"; do
		[[ ! ${FIRST[$feed]} < $first ]] || first=${FIRST[$feed]}
	done
	printf '%s\n' "$first"
}

latest() {
	local feed last=0000-01-01
	for feed in "${FEEDS[@]}"; do
		[[ ! ${LAST[$feed]} > $last ]] || last=${LAST[$feed]}
	done
	printf '%s\n' "$last"
}
