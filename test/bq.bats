#!/usr/bin/env bats
# Jobs of BigQuery: what is inserted, looked up, waited for and done again. A
# listener gives the answers of each test in their order; bq-query asks.

bats_require_minimum_version 1.5.0
load helper
load raw

setup() {
	raw_setup
	unset GOOGLE_CLOUD_PROJECT BQ_PROJECT BQ_LOCATION BQ_DATASET \
		BQ_OPS_DATASET BIGQUERY_EMULATOR_HOST
	PLACE='200 {"location":"EU"}'
	DRY='200 {"statistics":{"totalBytesProcessed":"1048576",
		"query":{"statementType":"DELETE"}}}'
	PENDING='200 {"status":{"state":"PENDING"},"statistics":{}}'
	RUNNING='200 {"status":{"state":"RUNNING"},"statistics":{}}'
	DONE='200 {"jobReference":{"location":"EU"},"status":{"state":"DONE",
		"errors":[{"reason":"invalid","message":"a warning"}]},
		"statistics":{"totalBytesProcessed":"2048","query":
		{"statementType":"DELETE","totalBytesBilled":"10485760",
		"numDmlAffectedRows":"3","dmlStats":{"deletedRowCount":"3"}}}}'
	EXISTS=$(refusal 409 duplicate 'Already Exists: Job p:EU.x')
	MISSING=$(refusal 404 notFound 'Not found: Job p:x')
}

refusal() { # STATUS REASON MESSAGE: an answer of that error
	jq -cn --argjson c "$1" --arg r "$2" --arg m "$3" '{error: {code: $c,
		message: $m, errors: [{message: $m, domain: "global",
		reason: $r}]}}' | sed "s/^/$1 /"
}

failed() { # REASON MESSAGE: a job that ended so
	jq -cn --arg r "$1" --arg m "$2" '{status: {state: "DONE",
		errorResult: {reason: $r, message: $m}}, statistics: {}}' |
		sed 's/^/200 /'
}

# play ANSWER ...: "STATUS BODY" each
play() {
	local a body
	for a; do
		echo read
		body=$(jq -c . <<<"${a#* }")
		printf 'send HTTP/1.1 %s X\\r\\nContent-Type: application/json' \
			"${a%% *}"
		printf '\\r\\nContent-Length: %d\\r\\n\\r\\n' "${#body}"
		printf 'send %s\n' "${body//\\/\\\\}"
	done | sed 's/\\r\\n\\r\\nsend /\\r\\n\\r\\n/' | raw
}

ask() {
	bq-query --no-auth --allow-http --project p --bigquery-url "$URL" \
		--backoff 1 --quiet "$@"
}
change() {
	ask --write --request r "$@" 'DELETE FROM `analytics_core.t` WHERE true'
}
# The requests as "METHOD path" without parameters, ids as ID, ID_g2 ...
asked() {
	cut -d' ' -f2- "$LOG" | sed -E 's, HTTP/1.*,,; s,\?.*,,
		s,bqquery_[0-9a-f]{64},ID,; s,^([A-Z]+) .*/projects/p,\1 ,'
}
ids() { # of the jobs that were inserted
	grep -ao '"jobId":"bqquery_[^"]*"' "$LOG.full" | cut -d'"' -f4
}

@test "a job is inserted with an id and the location, waited for and told" {
	play "$PLACE" "$DRY" "$PENDING" "$RUNNING" "$DONE"
	run --separate-stderr change
	assert_success
	assert_equal "$(jq -c 'del(.job)' <<<"$output")" '{"location":"EU","state":"done","statement":"DELETE","found":false,"inserted":0,"updated":0,"deleted":3,"rows":3,"bytes_processed":2048,"bytes_billed":10485760}'
	assert_equal "$(asked)" "GET /datasets/analytics_core
POST /jobs
POST /jobs
GET /jobs/ID
GET /jobs/ID"
	[[ $(ids) =~ ^bqquery_[0-9a-f]{64}$ ]]
	grep -q '/jobs/bqquery_.*location=EU' "$LOG"
	grep -aq '"jobReference":{"projectId":"p","jobId":"bqquery_[0-9a-f]*","location":"EU"}' "$LOG.full"
	grep -aq '"useLegacySql":false' "$LOG.full"
	grep -aq '"maximumBytesBilled":"10737418240"' "$LOG.full"
	grep -aq '"query":"DELETE FROM `p.analytics_core.t` WHERE true"' "$LOG.full"
}

@test "the same request has the same id; another text, value or request another" {
	local one
	for one in 1 2 3 4 5; do
		play "$PLACE" "$DRY" "$DONE"
		case $one in
		1 | 2) ask --write --request r --param a=1 'DELETE @a' ;;
		3) ask --write --request r --param a=2 'DELETE @a' ;;
		4) ask --write --request s --param a=1 'DELETE @a' ;;
		5) RUN_ID=r ask --write --param a=1 'DELETE @a' ;;
		esac >/dev/null
		ids >>all
	done
	assert_equal "$(sed -n 1p all)" "$(sed -n 2p all)"
	assert_equal "$(sed -n 1p all)" "$(sed -n 5p all)"
	assert_equal "$(sort -u all | wc -l)" 3
}

@test "a job that is there and done is the answer: nothing is sent again" {
	play "$PLACE" "$DRY" "$EXISTS" "$DONE"
	run --separate-stderr change
	assert_success
	assert_equal "$(jq -c '[.found, .deleted]' <<<"$output")" '[true,3]'
	assert_equal "$(asked | tail -1)" "GET /jobs/ID"
}

@test "a table that is there is another matter than a job that is" {
	play "$PLACE" "$DRY" \
		"$(refusal 409 duplicate 'Already Exists: Table p:d.t')"
	run --separate-stderr change
	assert_equal "$status" 65
	[[ $stderr == *"Already Exists: Table p:d.t"* ]]
}

@test "a job that is there and runs is adopted" {
	play "$PLACE" "$DRY" "$EXISTS" "$RUNNING" "$RUNNING" "$DONE"
	run --separate-stderr change
	assert_success
	assert_equal "$(jq -c .found <<<"$output")" true
	assert_equal "$(grep -c 'POST' "$LOG")" 2
}

@test "a 404 right after the 409 is asked again" {
	play "$PLACE" "$DRY" "$EXISTS" "$MISSING" "$MISSING" "$MISSING" "$DONE"
	run --separate-stderr change
	assert_success
	assert_equal "$(asked | grep -c 'GET /jobs/ID')" 4
}

@test "an id that an earlier run burnt is not used again: _g2, _g3" {
	play "$PLACE" "$DRY" "$EXISTS" "$(failed invalidQuery 'no such table')" \
		"$EXISTS" "$(failed backendError again)" "$DONE"
	run --separate-stderr change
	assert_success
	assert_equal "$(ids | sed -E 's/bqquery_[0-9a-f]{64}/ID/' | xargs)" \
		"ID ID_g2 ID_g3"
	[[ $(jq -r .job <<<"$output") == *_g3 ]]
}

@test "an error that passes makes the next generation, three times at most" {
	play "$PLACE" "$DRY" "$PENDING" "$(failed jobBackendError 'try later')" \
		"$DONE"
	run --separate-stderr change
	assert_success
	assert_equal "$(ids | sed -E 's/.*[0-9a-f]{64}/ID/' | xargs)" "ID ID_g2"

	play "$PLACE" "$DRY" "$(failed backendError a)" \
		"$(failed backendError b)" "$(failed backendError c)"
	run --separate-stderr change
	assert_equal "$status" 75
	assert_equal "$(ids | sed -E 's/.*[0-9a-f]{64}/ID/' | xargs)" \
		"ID ID_g2 ID_g3"
	[[ $stderr == *": p: c (job bqquery_"* ]]
}

@test "several statements are not done again by themselves" {
	play "$PLACE" "$DRY" "$(failed backendError 'try later')"
	run --separate-stderr ask --write 'DELETE a; DELETE b'
	assert_equal "$status" 75
	assert_equal "$(ids | wc -l)" 1
}

@test "an error that stays ends the run with its class" {
	local reason rc
	while read -r reason rc; do
		play "$PLACE" "$DRY" "$PENDING" "$(failed "$reason" 'the words')"
		run --separate-stderr change
		assert_equal "$reason $status" "$reason $rc"
		assert_equal "$(ids | wc -l)" 1
		[[ $stderr == *'the words'* ]]
	done <<-'END'
		invalidQuery 65
		invalid 65
		notFound 65
		responseTooLarge 65
		bytesBilledLimitExceeded 65
		quotaExceeded 75
		stopped 75
		accessDenied 77
		billingNotEnabled 77
	END
}

@test "an insert whose answer is lost is looked up, and sent again if unknown" {
	play "$PLACE" "$DRY" '503 {}' "$DONE"
	run --separate-stderr change --tries 1
	assert_success
	assert_equal "$(asked | tail -2 | xargs)" "POST /jobs GET /jobs/ID"

	play "$PLACE" "$DRY" '503 {}' "$MISSING" "$DONE"
	run --separate-stderr change --tries 1
	assert_success
	assert_equal "$(asked | tail -3 | xargs)" "POST /jobs GET /jobs/ID POST /jobs"
	assert_equal "$(ids | sort -u | wc -l)" 1
}

@test "an insert tried again by HTTP finds its own job, and does not burn it" {
	play "$PLACE" "$DRY" '503 {}' "$EXISTS" "$(failed invalidQuery words)"
	run --separate-stderr change
	assert_equal "$status" 65
	assert_equal "$(ids | sort -u | wc -l)" 1
	assert_equal "$(asked | grep -c POST)" 3
}

@test "when answers stay lost it is said, and not tried under another id" {
	play "$PLACE" "$DRY" '503 {}' '503 {}'
	run --separate-stderr change --tries 1
	assert_equal "$status" 75
	assert_equal "$(ids | sort -u | wc -l)" 1
	refute_output
}

@test "a job that goes on after its time is named, and may yet be done" {
	play "$PLACE" "$DRY" "$RUNNING" "$RUNNING" "$RUNNING" "$RUNNING" \
		"$RUNNING" "$RUNNING" "$RUNNING" "$RUNNING" "$RUNNING" "$RUNNING"
	run --separate-stderr change --job-timeout 1
	assert_equal "$status" 75
	[[ $stderr == *"job bqquery_"*" still runs after 61 s: it may yet be done"* ]]
	grep -aq '"jobTimeoutMs":"1000"' "$LOG.full"
}

@test "the counts of a script are those of its statements" {
	play "$PLACE" "$DRY" '200 {"status":{"state":"DONE"},"statistics":
		{"numChildJobs":"2","query":{"statementType":"SCRIPT"}}}' \
		'200 {"jobs":[{"statistics":{"query":{"numDmlAffectedRows":"2",
		"dmlStats":{"insertedRowCount":"2"}}}}],"nextPageToken":"t"}' \
		'200 {"jobs":[{"statistics":{"query":{"numDmlAffectedRows":"5",
		"dmlStats":{"updatedRowCount":"5"}}}}]}' \
		'200 {"jobComplete":true}'
	run --separate-stderr ask --write 'INSERT a; UPDATE b'
	assert_success
	assert_equal "$(jq -c '[.inserted, .updated, .rows]' <<<"$output")" '[2,5,7]'
	grep -q 'parentJobId=bqquery_.*pageToken=t' "$LOG"
}

@test "data elsewhere than declared are not touched" {
	play '200 {"location":"US"}'
	run --separate-stderr change --location EU
	assert_equal "$status" 78
	assert_equal "$stderr" "bq-query: analytics_core: lies in US, and EU was declared: data must not leave the EU"
	assert_equal "$(wc -l <"$LOG")" 1
	play '200 {"location":"us-east1"}'
	BQ_LOCATION=europe-north1 run --separate-stderr change
	assert_equal "$status" 78
	[[ $stderr == *"must not leave the EU" ]]
	play '200 {"location":"EU"}'
	run --separate-stderr change --location US
	assert_equal "$status" 78
	play '200 {"location":"europe-north1"}' "$DRY" "$DONE"
	run --separate-stderr change --location EUROPE-north1
	assert_success
}

@test "a dataset that is not there is said, unless a place is declared" {
	play "$(refusal 404 notFound 'Not found: Dataset p:analytics_core')"
	run --separate-stderr change
	assert_equal "$status" 78
	[[ $stderr == *"p has no such dataset (see bq-load --setup)"* ]]
	play "$(refusal 404 notFound 'Not found: Dataset p:analytics_core')" \
		"$DRY" "$DONE"
	run --separate-stderr change --location EU
	assert_success
	grep -q . "$LOG"
	grep -aq '"location":"EU"' "$LOG.full"
}

@test "a right that is missing is named" {
	play "$(refusal 403 accessDenied 'Access Denied: Dataset p:d')"
	run --separate-stderr ask --check
	assert_equal "$status" 77
	[[ $stderr == *bigquery.datasets.get* ]]
	play "$PLACE" "$(refusal 403 accessDenied 'Access Denied: Project p')"
	run --separate-stderr ask --check
	assert_equal "$status" 77
	[[ $stderr == *bigquery.jobs.create* ]]
	play "$PLACE" "$DRY"
	run --separate-stderr ask --check
	assert_success
	assert_equal "$stderr" "bq-query: --check: no credentials; project p, dataset analytics_core in EU"
	assert_equal "$output" ""
}

@test "a query that reads more than the cap is not run" {
	play "$PLACE" "$DRY"
	run --separate-stderr change --max-bytes-billed 1023K
	assert_equal "$status" 65
	assert_equal "$stderr" "bq-query: --max-bytes-billed: the query reads 1.0 MiB, more than 1023.0 KiB: it was not run"
	refute_output
}

@test "an answer that is no job is refused, and the job looked up" {
	play "$PLACE" "$DRY" '200 {"status":{"state":"WEIRD"}}' "$DONE"
	run --separate-stderr change
	assert_success
	play "$PLACE" "$DRY" "$RUNNING" '200 {"status":{"state":"WEIRD"}}'
	run --separate-stderr change
	assert_equal "$status" 65
}

@test "calls, their retries, jobs and what they cost are counted" {
	play "$PLACE" "$DRY" '503 {}' "$(failed jobBackendError later)" "$DONE"
	WEIR_STATS=$T/stats change
	assert_equal "$(tail -1 stats | jq -c '.counts |
		[.requests, .retries, .jobs, .job_retries, .bytes_billed]')" \
		"[5,1,1,1,10485760]"
}
