# What holds for every loader, and the partitions that their tests load: `load
# loader` after helper. The test file gives
#
#   $LOADER      the tool's name
#   loader       the tool with the options that name its store
#   values       "FEED METRIC=VALUE gGENERATION" of the visible rows, sorted
#   states       "GENERATION STATE" of the batches
#   quality      of the only visible row
#
# shellcheck shell=bash disable=SC2154

B=ga4.1.2026-11-19

# kpi METRIC VALUE [DATE [APP]]: a KPI record.
kpi() {
	printf '{"date":"%s","app_id":"%s","platform":"web","source_system":"ga4","metric":"%s","segment":"","value":%s,"unit":"count","kpi_version":"1","run_id":"r1","quality":"final"}\n' \
		"${3:-2026-11-19}" "${4:-flocken}" "$1" "$2"
}

# part OUTCOME [MEMBERS]: the records on stdin as a partition. FEED, DATE, END
# (members of the end record) change it.
part() {
	local rows
	rows=$(cat)
	printf '{"@stream":"begin","v":1,"source_system":"ga4","feed":"%s","date":"%s","day_tz":"Europe/Stockholm","run_id":"r1"%s}\n' \
		"${FEED:-1}" "${DATE:-2026-11-19}" "${2:+,$2}"
	[[ -z $rows ]] || printf '%s\n' "$rows"
	printf '{"@stream":"end","records":%d,"outcome":"%s"%s}\n' \
		"$(grep -c . <<<"$rows")" "$1" "${END:+,$END}"
}

day() { # VALUE [MEMBERS]
	{ kpi events "$1"; kpi users 5; } | part complete "${2:-}"
}

load_kpi() {
	loader --table fact_kpi_daily "$@"
}

# ---- claims ----

claim_fingerprint() {
	day 10 | load_kpi --fingerprint aa >/dev/null
	day 10 | load_kpi --fingerprint bb >/dev/null
	run -0 states
	assert_output $'1 replaced\n2 published'
	run -0 values
	assert_output $'1 events=10 g2\n1 users=5 g2'
}

claim_rollback_one() {
	day 10 | load_kpi >/dev/null
	day 11 | load_kpi >/dev/null
	loader --rollback $B --generation 2 >/dev/null
	run -0 loader --rollback $B --generation 2
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
}

claim_partial() {
	kpi events 3 | part partial '"quality":"x"' >in
	run -65 --separate-stderr load_kpi <in
	[ "$(jq -c '[.state,.total_success,.total_errors]' <<<"$output")" = '["staged",0,1]' ]
	[[ $stderr == *--allow-partial* ]]
	run -0 values
	assert_output ""
	run -65 loader --publish $B
	run -0 loader --publish $B --allow-partial
	run -0 quality
	assert_output partial
	day 10 | load_kpi >/dev/null
	kpi events 4 | part partial >in
	run -65 load_kpi --allow-partial <in
	assert_output --partial 'it is partial, the visible one is not'
	run -0 values
	assert_output $'1 events=10 g2\n1 users=5 g2'
}

claim_rejects() {
	{ kpi events 1; kpi users 2; } | END='"rejected":2' part complete >in
	run -65 load_kpi <in
	assert_output --partial 'see --max-rejects'
	run -0 values
	assert_output ""
	run -65 loader --publish $B --max-rejects 1
	run -65 loader --publish $B --max-rejects 49%
	run -0 loader --publish $B --max-rejects 50%
}

claim_earlier() {
	day 10 '"fetched_at":"2026-11-20T02:00:00Z"' | load_kpi >/dev/null
	day 9 '"fetched_at":"2026-11-20T01:59:59Z"' >in
	run -65 load_kpi <in
	assert_output --partial 'see --force'
	run -0 values
	assert_output $'1 events=10 g1\n1 users=5 g1'
	run -0 loader --publish $B --force
	run -0 values
	assert_output $'1 events=9 g2\n1 users=5 g2'
}

claim_truncated() {
	{ day 10 | head -2; FEED=2 day 7; } >in
	run -66 --separate-stderr load_kpi <in
	[ "$(jq -c '[.partitions[]|[.feed,.state,.reason]]' <<<"$output")" = \
		'[["1","refused","truncated"],["2","published",null]]' ]
	day 10 | head -3 >in
	run -66 load_kpi <in
	day 10 | sed 's/"records":2/"records":3/' >in
	run -66 load_kpi <in
	run -0 values
	assert_output $'2 events=7 g1\n2 users=5 g1'
}

claim_rollback_batch() {
	day 10 | load_kpi >/dev/null                       # the day's own batch
	{ day 11; FEED=2 day 20 | sed s/flocken/other/; } | load_kpi --batch bf >/dev/null
	day 12 | load_kpi >/dev/null                       # over the backfill
	run -0 loader --rollback bf
	run -0 values
	assert_output $'1 events=12 g2\n1 users=5 g2'
	run -0 loader --rollback $B
	run -0 values                                      # not the backfill's 11
	assert_output $'1 events=10 g1\n1 users=5 g1'
}

claim_other_place() {
	{ kpi a 1; kpi b 2 2026-11-18; } | part complete >in
	run -65 load_kpi <in
	assert_output --partial "$LOADER: -:3:9: 'date': is not that of its partition, '2026-11-19'"
	{ kpi a 1 | sed 's/"ga4"/"meta"/'; } | part complete >in
	run -65 load_kpi <in
	assert_output --partial "-:2:74: 'source_system': is not that of its partition"
	run -0 values
	assert_output ""
}

claim_only_partition() {
	day 10 | load_kpi >/dev/null
	kpi other 1 | FEED=2 part complete | load_kpi >/dev/null
	kpi events 3 2026-11-18 | DATE=2026-11-18 part complete | load_kpi >/dev/null
	kpi events 11 | part complete | load_kpi >/dev/null
	run -0 values
	assert_output $'1 events=11 g2\n1 events=3 g1\n2 other=1 g1'
}

claim_bad_lines() {
	{ kpi a 1; echo '{"a":'; kpi b 2; } | part complete >in
	run -65 load_kpi <in
	assert_output --partial "$LOADER: -:3:"
	run -65 --separate-stderr load_kpi --rejects bad <in
	[ "$(cat bad)" = '{"a":' ]
	[ "$(jq -c '[.state,.rows,.partitions[0].rejected]' <<<"$output")" = '["staged",2,1]' ]
	run -3 --separate-stderr load_kpi --rejects bad --max-rejects 1 <in
	[ "$(jq -c '[.state,.total_success,.total_errors]' <<<"$output")" = '["published",2,1]' ]
}

claim_plain() {
	kpi a 1 >in
	run -66 load_kpi <in
	assert_output --partial 'its end proves nothing'
	run -66 load_kpi --plain <in
	run -66 load_kpi </dev/null
	run -64 load_kpi --source ga4 --feed 1 --date 2026-11-19 <in
	run -0 --separate-stderr load_kpi --plain --source ga4 --feed 1 --date 2026-11-19 <in
	[ "$(jq -r .batch <<<"$output")" = $B ]
	run -0 values
	assert_output '1 a=1 g1'
}
