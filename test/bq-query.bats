#!/usr/bin/env bats
# SQL on BigQuery: parameters, cost, rows. Here against a listener that gives
# each test's answers in their order; jobs are in bq.bats.

bats_require_minimum_version 1.5.0
load helper
load raw

setup() {
	raw_setup
	unset GOOGLE_CLOUD_PROJECT BQ_PROJECT BQ_LOCATION BQ_DATASET \
		BQ_OPS_DATASET BIGQUERY_EMULATOR_HOST
	PLACE='200 {"location":"EU"}'
	DRY='200 {"statistics":{"totalBytesProcessed":"3072","query":
		{"statementType":"SELECT","totalBytesProcessedAccuracy":"PRECISE"}}}'
	DONE='200 {"jobReference":{"location":"EU"},"status":{"state":"DONE"},
		"statistics":{"query":{"statementType":"SELECT"}}}'
	SCHEMA='"schema":{"fields":[{"name":"n","type":"INTEGER"}]}'
}

# play ANSWER ...: "STATUS BODY" each
play() {
	local a body
	for a; do
		body=$(jq -c . <<<"${a#* }")
		printf 'read\nsend HTTP/1.1 %s X\\r\\n' "${a%% *}"
		printf 'Content-Type: application/json\\r\\n'
		printf 'Content-Length: %d\\r\\n\\r\\n' "${#body}"
		printf '%s\n' "${body//\\/\\\\}"
	done | raw
}

ask() {
	bq-query --no-auth --allow-http --project p --bigquery-url "$URL" \
		--backoff 1 "$@"
}
select_1() { # the answers to a SELECT up to its rows, then those given
	play "$PLACE" "$DRY" "$DONE" "$@"
}
config() { # of the last job that was sent
	grep -a '^{"jobReference"' "$LOG.full" | tail -1 |
		jq -c ".configuration$1"
}

@test "--help, --version, and what is wrong with the command line" {
	bq-query --help | grep -q -- --max-bytes-billed
	bq-query --version | grep -q '^bq-query '
	local args
	while IFS= read -r args; do
		eval "set -- $args"
		run -64 bq-query --project p "$@"
	done <<-'END'

		''
		'  -- nothing'
		'SELECT 1' 'SELECT 2'
		--file x 'SELECT 1'
		--param x 'SELECT @x'
		--param 1x=1 'SELECT @1x'
		--param x=1 --param X=2 'SELECT @x'
		--param x=1 'SELECT @y'
		--param x:FLOAT=1 'SELECT @x'
		--param x:INT64=1.5 'SELECT @x'
		--param x:INT64=9223372036854775808 'SELECT @x'
		--param x:BOOL=yes 'SELECT @x'
		--param x:DATE=2026-02-30 'SELECT @x'
		--param x:NUMERIC=1,5 'SELECT @x'
		--param x:ARRAY\<INT64\>=1,b 'SELECT @x'
		--param 'x:ARRAY<STRING>=[{}]' 'SELECT @x'
		--param x:JSON={ 'SELECT @x'
		--source s 'SELECT 1'
		--source s --feed f --date 2026-01-01 --write 'SELECT 1'
		--max-bytes-billed 0 'SELECT 1'
		--check 'SELECT 1'
	END
}

@test "names that are none, and no project at all, are configuration" {
	run -78 --separate-stderr bq-query --no-auth 'SELECT 1'
	[[ $stderr == *"--project: is needed"* ]]
	run -78 bq-query --no-auth --project 'p`x' 'SELECT 1'
	run -78 bq-query --no-auth --project p --dataset a.b 'SELECT 1'
	run -78 bq-query --no-auth --project p --bigquery-url http://example.com 'SELECT 1'
	run -66 bq-query --no-auth --project p --file missing.sql
}

@test "rows come exact: decimals, integers, times, nulls, lists, records" {
	local fields cells
	fields=$(jq -cn '[["date","DATE"],["app_id","STRING"],
		["value","BIGNUMERIC"],["num","NUMERIC"],["den","NUMERIC"],
		["small","INTEGER"],["big","INT64"],["f","FLOAT"],["b","BOOLEAN"],
		["t","TIMESTAMP"],["dt","DATETIME"],["y","BYTES"],["j","JSON"],
		["l","INTEGER","REPEATED"],["gone","STRING"]] |
		map({name: .[0], type: .[1], mode: (.[2] // "NULLABLE")}) +
		[{name:"r",type:"RECORD",mode:"NULLABLE",fields:[
			{name:"x",type:"INTEGER"},{name:"y",type:"NUMERIC"}]}]')
	cells=$(jq -cn '["2026-11-19", "fl\u00e5cken\n\"", "12.50",
		"123456789012345678901234567890.123456789", "-0.0",
		"9007199254740992", "9223372036854775807", "1.0E10", "true",
		"1763528400000000", "2026-11-19T05:00:00", "aGk=",
		"{\"a\": 1.50}"] | map({v: .}) + [{v: [{v: "1"}, {v: "-2"}]},
		{v: null}, {v: {f: [{v: "3"}, {v: "4.0"}]}}]')
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"1\",\"schema\":{\"fields\":$fields}}" \
		"200 {\"jobComplete\":true,\"totalRows\":\"1\",\"rows\":[{\"f\":$cells}],\"schema\":{\"fields\":$fields}}"
	run --separate-stderr ask 'SELECT 1'
	assert_success
	assert_equal "$output" '{"date":"2026-11-19","app_id":"flåcken\n\"","value":12.5,"num":123456789012345678901234567890.123456789,"den":0,"small":9007199254740992,"big":"9223372036854775807","f":10000000000,"b":true,"t":"2025-11-19T05:00:00Z","dt":"2026-11-19T05:00:00","y":"aGk=","j":{"a": 1.50},"l":[1,-2],"gone":null,"r":{"x":3,"y":4}}'
	assert_equal "$stderr" "bq-query: reads 3.0 KiB (at most 10.0 GiB)"
	grep -q 'formatOptions.useInt64Timestamp=true' "$LOG"
	grep -q '/queries/bqquery_[0-9a-f]*?location=EU' "$LOG"
}

@test "--omit-null, --json and --numbers name columns of the result" {
	local schema='"schema":{"fields":[{"name":"q","type":"STRING"},{"name":"n","type":"STRING"},{"name":"z","type":"STRING"}]}'
	local rows='"rows":[{"f":[{"v":"{\"a\":[1]}"},{"v":"0.10"},{"v":null}]},{"f":[{"v":"late"},{"v":null},{"v":null}]}]'
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"2\",$schema}" \
		"200 {\"jobComplete\":true,$rows}"
	run --separate-stderr ask --quiet --json q --numbers n --omit-null z 'SELECT 1'
	assert_success
	assert_output '{"q":{"a":[1]},"n":0.10}
{"q":"late","n":null}'
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"2\",$schema}"
	run -64 --separate-stderr ask --quiet --json qq 'SELECT 1'
	[[ $stderr == *"no column is named qq" ]]
}

@test "pages are asked for by their token until all rows came" {
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"3\",$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]},{"f":[{"v":"2"}]}],"pageToken":"a/b"}' \
		'200 {"rows":[],"pageToken":"c"}' \
		'200 {"rows":[{"f":[{"v":"3"}]}]}'
	run --separate-stderr ask --quiet 'SELECT 1'
	assert_success
	assert_output '{"n":1}
{"n":2}
{"n":3}'
	grep -q 'pageToken=a%2Fb' "$LOG"
}

@test "no page is printed in part, and missing rows are no result" {
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"2\",$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]},{"f":[{"v":"x"}]}]}'
	run -65 --separate-stderr ask --quiet 'SELECT 1'
	refute_output
	[[ $stderr == *"a row: n is no INT64" ]]
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"2\",$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]}]}'
	run -65 --separate-stderr ask --quiet 'SELECT 1'
	[[ $stderr == *"the result has 2 rows, and 1 came" ]]
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"2\",$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]}],"pageToken":"t"}' \
		'200 {"rows":[],"pageToken":"t"}'
	run -65 --separate-stderr ask --quiet 'SELECT 1'
	[[ $stderr == *"a page is said to follow itself" ]]
}

@test "a result without rows prints nothing; as a partition it is empty" {
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"0\",$SCHEMA}"
	run --separate-stderr ask --quiet 'SELECT 1'
	assert_success
	refute_output
	select_1 "200 {\"jobComplete\":true,$SCHEMA}"
	run --separate-stderr ask --quiet --source s --feed f --date 2026-11-19 'SELECT 1'
	assert_success
	assert_equal "$(tail -1 <<<"$output")" '{"@stream":"end","records":0,"outcome":"empty"}'
	select_1 "200 {\"totalRows\":\"1\",\"jobComplete\":true,$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]}]}'
	ask --quiet --source s --feed f --date 2026-11-19 'SELECT 1' |
		ndjson-part --check
	select_1 "200 {\"totalRows\":\"1\",\"jobComplete\":true,$SCHEMA}" '404 {}'
	run --separate-stderr ask --quiet --source s --feed f --date 2026-11-19 'SELECT 1'
	assert_equal "$(wc -l <<<"$output")" 1 # a begin, and no end
}

@test "parameters go with their types" {
	select_1 "200 {\"jobComplete\":true,$SCHEMA}"
	ask --quiet --param s=a=b --param i:INT64=-5 --param d:date=2026-11-19 \
		--param n:BIGNUMERIC=1.50 --param z:null= --param r:real=1e3 \
		--param 'a:ARRAY<STRING>=x,y z' --param 'j:array<int64>=["1",2]' \
		--param 'e:ARRAY<STRING>=' --param 'u:ARRAY<STRING>=["å,\n"]' \
		'SELECT @s, @i, @d, @n, @z, @r, @a, @j, @e, @u'
	assert_equal "$(config .query.parameterMode)" '"NAMED"'
	assert_equal "$(config '.query.queryParameters[] |
		[.name, .parameterType, .parameterValue]')" \
		'["s",{"type":"STRING"},{"value":"a=b"}]
["i",{"type":"INT64"},{"value":"-5"}]
["d",{"type":"DATE"},{"value":"2026-11-19"}]
["n",{"type":"BIGNUMERIC"},{"value":"1.50"}]
["z",{"type":"STRING"},{}]
["r",{"type":"FLOAT64"},{"value":"1e3"}]
["a",{"type":"ARRAY","arrayType":{"type":"STRING"}},{"arrayValues":[{"value":"x"},{"value":"y z"}]}]
["j",{"type":"ARRAY","arrayType":{"type":"INT64"}},{"arrayValues":[{"value":"1"},{"value":"2"}]}]
["e",{"type":"ARRAY","arrayType":{"type":"STRING"}},{"arrayValues":[]}]
["u",{"type":"ARRAY","arrayType":{"type":"STRING"}},{"arrayValues":[{"value":"å,\n"}]}]'
}

@test "a file of SQL, from stdin too, with the configured names in its tables" {
	printf 'SELECT * -- `analytics_ops.x`\nFROM `analytics_ops.runs`' >q.sql
	select_1 "200 {\"jobComplete\":true,$SCHEMA}"
	BQ_OPS_DATASET=ops ask --quiet --file q.sql
	assert_equal "$(config .query.query)" '"SELECT * -- `analytics_ops.x`\nFROM `p.ops.runs`"'
	select_1 "200 {\"jobComplete\":true,$SCHEMA}"
	ask --quiet --ops-dataset o2 --file - <q.sql
	assert_equal "$(config .query.query)" '"SELECT * -- `analytics_ops.x`\nFROM `p.o2.runs`"'
}

@test "--dry-run prints the cost and makes no job" {
	play "$PLACE" "$DRY"
	run --separate-stderr ask --dry-run 'SELECT 1'
	assert_success
	assert_equal "$output" '{"dry_run":true,"bytes_processed":3072,"accuracy":"PRECISE","statement":"SELECT","max_bytes_billed":10737418240,"location":"EU"}'
	assert_equal "$(config .dryRun)" true
	assert_equal "$(wc -l <"$LOG")" 2
	play "$PLACE" "$DRY"
	run -65 --separate-stderr ask --dry-run --max-bytes-billed 3071 'SELECT 1'
	assert_equal "$(jq .bytes_processed <<<"$output")" 3072
}

@test "what changes something needs --write; the service says what does" {
	play "$PLACE" "${DRY/SELECT/MERGE}"
	run -64 --separate-stderr ask --quiet 'WITH MERGE'
	[[ $stderr == *"the query changes something"*"(see --write)" ]]
	play "$PLACE" "$DRY"
	run -64 ask --quiet 'SELECT 1; SELECT 2'
	# where the service does not say, the text does
	play "$PLACE" '200 {"statistics":{}}'
	run -64 ask --quiet 'DELETE x'
	play "$PLACE" '200 {"statistics":{}}' "$DONE" \
		"200 {\"jobComplete\":true,$SCHEMA}"
	ask --quiet ' (select 1)'
}

@test "a SELECT has a new id each time, and one of its own with --request" {
	local i
	for i in 1 2; do
		select_1 "200 {\"jobComplete\":true,$SCHEMA}"
		RUN_ID=r ask --quiet 'SELECT 1'
		grep -a '^{"jobReference":.*"jobId":"bqquery_' "$LOG.full" |
			jq -r .jobReference.jobId >>ids
	done
	assert_equal "$(sort -u ids | wc -l)" 2
	for i in 1 2; do
		select_1 "200 {\"jobComplete\":true,$SCHEMA}"
		ask --quiet --request x 'SELECT 1'
		grep -a '^{"jobReference":.*"jobId":"bqquery_' "$LOG.full" |
			jq -r .jobReference.jobId >>same
	done
	assert_equal "$(sort -u same | wc -l)" 1
}

@test "an earlier run's job is said; its rows that are gone too" {
	play "$PLACE" "$DRY" '409 {"error":{"code":409,"errors":[{"reason":"duplicate"}],"message":"Already Exists: Job"}}' \
		"$DONE" '404 {"error":{"code":404,"errors":[{"reason":"notFound"}],"message":"Not found: Table p:_x.anon"}}'
	run -65 --separate-stderr ask --request x 'SELECT 1'
	[[ $stderr == *"was done by an earlier run: nothing was sent again"* ]]
	[[ $stderr == *"the result of job bqquery_"*" is kept no longer"* ]]
}

@test "a script gives the rows of its last SELECT, or a receipt" {
	play "$PLACE" "${DRY/SELECT/SCRIPT}" "${DONE/SELECT/SCRIPT}" \
		"200 {\"jobComplete\":true,\"totalRows\":\"1\",$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]}]}'
	run --separate-stderr ask --quiet --write 'DELETE x; SELECT 1'
	assert_success
	assert_output '{"n":1}'
	play "$PLACE" "${DRY/SELECT/SCRIPT}" "${DONE/SELECT/SCRIPT}" \
		'200 {"jobComplete":true}'
	run --separate-stderr ask --quiet --write 'DELETE x; DELETE y'
	assert_success
	assert_equal "$(jq -c '[.state, .statement]' <<<"$output")" '["done","SCRIPT"]'
}

@test "a script whose tables are not there yet is run without an estimate" {
	play "$PLACE" '404 {"error":{"code":404,"errors":[{"reason":"notFound"}],"message":"Not found: Table p:d.t"}}' \
		"${DONE/SELECT/SCRIPT}" '200 {"jobComplete":true}'
	run --separate-stderr ask --write 'CREATE TABLE t; INSERT t'
	assert_success
	[[ $stderr == *"warning: no estimate: "* ]]
	play "$PLACE" '400 {"error":{"code":400,"errors":[{"reason":"invalidQuery"}],"message":"Syntax error"}}'
	run -65 --separate-stderr ask 'SELECT'
	[[ $stderr == *"Syntax error"* ]]
}

@test "an output that cannot be written is said, and is 74" {
	local rows='200 {"rows":[{"f":[{"v":"1"}]}]}'
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"1\",$SCHEMA}" "$rows"
	run -74 bash -c '"$@" >/dev/full' - bq-query --no-auth --allow-http \
		--project p --bigquery-url "$URL" 'SELECT 1'
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"1\",$SCHEMA}" "$rows"
	run -74 bash -c '"$@" >&-' - bq-query --no-auth --allow-http \
		--project p --bigquery-url "$URL" 'SELECT 1'
	run -74 bash -c 'bq-query --help >/dev/full'
}

@test "a record of a run plays it again, byte for byte, without a network" {
	select_1 "200 {\"jobComplete\":true,\"totalRows\":\"1\",$SCHEMA}" \
		'200 {"rows":[{"f":[{"v":"1"}]}]}'
	ask --quiet --request x --record rec 'SELECT 1' >one
	kill $RAW_PIDS
	ask --quiet --request x --replay rec 'SELECT 1' >two
	cmp one two
	assert_equal "$(<two)" '{"n":1}'
}

@test "memory stays under 64 MiB whatever the size of a page" {
	[[ -z ${SAN:-} ]] || skip "sanitizers need more"
	{
		printf '{"jobComplete":true,"totalRows":"1600000","schema":{"fields":[{"name":"n","type":"INTEGER"},{"name":"s","type":"STRING"}]},"rows":['
		yes '{"f":[{"v":"1234567"},{"v":"the text of a column that is a little long for what it says"}]},' |
			head -1599999 | tr -d '\n'
		printf '{"f":[{"v":"1"},{"v":"x"}]}]}'
	} >page
	{
		local a body
		for a in "$PLACE" "$DRY" "$DONE" \
			'200 {"jobComplete":true,"totalRows":"1600000","schema":{"fields":[{"name":"n","type":"INTEGER"},{"name":"s","type":"STRING"}]}}'; do
			body=$(jq -c . <<<"${a#* }")
			printf 'read\nsend HTTP/1.1 200 X\\r\\nContent-Length: '
			printf '%d\\r\\n\\r\\n%s\n' "${#body}" "$body"
		done
		printf 'read\nok page Content-Type: application/json\\r\\n\n'
	} | raw
	/usr/bin/env time -f %M -o rss bq-query --no-auth --allow-http \
		--quiet --project p --bigquery-url "$URL" 'SELECT 1' >out
	assert_equal "$(wc -l <out)" 1600000
	assert_equal "$(tail -1 out)" '{"n":1,"s":"x"}'
	echo "$(wc -c <page) bytes, $(cat rss) KiB"
	[ "$(cat rss)" -lt 65536 ]
}

@test "a token that ends in the middle is asked for anew, once" {
	(umask 077 && jq -n \
		'{type:"authorized_user",client_id:"i",client_secret:"sss",
		refresh_token:"rrr"}' >user.json)
	local done='200 {"status":{"state":"DONE"},"statistics":{"query":{"statementType":"DELETE"}}}'
	play '200 {"access_token":"tok-one","expires_in":3600,"token_type":"Bearer"}' \
		"$PLACE" "$DRY" '200 {"status":{"state":"PENDING"}}' '401 {}' \
		'200 {"access_token":"tok-two","expires_in":3600,"token_type":"Bearer"}' \
		"$done"
	run --separate-stderr bq-query --credentials user.json --token-url "$URL/t" \
		--allow-http --project p --bigquery-url "$URL" --backoff 1 \
		--quiet --write --request r 'DELETE x'
	assert_success
	assert_equal "$(cut -d' ' -f2 "$LOG" | xargs)" "POST GET POST POST GET POST GET"
	assert_equal "$(grep -ac 'Bearer tok-one' "$LOG.full") $(grep -ac 'Bearer tok-two' "$LOG.full")" "4 1"
	[[ $output$stderr != *tok-* ]]
	play '200 {"access_token":"tok-one","expires_in":3600,"token_type":"Bearer"}' \
		"$PLACE" "$DRY" '200 {"status":{"state":"PENDING"}}' '401 {}' \
		'200 {"access_token":"tok-two","expires_in":3600,"token_type":"Bearer"}' \
		'401 {}'
	run -77 --separate-stderr bq-query --credentials user.json --token-url "$URL/t" \
		--allow-http --project p --bigquery-url "$URL" --backoff 1 \
		--quiet --write --request r 'DELETE x'
}
