#!/usr/bin/env bats
# GA4: the BigQuery export and Data API reports, against the stand-in.

bats_require_minimum_version 1.5.0
load helper
load sim

setup_file() {
	local d=$BATS_FILE_TMPDIR
	"$WEIR_B"/test/gen-ga4 --dir "$d/data" --start 2026-11-10 \
		--end 2026-11-13 --sessions 12
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >"$d/key.pem"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >"$d/other.pem"
}

setup() {
	weir_setup
	D=$BATS_FILE_TMPDIR/data
	P=412345678
	unset GOOGLE_APPLICATION_CREDENTIALS BQ_SA_JSON GCE_METADATA_HOST \
		GOOGLE_CLOUD_PROJECT BIGQUERY_EMULATOR_HOST NO_GCE_CHECK
	export HOME=$T
}

# key PEM: the key file of the service account, for the running stand-in
key() {
	jq -n --rawfile k "$BATS_FILE_TMPDIR/$1" --arg u "$SIM/google-token" '
		{type: "service_account", project_id: "weir-test",
		 private_key_id: "k1", private_key: $k, token_uri: $u,
		 client_email: "robot@weir-test.iam.gserviceaccount.com"}'
}

start() {
	sim_start --data "${DATA:-$D}" --set google_sa="$T/sa.json" "$@"
	(umask 077 && key key.pem >sa.json)
	(umask 077 && key key.pem >key.json)
}

# Days of the export; --tz first, so that a later one counts.
export_days() {
	fetch-ga4 --export --allow-http --project weir-test --property "$P" \
		--credentials key.json --bigquery-url "$SIM" \
		--data-url "$SIM/ga4" --backoff 1 --tz Europe/Stockholm "$@"
}
report() {
	fetch-ga4 --report --allow-http --property "$P" --quiet \
		--credentials key.json --data-url "$SIM/ga4" --backoff 1 \
		--tz Europe/Stockholm "$@"
}
rows() { grep -v '^{"@stream"' "$@"; }
ends() { grep '^{"@stream":"end"' "$@"; }
begins() { grep '^{"@stream":"begin"' "$@"; }
DATA_CALL='GET /bigquery/v2/projects/weir-test/datasets/*/tables/*/data'

@test "gives the rows of the export files, byte for byte, whatever the pages" {
	local args
	start --set bq_page_bytes=30000
	for args in "" "--page-size 7" "--page-size 11 --parallel 8" \
		"--page-size 1000 --parallel 1"; do
		# shellcheck disable=SC2086
		export_days --since 2026-11-10 --until 2026-11-13 $args >out
		cat "$D/analytics_$P"/*.ndjson | cmp - <(rows out)
		ndjson-part --check out
	done
	assert_equal "$(begins out | jq -r '"\(.source_system) \(.feed) \(.date) \(.day_tz) \(.table)"' | head -n 1)" \
		"ga4 412345678 2026-11-10 Europe/Stockholm events_20261110"
}

@test "real rows of the samples come through the stand-in as they are" {
	need_shared samples/ga4/export
	DATA=$(shared samples/ga4/export) start --set bq_page_bytes=5000
	P=web export_days --since 2020-12-01 --until 2021-01-31 >web
	P=app export_days --since 2018-10-01 --until 2018-10-03 >app
	cat "$DATA$(shared samples/ga4/export)"/analytics_web/*.ndjson |
		cmp - <(rows web)
	cat "$(shared samples/ga4/export)"/analytics_app/*.ndjson |
		cmp - <(rows app)
	assert_equal "$(rows web | wc -l) $(rows app | wc -l)" "310 15"
}

@test "decodes every type, and new columns, by the schema of the table" {
	cat >f.json <<-'E'
	{"numRows":"2","lastModifiedTime":"1","etag":"e","schema":{"fields":[{"name":"i","type":"INT64"},{"name":"f","type":"FLOAT64"},{"name":"b","type":"BOOL"},{"name":"t","type":"TIMESTAMP"},{"name":"d","type":"DATE"},{"name":"n","type":"BIGNUMERIC"},{"name":"r","type":"STRUCT","mode":"REPEATED","fields":[{"name":"x","type":"INTEGER"},{"name":"l","type":"STRING","mode":"REPEATED"}]},{"name":"s","type":"RECORD","fields":[{"name":"y","type":"FLOAT"}]}]}}
	E
	cat >p.json <<-'E'
	{ "totalRows" : "2", "rows": [ { "f" : [ {"v":"-9223372036854775808"}, {"v" : "1.0E10"}, {"v":"TRUE"}, {"v":null},{"v":null},{"v":null},{"v":[]},{"v":null}]},
	 {"f":[{"v":"1"}]} ] }
	E
	fault "{\"match\":\"GET */tables/events_20261110[?]\",\"times\":0,\"do\":\"body\",\"file\":\"$T/f.json\"}"
	fault "{\"match\":\"GET */tables/events_20261110/data\",\"times\":0,\"do\":\"body\",\"file\":\"$T/p.json\"}"
	start
	run -65 --separate-stderr export_days --date 2026-11-10
	[[ $stderr == *"a row: b is no BOOL"* ]]
	refute_output --partial '"i"'
	cat >p.json <<-'E'
	{ "totalRows" : "2", "rows": [ { "f" : [ {"v":"-9223372036854775808"},
	 {"v" : "1.0E10"}, {"v":"true"}, {"v":"1626889423945289"},
	 {"v":"2021-07-21"},{"v":"9.99E+37"},
	 {"v":[{"v":{"f":[{"v":"5"},{"v":[{"v":"a\"\\b"},{"v":"\u00e5"}]}]}},{"v":{"f":[{"v":null},{"v":[]}]}}]},
	 {"v":{"f":[{"v":"31.50"}]}}]},
	 {"f":[{"v":null},{"v":"-Infinity"},{"v":"false"},{"v":"-1"},{"v":null},{"v":null},{"v":null},{"v":{"f":[{"v":null}]}}]} ] }
	E
	sim_stop
	start
	export_days --date 2026-11-10 >out
	diff - <(rows out) <<-'E'
	{"i":"-9223372036854775808","f":10000000000,"b":true,"t":"2021-07-21 17:43:43.945289 UTC","d":"2021-07-21","n":"9.99E+37","r":[{"x":"5","l":["a\"\\b","\u00e5"]},{"l":[]}],"s":{"y":31.5}}
	{"f":"-Infinity","b":false,"t":"1969-12-31 23:59:59.999999 UTC","r":[],"s":{}}
	E
}

@test "--select prunes the schema as the service prunes the rows" {
	start
	export_days --date 2026-11-10 \
		--select event_params.value.int_value,event_name >out
	jq -c '{event_name, event_params: [.event_params[] |
		if .value.int_value then {value: {int_value: .value.int_value}}
		else {value: {}} end]}' "$D/analytics_$P/events_20261110.ndjson" |
		cmp - <(rows out)
	run -3 --separate-stderr export_days --since 2026-11-10 \
		--until 2026-11-30 --select event_nam
	run -64 export_days --select 'a,,b'
}

@test "a day without a table is not ready, later it is a failure" {
	local day
	DATA=$T/data
	cp -R "$D" data
	rm data/analytics_$P/events_20261111.ndjson
	start
	day=$(TZ=Europe/Stockholm date -d '-1 day' +%F)
	run -4 --separate-stderr export_days --date "$day"
	assert_line --index 1 '{"@stream":"end","records":0,"outcome":"not_ready","reason":"no table yet"}'
	run -3 --separate-stderr export_days --since 2026-11-10 --until 2026-11-12
	[[ $stderr == *"2026-11-11: no table of this day"* ]]
	assert_equal "$(ends <<<"$output" | jq -r '"\(.outcome) \(.class)"' | paste -sd,)" \
		"complete null,failed contract,complete null"
	# a day of the span had one: nobody asked which was the first
	assert_equal "$(requests 'GET .*/tables$')" 1
}

@test "days before the first one of the export are left out, said once" {
	local n
	DATA=$T/data
	cp -R "$D" data
	start
	run -0 --separate-stderr export_days --since 2026-11-01 \
		--until 2026-11-11 --quiet
	assert_equal "$(begins <<<"$output" | jq -r .date | paste -sd,)" \
		2026-11-10,2026-11-11
	assert_equal "$stderr" "fetch-ga4: analytics_$P: the export begins with 2026-11-10: days before the link to BigQuery do not come, and are left out"
	assert_equal "$(requests 'GET .*/tables$')" 1

	# none of the span
	run -0 --separate-stderr export_days --since 2026-11-01 --until 2026-11-09
	assert_output ""
	[[ $stderr == *"begins with 2026-11-10"* ]]

	# a day asked for by name is no silence
	run -65 --separate-stderr export_days --date 2026-11-09
	[[ $stderr == *"2026-11-09: no table of this day: the export begins with 2026-11-10"* ]]
	assert_line --index 1 --partial '"outcome":"failed","class":"contract"'

	# a hole after it is one, whatever kind of table was the first
	mv data/analytics_$P/events_20261110.ndjson \
		data/analytics_$P/events_intraday_20261108.ndjson
	run -3 --separate-stderr export_days --since 2026-11-07 --until 2026-11-11
	[[ $stderr == *"begins with 2026-11-08"* ]]
	assert_equal "$(ends <<<"$output" | jq -r .outcome | paste -sd,)" \
		complete,failed,failed,complete
	mv data/analytics_$P/events_intraday_20261108.ndjson \
		data/analytics_$P/events_fresh_20261108.ndjson
	run -3 --separate-stderr export_days --since 2026-11-07 --until 2026-11-11
	[[ $stderr == *"begins with 2026-11-08"* ]]
	assert_equal "$(ends <<<"$output" | jq -r .outcome | paste -sd,)" \
		failed,failed,failed,complete
}

@test "the list of days is read in pages, and no further than it must be" {
	local i
	DATA=$T/data
	mkdir -p data/analytics_$P
	for ((i = 0; i < 1100; i++)); do
		: >data/analytics_$P/events_"$(date -u -d "2023-11-01 + $i days" +%Y%m%d)".ndjson
	done
	start
	run -65 --separate-stderr export_days --since 2026-11-08 --until 2026-11-09
	run -65 export_days --date 2026-11-08
	assert_equal "$(requests 'GET .*/tables$')" 2
	run -0 --separate-stderr export_days --since 2023-10-31 --until 2023-11-01
	[[ $stderr == *"begins with 2023-11-01"* ]]
	assert_equal "$(requests 'GET .*/tables$')" 4
	# the least counts, wherever it stands
	sim_stop
	fault "{\"match\":\"GET */tables[?]\",\"nth\":1,\"do\":\"body\",\"body\":{\"tables\":[{\"tableReference\":{\"tableId\":\"events_intraday_20240105\"}},{\"tableReference\":{\"tableId\":\"users_20200101\"}},{\"x\":1}],\"nextPageToken\":\"1000\"}}"
	start
	run -0 --separate-stderr export_days --since 2023-10-31 --until 2023-10-31
	[[ $stderr == *"begins with 2024-01-05"* ]]
	sim_stop
	rm .sim.faults
	fault "{\"match\":\"GET */tables[?]\",\"times\":0,\"do\":\"status\",\"status\":503}"
	start
	run -75 --separate-stderr export_days --since 2023-10-31 --until 2023-10-31
	ends <<<"$output" | grep -q '"outcome":"failed","class":"transient"'
	sim_stop
	rm .sim.faults
	fault "{\"match\":\"GET */tables[?]\",\"times\":0,\"do\":\"status\",\"status\":403,\"body\":{\"error\":{\"code\":403,\"errors\":[{\"reason\":\"accessDenied\"}]}}}"
	start
	run -77 --separate-stderr export_days --since 2023-10-31 --until 2023-10-31
	[[ $stderr == *"bigquery.tables.list is missing"* ]]
}

@test "an export without any day waits for yesterday, and names the link" {
	local y
	DATA=$T/data
	mkdir -p data/analytics_$P
	y=$(TZ=Europe/Stockholm date -d '-1 day' +%F)
	start
	run -4 --separate-stderr export_days --days 7
	assert_equal "$(begins <<<"$output" | jq -r .date)" "$y"
	assert_equal "$(ends <<<"$output" | jq -r .outcome)" not_ready
	[[ $stderr == *"analytics_$P: no table of any day yet: in Google Analytics, Admin, BigQuery links, is there a link"* ]]
	run -4 export_days --date "$y"
	run -65 --separate-stderr export_days --date 2026-11-01
	[[ $stderr == *"no table of any day"* ]]
}

@test "takes one of daily, fresh and intraday, and says which" {
	local day compact n
	DATA=$T/data
	mkdir -p data/analytics_$P
	day=$(date -u -d '-1 day' +%F) compact=$(date -u -d '-1 day' +%Y%m%d)
	cp "$D/analytics_$P/events_20261110.ndjson" \
		data/analytics_$P/events_intraday_"$compact".ndjson
	start --set bq_page_bytes=9000
	run -4 export_days --date "$day"
	assert_output --partial not_ready
	export_days --date "$day" --intraday-after 1 >out
	assert_equal "$(begins out | jq -c .quality)" '{"table":"intraday"}'
	assert_equal "$(ends out | jq -r .outcome)" partial
	cmp "$D/analytics_$P/events_20261110.ndjson" <(rows out)

	# a property over a million events a day: never a daily table; its live
	# one is taken for whole once no more can come
	for n in 2 3; do
		cp data/analytics_$P/events_intraday_"$compact".ndjson \
			data/analytics_$P/events_intraday_"$(TZ=Europe/Stockholm date -d "-$n day" +%Y%m%d)".ndjson
	done
	run -4 export_days --date "$(TZ=Europe/Stockholm date -d '-2 day' +%F)"
	export_days --date "$(TZ=Europe/Stockholm date -d '-3 day' +%F)" >out
	assert_equal "$(begins out | jq -c .quality)" '{"table":"intraday"}'
	assert_equal "$(ends out | jq -r .outcome)" complete
	cp data/analytics_$P/events_intraday_"$compact".ndjson \
		data/analytics_$P/events_intraday_20261110.ndjson
	export_days --date 2026-11-10 >out
	assert_equal "$(begins out | jq -r .table)" events_intraday_20261110
	assert_equal "$(ends out | jq -r .outcome)" complete

	head -n 3 "$D/analytics_$P/events_20261111.ndjson" \
		>data/analytics_$P/events_fresh_20261110.ndjson
	export_days --date 2026-11-10 --fresh >out
	assert_equal "$(begins out | jq -c .quality)" '{"table":"fresh"}'
	assert_equal "$(rows out | wc -l)" 3

	head -n 2 "$D/analytics_$P/events_20261111.ndjson" \
		>data/analytics_$P/events_20261110.ndjson
	export_days --date 2026-11-10 --fresh --intraday-after 0 >out
	assert_equal "$(begins out | jq -c '[.table, .quality]')" \
		'["events_20261110",null]'
	assert_equal "$(rows out | wc -l)" 2
	: >data/analytics_$P/events_20261110.ndjson
	export_days --date 2026-11-10 >out
	assert_equal "$(ends out | jq -r .outcome)" empty
}

@test "days that did not change are left out, and sealed only by --commit" {
	DATA=$T/data
	cp -R "$D" data
	start
	days() { export_days --since 2026-11-10 --until 2026-11-13 --state st "$@"; }
	days >one
	[ ! -e st ]
	days >two
	cmp one two || cmp <(rows one) <(rows two)
	fetch-ga4 --commit --state st
	fetch-ga4 --commit --state st
	run --separate-stderr days
	assert_success
	assert_output ""
	assert_equal "$(requests 'GET .*/data$')" 8

	# a late hit
	tail -n 1 "$D/analytics_$P/events_20261110.ndjson" \
		>>data/analytics_$P/events_20261111.ndjson
	days --quiet >out
	assert_equal "$(begins out | jq -r .date)" 2026-11-11
	cmp data/analytics_$P/events_20261111.ndjson <(rows out)
	days --quiet >out
	assert_equal "$(begins out | jq -r .date)" 2026-11-11
	fetch-ga4 --commit --state st
	run -0 days --quiet
	assert_output ""
	assert_equal "$(stat -c %a st)" 600
}

@test "a state that is damaged, of another property or no file is refused" {
	start
	export_days --date 2026-11-10 --state st >one
	fetch-ga4 --commit --state st
	cp st good
	sed -i 's/"rows":/"rows": /' st
	run -65 --separate-stderr export_days --date 2026-11-10 --state st
	[[ $stderr == *"st: damaged"* ]]
	: >st
	run -65 export_days --date 2026-11-10 --state st
	head -c 100 good >st
	run -65 export_days --date 2026-11-10 --state st
	cp good st
	P=398765432 run -65 --separate-stderr export_days --date 2026-11-10 --state st
	rm st && ln -s good st
	run -73 export_days --date 2026-11-10 --state st
	rm st && mkfifo st
	run -73 export_days --date 2026-11-10 --state st
	assert_equal "$(requests 'GET .*/data$')" 1
}

@test "a state that cannot be written leaves the old one as it was" {
	skip_if_san "the faults are of the plain build"
	local what
	start
	export_days --date 2026-11-10 --state st >one
	fetch-ga4 --commit --state st
	cp st old
	export_days --since 2026-11-10 --until 2026-11-11 --state st >one
	for what in write:1:ENOSPC fsync:1:EIO rename:1:EIO; do
		FAULT_PATH=st run -74 with_fault "$what" \
			fetch-ga4 --commit --state st
		cmp st old
		[ -e st.next ]
	done
	fetch-ga4 --commit --state st
	run -1 cmp -s st old
}

@test "a table that changes while it is read is no whole day" {
	fault "{\"match\":\"$DATA_CALL\",\"nth\":2,\"do\":\"body\",\"body\":{\"totalRows\":\"1\",\"rows\":[]}}"
	fault '{"match":"GET */tables/events_20261111[?]","nth":2,"do":"body","body":{"numRows":"1","lastModifiedTime":"5","etag":"x","schema":{"fields":[]}}}'
	start
	run -3 --separate-stderr export_days --since 2026-11-10 \
		--until 2026-11-12 --page-size 20
	assert_equal "$(ends <<<"$output" | jq -r '"\(.outcome) \(.class)"' | paste -sd,)" \
		"failed transient,failed transient,complete null"
	[[ $stderr == *"2026-11-10: the table changed while it was read"* ]]
	[[ $stderr == *"2026-11-11: the table changed while it was read"* ]]
}

# A reset of a connection that was used before is tried again by libcurl itself.
@test "every fault of the service has its status, its requests, no partial page" {
	local n=0 spec want requests out
	while IFS=$'\t' read -r want requests spec; do
		rm -f .sim.faults
		fault "{\"match\":\"$DATA_CALL\",$spec}"
		start
		run -"$want" --separate-stderr export_days --date 2026-11-10 \
			--stall-timeout 1 --max-body 4M
		out=$(rows <<<"$output" | wc -l)
		assert_equal "$n: $(requests 'GET .*/data$')" "$n: $requests"
		if ((want == 0)); then
			cmp "$D/analytics_$P/events_20261110.ndjson" \
				<(rows <<<"$output")
		else
			assert_equal "$out" 0
			ends <<<"$output" | grep -q '"outcome":"failed"'
		fi
		[[ $stderr != *ya29* && $output != *ya29* ]]
		sim_stop
		n=$((n + 1))
	done <<-'E'
	0	2	"do":"status","status":503,"headers":{"Retry-After":"1"}
	0	2	"do":"status","status":429,"headers":{"Retry-After":"soon"}
	75	1	"do":"status","status":503,"headers":{"Retry-After":"86400"}
	75	5	"times":0,"do":"status","status":502,"body":"<html>"
	0	2	"do":"status","status":403,"body":{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}]}}
	75	1	"do":"status","status":403,"body":{"error":{"code":403,"errors":[{"reason":"quotaExceeded"}]}}
	77	1	"do":"status","status":403,"body":{"error":{"code":403,"errors":[{"reason":"accessDenied"}]}}
	0	2	"do":"status","status":400,"body":{"error":{"code":400,"errors":[{"reason":"tableUnavailable"}]}}
	65	1	"do":"status","status":400,"body":{"error":{"code":400,"errors":[{"reason":"invalid"}],"message":"no"}}
	0	2	"do":"expire"
	77	2	"times":0,"do":"expire"
	65	1	"do":"status","status":302,"headers":{"Location":"https://evil.example/"}
	65	2	"times":0,"do":"html"
	0	2	"do":"html"
	0	2	"do":"body","body":"{\"totalRows\":\"9\",\"rows\":[{\"f\":["
	0	2	"do":"body","body":"[]"
	65	1	"do":"body","body":"{\"totalRows\":\"9\",\"rows\":[],\"rows\":[]}"
	65	1	"do":"body","body":"{\"rows\":[{\"f\":[{\"v\":NaN}]}]}"
	0	2	"do":"cut"
	0	2	"do":"reset"
	75	6	"times":0,"do":"reset"
	0	1	"do":"gzip","members":3
	0	2	"do":"gzipcut"
	65	1	"do":"bigbody","size":8000000,"gzip":true
	E
}

@test "a dataset or project that is not there, or not ours" {
	start
	P=999 run -65 --separate-stderr export_days --check
	[[ $stderr == *"Not found: Dataset weir-test:analytics_999"* ]]
	P=999 run -65 --separate-stderr export_days --days 2
	[[ $stderr == *"Not found: Dataset weir-test:analytics_999"* ]]
	refute_output --partial not_ready
	run -77 --separate-stderr export_days --check --project other
	[[ $stderr == *"BigQuery Data Viewer"* ]]
	run -0 --separate-stderr export_days --check
	[[ $stderr == *"location EU"* ]]
	[[ $stderr == *"robot@weir-test"* ]]
	P=999 run -77 --separate-stderr report --check
	[[ $stderr == *"Viewer on the property"* ]]
	run -0 report --check
}

@test "the zone is asked of the property where it is not given" {
	start --set ga4_zone=America/New_York
	fetch-ga4 --export --allow-http --project weir-test --property "$P" \
		--credentials key.json --bigquery-url "$SIM" \
		--data-url "$SIM/ga4" --date 2026-11-10 >out
	assert_equal "$(begins out | jq -r .day_tz)" America/New_York
	run -78 export_days --tz Mars/Olympus
}

@test "keys that are wrong, readable by others or of another account" {
	start
	(umask 077 && key other.pem >key.json)
	run -77 --separate-stderr export_days --date 2026-11-10
	[[ $stderr == *"Invalid JWT Signature"* ]]
	(umask 077 && key key.pem | jq '.client_email = "x@y"' >key.json)
	run -77 export_days --date 2026-11-10
	(umask 077 && key key.pem | jq '.private_key = "x"' >key.json)
	run -78 export_days --date 2026-11-10
	key key.pem >key.json
	chmod 644 key.json
	run -78 --separate-stderr export_days --date 2026-11-10
	[[ $stderr == *"key.json"* ]]
	[[ $stderr != *"PRIVATE KEY"* ]]
	assert_equal "$(requests 'GET .*/data$')" 0
}

@test "a key from the environment, and another account by impersonation" {
	start
	BQ_SA_JSON=$(<key.json) fetch-ga4 --export --allow-http \
		--project weir-test --property "$P" --bigquery-url "$SIM" \
		--tz Europe/Stockholm --date 2026-11-10 >out
	ndjson-part --check out
	export CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS=$SIM/
	run -0 --separate-stderr export_days --check \
		--impersonate reader@weir-test.iam.gserviceaccount.com
	[[ $stderr == *"as reader@weir-test"* ]]
	assert_equal "$(requests 'POST /v1/projects/-/serviceAccounts/')" 1
}

@test "users and the metadata server give tokens too" {
	start --set google_user=refresh-1
	(umask 077 && jq -n --arg u "$SIM/google-token" '{type: "authorized_user",
		client_id: "c", client_secret: "s", refresh_token: "refresh-1",
		token_uri: $u}' >key.json)
	export_days --token-url "$SIM/google-token" --date 2026-11-10 >out
	ndjson-part --check out
	(umask 077 && jq '.refresh_token = "gone"' key.json >k2)
	run -77 export_days --credentials k2 --token-url "$SIM/google-token" \
		--date 2026-11-10
	export GCE_METADATA_HOST=${SIM#http://}
	fetch-ga4 --export --allow-http --project weir-test --property "$P" \
		--bigquery-url "$SIM" --tz Europe/Stockholm \
		--date 2026-11-10 >out
	ndjson-part --check out
}

@test "a token that ends in the middle of a run is had anew at the same page" {
	fault "{\"match\":\"$DATA_CALL\",\"nth\":3,\"do\":\"expire\"}"
	start
	export_days --date 2026-11-10 --page-size 20 --parallel 1 >out
	cmp "$D/analytics_$P/events_20261110.ndjson" <(rows out)
	assert_equal "$(requests 'POST /google-token')" 2
}

@test "a report: dimensions and metrics by name, pages in order" {
	start
	report --dimensions date,platform,sessionCampaignName \
		--metrics sessions,totalRevenue --since 2026-11-10 \
		--until 2026-11-11 --page-size 4 >out
	ndjson-part --check out
	assert_equal "$(rows out | wc -l)" 18
	assert_equal "$(rows out | jq -c 'keys_unsorted' | sort -u)" \
		'["date","platform","sessionCampaignName","sessions","totalRevenue"]'
	assert_equal "$(rows out | jq -r '.date' | sort | uniq -c | tr -s ' ' | paste -sd,)" \
		" 9 2026-11-10, 9 2026-11-11"
	assert_equal "$(rows out | jq -r '.sessionCampaignName' | sort -u | tail -n 1)" \
		'host "2026" <b>'
	# in a total order: pages of another one would overlap
	diff <(rows out) <(rows out | LC_ALL=C sort)
	assert_equal "$(requests 'POST /ga4')" 6
	report --dimensions date,platform,sessionCampaignName \
		--metrics sessions,totalRevenue --since 2026-11-10 \
		--until 2026-11-11 >two
	cmp <(rows out) <(rows two)
	assert_equal "$(begins out | jq -r .feed | head -n 1)" "$P.report"
}

@test "restated days of the export: those and no others change" {
	start
	export_days --since 2026-11-10 --until 2026-11-13 --state st >one
	fetch-ga4 --commit --state st
	sim_stop
	start --set ga4_restate=2026-11-11,2026-11-13
	export_days --since 2026-11-10 --until 2026-11-13 --state st >two 2>err
	assert_equal "$(begins two | jq -r .date)" $'2026-11-11\n2026-11-13'
	[ "$(grep -c unchanged err)" = 2 ]
	# more rows, and all that were there
	[ "$(comm -23 <(rows one | grep -E '"event_date":"202611(11|13)"' | sort) <(rows two | sort) | wc -l)" = 0 ]
	[ "$(rows two | wc -l)" -gt "$(rows one | grep -cE '"event_date":"202611(11|13)"')" ]
	# loaded, and nothing changed since: no output, and that is no failure
	fetch-ga4 --commit --state st
	run -0 --separate-stderr export_days --since 2026-11-10 --until 2026-11-13 --state st --quiet
	assert_output ''
	[ -z "$stderr" ]
}

@test "--check goes the way of a run, and names the right that is missing" {
	local match right
	start
	run -0 --separate-stderr export_days --check
	assert_output ''
	[[ $stderr == *"analytics_$P: can be read, location EU, 4 days and 0 live ones from 2026-11-10 to 2026-11-13"* ]]
	[ "$(requests 'GET /bigquery/v2/projects/weir-test/datasets/analytics_412345678/tables/events_20261113/data')" = 1 ]
	while read -r match right; do
		sim_stop
		rm -f .sim.faults
		fault "{\"match\":\"GET $match\",\"times\":0,\"do\":\"status\",\"status\":403,\"body\":{\"error\":{\"code\":403,\"message\":\"Access Denied\",\"errors\":[{\"reason\":\"accessDenied\",\"message\":\"Access Denied\"}]}}}"
		start
		run -77 --separate-stderr export_days --check
		[[ $stderr == *"the right $right is missing"* ]]
	done <<-'E'
		*/datasets/analytics_412345678[?] bigquery.datasets.get
		*/tables[?] bigquery.tables.list
		*/tables/events_20261113[?] bigquery.tables.get
		*/tables/events_20261113/data bigquery.tables.getData
	E
	sim_stop
	rm -f .sim.faults
	fault '{"match":"GET /ga4/","nth":1,"do":"status","status":403,"body":{"error":{"code":403,"status":"PERMISSION_DENIED","message":"Google Analytics Data API has not been used in project 5 before or it is disabled."}}}' \
		'{"match":"GET /ga4/","nth":2,"do":"status","status":403,"body":{"error":{"code":403,"status":"PERMISSION_DENIED","message":"User does not have sufficient permissions for this property."}}}'
	start
	run -77 report --check
	assert_line --partial 'Data API switched on'
	run -77 report --check
	assert_line --partial 'role Viewer'
	run -0 report --check
	DATA=$T/empty
	mkdir empty
	sim_stop
	start
	run -0 --separate-stderr export_days --check
	[[ $stderr == *"it has no days yet"* ]]
}

@test "what the service says of the quality stands in the begin record" {
	start --set ga4_threshold=1 --set ga4_sampled=1 --set ga4_other=1
	report --dimensions platform --metrics activeUsers --date 2026-11-10 >out
	assert_equal "$(begins out | jq -c .quality)" \
		'{"data_loss_from_other_row":true,"subject_to_thresholding":true,"sampling":[{"samplesReadCount":"500","samplingSpaceSize":"1000"}]}'
}

@test "the quota is shown and obeyed, and one that is spent is not asked again" {
	start --set ga4_tokens=112
	run -3 --separate-stderr fetch-ga4 --report --allow-http --property "$P" \
		--credentials key.json --data-url "$SIM/ga4" --backoff 1 \
		--tz Europe/Stockholm --metrics sessions --since 2026-11-01 \
		--until 2026-11-06
	[[ $stderr == *"quota: 102 tokens left today"* ]]
	[[ $stderr == *"--reserve keeps 100"* ]]
	assert_equal "$(requests 'POST /ga4')" 3
	assert_equal "$(ends <<<"$output" | grep -c '"class":"transient"')" 3
	sim_stop
	start --set ga4_tokens=3
	run -75 --separate-stderr report --metrics sessions --date 2026-11-10
	[[ $stderr == *"Exhausted property tokens"* ]]
	assert_equal "$(requests 'POST /ga4')" 1
}

@test "errors of the Data API are counted there: after one day of them no other is asked for" {
	fault '{"match":"POST /ga4/","times":0,"do":"status","status":500}'
	start
	run -75 --separate-stderr report --metrics sessions \
		--since 2026-11-10 --until 2026-11-13
	assert_equal "$(requests 'POST /ga4')" 5
	assert_equal "$(ends <<<"$output" | grep -c '"outcome":"failed","class":"transient"')" 4
	[[ $stderr == *"2026-11-13: the service had errors, and counts them: not asked"* ]]
}

@test "a report without rows, of today, with a name nobody knows" {
	start --set ga4_empty=1
	report --metrics sessions --date 2026-11-10 >out
	assert_equal "$(ends out)" '{"@stream":"end","records":0,"outcome":"empty"}'
	run -4 report --metrics sessions --date "$(date -u -d '+2 day' +%F)"
	run -65 --separate-stderr report --metrics sesions --date 2026-11-10
	[[ $stderr == *"sesions is not a valid metric"* ]]
	run -64 report --dimensions date
	run -64 report --metrics 'a,b"c'
}

@test "a report whose answer is not what was agreed prints no row" {
	local n=0 spec want
	while IFS=$'\t' read -r want spec; do
		rm -f .sim.faults
		fault "{\"match\":\"POST /ga4\",\"times\":0,\"do\":\"body\",\"body\":$spec}"
		start
		run -"$want" --separate-stderr report --metrics sessions \
			--dimensions date --date 2026-11-10
		assert_equal "$n: $(rows <<<"$output")" "$n: "
		sim_stop
		n=$((n + 1))
	done <<-'E'
	65	"{"
	65	{"rowCount":1,"metricHeaders":[{"name":"sessions"}],"rows":[{"metricValues":[{"value":"1"},{"value":"2"}]}]}
	65	{"rowCount":1,"dimensionHeaders":[{"name":"date"}],"metricHeaders":[{"name":"sessions"}],"rows":[{"dimensionValues":[{"value":"20261111"}],"metricValues":[{"value":"1"}]}]}
	65	{"rowCount":2,"dimensionHeaders":[{"name":"date"}],"metricHeaders":[{"name":"sessions"}]}
	65	{"rowCount":-2}
	75	{"error":{"code":503,"message":"later","status":"UNAVAILABLE"}}
	E
}

@test "a recording gives the same bytes again, offline and without a key" {
	start
	export_days --since 2026-11-10 --until 2026-11-12 --page-size 30 \
		--record rec >one
	sim_stop
	rm key.json
	run grep -rlE 'ya29|PRIVATE|assertion' rec
	assert_output ""
	fetch-ga4 --export --project weir-test --property "$P" --allow-http \
		--bigquery-url "$SIM" --tz Europe/Stockholm --since 2026-11-10 \
		--until 2026-11-12 --page-size 30 --replay rec >two
	cmp one two
}

@test "killed at any moment and run again: the same days, nothing sealed" {
	local ms
	fault "{\"match\":\"$DATA_CALL\",\"times\":0,\"do\":\"slow\",\"ms\":15}"
	start
	all() {
		exec fetch-ga4 --export --allow-http --project weir-test \
			--property "$P" --credentials key.json --quiet \
			--bigquery-url "$SIM" --tz Europe/Stockholm \
			--since 2026-11-10 --until 2026-11-13 \
			--page-size 40 --state st
	}
	for ms in 5 20 40 60 80 100 130; do
		all >cut &
		sleep "0.$(printf %03d "$ms")"
		kill -9 $! 2>/dev/null || :
		wait $! || :
		[ ! -e st ]
		run -66 ndjson-part --check cut || run -0 ndjson-part --check cut
	done
	(all) >whole
	cat "$D/analytics_$P"/*.ndjson | cmp - <(rows whole)
	run ls -A
	refute_output --partial .tmp
}

@test "killed at random moments and run again: all of it once in the raw layer" {
	skip_if_san
	fault_so >/dev/null
	run -0 "$ROOT/test/soak-fetch" fetch-ga4 $((${WEIR_SOAK:+95} + 5)) 7
}

@test "SIGTERM leaves the day without an end" {
	fault "{\"match\":\"$DATA_CALL\",\"times\":0,\"do\":\"slow\",\"ms\":3000}"
	start
	fetch-ga4 --export --allow-http --project weir-test --property "$P" \
		--credentials key.json --bigquery-url "$SIM" \
		--tz Europe/Stockholm --date 2026-11-10 >out &
	local pid=$! rc=0
	sleep 0.5
	kill "$pid"
	wait "$pid" || rc=$?
	assert_equal $rc 143
	run ends out
	assert_output ""
}

@test "a full disk, a closed stdout and a reader that went away are 74" {
	start
	run -74 --separate-stderr bash -c 'fetch-ga4 "$@" >/dev/full' - --export \
		--allow-http --project weir-test --property "$P" \
		--credentials key.json --bigquery-url "$SIM" \
		--tz Europe/Stockholm --date 2026-11-10 --state st
	[ ! -e st.next ]
	run -74 bash -c 'fetch-ga4 "$@" >&-' - --export \
		--allow-http --project weir-test --property "$P" \
		--credentials key.json --bigquery-url "$SIM" \
		--tz Europe/Stockholm --date 2026-11-10
	run -74 bash -c 'fetch-ga4 --help >/dev/full'
	run -0 fetch-ga4 --version
	run -64 fetch-ga4 --export
	run -64 fetch-ga4 --token x
}

@test "memory stays under 64 MiB, whatever the page" {
	skip_if_san "its memory is another"
	local i f=$D/analytics_$P/events_20261110.ndjson
	DATA=$T/data
	mkdir -p data/analytics_$P
	for ((i = 0; i < 120; i++)); do
		cat "$f"
	done >data/analytics_$P/events_20261110.ndjson
	start --set bq_page_bytes=200000000
	(
		ulimit -v 262144
		/usr/bin/env time -f %M -o rss fetch-ga4 --export --allow-http \
			--project weir-test --property "$P" --quiet \
			--credentials key.json --bigquery-url "$SIM" \
			--tz Europe/Stockholm --date 2026-11-10 \
			--page-size 250000 >out
	)
	cmp data/analytics_$P/events_20261110.ndjson <(rows out)
	echo "$(size_of out) bytes, $(cat rss) KiB"
	[ "$(cat rss)" -lt 65536 ]
}
