#!/usr/bin/env bats
# Every sample of the services' answers, read by the connector that would meet
# it, from the stand-in that serves the file: ids and amounts as they are.

bats_require_minimum_version 1.5.0
load helper
load sim

setup_file() {
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$BATS_FILE_TMPDIR/AuthKey_ABC123DEFG.p8" 2>/dev/null
	chmod 600 "$BATS_FILE_TMPDIR"/*.p8
	openssl pkey -in "$BATS_FILE_TMPDIR/AuthKey_ABC123DEFG.p8" -pubout \
		-out "$BATS_FILE_TMPDIR/pub.pem"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >"$BATS_FILE_TMPDIR/key.pem"
}

setup() {
	weir_setup
	need_shared samples
	S=$(shared samples)
	mkdir -p data/meta data/asc/analytics
	(umask 077 && echo EAAGsimToken0123456789 >token)
	export ASC_ISSUER_ID=57246542-96fe-1a63-e053-0824d011072a
	export ASC_KEY_FILE=$BATS_FILE_TMPDIR/AuthKey_ABC123DEFG.p8
	export ASC_VENDOR_NUMBER=80012345 HOME=$T
	unset GOOGLE_APPLICATION_CREDENTIALS BQ_SA_JSON GCE_METADATA_HOST \
		GOOGLE_CLOUD_PROJECT BIGQUERY_EMULATOR_HOST
	today=$(TZ=America/Los_Angeles date +%F)
}

rows() {
	grep -v '^{"@stream"'
}
ends() {
	jq -r 'select(."@stream" == "end") | .outcome' | uniq -c |
		awk '{printf "%s%s %s", s, $1, $2; s = ", "}'
}
ago() { # DAYS: a Pacific day
	date -u -d "$today - $1 days" +%F
}
# at DATE [option ...]: the stand-in, with its clock there
at() {
	local now
	now=$(($(date -ud "$1 12:00" +%s) - $(date +%s)))
	sim_start --set "now_offset=$now" --data data "${@:2}"
}

# ---- what there is, and who reads it ----

# PATTERN  how it is read here, or why not
readers() {
	cat <<'END'
*/SOURCES.md                                  text
ga4/export/analytics_*/events_*.ndjson        fetch-ga4 --export: tables
ga4/web-console-json/*.json                   fetch-ga4 --export: rows of a table, by the official schema
ga4/web-variant/EVENTS_*.json                 no answer: documents of a benchmark; their rows are in export/analytics_web
ga4/app-variant/EVENTS_*.json                 no answer: documents of a benchmark; their rows are in export/analytics_app
ga4/web-pythonrepr/events_*.json              no answer: the Python text of such rows
ga4/bq-load-fixtures/scalars.jsonl            fetch-ga4 --export: rows of a table
ga4/bq-load-fixtures/scalars_extreme.jsonl    fetch-ga4 --export: rows of a table
ga4/bq-load-fixtures/scalars_schema.json      their schema
ga4/bq-load-fixtures/characters.jsonl         fetch-ga4 --export: rows of a table
ga4/bq-load-fixtures/schema.json              their schema
meta/async_flow_v10.json                      fetch-meta: a report run
meta/campaigns_nested_insights_v2.9.json      fetch-meta: its page of insights
meta/insights_page_product_id_v17.json        fetch-meta: a page by breakdown
meta/report_run_status.ndjson                 fetch-meta: states of report runs
meta/usage_headers.ndjson                     fetch-meta: headers of an answer
meta/errors.ndjson                            fetch-meta: errors
meta/adaccounts_recorded.yml                  fetch-meta: facts of accounts
meta/airbyte_expected_insights.jsonl          fetch-meta: rows by country, numbers in place of texts
meta/keboola_v23_query_1*.csv                 fetch-meta: rows, made of a table of their values
meta/keboola_v23_queries.json                 no answer: requests
meta/fivetran_*.csv                           no answer: tables of a warehouse
asc/sales_summary_daily_28col.tsv             fetch-asc: a sales report
asc/sales_summary_daily_28col.tsv.gz          fetch-asc: a sales report
asc/headers_sales_reports.tsv                 fetch-asc: headers of four reports
asc/analytics_app_downloads_standard.tsv      fetch-asc: an Analytics Report
asc/analytics_instances_and_segments.json     fetch-asc: requests, instances, segments
asc/errors.ndjson                             fetch-asc: errors
asc/fivetran_*.csv                            no answer: tables of a warehouse
END
}

@test "every file of the samples has its reader, or is no answer" {
	local f pattern what
	(cd "$S" && find ga4 meta asc -type f | sort) >files
	[ "$(wc -l <files)" -gt 100 ]
	while read -r f; do
		while read -r pattern what; do
			# shellcheck disable=SC2053
			[[ $f != $pattern ]] || continue 2
		done < <(readers)
		echo "no reader: $f"
		false
	done <files
	# and no line speaks of a file that is not there
	while read -r pattern what; do
		# shellcheck disable=SC2053
		while read -r f; do [[ $f != $pattern ]] || continue 2; done <files
		echo "no such file: $pattern"
		false
	done < <(readers)
}

# ---- GA4 ----

# A page of tabledata.list and a table, of rows and their schema.
FV='
def text: if type == "string" then . else tojson end;
def cell($f): def one: if . == null then null
    elif $f.type == "TIMESTAMP" then (strptime("%Y-%m-%d %H:%M:%S UTC") | mktime * 1000000 | tostring)
    elif $f.fields then . as $o | { f: [$f.fields[] as $c | $o[$c.name] | cell($c)] }
    else text end;
  if $f.mode == "REPEATED" then { v: [(. // [])[] | { v: one }] } else { v: one } end;
# the form of an extract job: INT64 as text, FLOAT64 and BOOL bare, no null
def export($f): def one: if $f.fields then . as $o | reduce $f.fields[] as $c ({};
      ($o[$c.name] | export($c)) as $x | if $x == null then . else .[$c.name] = $x end)
    elif $f.type == "FLOAT" or $f.type == "FLOAT64" then (text | if test("Inf|NaN") then . else tonumber end)
    elif $f.type | IN("BOOL", "BOOLEAN") then text == "true"
    else text end;
  if $f.mode == "REPEATED" then [(. // [])[] | one] elif . == null then null else one end;
# members that the schema does not have
def strange($f): if type == "array" then .[] | strange($f)
  elif type == "object" and $f.fields then to_entries[] | .key as $k
    | ([$f.fields[] | select(.name == $k)][0]) as $c
    | if $c == null then $k else .value | strange($c) end
  else empty end;'

# serve SCHEMA ROWS DAY: as the table events_DAY of property web
serve() {
	jq -n --slurpfile s "$1" '{ numRows: $n, lastModifiedTime: "1700000000000", etag: "e",
		schema: { fields: $s[0] } }' --arg n "$(jq -s length "$2")" >"t.$3.json"
	jq -s --slurpfile s "$1" "$FV"'{ totalRows: (length | tostring), rows:
		map({ f: [$s[0][] as $c | .[$c.name] | cell($c)] }) }' "$2" >"d.$3.json"
	fault "{\"match\":\"GET */tables/events_$3[?]\",\"times\":0,\"do\":\"status\",\"status\":200,\"body\":$(jq -c . "t.$3.json")}"
	fault "{\"match\":\"GET */tables/events_$3/data\",\"times\":0,\"do\":\"status\",\"status\":200,\"body\":$(jq -c . "d.$3.json")}"
}
ga4() { # PROPERTY [option ...]
	fetch-ga4 --export --allow-http --project weir-test --property "$1" \
		--credentials sa.json --bigquery-url "$SIM" --backoff 1 --tz UTC "${@:2}"
}
ga4_start() { # DIR
	sim_start --data "$1" --set google_sa="$T/sa.json"
	(umask 077 && jq -n --rawfile k "$BATS_FILE_TMPDIR/key.pem" --arg u "$SIM/google-token" '
		{type: "service_account", project_id: "weir-test", private_key_id: "k1",
		 private_key: $k, token_uri: $u,
		 client_email: "robot@weir-test.iam.gserviceaccount.com"}' >sa.json)
}

@test "ga4: tables of the export come through byte for byte, each day" {
	local f n=0 day
	ga4_start "$S/ga4/export"
	ga4 web --since 2020-12-01 --until 2021-01-31 >web
	ga4 app --since 2018-10-01 --until 2018-10-03 >app
	ndjson-part --check <web
	cat "$S"/ga4/export/analytics_web/*.ndjson | cmp - <(rows <web)
	cat "$S"/ga4/export/analytics_app/*.ndjson | cmp - <(rows <app)
	assert_equal "$(ends <web) $(ends <app)" "62 complete 3 complete"
	# the rows that the benchmark's documents have are these
	jq -r '.sample_rows[] | [.EVENT_TIMESTAMP // .event_timestamp, .EVENT_NAME // .event_name, .USER_PSEUDO_ID // .user_pseudo_id] | @tsv' \
		"$S"/ga4/web-variant/*.json "$S"/ga4/app-variant/*.json | sort >want
	cat web app | rows | jq -r '[.event_timestamp, .event_name, .user_pseudo_id] | @tsv' | sort >got
	[ "$(wc -l <want)" = 325 ]
	diff want got
}

@test "ga4: rows of other properties and of the client's own tests come through by their schema" {
	local f day=20231210 spec
	need_shared contracts/specs/ga4-events.bigquery-schema.json
	spec=$(shared contracts/specs/ga4-events.bigquery-schema.json)
	jq 'if type == "object" then .fields // .schema.fields else . end' "$spec" >official.json
	for f in "$S"/ga4/web-console-json/*.json; do
		jq -c '.[]' "$f" >"rows.$day"
		cp official.json "schema.$day"
		day=$((day + 1))
	done
	for f in scalars scalars_extreme; do
		# as the service writes what is infinite or no number
		sed 's/"+inf"/"Infinity"/; s/"-inf"/"-Infinity"/; s/"nan"/"NaN"/' \
			"$S/ga4/bq-load-fixtures/$f.jsonl" >"rows.$day"
		# a moment is a count of microseconds in an answer
		jq -c 'del(.timestamp_col)' "rows.$day" >r && mv r "rows.$day"
		jq 'map(select(.name != "timestamp_col"))' "$S/ga4/bq-load-fixtures/scalars_schema.json" >"schema.$day"
		day=$((day + 1))
	done
	jq -c 'del(.TimeRange)' "$S/ga4/bq-load-fixtures/characters.jsonl" >"rows.$day"
	jq '.fields | map(select(.name != "TimeRange"))' "$S/ga4/bq-load-fixtures/schema.json" >"schema.$day"
	for f in rows.*; do
		serve "schema.${f#*.}" "$f" "${f#*.}"
	done
	ga4_start data
	for f in rows.*; do
		day=${f#*.}
		# nothing of the rows is outside of the schema
		run jq -r --slurpfile s "schema.$day" "$FV"'strange({ fields: $s[0] })' "$f"
		assert_output ''
		ga4 web --date "${day:0:4}-${day:4:2}-${day:6:2}" >o
		ndjson-part --check <o
		diff <(jq -cS --slurpfile s "schema.$day" "$FV"'export({ fields: $s[0] })' "$f") \
			<(rows <o | jq -cS .)
		cat o >>all
	done
	# in their own digits
	grep -q '"event_value_in_usd":33.573523,' all
	grep -q '"event_timestamp":"1702651559604143"' all
	grep -q '"int64_col":"-9223372036854775808"' all
	grep -q '"numeric_col":"9.9999999999999999999999999999999999999E+28"' all
	[ "$(rows <all | wc -l)" -ge 13 ]
}

# ---- Meta ----

meta() {
	fetch-meta --allow-http --base-url "$SIM/graph" --token-file token \
		--backoff 0 --poll-ms 3 "$@"
}
# facts ACCOUNT CURRENCY ZONE
facts() {
	echo "{\"account_id\":\"$1\",\"name\":\"x\",\"currency\":\"$2\",\"timezone_name\":\"$3\",\"account_status\":1}" \
		>"data/meta/act_$1.json"
}
# page ACCOUNT: rows on stdin are what it has
page() {
	jq -sc '{ data: ., paging: { cursors: { before: "MAZDZD", after: "NQZDZD" } } }' \
		>"data/meta/act_$1.insights.json"
}
# without what fetch-meta puts before a row
bare() {
	rows | jq -cS 'del(.level, .attribution_windows)'
}

@test "meta: a page by product, and a report run, made, looked at and read" {
	local s=$S/meta/insights_page_product_id_v17.json
	cp "$s" data/meta/act_798085168510957.insights.json
	facts 798085168510957 USD America/Los_Angeles
	at 2023-06-20
	meta --account 798085168510957 --level ad --breakdowns product_id \
		--mode sync --since 2023-06-01 --date 2023-06-01 >o
	diff <(jq -cS '.data[]' "$s") <(bare <o)
	bare <o | grep -q '"ad_id":"23854695759200548".*"value":"1.594444"'
	sim_stop
	s=$S/meta/async_flow_v10.json
	jq -c '.exchanges[0].body' "$s" >data/meta/act_522606278080331.insights.post.json
	jq -c '.exchanges[1].body' "$s" >data/meta/192025512975195.json
	jq -c '.exchanges[2].body' "$s" >data/meta/192025512975195.insights.json
	facts 522606278080331 USD UTC
	at 2021-08-10
	meta --account act_522606278080331 --level account --mode async --lookback-days 3 >o
	assert_equal "$(ends <o)" '3 complete'
	diff <(jq -cS '.exchanges[2].body.data[]' "$s") <(bare <o)
}

@test "meta: insights that were recorded within a page of campaigns" {
	local s=$S/meta/campaigns_nested_insights_v2.9.json
	jq -c '.[0].body.data[].insights // empty | .data[]' "$s" >want
	[ "$(wc -l <want)" = 6 ]
	jq -c '.[0].body.data[0].insights' "$s" >data/meta/act_10152437784203995.insights.json
	facts 10152437784203995 CZK Europe/Prague
	at 2017-04-20
	meta --account 10152437784203995 --since 2017-04-01 --date 2017-04-06 --mode sync >o
	diff <(jq -cS . want) <(bare <o)
	assert_equal "$(ends <o)" '6 complete'
	grep -q '"campaign_id":"6064431745270"' o
}

@test "meta: report runs in the states that were recorded" {
	local line id account
	while read -r line; do
		id=$(jq -r .id <<<"$line")
		account=$(jq -r .account_id <<<"$line")
		echo "{\"report_run_id\":\"$id\"}" >"data/meta/act_$account.insights.post.json"
		echo "$line" >"data/meta/$id.json"
		echo '{"data":[]}' >"data/meta/$id.insights.json"
		facts "$account" USD UTC
		at "$(jq -r .date_stop <<<"$line")"
		meta --account "$account" --level ad --mode async \
			--since "$(jq -r .date_start <<<"$line")" --date "$(jq -r .date_start <<<"$line")" \
			--include-today >o
		assert_equal "$(ends <o)" '1 empty'
		assert_equal "$(requests "GET /graph/v25.0/$id")" 2
		# the same, failed, at 100 %
		jq -c '.async_status = "Job Failed"' <<<"$line" >"data/meta/$id.json"
		run meta --account "$account" --level ad --mode async \
			--since "$(jq -r .date_start <<<"$line")" --date "$(jq -r .date_start <<<"$line")" \
			--include-today
		assert_failure
		assert_output --partial '"outcome":"failed"'
		sim_stop
	done <"$S/meta/report_run_status.ndjson"
}

@test "meta: usage headers, whatever they say, leave the rows as they are" {
	local line n=0
	at 2026-11-20
	meta --account 1001 --lookback-days 3 | sed 's/"fetched_at":"[^"]*"//' >want
	sim_stop
	while read -r line; do
		rm -f .sim.faults
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"do\":\"headers\",\"headers\":$(jq -c '{ (.header): .value }' <<<"$line")}"
		at 2026-11-20
		rm -f st
		WEIR_STATS=st meta --account 1001 --lookback-days 3 | sed 's/"fetched_at":"[^"]*"//' >o
		diff want o
		sim_stop
		n=$((n + 1))
	done <"$S/meta/usage_headers.ndjson"
	[ $n = 5 ]
}

@test "meta: each recorded error ends in the class that its sample names" {
	local line want n=0
	while read -r line; do
		rm -f .sim.faults
		want=$(jq -r .expected_class <<<"$line")
		fault "{\"match\":\"GET /graph/v25.0/act_1001/insights\",\"times\":0,\"do\":\"status\",\"status\":$(jq .http_status <<<"$line"),\"body\":$(jq -c .body <<<"$line")}"
		at 2026-11-20
		run meta --account 1001 --lookback-days 1 --level account --mode sync
		echo "$want: $status $output"
		case $want in
		auth) [ "$status" = 77 ] ;;
		transient) # 1/99 is taken for too much data when the tries run out
			[ "$status" = 75 ] || [[ $line == *'"error_subcode":99'* ]] ;;
		split) [ "$status" = 65 ] && [[ $output == *"too much data"* ]] ;;
		*) false ;;
		esac
		sim_stop
		n=$((n + 1))
	done < <(tr -d '\r' <"$S/meta/errors.ndjson")
	assert_equal $n "$(grep -c expected_class "$S/meta/errors.ndjson")"
}

@test "meta: facts of accounts, as they were recorded, are in the begin of a partition" {
	local line id n=0
	# the body is folded over two lines of the recording
	tr '\n' ' ' <"$S/meta/adaccounts_recorded.yml" |
		sed "s/.*string: '\({\"data\".*}}}\)'.*/\1/; s/  */ /g" | jq -c '.data[]' >accounts
	[ "$(wc -l <accounts)" = 10 ]
	while read -r line; do
		id=$(jq -r .account_id <<<"$line")
		jq -c '. + { timezone_name: "America/Los_Angeles" }' <<<"$line" >"data/meta/$(jq -r .id <<<"$line").json"
		echo '{"data":[]}' >"data/meta/act_$id.insights.json"
	done <accounts
	at 2026-11-20
	while read -r line; do
		id=$(jq -r .account_id <<<"$line")
		meta --account "$id" --lookback-days 1 >o
		head -n 1 o | jq -e --argjson a "$line" '.feed == $a.id + ".campaign"
			and .currency == $a.currency and .day_tz == "America/Los_Angeles"'
		n=$((n + 1))
	done <accounts
	[ $n = 10 ]
}

@test "meta: rows of connectors' own tests and real values, in their own digits" {
	local f account day csv
	jq -c 'select(.stream | startswith("ads_insights")) | .data' \
		"$S/meta/airbyte_expected_insights.jsonl" >want
	[ -s want ]
	page 212551616838260 <want
	facts 212551616838260 USD America/Los_Angeles
	day=$(jq -r .date_start want | sort | tail -n 1)
	at "$(date -ud "$day + 9 days" +%F)"
	meta --account 212551616838260 --level ad --breakdowns country --mode sync \
		--since "$(jq -r .date_start want | sort | head -n 1)" --date "$day" >o
	diff <(jq -cS . want | sort) <(bare <o | sort)
	sim_stop
	# tables of values: a row is an object of texts, what is empty is not there
	facts 361744628296290 USD America/New_York
	at 2026-04-02
	for csv in 11 112 118 119; do
		jq -R -c -n '[inputs | rtrimstr("\r") | split(",")] | .[0] as $h | .[1:][]
			| [$h, .] | transpose | map(select(.[1] != "") | { (.[0]): .[1] }) | add
			| del(.ex_account_id, .fb_graph_node, .parent_id)' \
			"$S/meta/keboola_v23_query_$csv.csv" >want
		[ "$(wc -l <want)" = "$(($(wc -l <"$S/meta/keboola_v23_query_$csv.csv") - 1))" ]
		# a row of several days is not daily: it is refused, not read
		if jq -e -s 'any(.date_start != .date_stop)' want >/dev/null; then
			jq -c '.date_stop = .date_start' want >w && mv w want
		fi
		# ten days at a time, which is one request
		while read -r days; do
			grep "\"date_start\":\"$days" want >some
			page 361744628296290 <some
			meta --account 361744628296290 --level ad --mode sync --breakdowns country \
				--since "$(jq -r .date_start some | sort | head -n 1)" \
				--date "$(jq -r .date_start some | sort | tail -n 1)" >>"o.$csv"
		done < <(jq -r '.date_start[:9]' want | sort -u)
		diff <(jq -cS . want | sort) <(bare <"o.$csv" | sort)
		cat "o.$csv" >>all
	done
	grep -q '"spend":"0.092195"' all
	grep -q '"ad_id":"120240477971330604"' all
}

# ---- App Store Connect ----

asc_start() {
	sim_start --set asc.public_key="$BATS_FILE_TMPDIR/pub.pem" --data "$T/data" "$@"
	export ASC_BASE_URL=$SIM/asc
}
asc() {
	fetch-asc --allow-http --backoff 1 "$@"
}
# The rows of a file of tabs as fetch-asc has them, without its own members.
tsv() {
	jq -R -c -n '[inputs | rtrimstr("\r") | split("\t")] | .[0] as $h | .[1:][]
		| [$h, .] | transpose
		| map({ (.[0] | ascii_downcase | gsub("[ -]"; "_")): (.[1] // "" | gsub("^ | $"; "")
		  | if test("^[0-9]{2}/[0-9]{2}/[0-9]{4}$") then "\(.[6:])-\(.[:2])-\(.[3:5])" else . end) }) | add'
}
own='del(.event_id, .source, .vendor, .report, .report_date, .row_ordinal, .processing_date, .app_id)'

@test "asc: the sales report, plain and gzip, and headers of four reports" {
	local s=$S/asc/sales_summary_daily_28col.tsv i=0 name
	cp "$s" "data/asc/SALES.SUMMARY.DAILY.$(ago 4).tsv"
	cp "$s.gz" "data/asc/SALES.SUMMARY.DAILY.$(ago 3).tsv.gz"
	for name in SALES.SUMMARY SUBSCRIBER.DETAILED SUBSCRIPTION_EVENT.SUMMARY SUBSCRIPTION.SUMMARY; do
		i=$((i + 1))
		grep -v '^#' "$S/asc/headers_sales_reports.tsv" | sed -n ${i}p \
			>"data/asc/$name.DAILY.$(ago 2).tsv"
	done
	asc_start
	for i in 4 3; do
		asc --date "$(ago $i)" >o
		diff <(tsv <"$s" | jq -cS .) <(rows <o | jq -cS "$own")
		grep -q '"developer_proceeds":"7.00"' o
		grep -q '"apple_identifier":"123456"' o
	done
	for name in SALES SUBSCRIBER SUBSCRIPTION_EVENT SUBSCRIPTION; do
		run --separate-stderr asc --report $name --date "$(ago 2)"
		assert_success
		assert_equal "$stderr" ''
		assert_equal "$(ends <<<"$output")" '1 empty'
	done
}

@test "asc: an Analytics Report, and its requests, instances and segments as documented" {
	local s=$S/asc/analytics_instances_and_segments.json md5 size
	printf 'x\n' >data/asc/analytics/only-files
	# the day of the file, and what came a day later, in these weeks
	sed "s/2026-08-24/$(ago 3)/" "$S/asc/analytics_app_downloads_standard.tsv" >day.tsv
	gzip -nc day.tsv >file.gz
	md5=$(md5sum <file.gz | cut -d' ' -f1)
	size=$(stat -c %s file.gz)
	answer() { # METHOD-AND-PATH FILE
		fault "{\"match\":\"$1\",\"times\":0,\"do\":\"status\",\"status\":200,\"file\":\"$T/$2\"}"
	}
	jq .requests "$s" >requests.json
	jq --arg d "$(ago 1)" '.instances | .data[0].attributes.processingDate = $d' "$s" >instances.json
	answer 'GET /asc/v1/apps/1000000000/analyticsReportRequests' requests.json
	echo '{"data":[{"type":"analyticsReports","id":"r9-1","attributes":{"name":"App Downloads Standard","category":"COMMERCE"}}]}' >reports.json
	answer 'GET /asc/v1/analyticsReportRequests/7e9b84a2-b441-49ce-a723-649fa483029c/reports' reports.json
	answer 'GET /asc/v1/analyticsReports/r9-1/instances' instances.json
	answer 'GET /asc/v1/analyticsReportInstances/5c43f2fa-aae7-4290-8664-d6551784c508/segments' segments.json
	answer 'GET /asc-files/' file.gz
	echo '{}' >segments.json
	asc_start
	sim_stop
	port=${SIM##*:} # the files' address is part of an answer
	again() {
		sim_stop
		asc_start --set asc.app=1000000000 --set "port=$port"
	}
	downloads() {
		asc --app 1000000000 --report-name 'App Downloads Standard' --date "$(ago 3)"
	}
	# its size and checksum are not those of another file
	jq --arg u "$SIM/asc-files/reports/0.csv.gz?X-Amz-Security-Token=CUT" \
		'.segments | .data[0].attributes.url = $u' "$s" >segments.json
	again
	run downloads
	assert_failure
	assert_output --partial 'the file has another size than its list says'
	jq --arg u "$SIM/asc-files/reports/0.csv.gz?X-Amz-Security-Token=CUT" --arg m "$md5" --argjson n "$size" \
		'.segments | .data[0].attributes += { url: $u, checksum: $m, sizeInBytes: $n }' "$s" >segments.json
	again
	downloads >o
	diff <(tsv <day.tsv | jq -cS .) <(rows <o | jq -cS "$own")
	assert_equal "$(requests 'GET /asc/v1/analyticsReportRequests/7e9b84a2-b441-49ce-a723-649fa483029c/reports')" 1
	rows <o | head -n 1 | jq -e '.processing_date != .date and .app_apple_identifier == "1000000000"'
}

@test "asc: each recorded error means what its sample says" {
	local line want n=0
	while read -r line; do
		rm -f .sim.faults
		want=$(jq -r .meaning <<<"$line")
		fault "{\"match\":\"GET /asc/v1/salesReports\",\"times\":0,\"do\":\"status\",\"status\":$(jq .http_status <<<"$line"),\"headers\":$(jq -c '.headers // {}' <<<"$line"),\"body\":$(jq -c .body <<<"$line")}"
		asc_start
		run --separate-stderr asc --date "$(ago 4)" --tries 2
		echo "$want: $status $output $stderr"
		case $want in
		zero_day) [ "$status" = 0 ] && [ "$(ends <<<"$output")" = '1 empty' ] ;;
		not_ready) [ "$status" = 4 ] && [ "$(ends <<<"$output")" = '1 not_ready' ] ;;
		auth) [ "$status" = 77 ] && [ "$(wc -l <"$SIM_LOG")" = 1 ] ;;
		contract) [ "$status" = 65 ] ;;
		transient) [ "$status" = 75 ] && [ "$(wc -l <"$SIM_LOG")" = 2 ] ;;
		*) false ;;
		esac
		sim_stop
		n=$((n + 1))
	done <"$S/asc/errors.ndjson"
	[ $n = 5 ]
}
