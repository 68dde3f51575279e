! grep -q '"id":"6' st/act_1001.ad.json 2>/dev/null || break#!/usr/bin/env bats
# fetch-meta against the local Graph API: pages, report runs, errors, splits.

bats_require_minimum_version 1.5.0
load helper
load sim

TOKEN=EAAGsimToken0123456789

setup() {
	weir_setup
	(umask 077 && echo $TOKEN >token && echo simAppSecret >secret)
}

# meta [option ...]: account 1001, days of November 2026 unless told.
meta() {
	fetch-meta --allow-http --base-url "$SIM/graph" --token-file token \
		--backoff 0 --poll-ms 3 --account act_1001 "$@"
}
# The clock of the service stands at 2026-11-20 12:00 UTC.
start() {
	local now
	now=$(($(date -ud '2026-11-20 12:00' +%s) - $(date +%s)))
	sim_start --set now_offset=$now "$@"
}
rows() {
	jq -c 'select(has("@stream")|not)' "$1"
}
# What a second run must repeat: all but the time of the fetch.
plain() {
	sed 's/"fetched_at":"[^"]*"/"fetched_at":""/' "$1"
}
sorted() {
	plain "$1" | grep -v '@stream' | sort
}
ends() {
	jq -r 'select(.["@stream"]=="end") | .outcome' "$1" | uniq -c |
		awk '{printf "%s%s %s", s, $1, $2; s = ", "} END {print ""}'
}
graph_error() { # STATUS CODE SUBCODE MESSAGE
	printf '"do":"status","status":%d,"body":{"error":{"message":"%s","type":"OAuthException","code":%d%s,"fbtrace_id":"Tr4ce"}}' \
		"$1" "$4" "$2" "${3:+,\"error_subcode\":$3}"
}

@test "a partition a day, 28 days up to yesterday, in the account's zone and currency" {
	start
	run -0 --separate-stderr meta
	echo "$output" >o
	[ -z "$stderr" ]
	[ "$(grep -c '"@stream":"begin"' o)" = 28 ]
	head -n 1 o | jq -e '.source_system == "meta" and .date == "2026-10-23"
		and .feed == "act_1001.campaign" and .day_tz == "Europe/Stockholm"
		and .currency == "SEK" and .api_version == "v25.0"'
	tail -n 2 o | head -n 1 | jq -e '.date_start == "2026-11-19"'
	ndjson-part --check o
	# a day of silence is an empty partition
	grep -q '"records":0,"outcome":"empty"' o
	[ "$(requests 'GET /graph/v25.0/act_1001/insights')" = 1 ]
	# twice is the same
	meta >o2
	diff <(plain o) <(plain o2)
}

@test "rows are as they came: numbers as text, actions whole, windows a key" {
	start
	meta --lookback-days 1 >o
	rows o | head -n 1 | jq -e '.level == "campaign"
		and .attribution_windows == "1d_click,7d_click,28d_click,1d_view"
		and (.spend | type) == "string"
		and (.actions | type) == "array"
		and (.actions[0] | has("1d_view") | not)'
	rows o | grep -q '"campaign_id":"120241001000010000"'
	meta --lookback-days 1 --windows 7d_click >o7
	rows o7 | jq -e -s 'all(.attribution_windows == "7d_click")'
	run -0 --separate-stderr meta --lookback-days 1 --windows 7d_click,28d_view
	[[ $stderr == *"28d_view is not given any more"* ]]
	meta --lookback-days 1 --windows '' --level account >o0
	rows o0 | jq -e 'has("campaign_id") | not'
}

@test "pages are followed by next alone: an empty one goes on, the last one's cursor not" {
	fault '{"match":"GET /graph/v25.0/act_1001/insights","nth":1,"do":"status","status":200,"body":{"data":[],"paging":{"cursors":{"after":"QVFI=0"},"next":"https://graph.example/x?access_token=EAAGsecretsecret"}}}'
	start --set meta.campaigns=30
	meta --lookback-days 28 --mode sync >o 2>err
	[ "$(ends o | tr -d ' ')" ]
	[ "$(rows o | wc -l)" -gt 600 ]
	[ "$(requests 'GET /graph/v25.0/act_1001/insights')" = 3 ]
	run ! grep -r EAAG o err
}

@test "a next link without cursor is taken for its cursor, on our host alone" {
	start
	local port=${SIM##*:}
	sim_stop
	fault '{"match":"GET /graph/v25.0/act_1001/insights","nth":1,"times":1,"do":"status","status":200,"body":{"data":[],"paging":{"next":"https://graph.facebook.com.evil.example/v25.0/x?after=QVFI%3D0"}}}'
	start
	run -65 --separate-stderr meta --lookback-days 1
	[[ $stderr == *"2026-11-19: failed (contract): the next page is at another place"* ]]
	echo "$output" | jq -e -s '.[1].outcome == "failed" and .[1].class == "contract"'
}

@test "a page that was there before is no answer" {
	fault '{"match":"GET /graph/v25.0/act_1001/insights","times":9,"do":"status","status":200,"body":{"data":[],"paging":{"cursors":{"after":"QVFI=1"},"next":"x"}}}'
	start
	run -65 --separate-stderr meta --lookback-days 1
	[[ $stderr == *"a page that was there before"* ]]
	[ "$(requests 'GET /graph/v25.0/act_1001/insights')" = 2 ]
}

@test "breakdowns and ads go by report runs, each made once" {
	start --set meta.polls=3 --set meta.race=2
	meta --level ad --breakdowns age,gender --lookback-days 3 >o
	[ "$(requests 'POST /graph/v25.0/act_1001/insights')" = 1 ]
	[ "$(ends o)" = "3 complete" ] || [[ $(ends o) == *complete* ]]
	head -n 1 o | jq -e '.feed == "act_1001.ad.age-gender" and .breakdowns == ["age","gender"]'
	rows o | head -n 1 | jq -e 'has("age") and has("gender") and (.spend | test("[.][0-9]{6}$"))'
	# 25 rows is what the service gives unasked
	jq -e -s '[.[] | select(.path | endswith("/insights")) | select(.method == "GET") | .query.limit == "500"] | all' "$SIM_LOG"
	meta --level ad --breakdowns age,gender --lookback-days 3 --mode sync >os
	diff <(plain o) <(plain os)
}

@test "too much data: report run, then fewer days, then ids; the rows are the same" {
	start
	meta --level ad --lookback-days 6 --mode sync >want
	sim_stop
	start --set meta.max_sync=10 --set meta.max_async=100
	meta --level ad --lookback-days 6 --state st >o
	diff <(sorted want) <(sorted o)
	[ "$(ends o)" = "$(ends want)" ]
	jq -e '.plan | .async and .days == 1 and .ids == 1' st/act_1001.ad.json
	jq -e '.reports == []' st/act_1001.ad.json
	# remembered: the second time no report run is made in vain
	local before
	before=$(wc -l <"$SIM_LOG")
	meta --level ad --lookback-days 6 --state st >o2
	diff <(plain o) <(plain o2)
	tail -n +$((before + 1)) "$SIM_LOG" | jq -e -s "
		([.[] | select(.method == \"POST\")] | length) ==
		([.[].path | select(test(\"/6[0-9]+/insights\"))] | length)"
}

@test "too much data of one entity: fields are split and put together by key" {
	start
	meta --level account --breakdowns age --lookback-days 2 --mode sync >want
	sim_stop
	start --set meta.max_async=12
	meta --level account --breakdowns age --lookback-days 2 --mode async >o
	[ "$(ends o)" = "$(ends want)" ]
	diff <(rows want | jq -cS . | sort) <(rows o | jq -cS . | sort)
}

@test "a field that is always too much is left out: partial, exit 3" {
	start --set meta.bad_field=action_values
	run -3 --separate-stderr meta --level account --lookback-days 1 --mode async
	echo "$output" >o
	[[ $stderr == *"left out: action_values"* ]]
	head -n 1 o | jq -e '.quality == {fields_left_out: "action_values"}'
	[ "$(ends o)" = "1 partial" ]
	rows o | jq -e 'has("spend") and has("purchase_roas") and (has("action_values") | not)'
}

@test "where no field can be had by all breakdowns, the last one is left out: partial, and said" {
	start
	meta --level account --breakdowns age --lookback-days 1 --mode async >want
	sim_stop
	start --set meta.max_breakdowns=1
	run -3 --separate-stderr meta --level account --breakdowns age,gender \
		--lookback-days 1 --mode async --fields impressions,spend
	echo "$output" >o
	[[ $stderr == *"too much data, left out: the breakdown gender"* ]]
	head -n 1 o | jq -e '.quality == {breakdowns_left_out: "gender"}'
	[ "$(ends o)" = "1 partial" ]
	diff <(rows want | jq -c '[.age, .impressions, .spend]') \
		<(rows o | jq -c '[.age, .impressions, .spend]')
	rows o | jq -e -s 'length > 1 and all(has("gender") | not)'
}

@test "HTTP 500 'reduce the amount' halves the page and is remembered" {
	start --set meta.max_page=200 --set meta.campaigns=20
	meta --state st >o
	jq -e '.plan.limit == 125 and (.plan.async | not)' st/act_1001.campaign.json
	[ "$(requests 'GET /graph/v25.0/act_1001/insights')" -gt 5 ]
	sim_stop
	start --set meta.campaigns=20
	meta >want
	diff <(plain want) <(plain o)
}

@test "each error of the samples and of the table ends in its class" {
	local code sub rc n msg
	while read -r code sub rc n msg; do
		rm -f .sim.faults
		[ "$sub" != - ] || sub=
		fault "{\"match\":\"GET /graph/v25.0/act_1001?\",\"times\":99,$(graph_error 400 "$code" "$sub" "$msg")}"
		start
		run -"$rc" --separate-stderr meta
		echo "code $code/$sub: $rc"
		[ -z "$output" ]
		[[ $stderr == *"error $code"*Tr4ce* ]]
		[ "$(wc -l <"$SIM_LOG")" = "$n" ]
		sim_stop
	done <<-'E'
		190 463 77 1 Session has expired
		190 - 77 1 invalid
		102 - 77 1 session
		200 - 77 1 Requires business_management
		10 - 77 1 permission
		368 - 77 1 blocked
		100 33 77 1 does not exist
		100 - 77 1 Missing permissions
		100 - 65 1 Invalid parameter
		2635 - 65 1 deprecated version
		2 - 75 5 Service temporarily unavailable
		4 1504022 75 5 Application request limit
		17 2446079 75 5 User request limit
		80000 2446079 75 5 too many calls from this ad-account
		80014 - 75 5 catalog
		-2 2490547 75 5 report failed
		-5 1487534 65 1 Too much data
	E
}

@test "every recorded error is what its sample says" {
	need_shared samples/meta/errors.ndjson
	local line want status n=0
	while read -r line; do
		rm -f .sim.faults
		status=$(jq .http_status <<<"$line")
		want=$(jq -r .expected_class <<<"$line")
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":99,\"do\":\"status\",\"status\":$status,\"body\":$(jq -c .body <<<"$line")}"
		start
		run meta --lookback-days 1 --level account --mode sync
		case $want in
		auth) [ "$status" = 77 ] ;;
		transient) # 1/99 is too big when the tries run out
			[ "$status" = 75 ] || [[ $line == *'"error_subcode":99'* ]] ;;
		split) [ "$status" = 65 ] && [[ $output == *"too much data"* ]] ;;
		esac
		sim_stop
		n=$((n + 1))
	done < <(tr -d '\r' <"$(shared samples/meta/errors.ndjson)" | sed 's/"http_status"/"http_status"/')
	[ $n -gt 5 ]
}

@test "throttled, then good: data; an error in a 200 and text that is no JSON too" {
	fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"nth\":1,\"times\":1,$(graph_error 400 80000 2446079 'too many calls')}"
	fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"nth\":2,\"times\":1,$(graph_error 200 2 '' 'unavailable')}"
	fault '{"match":"GET /graph/v25.0/act_1001/insights","nth":3,"times":1,"do":"status","status":200,"body":"Service Unavailable"}'
	start
	meta --lookback-days 2 >o
	[ "$(ends o)" = "2 complete" ]
	[ "$(requests 'GET /graph/v25.0/act_1001/insights')" = 4 ]
}

@test "a wait of minutes that the service asks for is 75 at once, and said" {
	fault "{\"match\":\"GET /graph/v25.0/act_1001?\",\"times\":9,$(graph_error 400 80000 2446079 'too many calls'),\"headers\":{\"X-Business-Use-Case-Usage\":\"{\\\"66\\\":[{\\\"type\\\":\\\"ads_management\\\",\\\"call_count\\\":9,\\\"estimated_time_to_regain_access\\\":0},{\\\"type\\\":\\\"ads_insights\\\",\\\"call_count\\\":101.5,\\\"estimated_time_to_regain_access\\\":19}]}\"}}"
	start
	run -75 --separate-stderr meta
	[ "$(wc -l <"$SIM_LOG")" = 1 ]
}

@test "a pause of minutes that a good answer asks for is not slept through: 75, the days are failed" {
	fault '{"match":"GET /graph/v25.0/act_1001?","times":1,"do":"headers","headers":{"X-Business-Use-Case-Usage":"{\"1\":[{\"type\":\"ads_insights\",\"call_count\":101,\"estimated_time_to_regain_access\":9}]}"}}'
	start
	run -75 --separate-stderr meta --lookback-days 2
	[[ $stderr == *"throttled: calls are heard again in 9 min"* ]]
	[ "$(wc -l <"$SIM_LOG")" = 1 ]
	[ "$(ends - <<<"$output")" = "2 failed" ]
}

@test "usage headers slow the calls down; garbage in them does nothing" {
	fault '{"match":"GET /graph/v25.0/act_1001?","times":1,"do":"headers","headers":{"X-App-Usage":"{\"call_count\":\"76\",\"total_time\":1.5}"}}'
	start
	local t0=$EPOCHREALTIME
	meta --lookback-days 1 --backoff 20 >/dev/null # 20 % of 2 s
	local ms=$(((${EPOCHREALTIME/./} - ${t0/./}) / 1000))
	[ "$ms" -ge 400 ]
	sim_stop
	rm .sim.faults
	fault '{"match":"GET /graph/","times":99,"do":"headers","headers":{"X-App-Usage":"<garbage>","X-Ad-Account-Usage":"[{\"acc_id_util_pct\":null}]"}}'
	start
	t0=$EPOCHREALTIME
	meta --lookback-days 1 --backoff 20 >/dev/null
	ms=$(((${EPOCHREALTIME/./} - ${t0/./}) / 1000))
	[ "$ms" -lt 400 ]
	sim_stop
	rm .sim.faults
	# on an error too, the largest of all ids and entries, and 90.2 is over 90
	fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":1,$(graph_error 500 2 '' 'hiccup'),\"headers\":{\"X-Business-Use-Case-Usage\":\"{\\\"1\\\":[{\\\"type\\\":\\\"ads_insights\\\",\\\"call_count\\\":3},{\\\"type\\\":\\\"ads_insights\\\",\\\"total_time\\\":89.2}],\\\"2\\\":[{\\\"total_cputime\\\":\\\"7\\\"}]}\"}}"
	start
	t0=$EPOCHREALTIME
	meta --lookback-days 1 --backoff 2 >/dev/null # 2 % of 30 s
	ms=$(((${EPOCHREALTIME/./} - ${t0/./}) / 1000))
	[ "$ms" -ge 600 ]
}

@test "a day that fails is a failed partition, the others go on, exit 3" {
	fault '{"match":"GET /graph/v25.0/6","times":1,"nth":1,"do":"body","body":{"id":"1","async_status":"Job Failed","async_percent_completion":0,"error_code":100,"error_subcode":1487534,"error_message":"x"}}'
	fault '{"match":"GET /graph/v25.0/6000000000000003","times":99,"do":"body","body":{"id":"1","async_status":"Job Failed","async_percent_completion":100,"error_code":2,"error_subcode":1504043,"error_message":"hiccup"}}'
	fault '{"match":"GET /graph/v25.0/6000000000000004","times":99,"do":"body","body":{"id":"1","async_status":"Job Skipped","async_percent_completion":0}}'
	start --set meta.max_sync=1
	# run 1: both days, too much; 2: first day; 3 and 4: the second, twice
	run -3 --separate-stderr meta --level ad --since 2026-11-18 --date 2026-11-19
	echo "$output" >o
	[ "$(ends o)" = "1 complete, 1 failed" ]
	[[ $stderr == *"2026-11-19: failed (transient): the report run ended as 'Job Skipped'"* ]]
	ndjson-part --check o || [ $? = 3 ]
	[ "$(requests 'POST /graph')" = 4 ]
}

@test "a report run that stands still: 75, kept in the state, no other is made" {
	start --set meta.stuck=1
	run -75 --separate-stderr meta --level ad --lookback-days 2 --poll-ms 1 --state st
	[[ $stderr == *"stands at 0 %"* ]]
	[ "$(requests 'POST /graph')" = 1 ]
	run -75 meta --level ad --lookback-days 2 --poll-ms 1 --state st
	[ "$(requests 'POST /graph')" = 1 ]
}

@test "a report run of the state that is gone is made anew" {
	start --set meta.stuck=1
	run -75 meta --level ad --lookback-days 2 --poll-ms 1 --state st
	sim_stop
	start
	sed -i 's/"id":"[0-9]*"/"id":"777"/' st/act_1001.ad.json
	meta --level ad --lookback-days 2 --state st >o
	[ "$(requests 'POST /graph')" = 1 ]
	[ "$(ends o)" = "2 complete" ]
}

@test "killed at random moments and run again: all of it once in the raw layer" {
	skip_if_san
	fault_so >/dev/null
	run -0 "$ROOT/test/soak-fetch" fetch-meta $((${WEIR_SOAK:+95} + 5)) 7
}

@test "killed before the id of a report run is noted: made again, and said; after that: found" {
	skip_if_san
	local spec made posts
	# before the intent; before the note; noted, and not in the state
	for spec in rename:1 pwrite:1 rename:2; do
		rm -rf st stats
		start
		FAULT_PATH=$([ $spec != pwrite:1 ] || echo .id) \
			with_fault "$spec:KILL" fetch-meta --allow-http \
			--base-url "$SIM/graph" --token-file token \
			--poll-ms 3 --account 1001 --level ad \
			--lookback-days 2 --state st >killed 2>/dev/null 3>&- || true
		made=$(requests 'POST /graph')
		WEIR_STATS=$T/stats run -0 --separate-stderr meta --level ad \
			--lookback-days 2 --state st
		posts=$(requests 'POST /graph')
		if [ $spec = pwrite:1 ]; then
			[ "$made $posts" = '1 2' ]
			[ "$(jq -r 'select(.event == "end") | .counts.report_runs_lost' stats)" = 1 ]
			[[ $stderr == *"may have been made that was cut off"* ]]
		else
			[ "$made $posts" = "$((${spec#*:} - 1)) 1" ]
			[ -z "$stderr" ]
		fi
		jq -e '.reports == []' st/act_1001.ad.json
		[ ! -e st/act_1001.ad.json.id ]
		sim_stop
	done
	# a note that is cut, or of another run, is none
	for i in 1 2; do
		rm -rf st
		start
		with_fault rename:2:KILL fetch-meta --allow-http \
			--base-url "$SIM/graph" --token-file token \
			--poll-ms 3 --account 1001 --level ad \
			--lookback-days 2 --state st >killed 2>/dev/null 3>&- || true
		if [ $i = 1 ]; then truncate -s -1 st/*.id; else sed -i s/^./g/ st/*.id; fi
		run -0 --separate-stderr meta --level ad --lookback-days 2 --state st
		[ "$(requests 'POST /graph')" = 2 ]
		[[ $stderr == *"cut off"* ]]
		sim_stop
	done
	# one that was refused leaves no intent
	fault "{\"match\":\"POST /graph/v25.0/act_1001/insights\",\"times\":1,$(graph_error 400 100 '' 'Invalid parameter')}"
	start
	run -65 meta --level ad --lookback-days 1 --state st
	run -0 --separate-stderr meta --level ad --lookback-days 1 --state st
	[ -z "$stderr" ]
}

@test "killed once the report run is on disk: it is found again" {
	skip_if_san
	start --set meta.polls=1000000
	fetch-meta --allow-http --base-url "$SIM/graph" --token-file token \
		--poll-ms 200 --account 1001 --level ad --lookback-days 2 \
		--state st >killed 2>/dev/null 3>&- &
	local pid=$! i
	# first the intent, without an id, then the run
	for ((i = 0; i < 1000; i++)); do
		! grep -q '"id":"6' st/act_1001.ad.json 2>/dev/null || break
		sleep 0.01
	done
	kill -9 $pid
	wait $pid || true
	jq -e '.reports | length == 1 and (.[0].id | length > 0)' st/act_1001.ad.json
	run -75 meta --level ad --lookback-days 2 --state st --poll-ms 1
	[ "$(requests 'POST /graph')" = 1 ]
	[ "$(requests 'GET /graph/v25.0/6000000000000001')" -gt 1 ]
}

@test "restated days: those and no others change" {
	start
	meta --lookback-days 10 >o1
	sim_stop
	start --set meta.revision=7
	meta --lookback-days 10 >o2
	run diff <(plain o1 | grep -v @stream) <(plain o2 | grep -v @stream)
	[ "$status" = 1 ]
	local changed same
	changed=$(diff <(sorted o1) <(sorted o2) | grep -o '"date_start":"[^"]*"' | sort -u | wc -l)
	[ "$changed" -ge 1 ] && [ "$changed" -lt 8 ]
}

@test "yesterday is the account's: ahead of UTC and behind it" {
	local now
	now=$(($(date -ud '2026-11-20 12:30' +%s) - $(date +%s)))
	sim_start --set now_offset=$now
	meta --account 2002 --lookback-days 1 >o # 01:30 of the 21st there
	head -n 1 o | jq -e '.date == "2026-11-20" and .day_tz == "Pacific/Auckland" and .currency == "NZD"'
	sim_stop
	now=$(($(date -ud '2026-11-20 05:30' +%s) - $(date +%s)))
	sim_start --set now_offset=$now
	meta --account 3003 --lookback-days 1 >o # 21:30 of the 19th there
	head -n 1 o | jq -e '.date == "2026-11-18"'
}

@test "a day that is not over is not ready, exit 4, unless it is asked for" {
	start
	run -4 meta --since 2026-11-19 --date 2026-11-20
	echo "$output" >o
	[ "$(ends o)" = "1 complete, 1 not_ready" ]
	run -0 meta --since 2026-11-19 --date 2026-11-20 --include-today
}

@test "37 months are kept: an older begin is clamped with a warning" {
	start
	run -0 --separate-stderr meta --since 2023-01-01 --date 2023-10-23
	[[ $stderr == *"the service keeps 37 months: from 2023-10-21 on"* ]]
	[ "$(grep -c '"begin"' <<<"$output")" = 3 ]
	run -65 meta --since 2023-01-01 --date 2023-01-02
}

@test "another zone or currency than before is an alarm" {
	start
	meta --lookback-days 1 --state st >/dev/null
	sim_stop
	start --set meta.currency=EUR
	run -65 meta --lookback-days 1 --state st
	assert_output --partial "currency was SEK and is EUR"
}

@test "state: damage is refused, two runs at once too, a link is not followed" {
	start
	mkdir -m 700 st
	echo '{"v":1,' >st/act_1001.campaign.json
	run -65 meta --lookback-days 1 --state st
	assert_output --partial "damaged"
	: >st/act_1001.campaign.json
	run -65 meta --lookback-days 1 --state st
	rm st/act_1001.campaign.json
	exec 8>>st/act_1001.campaign.json.lock
	flock 8
	run -75 meta --lookback-days 1 --state st
	exec 8>&-
	ln -s /etc/hostname st/act_1001.campaign.json
	run -73 meta --lookback-days 1 --state st
	run -73 meta --lookback-days 1 --state no/such
}

@test "appsecret_proof is sent and right where the app wants it" {
	start --set meta.require_proof=1
	run -65 meta --lookback-days 1
	assert_output --partial "appsecret_proof"
	meta --lookback-days 1 --app-secret-file secret >o
	[ "$(ends o)" = "1 complete" ]
	meta --lookback-days 1 --app-secret-file secret --level ad >o
	echo other >secret
	run -65 meta --lookback-days 1 --app-secret-file secret
}

@test "no secret is shown, whatever fails" {
	fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":99,$(graph_error 400 190 460 "token $TOKEN is bad")}"
	start
	run -77 --separate-stderr meta --lookback-days 1 --verbose --app-secret-file secret
	[[ $stderr != *"$TOKEN"* && $stderr != *simAppSecret* ]]
	[[ $stderr == *"error 190/460"* ]]
	[[ $output != *"$TOKEN"* ]]
	run ! grep -q "$TOKEN" "$SIM_LOG"
}

@test "--check tells the account, the days left and a right that is missing" {
	start --set meta.token_days=5
	run -0 --separate-stderr meta --check
	jq -e '.token_days_left == 5 and .currency == "SEK" and .scopes == ["ads_read"]' <<<"$output"
	[[ $stderr == *"warning: ends in 5 days"* ]]
	sim_stop
	start --set meta.scope=read_insights
	run -77 meta --check
	assert_output --partial "the right ads_read is missing"
	run -77 meta --check --account 999
	echo wrong >token
	run -77 meta --check
}

@test "--version-check tells when the version ends; answers of another are noticed" {
	run -0 fetch-meta --version-check --date 2026-11-20
	run -1 fetch-meta --version-check --date 2027-01-20
	assert_output --partial "v25.0: warning: ends on 2027-02-18"
	run -1 fetch-meta --version-check --api-version v23.0 --date 2026-11-20
	run -1 fetch-meta --version-check --api-version v99.0
	fault '{"match":"GET /graph/","times":99,"do":"headers","headers":{"facebook-api-version":"v26.0"}}'
	start
	run -0 --separate-stderr meta --lookback-days 1
	[ "$(grep -c 'asked for v25.0, answered by' <<<"$stderr")" = 1 ]
	run -65 meta --lookback-days 1 --api-version v21.0
	assert_output --partial "deprecated version"
}

@test "faults of the wire: no part of a page is given out" {
	local do
	for do in reset cut html gzipcut; do
		rm -f .sim.faults
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"nth\":1,\"times\":1,\"do\":\"$do\"}"
		start
		meta --lookback-days 2 >o
		[ "$(ends o)" = "2 complete" ]
		sim_stop
		rm -f .sim.faults
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":99,\"do\":\"$do\"}"
		start
		run meta --lookback-days 2
		[ "$status" = 75 ] || [ "$status" = 65 ]
		[[ $output != *'"spend"'* ]]
		sim_stop
	done
}

@test "wrong rows are refused: another day, another account, no object" {
	local row
	for row in '{"date_start":"2026-11-01","date_stop":"2026-11-01"}' \
		'{"date_start":"2026-11-19","date_stop":"2026-11-20"}' \
		'{"account_id":"1","date_start":"2026-11-19","date_stop":"2026-11-19"}' \
		'{"spend":"1"}' '7' '[]'; do
		rm -f .sim.faults
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":9,\"do\":\"status\",\"status\":200,\"body\":{\"data\":[$row]}}"
		start
		run -65 meta --lookback-days 1
		assert_output --partial '"outcome":"failed"'
		sim_stop
	done
}

@test "a sample page and a recorded report run come through with ids and amounts exact" {
	need_shared samples/meta/async_flow_v10.json
	local s now
	mkdir -p data/meta
	s=$(shared samples/meta/insights_page_product_id_v17.json)
	jq -c . "$s" >data/meta/act_798085168510957.insights.json
	echo '{"account_id":"798085168510957","name":"x","currency":"USD","timezone_name":"America/Los_Angeles","account_status":1}' \
		>data/meta/act_798085168510957.json
	now=$(($(date -ud '2023-06-20' +%s) - $(date +%s)))
	sim_start --set now_offset=$now --data data
	meta --account 798085168510957 --level ad --breakdowns product_id \
		--mode sync --since 2023-06-01 --date 2023-06-01 >o
	diff <(jq -cS '.data[]' "$s") \
		<(rows o | jq -cS 'del(.level, .attribution_windows)')
	sim_stop
	s=$(shared samples/meta/async_flow_v10.json)
	jq -c '.exchanges[0].body' "$s" >data/meta/act_522606278080331.insights.post.json
	jq -c '.exchanges[1].body' "$s" >data/meta/192025512975195.json
	jq -c '.exchanges[2].body' "$s" >data/meta/192025512975195.insights.json
	echo '{"account_id":"522606278080331","name":"x","currency":"USD","timezone_name":"UTC","account_status":1}' \
		>data/meta/act_522606278080331.json
	now=$(($(date -ud '2021-08-10 12:00' +%s) - $(date +%s)))
	sim_start --set now_offset=$now --data data
	meta --account 522606278080331 --level account --mode async \
		--lookback-days 3 >o
	[ "$(ends o)" = "3 complete" ]
	diff <(jq -cS '.exchanges[2].body.data[]' "$s") \
		<(rows o | jq -cS 'del(.level, .attribution_windows)')
}

@test "a recording replays to the same bytes, offline" {
	start
	meta --lookback-days 5 --record rec >o1
	meta --level ad --lookback-days 2 --record rec2 >o2
	sim_stop
	run ! grep -rq "$TOKEN" rec rec2
	meta --lookback-days 5 --replay rec >r1
	cmp o1 r1
	meta --level ad --lookback-days 2 --replay rec2 >r2
	cmp o2 r2
}

@test "wrong usage ends with 64 and no request" {
	start
	run -64 fetch-meta
	run -64 meta --account x
	run -64 meta --level page
	run -64 meta --fields age --breakdowns age
	run -64 meta --fields 'a b'
	run -64 meta --since 2026-11-02 --date 2026-11-01
	run -64 meta --api-version 25
	run -64 meta operand
	run -64 meta --mode sync --breakdowns impression_device
	assert_output --partial "impression_device comes by report runs alone"
	run -64 fetch-meta --account 1 --allow-http
	[ ! -s "$SIM_LOG" ]
	chmod 644 token
	run -78 meta
	chmod 600 token
	run -78 fetch-meta --account 1 --token-file token --base-url http://example.com --allow-http
}

@test "a full or closed stdout is 74, and the report run is kept for the next" {
	start
	run -74 bash -c 'fetch-meta --allow-http --base-url "$SIM/graph" --token-file token --account 1001 --poll-ms 3 --level ad --lookback-days 2 --state st >/dev/full'
	jq -e '.reports | length == 1' st/act_1001.ad.json
	meta --level ad --lookback-days 2 --state st >o
	[ "$(requests 'POST /graph')" = 1 ]
	run -74 bash -c 'fetch-meta --allow-http --base-url "$SIM/graph" --token-file token --account 1001 --lookback-days 2 >&-'
}

@test "SIGTERM ends it at once, by that signal" {
	start --set meta.polls=1000000
	fetch-meta --allow-http --base-url "$SIM/graph" --token-file token \
		--poll-ms 2000 --account 1001 --level ad >o 2>/dev/null 3>&- &
	local pid=$!
	sleep 0.3
	kill $pid
	local rc=0
	wait $pid || rc=$?
	[ $rc = 143 ]
	[ ! -s o ]
}

@test "an unknown error is tried, then made smaller, and is transient in the end" {
	fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":99,$(graph_error 500 1 99 'An unknown error occurred')}"
	start
	run -75 --separate-stderr meta --level account --lookback-days 1 --fields spend --mode sync --state st
	[[ $stderr == *"failed (transient): error 1/99"* ]]
	jq -e '.plan.fields == 0 and .plan.days == 0' st/act_1001.account.json
	sim_stop
	rm .sim.faults
	fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":2,$(graph_error 500 1 99 'An unknown error occurred')}"
	start
	meta --lookback-days 1 >o
	[ "$(ends o)" = "1 complete" ]
}

@test "redirects, refusals and missing pages of a proxy: their class, no data" {
	local s rc n
	while read -r s rc n; do
		rm -f .sim.faults
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":99,\"do\":\"status\",\"status\":$s,\"headers\":{\"Location\":\"http://127.0.0.1:1/\"},\"body\":\"<html>no</html>\"}"
		start
		run -"$rc" --separate-stderr meta --level account --lookback-days 1
		[[ $output != *'"spend"'* ]]
		echo "$s: $(requests 'GET /graph/v25.0/act_1001/insights')"
		[ "$(requests 'GET /graph/v25.0/act_1001/insights')" = "$n" ]
		sim_stop
	done <<-'E'
		302 65 1
		404 65 1
		410 65 1
		403 77 1
		500 75 5
		503 75 5
		429 75 5
	E
}
