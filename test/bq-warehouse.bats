#!/usr/bin/env bats
# BigQuery's tools against the stand-in of the service: queries, changes, faults
# on the way, and the same records out of both warehouses.

bats_require_minimum_version 1.5.0
load helper
load sim

setup_file() {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >"$BATS_FILE_TMPDIR/key.pem"
}

setup() {
	weir_setup
	unset GOOGLE_APPLICATION_CREDENTIALS BQ_SA_JSON GCE_METADATA_HOST \
		GOOGLE_CLOUD_PROJECT BQ_PROJECT BIGQUERY_EMULATOR_HOST \
		NO_GCE_CHECK BQ_DATASET BQ_OPS_DATASET
	export HOME=$T BQ_LOCATION=EU
}

start() {
	sim_start --set google_sa="$T/key.json" "$@"
	(umask 077 && jq -n --rawfile k "$BATS_FILE_TMPDIR/key.pem" \
		--arg u "$SIM/google-token" '
		{type: "service_account", project_id: "weir-test",
		 private_key_id: "k1", private_key: $k, token_uri: $u,
		 client_email: "robot@weir-test.iam.gserviceaccount.com"}' >key.json)
	NET=(--allow-http --backoff 1 --credentials key.json
		--bigquery-url "$SIM" --quiet)
}

ask() { bq-query "${NET[@]}" "$@"; }
put() { bq-load "${NET[@]}" --state "$T" "$@"; }
make_datasets() {
	put --setup --apps "$ROOT/conf/apps.jq" >/dev/null
}
JOBS=/bigquery/v2/projects/weir-test/jobs

@test "the project is the key's, the location the dataset's" {
	start
	make_datasets
	unset BQ_LOCATION
	run --separate-stderr bq-query "${NET[@]}" --check
	assert_success
	assert_equal "$stderr" "bq-query: --check: service account robot@weir-test.iam.gserviceaccount.com; project weir-test, dataset analytics_core in EU"
	ask 'SELECT app_id FROM `analytics_core.dim_apps` ORDER BY app_id' >got
	assert_equal "$(<got)" '{"app_id":"betet"}
{"app_id":"flocken"}'
	assert_equal "$(jq -c 'select(.path | test("/jobs/|/queries/")) |
		.query.location' "$SIM_LOG" | sort -u)" '"EU"'
}

@test "a key that the service does not know ends with 77, and is not shown" {
	start
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >other.pem
	(umask 077 && jq --rawfile k other.pem '.private_key = $k' key.json >bad.json)
	run -77 --separate-stderr bq-query --allow-http --backoff 1 \
		--credentials bad.json --bigquery-url "$SIM" 'SELECT 1'
	[[ $stderr != *PRIVATE* ]]
}

@test "a change and its run: once, whatever is asked again" {
	start
	make_datasets
	local sql='INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES (@s, "f", "r")'
	RUN_ID=r1 ask --write --param s=meta "$sql" >one
	RUN_ID=r1 ask --write --param s=meta "$sql" >two
	RUN_ID=r1 ask --write --param s=asc "$sql" >three
	RUN_ID=r2 ask --write --param s=meta "$sql" >four
	assert_equal "$(jq -s -c 'map([.found, .inserted])' one two three four)" \
		'[[false,1],[true,1],[false,1],[false,1]]'
	ask 'SELECT source_system, COUNT(*) AS n FROM `analytics_ops.freezes`
	    GROUP BY source_system ORDER BY 1' >got
	assert_equal "$(<got)" '{"source_system":"asc","n":1}
{"source_system":"meta","n":2}'
}

@test "what is refused has its class: 65, 78, 64" {
	start
	make_datasets
	run -65 --separate-stderr ask 'SELECT nope FROM `analytics_core.kpi_daily`'
	[[ $stderr == *"Unrecognized name: nope"* ]]
	run -65 ask 'SELECT * FROM `analytics_core.nope`'
	run -78 ask 'SELECT * FROM `analytics_nope.nope`'
	run -65 ask 'SELECT * FROM `analytics_core.kpi_daily` WHERE date = @d'
	run -64 ask 'DELETE FROM `analytics_ops.freezes` WHERE TRUE'
	run -65 ask --max-bytes-billed 1 'SELECT * FROM `analytics_core.dim_apps`'
	run -65 ask --write --request x 'CREATE TABLE `analytics_core.dim_apps` (a INT64)'
}

@test "jobs that take their time are waited for" {
	start --set bq_polls=4
	put --setup >/dev/null
	ask --write --request a 'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES ("s", "f", "r")' >got
	assert_equal "$(jq -c '[.state, .inserted]' got)" '["done",1]'
}

# What passes, played once on the way of a change and of its rows.
FAULTS_THAT_PASS='"do":"status","status":503
"do":"status","status":429,"headers":{"Retry-After":"1"}
"do":"status","status":403,"body":{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}]}}
"do":"html"
"do":"body","body":"{\"jobReference\":"
"do":"reset"
"do":"cut"
"do":"gzipcut"
"do":"expire"'

@test "faults on the way change nothing: done once, told whole" {
	local what match nth do setup n=0
	start
	put --setup >/dev/null
	setup=$(requests "POST $JOBS")
	sim_stop
	# the insert after its dry run, a poll, a page of rows
	while read -r match nth; do
		while IFS= read -r do; do
			rm -f .sim.faults
			fault "{\"match\":\"$match\",\"nth\":$nth,$do}"
			start --set bq_polls=1
			put --setup >/dev/null
			what="$match $nth $do"
			run --separate-stderr ask --write --request x --max-wait 2 \
				'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES ("s", "f", "r")'
			assert_equal "$what: $status" "$what: 0"
			assert_equal "$what: $(jq .inserted <<<"$output")" "$what: 1"
			run --separate-stderr ask 'SELECT feed FROM `analytics_ops.freezes`'
			assert_equal "$what: $status $output" "$what: 0 {\"feed\":\"f\"}"
			assert_equal "$(jq -r 'select(.fault != null) | .fault' \
				"$SIM_LOG" | wc -l) $what" "1 $what"
			sim_stop
			n=$((n + 1))
		done <<<"$FAULTS_THAT_PASS"
	done <<-END
		POST*$JOBS[?] $((setup + 2))
		GET*$JOBS/bqquery_ 1
		GET*/queries/bqquery_ 2
	END
	assert_equal "$n" 27
}

@test "what does not pass ends with its class, and no row is printed" {
	local rc n do
	while IFS=$'\t' read -r rc n do; do
		rm -f .sim.faults
		fault "{\"match\":\"GET*/queries/bqquery_\",\"nth\":2,$do}"
		start
		put --setup --apps "$ROOT/conf/apps.jq" >/dev/null
		run --separate-stderr ask --max-wait 2 --max-body 1M 'SELECT app_id FROM `analytics_core.dim_apps`'
		assert_equal "$do: $status" "$do: $rc"
		refute_output
		# the shape of the rows, then tries of the page
		assert_equal "$do: $(requests GET.*/queries/)" "$do: $((n + 1))"
		[[ $stderr != *ya29* ]]
		sim_stop
	done <<-'END'
		75	1	"do":"status","status":503,"headers":{"Retry-After":"86400"}
		75	5	"times":0,"do":"status","status":502,"body":"<html>"
		75	1	"do":"status","status":403,"body":{"error":{"code":403,"errors":[{"reason":"quotaExceeded"}]}}
		77	1	"do":"status","status":403,"body":{"error":{"code":403,"errors":[{"reason":"accessDenied"}]}}
		77	2	"times":0,"do":"expire"
		65	1	"do":"status","status":302,"headers":{"Location":"https://evil.example/"}
		65	1	"do":"status","status":400,"body":{"error":{"code":400,"errors":[{"reason":"invalid"}],"message":"no"}}
		65	2	"times":0,"do":"html"
		65	1	"do":"body","body":"{\"rows\":[{\"f\":[{\"v\":NaN}]}]}"
		65	1	"do":"body","body":"{\"rows\":[{\"f\":[{\"v\":\"a\"},{\"v\":\"b\"}]}]}"
		65	1	"do":"body","body":"{\"rows\":[]}"
		65	1	"do":"bigbody","size":4000000
		75	5	"times":0,"do":"cut"
	END
}

@test "killed at each of its requests and run again: done once" {
	local before k pid i
	start --set bq_polls=2
	put --setup >/dev/null
	before=$(wc -l <"$SIM_LOG")
	sim_stop
	for k in {1..8}; do
		rm -f .sim.faults
		# whatever the k-th request of the change is, it takes its time
		fault "{\"match\":\"\",\"nth\":$((before + k)),\"do\":\"slow\",\"ms\":700}"
		start --set bq_polls=2
		put --setup >/dev/null
		RUN_ID=r1 bq-query "${NET[@]}" --write 'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES ("s", "f", "r")' >out 2>err 3>&- &
		pid=$!
		for ((i = 0; i < 500; i++)); do
			(($(wc -l <"$SIM_LOG") < before + k)) || break
			kill -0 $pid 2>/dev/null || break
			sleep 0.02
		done
		kill -9 $pid 2>/dev/null || :
		wait $pid || :
		RUN_ID=r1 ask --write 'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES ("s", "f", "r")' >out
		assert_equal "$k $(jq .inserted out)" "$k 1"
		ask 'SELECT COUNT(*) AS n FROM `analytics_ops.freezes`' >out
		assert_equal "$k $(<out)" "$k {\"n\":1}"
		sim_stop
	done
}

@test "a signal ends the wait, the job goes on, and the same run takes it up" {
	local pid i
	start --set bq_polls=8
	make_datasets
	RUN_ID=r1 bq-query "${NET[@]}" --backoff 100 --write 'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES ("s", "f", "r")' >out 2>err 3>&- &
	pid=$!
	for ((i = 0; i < 500; i++)); do
		(($(requests "GET $JOBS/bqquery_") == 0)) || break
		sleep 0.02
	done
	kill -TERM $pid
	i=0
	wait $pid || i=$?
	assert_equal "$i" 143
	[[ ! -s out ]]
	grep -q 'interrupted; job bqquery_[0-9a-f]* goes on' err
	RUN_ID=r1 ask --write 'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES ("s", "f", "r")' >out
	assert_equal "$(jq -c '[.found, .inserted]' out)" '[true,1]'
}

@test "rows come in pages, all and in order, and a cut page is asked again" {
	start --set bq_page_bytes=2000
	make_datasets
	{
		printf 'INSERT INTO `analytics_ops.freezes` (source_system, feed, reason) VALUES '
		for i in {1000..1299}; do
			printf '("s", "f%d", "a reason of some length")' "$i"
			[[ $i == 1299 ]] || printf ', '
		done
	} >insert.sql
	ask --write --request i --file insert.sql >/dev/null
	ask 'SELECT feed FROM `analytics_ops.freezes` ORDER BY feed' >got
	printf '{"feed":"f%d"}\n' {1000..1299} | diff - got
	(($(requests 'GET /bigquery/v2/projects/weir-test/queries/') > 4))
}

# ---- both warehouses ----

B=ga4.412345678.2026-11-19

kpi() { # METRIC VALUE [MEMBERS]: a KPI record
	printf '{"date":"2026-11-19","app_id":"flocken","platform":"web","source_system":"ga4","metric":"%s","segment":"","value":%s,%s"unit":"count","kpi_version":"1","run_id":"r1","quality":%s}\n' \
		"$1" "$2" "${3:-}" "${4:-\"final\"}"
}

@test "KPI records out of both warehouses are the same, byte for byte" {
	start
	make_datasets
	{
		kpi a 0
		kpi b -0.5
		kpi c 12345678901234567890.123456789
		kpi d null
		kpi e 0.3 '"num":3,"den":10,'
		kpi f 9007199254740993
		kpi g 1200 '' '{"outcome":"partial","n":1.50}'
		kpi 'å\"\\x' 100000000000000000000000000000
		kpi h 0.00000001
	} | ndjson-part --source ga4 --feed 412345678 --date 2026-11-19 -- cat >in
	put --table fact_kpi_daily <in >/dev/null
	# unpacked, as emulators need it: the same rows
	sed 's/412345678/2/; s/"flocken"/"betet"/' in |
		put --no-gzip --table fact_kpi_daily >/dev/null
	jq -s -e 'map(select(.path | startswith("/upload/")).body) |
		.[-1] > .[-2] + 800' "$SIM_LOG"
	ask 'SELECT COUNT(*) AS n, COUNT(DISTINCT app_id) AS apps FROM `analytics_core.kpi_daily`' >got
	assert_equal "$(<got)" '{"n":18,"apps":2}'
	put --rollback ga4.2.2026-11-19 --reason test >/dev/null
	sqlite-load --db w.db --setup --apps "$ROOT/conf/apps.jq" >/dev/null
	sqlite-load --db w.db --table fact_kpi_daily <in >/dev/null
	ask --json quality --param d:DATE=2026-11-19 \
		'SELECT * FROM `analytics_core.kpi_daily` WHERE date = @d ORDER BY metric' >bq
	sqlite-query --db w.db --param d=2026-11-19 \
		'SELECT * FROM kpi_daily WHERE date = @d ORDER BY metric' >sqlite
	assert_equal "$(wc -l <bq)" 9
	diff bq sqlite
	ask --json quality --omit-null num,den \
		'SELECT * FROM `analytics_core.kpi_daily` ORDER BY metric' >bq
	sqlite-query --db w.db --omit-null num,den \
		'SELECT * FROM kpi_daily ORDER BY metric' | diff bq -
	ask --json platforms,critical_kpis,config \
		'SELECT * FROM `analytics_core.dim_apps` ORDER BY app_id' >bq
	sqlite-query --db w.db 'SELECT * FROM dim_apps ORDER BY app_id' | diff bq -
}
