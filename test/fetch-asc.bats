#!/usr/bin/env bats
# fetch-asc: App Store Connect against its local stand-in.

load helper
load sim
bats_require_minimum_version 1.5.0

setup_file() {
	export KEYS=$BATS_FILE_TMPDIR
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$KEYS/AuthKey_ABC123DEFG.p8" 2>/dev/null
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$KEYS/other.p8" 2>/dev/null
	chmod 600 "$KEYS"/*.p8
	openssl pkey -in "$KEYS/AuthKey_ABC123DEFG.p8" -pubout -out "$KEYS/pub.pem"
}

setup() {
	weir_setup
	export ASC_ISSUER_ID=57246542-96fe-1a63-e053-0824d011072a
	export ASC_KEY_FILE=$KEYS/AuthKey_ABC123DEFG.p8
	export ASC_VENDOR_NUMBER=80012345
	mkdir -p data/asc/analytics
	today=$(TZ=America/Los_Angeles date +%F)
}

ago() { # DAYS: a Pacific day
	date -u -d "$today - $1 days" +%F
}
start() {
	sim_start --set asc.public_key="$KEYS/pub.pem" --data "$T/data" "$@"
	export ASC_BASE_URL=$SIM/asc
}
asc() {
	fetch-asc --allow-http --backoff 1 "$@"
}
analytics() {
	asc --app 1000000001 --report-name 'App Downloads Standard' "$@"
}
# A sales file of that many days ago, out of stdin.
sales() {
	cat >"data/asc/SALES.SUMMARY.DAILY.$(ago "$1").tsv"
}
header='Provider\tProvider Country\tSKU\tDeveloper\tTitle\tVersion\tProduct Type Identifier\tUnits\tDeveloper Proceeds\tBegin Date\tEnd Date\tCustomer Currency\tCountry Code\tCurrency of Proceeds\tApple Identifier\tCustomer Price\tPromo Code\tParent Identifier\tSubscription\tPeriod\tCategory\tCMB\tDevice\tSupported Platforms\tProceeds Reason\tPreserved Pricing\tClient\tOrder Type'
row='APPLE\tUS\tSKU001\tDev\tMy App\t1.0\t1F\t10\t7.00\t01/15/2025\t01/15/2025\tUSD\tUS\tUSD\t123456\t0.99\t \t \t\t\tGames\t\tiPhone\t\t\t\t\t'
ends() {
	jq -c 'select(."@stream"=="end")|[.outcome,.records,.class//empty]'
}
no_times() {
	sed 's/"fetched_at":"[^"]*"/"fetched_at":""/'
}

@test "a window of five days, each a partition of its own, whole" {
	start
	asc >o
	ndjson-part --check o
	run jq -c 'select(."@stream"=="begin")|[.source_system,.feed,.date,.day_tz]' o
	assert_line --index 0 "[\"asc\",\"80012345.sales_summary_daily\",\"$(ago 5)\",\"America/Los_Angeles\"]"
	assert_line --index 4 "[\"asc\",\"80012345.sales_summary_daily\",\"$(ago 1)\",\"America/Los_Angeles\"]"
	assert_equal "${#lines[@]}" 5
	# no version is sent for SALES, and Accept is what it must be (the sim
	# answers 406 and 400 else)
	run jq -r '.query|has("filter[version]")' "$SIM_LOG"
	refute_line true
}

@test "a second run gives the same bytes, and so does a recording" {
	start
	asc | no_times >a
	asc | no_times >b
	cmp a b
	mkdir rec
	asc --record rec >c
	sim_stop
	asc --replay rec >d
	cmp c d
	run grep -rl 'BEGIN PRIVATE\|Bearer' rec
	assert_equal "$status" 1
}

@test "the sample file, with its header of 28 columns" {
	need_shared samples/asc/sales_summary_daily_28col.tsv.gz
	cp "$(shared samples/asc/sales_summary_daily_28col.tsv.gz)" \
		"data/asc/SALES.SUMMARY.DAILY.$(ago 3).tsv.gz"
	start
	asc --date "$(ago 3)" --plain >o
	run jq -c '[.product_type_identifier,.units,.developer_proceeds,.customer_price,.begin_date,.country_code,(.|length)]' o
	assert_line --index 0 '["1F","10","7.00","0.99","2025-01-15","US",34]'
	assert_line --index 1 '["IA1","5","490","800","2025-01-15","JP",34]'
	run jq -r '.event_id|test("^[0-9a-f]{64}$")' o
	assert_output $'true\ntrue'
}

@test "answers in the samples are taken for what they mean" {
	need_shared samples/asc/errors.ndjson
	local file
	file=$(shared samples/asc/errors.ndjson)
	sed -n 1p "$file" >"data/asc/SALES.SUMMARY.DAILY.$(ago 4).json"
	sed -n 2p "$file" >"data/asc/SALES.SUMMARY.DAILY.$(ago 3).json"
	start
	run --separate-stderr bash -c 'fetch-asc --allow-http --backoff 1 --from "$1" --to "$2"' _ "$(ago 4)" "$(ago 3)"
	assert_equal "$status" 4
	assert_equal "$(ends <<<"$output")" $'["empty",0]\n["not_ready",0]'
	sim_stop
	sed -n 3p "$file" >"data/asc/SALES.SUMMARY.DAILY.$(ago 4).json"
	start
	run --separate-stderr bash -c 'fetch-asc --allow-http --backoff 1'
	assert_equal "$status" 77
	assert_equal "$(ends <<<"$output" | tail -1)" '["failed",0,"auth"]'
}

@test "headers of all reports in the samples are known, none is missing" {
	need_shared samples/asc/headers_sales_reports.tsv
	local i=0 name day
	day=$(ago 3)
	for name in SALES.SUMMARY SUBSCRIBER.DETAILED SUBSCRIPTION_EVENT.SUMMARY SUBSCRIPTION.SUMMARY; do
		i=$((i + 1))
		grep -v '^#' "$(shared samples/asc/headers_sales_reports.tsv)" |
			sed -n ${i}p >"data/asc/$name.DAILY.$day.tsv"
	done
	start
	for name in SALES SUBSCRIBER SUBSCRIPTION_EVENT SUBSCRIPTION; do
		run --separate-stderr asc --report $name --date "$day"
		assert_success
		assert_equal "$stderr" ''
		assert_equal "$(ends <<<"$output")" '["empty",0]'
	done
}

@test "columns by name: in another order, fewer, more, and CRLF" {
	local day
	day=$(ago 3)
	printf "$header\n$row\n" >whole
	sales 3 <whole
	start
	asc --plain --date "$day" >a
	awk -F'\t' -v OFS='\t' '{for (i = NF; i > 0; i--) printf "%s%s", $i, (i > 1 ? OFS : "\r\n")} END {printf "\r\n"}' whole | sales 3
	asc --plain --date "$day" >b
	diff <(jq -cS . a) <(jq -cS . b) # the event id too
	cut -f1-26 whole | sales 3
	asc --plain --date "$day" >c
	diff <(jq -cS 'del(.client,.order_type)' a) <(jq -cS . c)
	awk -F'\t' -v OFS='\t' 'NR == 1 {print $0, "New Thing"} NR > 1 {print $0, "x\"y\\"}' whole | sales 3
	run --separate-stderr asc --plain --date "$day"
	assert_success
	assert_equal "$(jq -r .new_thing <<<"$output")" 'x"y\'
	assert_equal "$stderr" "fetch-asc: sales_summary_daily: warning: the column 'new_thing' is new"
	cut -f1-7,9- whole | sales 3
	run --separate-stderr asc --date "$day"
	assert_equal "$status" 65
	assert_equal "$(ends <<<"$output")" '["failed",0,"contract"]'
	assert_equal "$stderr" "fetch-asc: $day: the header has no column 'units'"
}

@test "refunds keep their sign, amounts their text; footers and blank lines go" {
	{
		printf "$header\n$row\n"
		printf "$row\n" | sed 's/\t10\t7.00/\t-1\t1,234.50/; s/\t0.99\t/\t-12,000\t/'
		printf "$row\n" | sed 's/1F/F7/'
		printf "$row\n" | sed 's/1F/FI1/'
		printf "$row\n" | sed 's/1F/9Z/'
		printf 'Total_Rows\t5\n \n\n'
	} | sales 3
	start
	run --separate-stderr asc --plain --date "$(ago 3)"
	assert_success
	assert_equal "$(jq -c '[.product_type_identifier,.units,.developer_proceeds,.customer_price]' <<<"$output")" \
		'["1F","10","7.00","0.99"]
["1F","-1","1234.50","-12000"]
["F7","10","7.00","0.99"]
["FI1","10","7.00","0.99"]
["9Z","10","7.00","0.99"]'
	assert_equal "$stderr" "fetch-asc: product type identifier: warning: '9Z' is new"
}

@test "equal rows have ids of their own, and keep them when amounts are restated" {
	printf "$header\n$row\n$row\n" | sales 3
	start
	asc --plain --date "$(ago 3)" >a
	assert_equal "$(jq -r .event_id a | sort -u | wc -l)" 2
	printf "$header\n$row\n$row\n" | sed 's/\t10\t/\t11\t/' | sales 3
	asc --plain --date "$(ago 3)" >b
	diff <(jq -r .event_id a) <(jq -r .event_id b)
}

@test "gzip in two members, not gzip at all, and a cut one that is fetched again" {
	local day
	day=$(ago 3)
	printf "$header\n$row\n$row\n" >whole
	{ head -c 400 whole | gzip; tail -c +401 whole | gzip; } >"data/asc/SALES.SUMMARY.DAILY.$day.tsv.gz"
	start
	asc --plain --date "$day" >a
	assert_equal "$(wc -l <a)" 2
	sim_stop
	fault '{"match":"GET /asc/v1/sales","do":"gzipcut"}'
	start
	asc --plain --date "$day" >b
	cmp a b
	assert_equal "$(requests 'GET /asc/v1/sales')" 2
	sim_stop
	fault "$(jq -nc --rawfile b whole '{match:"GET /asc/v1/sales",do:"body",times:0,body:$b}')"
	sed -i 1d .sim.faults
	start
	asc --plain --date "$day" >c
	cmp a c
	sim_stop
	echo '{"match":"GET /asc/v1/sales","do":"gzipcut","times":0}' >.sim.faults
	start
	run --separate-stderr asc --date "$day"
	assert_equal "$status" 75
	assert_equal "$(ends <<<"$output")" '["failed",0,"transient"]'
	assert_equal "$(requests 'GET /asc/v1/sales')" 5
}

@test "bad text fails the day and names the line" {
	local day i=0
	day=$(ago 3)
	start
	printf "$header\n$row\n$row\tx\n" | sales 3
	run --separate-stderr asc --date "$day"
	assert_equal "$status" 65
	assert_equal "$stderr" "fetch-asc: $day: line 3: more cells than the header has"
	printf "$header\n$row\xff\n" | sales 3
	run --separate-stderr asc --date "$day"
	assert_equal "$status" 65
	assert_equal "$stderr" "fetch-asc: $day: line 2: not UTF-8 text"
	printf "$header\n$row\\\\0\n" | sed 's/\\0/\x00/' | sales 3
	run --separate-stderr asc --date "$day"
	assert_equal "$status" 65
	printf 'not a report\n' | sales 3
	run --separate-stderr asc --date "$day"
	assert_equal "$status" 65
}

@test "no sales: believed after two Pacific days, not ready before" {
	local day
	for day in 1 2; do
		printf '{"http_status":404,"body":{"errors":[{"status":"404","code":"NOT_FOUND","detail":"There were no SALES for the date specified."}]}}' \
			>"data/asc/SALES.SUMMARY.DAILY.$(ago $day).json"
	done
	start
	run --separate-stderr asc --from "$(ago 2)" --to "$(ago 1)"
	assert_equal "$status" 4
	assert_equal "$(ends <<<"$output")" $'["empty",0]\n["not_ready",0]'
	run --separate-stderr asc --date "$(ago 0)"
	assert_equal "$status" 4
	assert_equal "$(ends <<<"$output")" '["not_ready",0]'
}

@test "what is gone is failed for good, the other days go on" {
	start
	run --separate-stderr asc --from "$(ago 366)" --to "$(ago 365)"
	assert_equal "$status" 3
	assert_equal "$(ends <<<"$output")" $'["failed",0,"contract"]\n["complete",12]'
	assert_equal "$(jq -r '.reason//empty' <<<"$output")" 'gone: no longer available'
	assert_equal "$(requests 'GET /asc/v1/sales')" 2
	printf '{"http_status":404,"body":{"errors":[{"status":"404","code":"X","detail":"never seen"}]}}' \
		>"data/asc/SALES.SUMMARY.DAILY.$(ago 3).json"
	run --separate-stderr asc --date "$(ago 3)"
	assert_equal "$status" 65
}

@test "a 400 that names the latest version is asked once more with it" {
	start --set asc.latest=1_1
	run --separate-stderr asc --date "$(ago 3)"
	assert_success
	assert_equal "$stderr" 'fetch-asc: sales_summary_daily: warning: the service wants version 1_1'
	assert_equal "$(requests 'GET /asc/v1/sales')" 2
	# once: one that is refused again is an error
	sim_stop
	fault '{"match":"GET /asc/v1/sales","times":0,"do":"status","status":400,"body":{"errors":[{"status":"400","code":"PARAMETER_ERROR.INVALID","title":"x","detail":"The version parameter you have specified is invalid. The latest version for this report is 1_9."}]}}'
	start
	run --separate-stderr asc --date "$(ago 3)"
	assert_equal "$status" 65
	assert_equal "$(requests 'GET /asc/v1/sales')" 2
}

@test "every type of Apple's table is asked for as the table has it, no other" {
	start --set asc.rows=2
	local type sub freq version n=0 date month
	month=$(date -ud "${today%-*}-01 - 1 month - 1 day" +%F)
	while read -r type sub freq version; do
		case $freq in
		DAILY) date="--date $(ago 3)" ;;
		WEEKLY) date="--date $(date -ud "$today - $(($(date -ud "$today" +%u) % 7 + 14)) days" +%F)" ;;
		MONTHLY) date="--date $month" ;;
		YEARLY) date="--date $((${today%%-*} - 2))-12-31" ;;
		esac
		: >"$SIM_LOG"
		asc --report $type --subtype $sub --frequency $freq $date >o
		assert_equal "$(ends <o | jq -r '.[0]')" complete
		assert_equal "$(jq -r '.query | "\(."filter[reportType]") \(."filter[reportSubType]") \(."filter[frequency]") \(."filter[version]" // "-")"' "$SIM_LOG")" \
			"$type $sub $freq $version"
		n=$((n + 1))
	done <<-'E'
		SALES SUMMARY DAILY -
		SALES SUMMARY WEEKLY -
		SALES SUMMARY MONTHLY -
		SALES SUMMARY YEARLY -
		SUBSCRIPTION SUMMARY DAILY 1_3
		SUBSCRIPTION_EVENT SUMMARY DAILY 1_3
		SUBSCRIBER DETAILED DAILY 1_3
		SUBSCRIPTION_OFFER_CODE_REDEMPTION SUMMARY DAILY 1_0
		PRE_ORDER SUMMARY DAILY 1_0
		PRE_ORDER SUMMARY WEEKLY 1_0
		PRE_ORDER SUMMARY MONTHLY 1_0
		PRE_ORDER SUMMARY YEARLY 1_0
		NEWSSTAND DETAILED DAILY 1_0
		NEWSSTAND DETAILED WEEKLY 1_0
		INSTALLS SUMMARY MONTHLY 1_2
		INSTALLS DETAILED MONTHLY 1_2
		INSTALLS DETAILED YEARLY 1_1
		INSTALLS SUMMARY_CHANNEL YEARLY 1_1
		INSTALLS SUMMARY_INSTALL_TYPE YEARLY 1_1
		INSTALLS SUMMARY_TERRITORY YEARLY 1_1
		FIRST_ANNUAL DETAILED DAILY 1_0
		FIRST_ANNUAL SUMMARY YEARLY 1_0
		WIN_BACK_ELIGIBILITY SUMMARY DAILY 1_0
	E
	assert_equal $n 23
	: >"$SIM_LOG"
	while read -r words; do
		run asc $words
		assert_equal "$status" 64
	done <<-'E'
		--report SUBSCRIPTION --frequency WEEKLY
		--report SUBSCRIBER --subtype SUMMARY
		--report NEWSSTAND --frequency MONTHLY
		--report INSTALLS
		--report INSTALLS --frequency YEARLY --subtype SUMMARY
		--report INSTALLS --frequency MONTHLY --subtype SUMMARY_CHANNEL
		--report FIRST_ANNUAL --subtype SUMMARY
		--report WIN_BACK_ELIGIBILITY --frequency YEARLY
		--report SALES --subtype DETAILED
		--frequency DAIL
	E
	assert_equal "$(requests .)" 0
	# what is not said is what the type has
	asc --report FIRST_ANNUAL --date "$(ago 3)" >o
	asc --report INSTALLS --frequency MONTHLY --date "$month" >o
	run jq -r '.query."filter[reportSubType]"' "$SIM_LOG"
	assert_output $'DETAILED\nSUMMARY'
}

@test "a token is used for 13 minutes and a half, and never lives over 20" {
	run -0 "$WEIR_B/test/unit/asc_token" "$KEYS/AuthKey_ABC123DEFG.p8"
	assert_output '0 new -30 1110
1 same -30 1110
809 same -30 1110
810 new 780 1920
1619 same 780 1920
1620 new 1590 2730
2600 new 2570 3710'
}

@test "restated days of sales: those and no others change, under the same ids" {
	start
	asc >a
	sim_stop
	start --set asc.restate="$(ago 4),$(ago 2)"
	asc >b
	assert_equal "$(diff <(no_times <a) <(no_times <b) | grep -o '"report_date":"[^"]*"' | sort -u)" \
		"\"report_date\":\"$(ago 4)\"
\"report_date\":\"$(ago 2)\""
	diff <(jq -r '.event_id // empty' a) <(jq -r '.event_id // empty' b)
}

@test "subscription reports are asked for as 1_3, subscriber as DETAILED" {
	start
	for r in SUBSCRIPTION SUBSCRIPTION_EVENT SUBSCRIBER; do
		run --separate-stderr asc --report $r --date "$(ago 3)"
		assert_success
		assert_equal "$(ends <<<"$output")" '["complete",1]'
	done
	assert_equal "$(sed -n 2p <<<"$output" | jq -r .subscriber_id)" 900719925474099312
	run jq -r '.query["filter[version]"]' "$SIM_LOG"
	assert_output $'1_3\n1_3\n1_3'
}

@test "weeks end on Sundays, months and years have their own names" {
	start
	asc --frequency WEEKLY --from 2026-10-01 --to 2026-10-31 >o || true
	run jq -r '.query["filter[reportDate]"]' "$SIM_LOG"
	assert_output $'2026-10-04\n2026-10-11\n2026-10-18\n2026-10-25'
	: >"$SIM_LOG"
	asc --frequency MONTHLY --from 2026-02-01 --to 2026-03-30 >o || true
	assert_equal "$(jq -r '.query["filter[reportDate]"]' "$SIM_LOG")" 2026-02
	assert_equal "$(jq -r 'select(."@stream"=="begin").date' o)" 2026-02-28
	: >"$SIM_LOG"
	asc --frequency YEARLY --from 2025-06-01 --to 2026-06-01 >o || true
	assert_equal "$(jq -r '.query["filter[reportDate]"]' "$SIM_LOG")" 2025
}

@test "401 once makes a new token; a wrong key is 77 and stops" {
	fault '{"match":"GET /asc/v1/sales","do":"expire","nth":2}'
	start
	asc >o
	ndjson-part --check o
	assert_equal "$(requests 'GET /asc/v1/sales')" 6
	: >"$SIM_LOG"
	run --separate-stderr asc --key-file "$KEYS/other.p8" --key-id ABC123DEFG
	assert_equal "$status" 77
	assert_equal "$(ends <<<"$output")" '["failed",0,"auth"]'
	assert_equal "$(requests 'GET /asc/v1/sales')" 2
}

@test "429, 500, resets, HTML, cut bodies: tried again, then given up alone" {
	fault '{"match":"GET /asc/v1/sales","do":"status","status":429,"headers":{"Retry-After":"0"},"body":{"errors":[{"status":"429","code":"RATE_LIMIT_EXCEEDED","title":"x"}]}}' \
		'{"match":"GET /asc/v1/sales","nth":2,"do":"status","status":500}' \
		'{"match":"GET /asc/v1/sales","nth":3,"do":"reset"}' \
		'{"match":"GET /asc/v1/sales","nth":4,"do":"cut"}' \
		'{"match":"GET /asc/v1/sales","nth":6,"do":"html"}'
	start
	asc --from "$(ago 4)" --to "$(ago 3)" >o
	ndjson-part --check o
	assert_equal "$(requests 'GET /asc/v1/sales')" 7
	sim_stop
	echo "{\"match\":\"GET /asc/v1/salesReports?filter%5Bfrequency%5D=DAILY&filter%5BreportDate%5D=$(ago 4)\",\"do\":\"status\",\"status\":500,\"times\":0}" >.sim.faults
	start
	run --separate-stderr asc --from "$(ago 4)" --to "$(ago 3)"
	assert_equal "$status" 3
	assert_equal "$(ends <<<"$output")" $'["failed",0,"transient"]\n["complete",12]'
	assert_equal "$(requests 'GET /asc/v1/sales')" 6
}

@test "406, 403 and a bomb are not tried again" {
	fault '{"match":"GET /asc/v1/sales","do":"status","status":406,"body":{"errors":[{"status":"406","code":"NOT_ACCEPTABLE","title":"x"}]}}'
	start
	run --separate-stderr asc --date "$(ago 3)"
	assert_equal "$status" 65
	assert_equal "$(requests 'GET /asc/v1/sales')" 1
	sim_stop
	{ printf "$header\n"; head -c 20000000 /dev/zero | tr '\0' ' '; } | gzip >"data/asc/SALES.SUMMARY.DAILY.$(ago 3).tsv.gz"
	rm .sim.faults
	start
	run --separate-stderr asc --date "$(ago 3)" --max-body 64K
	assert_equal "$status" 65
	assert_equal "$(requests 'GET /asc/v1/sales')" 1
}

@test "kill -9 while it waits, then the same command: the same output" {
	start
	asc | no_times >want
	fault '{"match":"GET /asc/v1/sales","nth":3,"do":"slow","ms":3000}'
	sim_stop
	start
	fetch-asc --allow-http --backoff 1 >cut 3>&- &
	pid=$!
	sleep 0.5
	kill -9 $pid
	wait $pid || true
	run ndjson-part --check cut
	[ "$status" -eq 66 ] || [ ! -s cut ]
	asc | no_times >got
	cmp want got
}

@test "killed at random moments and run again: all of it once in the raw layer" {
	skip_if_san
	fault_so >/dev/null
	run -0 "$ROOT/test/soak-fetch" fetch-asc $((${WEIR_SOAK:+95} + 5)) 7
}

@test "SIGTERM ends a wait within two seconds, without an end record" {
	fault '{"match":"GET /asc/v1/sales","do":"slow","ms":4000,"times":0}'
	start
	fetch-asc --allow-http --backoff 1 >o 2>/dev/null 3>&- &
	pid=$!
	sleep 0.4
	kill -TERM $pid
	SECONDS=0
	status=0
	wait $pid || status=$?
	assert_equal "$status" 143
	[ "$SECONDS" -le 2 ]
	run cat o
	assert_output ''
}

@test "stdout that is full or closed is 74" {
	start
	run bash -c 'fetch-asc --allow-http --backoff 1 >/dev/full'
	assert_equal "$status" 74
	run bash -c 'fetch-asc --allow-http --backoff 1 >&-'
	assert_equal "$status" 74
	run bash -c 'fetch-asc --help >/dev/full'
	assert_equal "$status" 74
	run fetch-asc --version
	assert_success
}

@test "wrong words are 64, a bad key file or address 78, before any request" {
	start
	for words in '--vendor x' '--report NO' '--frequency HOURLY' '--date 2026-02-30' '--report-name x' '--from 2026-02-02 --to 2026-02-01' 'operand' '--token x'; do
		run asc $words
		assert_equal "$status" 64
	done
	cp "$KEYS/AuthKey_ABC123DEFG.p8" k.p8
	chmod 644 k.p8
	run asc --key-file k.p8 --key-id ABC123DEFG
	assert_equal "$status" 78
	run asc --key-file none.p8 --key-id ABC123DEFG
	assert_equal "$status" 78
	run env -u ASC_ISSUER_ID fetch-asc --allow-http
	assert_equal "$status" 78
	assert_line --partial 'team key'
	run fetch-asc # http without --allow-http
	assert_equal "$status" 78
	run asc --base-url http://example.com/
	assert_equal "$status" 78
	assert_equal "$(requests .)" 0
}

@test "--check says what the key may" {
	start
	run asc --check
	assert_success
	assert_line --partial 'reports of vendor 80012345 can be read'
	run asc --check --app 1000000001
	assert_success
	fault '{"match":"GET /asc/v1/sales","do":"status","status":403,"body":{"errors":[{"status":"403","code":"FORBIDDEN_ERROR","title":"no"}]}}'
	sim_stop
	start
	run asc --check
	assert_equal "$status" 77
	assert_line --partial 'needs the role'
}

# ---- Analytics Reports ----

an='Date\tApp Name\tApp Apple Identifier\tDownload Type\tTerritory\tCounts'

@test "of each day the rows of the latest instance alone" {
	: >data/asc/analytics/only-files
	echo x >data/asc/analytics/only-files
	printf "$an\n$(ago 5)\tA\t1\tFirst-time download\tSE\t10\n$(ago 5)\tA\t1\tRedownload\tSE\t1\n$(ago 4)\tA\t1\tRedownload\tSE\t7\n" \
		>"data/asc/analytics/$(ago 4).0.tsv"
	printf "$an\n$(ago 5)\tA\t1\tFirst-time download\tSE\t12\n" \
		>"data/asc/analytics/$(ago 3).0.tsv"
	printf "$an\n$(ago 2)\tA\t1\tFirst-time download\tUS\t3\n" \
		>"data/asc/analytics/$(ago 3).1.tsv"
	start
	run --separate-stderr analytics --from "$(ago 5)" --to "$(ago 1)"
	assert_equal "$status" 4
	assert_equal "$(ends <<<"$output")" '["complete",1]
["complete",1]
["not_ready",0]
["complete",1]
["not_ready",0]'
	assert_equal "$(jq -c 'select(.counts)|[.report_date,.processing_date,.counts]' <<<"$output")" \
		"[\"$(ago 5)\",\"$(ago 3)\",\"12\"]
[\"$(ago 4)\",\"$(ago 4)\",\"7\"]
[\"$(ago 2)\",\"$(ago 3)\",\"3\"]"
	# presigned files were fetched without our token
	run jq -c 'select(.path|startswith("/asc-files"))|.auth' "$SIM_LOG"
	assert_output $'false\nfalse\nfalse'
}

@test "weeks and months have the dates that their reports have" {
	start
	analytics --frequency WEEKLY --from "$(ago 20)" --to "$(ago 1)" >w
	ndjson-part --check w
	assert_equal "$(jq -r 'select(."@stream"=="begin")|.feed' w | sort -u)" 1000000001.app_downloads_standard_weekly
	for d in $(jq -r 'select(."@stream"=="begin").date' w); do
		assert_equal "$(date -u -d "$d" +%u)" 1
	done
	assert_equal "$(ends <w | sort -u)" '["complete",2]'
	[ "$(jq -r '.query."filter[granularity]" // empty' "$SIM_LOG" | sort -u)" = WEEKLY ]
	# a period that no instance has is not ready, once
	run --separate-stderr analytics --frequency MONTHLY --date "$(ago 1)"
	assert_equal "$status" 4
	assert_equal "$(ends <<<"$output")" '["not_ready",0]'
	printf "$an\n$(ago 9)\tA\t1\tRedownload\tSE\t7\n" >"data/asc/analytics/m-$(ago 2).0.tsv"
	analytics --frequency MONTHLY --date "$(ago 9)" --plain >m
	assert_equal "$(jq -r '"\(.report) \(.counts)"' m)" 'app_downloads_standard_monthly 7'
	run asc --app 1 --report-name x --frequency YEARLY
	assert_equal "$status" 64
}

@test "a snapshot brings the history; a date that both have counts once" {
	start
	run --separate-stderr analytics --snapshot --from "$(ago 60)" --to "$(ago 1)"
	assert_equal "$status" 65
	[[ $stderr == *"no reports were asked for; do so once with --create-request --snapshot"* ]]
	assert_equal "$(requests POST)" 0
	run --separate-stderr analytics --snapshot --create-request --from "$(ago 60)" --to "$(ago 60)"
	assert_equal "$status" 4 # asked for, and not made yet
	assert_equal "$(requests POST)" 1
	sim_stop
	start --set asc.snapshot=1
	run --separate-stderr analytics --from "$(ago 60)" --to "$(ago 60)"
	assert_equal "$status" 65 # gone without it
	run --separate-stderr analytics --snapshot --from "$(ago 60)" --to "$(ago 2)"
	assert_success
	assert_equal "$(ends <<<"$output" | sort | uniq -c | sed 's/^ *//')" '59 ["complete",2]'
	# of each date the latest instance: the snapshot's is two days old
	assert_equal "$(jq -r 'select(.processing_date) | select(.report_date <= "'"$(ago 5)"'") | .processing_date' <<<"$output" | sort -u)" "$(ago 2)"
	assert_equal "$(jq -r 'select(.processing_date) | select(.report_date == "'"$(ago 3)"'") | .processing_date' <<<"$output" | sort -u)" "$(ago 1)"
}

@test "pages of instances are followed as they are named, never to another host" {
	start --set asc.page=2
	analytics >o || [ $? -eq 4 ]
	[ "$(requests 'GET /asc/v1/analyticsReports/')" -gt 5 ]
	sim_stop
	start --set asc.page=2 --set asc.next_base=http://127.0.0.2:1
	run --separate-stderr analytics
	assert_equal "$status" 65
	assert_equal "${stderr_lines[0]}" "fetch-asc: $SIM/asc: the next page is on another host"
	assert_equal "$(ends <<<"$output" | sort -u)" '["failed",0,"contract"]'
}

@test "files with a wrong MD5, a wrong size or on a strange host are refused" {
	for bad in md5 size; do
		start --set asc.bad=$bad
		run --separate-stderr analytics --date "$(ago 3)"
		assert_equal "$status" 65
		assert_equal "$(ends <<<"$output")" '["failed",0,"contract"]'
		sim_stop
	done
	start --set asc.files_base=https://example.com
	run --separate-stderr analytics --date "$(ago 3)"
	assert_equal "$status" 65
	assert_line --partial failed
	refute [ -n "$(grep -F secretsecret <<<"$stderr")" ]
}

@test "an address that ended is listed again; one that always ends is 75" {
	fault '{"match":"GET /asc-files/","nth":2,"do":"expire"}'
	start
	analytics --date "$(ago 3)" >o
	ndjson-part --check o
	sim_stop
	echo '{"match":"GET /asc-files/","times":0,"do":"expire"}' >.sim.faults
	start
	run --separate-stderr analytics --date "$(ago 3)"
	assert_equal "$status" 75
	refute [ -n "$(grep -F secretsecret <<<"$stderr$output")" ]
}

@test "a stopped or missing request is 65 until --create-request makes one" {
	start --set asc.request=stopped
	run --separate-stderr analytics --date "$(ago 3)"
	assert_equal "$status" 65
	assert_equal "$(requests POST)" 0
	run --separate-stderr analytics --date "$(ago 3)" --create-request
	assert_equal "$status" 4
	assert_equal "$(requests POST)" 1
	run --separate-stderr analytics --date "$(ago 3)" --create-request
	assert_equal "$status" 4
	assert_equal "$(requests POST)" 1
	sim_stop
	fault '{"match":"POST /asc/","do":"cut"}'
	start --set asc.request=none
	run --separate-stderr analytics --date "$(ago 3)" --create-request
	assert_equal "$status" 4
}

@test "the sample of Analytics Reports, and one with commas and quotes" {
	echo x >data/asc/analytics/only-files
	if shared samples/asc/analytics_app_downloads_standard.tsv >/dev/null; then
		sed "s/2026-08-24/$(ago 3)/" "$(shared samples/asc/analytics_app_downloads_standard.tsv)" \
			>"data/asc/analytics/$(ago 1).0.tsv"
		start
		analytics --date "$(ago 3)" --plain >o
		assert_equal "$(jq -c '[.app_name,.download_type,.counts]' o)" \
			'["Example App 11","First-time download","1"]
["Example App 11","First-time download","1"]
["Example App 11","Redownload","2"]'
		sim_stop
	fi
	printf 'Date,App Name,Counts\n%s,"A ""b"", c",5\n' "$(ago 3)" >"data/asc/analytics/$(ago 1).0.tsv"
	start
	analytics --date "$(ago 3)" --plain >o
	assert_equal "$(jq -c '[.app_name,.counts]' o)" '["A \"b\", c","5"]'
}

@test "no secret in what is said, traced or recorded" {
	start
	mkdir rec
	analytics --date "$(ago 3)" --verbose --record rec >o 2>e
	run grep -rE 'secretsecret|Bearer ey|PRIVATE KEY' e o
	assert_equal "$status" 1
	run grep -rE 'Bearer ey|PRIVATE KEY' rec
	assert_equal "$status" 1
}

@test "calls are spaced when few are left of the hour, on errors too" {
	start --set 'asc.rate=user-hour-lim:3600;user-hour-rem:10;'
	asc --from "$(ago 4)" --to "$(ago 3)" >o
	# 60 s, of which one per cent here
	run jq -s '.[1].ms - .[0].ms >= 550' "$SIM_LOG"
	assert_output true
}
