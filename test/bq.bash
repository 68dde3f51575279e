# Tests that load into the stand-in of BigQuery: `load bq` after helper and sim.
#
#   bq_key_file    once a file: the key of the service account
#   bq_setup       in setup(): the environment and ${BQ[@]}, the options
#   bq_sim [...]   starts weir-sim
#   start [...]    the same, and --setup
#
# shellcheck shell=bash

bq_key_file() {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		2>/dev/null >"$BATS_FILE_TMPDIR/key.pem"
}

bq_setup() {
	unset GOOGLE_APPLICATION_CREDENTIALS BQ_SA_JSON GCE_METADATA_HOST \
		BQ_PROJECT BQ_DATASET BQ_OPS_DATASET BIGQUERY_EMULATOR_HOST
	export HOME=$BATS_TEST_TMPDIR BQ_LOCATION=EU \
		GOOGLE_CLOUD_PROJECT=weir-test
}

bq_sim() {
	sim_start --set google_sa="$BATS_TEST_TMPDIR/key.json" "$@"
	(umask 077 && jq -n --rawfile k "$BATS_FILE_TMPDIR/key.pem" \
		--arg u "$SIM/google-token" '
		{type: "service_account", project_id: "weir-test",
		 private_key_id: "k1", private_key: $k, token_uri: $u,
		 client_email: "robot@weir-test.iam.gserviceaccount.com"}' \
		>key.json)
	BQ=(--credentials key.json --bigquery-url "$SIM" --allow-http
		--backoff "${BACKOFF:-1}")
}

start() {
	bq_sim "$@"
	bql --setup >/dev/null
}

bql() {
	bq-load "${BQ[@]}" "$@"
}

loader() { # for loader.bash
	bql "$@"
}

q() {
	bq-query "${BQ[@]}" --quiet "$@"
}

# A partition that is over 8 MiB when it is packed.
BIG=10000
big() {
	echo '{"@stream":"begin","v":1,"source_system":"ga4","feed":"big","date":"2026-11-19","day_tz":"UTC","run_id":"r1"}'
	openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null |
		base64 -w 1200 | head -n $BIG |
		awk '{ printf "{\"date\":\"2026-11-19\",\"app_id\":\"big\",\"platform\":\"web\",\"source_system\":\"ga4\",\"metric\":\"m%d\",\"segment\":\"%s\",\"value\":%d}\n", NR, $1, NR }'
	echo '{"@stream":"end","records":'$BIG',"outcome":"complete"}'
}

values() {
	q 'SELECT feed, metric, value, generation
	    FROM `analytics_core.fact_kpi_daily_live`
	    ORDER BY feed, metric, CAST(value AS STRING)' |
		jq -r '"\(.feed) \(.metric)=\(.value) g\(.generation)"'
}

states() {
	q 'SELECT generation, state FROM `analytics_ops.batches`
	    ORDER BY batch_id, generation' | jq -r '"\(.generation) \(.state)"'
}

quality() {
	q 'SELECT quality FROM `analytics_core.kpi_daily`' | jq -r .quality
}

count() { # TABLE of analytics_ops
	q "SELECT COUNT(*) AS n FROM \`analytics_ops.$1\`" | jq .n
}

# How many load jobs there are that did not fail, and how many stage tables.
loads() {
	api "/jobs?projection=full&allUsers=true&maxResults=1000" |
		jq '[.jobs[]? | select(.configuration.load and
		    (.errorResult | not))] | length'
}
stages() {
	api '/datasets/analytics_ops/tables?maxResults=1000' |
		jq '[.tables[]? | select(.tableReference.tableId | startswith("stage_"))] | length'
}
token() {
	curl -s -H 'Metadata-Flavor: Google' \
		"$SIM/computeMetadata/v1/instance/service-accounts/default/token" |
		jq -r .access_token
}
api() { # PATH [curl option ...]: a call of the stand-in
	curl -s -H "Authorization: Bearer $(token)" "${@:2}" \
		"$SIM/bigquery/v2/projects/weir-test$1"
}

# Every table without what is volatile, one line a row.
dump() {
	q --omit-null all 'SELECT table_name, batch_id, generation, source_system, feed,
	    date, state, outcome, row_count, rejected, quality, checksum, fingerprint,
	    input_sha256, replaces_batch, replaces_generation, reason
	    FROM `analytics_ops.batches` ORDER BY batch_id, generation, feed, date'
	q --omit-null all 'SELECT date, app_id, platform, source_system, metric, segment,
	    value, feed, batch_id, generation, quality,
	    CASE WHEN deleted_at IS NULL THEN "" ELSE "gone" END AS gone
	    FROM `analytics_core.fact_kpi_daily`
	    ORDER BY date, feed, batch_id, generation, app_id, metric, segment'
	q --omit-null all 'SELECT feed, date, app_id, metric, segment, cause, old_value,
	    new_value, old_batch, old_generation, new_batch, new_generation, age_days
	    FROM `analytics_ops.restatements` ORDER BY date, feed, metric, segment,
	    old_generation, new_generation, cause'
	q --omit-null all 'SELECT batch_id, generation, feed, date, kind, ref
	    FROM `analytics_ops.lineage` ORDER BY batch_id, generation, feed, kind'
}
