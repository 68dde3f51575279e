#!/usr/bin/env bats
# The stand-in of BigQuery: is it as strict as the service where our loader
# could go wrong? Spoken to by curl, not by our own programs.

bats_require_minimum_version 1.5.0
load helper
load sim

P=weir-test

# start [OPTION ...]: the simulator with two datasets in the EU.
start() {
	sim_start --set google_token=tok "$@"
	V2=$SIM/bigquery/v2/projects/$P
	UP=$SIM/upload/bigquery/v2/projects/$P/jobs
	for d in core ops; do
		api "$V2/datasets" -d "{\"datasetReference\":{\"datasetId\":\"$d\",
			\"projectId\":\"$P\"},\"location\":\"EU\"}" >/dev/null
	done
}

api() {
	curl -sS -H 'Authorization: Bearer tok' \
		-H 'Content-Type: application/json' "$@"
}

# said: "CODE REASON MESSAGE" of an error on stdin.
said() {
	jq -r '.error|"\(.code) \(.errors[0].reason) \(.message)"'
}

# query SQL [PARAMS [MEMBERS]]: the answer of jobs.query.
query() {
	jq -n --arg q "$1" --argjson p "${2:-[]}" --argjson m "${3:-{\}}" \
		'{query: $q, useLegacySql: false, location: "EU",
		formatOptions: {useInt64Timestamp: true}}
		+ (if $p == [] then {} else {parameterMode: "NAMED",
		queryParameters: $p} end) + $m' | api -d @- "$V2/queries"
}

rows() { # one array a row
	query "$@" | jq -c 'if .error then .error.message
		else .rows[]? | [.f[].v] end'
}

param() { # NAME TYPE [VALUE]
	jq -nc --arg n "$1" --arg t "$2" --arg v "${3-}" --argjson null "$((${#} < 3))" \
		'[{name: $n, parameterType: {type: $t}, parameterValue:
		(if $null == 1 then {} else {value: $v} end)}]'
}

# job ID [MEMBERS of load [LOCATION]]: the body of a load.
job() {
	jq -nc --arg id "$1" --argjson m "${2:-{\}}" --arg l "${3:-EU}" --arg p $P '
		{jobReference: {projectId: $p, jobId: $id, location: $l},
		configuration: {load: ({destinationTable: {projectId: $p,
		datasetId: "ops", tableId: "t"},
		sourceFormat: "NEWLINE_DELIMITED_JSON",
		schema: {fields: [{name: "d", type: "DATE", mode: "REQUIRED"},
		{name: "n", type: "INTEGER"}, {name: "x", type: "BIGNUMERIC"},
		{name: "at", type: "TIMESTAMP"}, {name: "s", type: "STRING"},
		{name: "b", type: "BOOLEAN"}]},
		writeDisposition: "WRITE_APPEND"} + $m)}}'
}

# session JOB: begins an upload; its URI is in $S.
session() {
	S=$(api -D - -o body -H 'X-Upload-Content-Type: application/octet-stream' \
		-d "$1" "$UP?uploadType=resumable" |
		tr -d '\r' | sed -n 's/^Location: //p')
}

# chunk RANGE [FILE]: one PUT; headers in "head", the answer in "body".
chunk() {
	api -X PUT -D head -o body -H "Content-Range: bytes $1" \
		--data-binary "@${2:-/dev/null}" "$S"
	tr -d '\r' <./head | sed -n '1s/.* \([0-9]*\) .*/\1/p;s/^Range: //p' |
		paste -sd' '
}

# load FILE JOB: all of it; the job's end: "STATE REASON ROWS".
load_file() {
	local n id
	n=$(size_of "$1")
	id=$(jq -r .jobReference.jobId <<<"$2")
	session "$2"
	if [[ -z $S ]]; then
		said <body
		return
	fi
	if ((n > 0)); then
		chunk "0-$((n - 1))/$n" "$1" >/dev/null
	else
		chunk '*/0' >/dev/null
	fi
	ended "$id"
}
ended() {
	api "$V2/jobs/$1?location=EU" |
		jq -r '"\(.status.state) \(.status.errorResult.reason) \(.statistics.load.outputRows)"'
}

@test "datasets: made once, with a place that stays; errors as the service says them" {
	start
	run -0 api "$V2/datasets/core"
	[ "$(jq -r .location <<<"$output")" = EU ]
	run -0 said < <(api "$V2/datasets" -d '{"datasetReference":{"datasetId":"core"},"location":"US"}')
	assert_output "409 duplicate Already Exists: Dataset $P:core"
	run -0 said < <(api "$V2/datasets/nope")
	assert_output "404 notFound Not found: Dataset $P:nope"
	run -0 said < <(api "$V2/datasets" -d '{"datasetReference":{"datasetId":"x"},"place":"US"}')
	assert_output --regexp '^400 invalid .*Unknown name "place"'
	run -0 said < <(api "$V2/datasets" -d '{"datasetReference":{"datasetID":"x"}}')
	assert_output --regexp "^400 invalid .*Unknown name \"datasetID\" at 'datasetReference'"
	run -0 said < <(api "$V2/datasets?all=1&every=1")
	assert_output --partial '400 invalidParameter'
	run -0 jq -r '.datasets[].datasetReference.datasetId' < <(api "$V2/datasets")
	assert_output $'core\nops'
	run -0 said < <(curl -sS "$V2/datasets")
	assert_output --partial '401 authError'
	# one that is made again is another one
	born=$(api "$V2/datasets/core" | jq -r .creationTime)
	api "$V2/datasets/core/tables" -d '{"tableReference":{"tableId":"t"},"schema":{"fields":[{"name":"n","type":"INTEGER"}]}}' >/dev/null
	run -0 said < <(api -X DELETE "$V2/datasets/core")
	assert_output "400 resourceInUse Dataset $P:core is still in use"
	api -f -X DELETE "$V2/datasets/core?deleteContents=true"
	run -0 said < <(api "$V2/datasets/core/tables/t")
	assert_output --partial '404 notFound'
	run -0 said < <(api -X DELETE "$V2/datasets/core?deleteContents=true")
	assert_output "404 notFound Not found: Dataset $P:core"
	api "$V2/datasets" -d '{"datasetReference":{"datasetId":"core"},"location":"EU"}' >/dev/null
	((born < $(api "$V2/datasets/core" | jq -r .creationTime)))
	run -0 said < <(api "$SIM/bigquery/v2/projects/other/datasets")
	assert_output --partial '403 accessDenied'
}

@test "tables: made, read, given columns, deleted; what the service refuses is refused" {
	start
	api "$V2/datasets/ops/tables" -d '{"tableReference":{"projectId":"weir-test",
		"datasetId":"ops","tableId":"k"},"schema":{"fields":[{"name":"d",
		"type":"DATE","mode":"REQUIRED"},{"name":"a","type":"STRING"}]},
		"timePartitioning":{"type":"DAY","field":"d"},
		"clustering":{"fields":["a"]},"expirationTime":"9999999999000"}' >made
	run -0 jq -c '[.type, .numRows, .location, .timePartitioning.field,
		.clustering.fields, .expirationTime, .schema.fields[0].mode]' made
	assert_output '["TABLE","0","EU","d",["a"],"9999999999000","REQUIRED"]'
	run -0 said < <(api "$V2/datasets/ops/tables" -d '{"tableReference":
		{"tableId":"k"},"schema":{"fields":[{"name":"d","type":"DATE"}]}}')
	assert_output "409 duplicate Already Exists: Table $P:ops.k"
	patch() { api -X PATCH "$V2/datasets/ops/tables/k" -d "{\"schema\":{\"fields\":[
		{\"name\":\"d\",\"type\":\"DATE\",\"mode\":\"REQUIRED\"}$1]}}"; }
	run -0 said < <(patch '')
	assert_output --partial 'Field a is missing in new schema'
	run -0 said < <(patch ',{"name":"a","type":"INTEGER"}')
	assert_output --partial 'Field a has changed type from STRING to INTEGER'
	run -0 said < <(patch ',{"name":"a","type":"STRING"},{"name":"z","type":"STRING","mode":"REQUIRED"}')
	assert_output --partial 'Cannot add required fields'
	patch ',{"name":"a","type":"STRING"},{"name":"z","type":"STRING"}' >new
	run -0 jq -r '.schema.fields[].name' new
	assert_output $'d\na\nz'
	[ "$(jq -r .etag new)" != "$(jq -r .etag made)" ]
	run -0 said < <(api -X PATCH "$V2/datasets/ops/tables/k" \
		-H "If-Match: $(jq -r .etag made)" -d '{"description":"x"}')
	assert_output --partial '412 conditionNotMet'
	run -0 jq -r '.tables[].tableReference.tableId' < <(api "$V2/datasets/ops/tables")
	assert_output k
	run -0 said < <(api "$V2/datasets/ops/tables/k/insertAll" -d '{}')
	assert_output --partial '403 accessDenied'
	[ "$(api -o /dev/null -w '%{http_code}' -X DELETE "$V2/datasets/ops/tables/k")" = 204 ]
	run -0 said < <(api "$V2/datasets/ops/tables/k")
	assert_output "404 notFound Not found: Table $P:ops.k"
	run -0 said < <(api "$V2/datasets/ops/tables" -d '{"tableReference":
		{"tableId":"k"},"schema":{"fields":[{"name":"a","type":"STRING"}]},
		"timePartitioning":{"type":"DAY","field":"a"}}')
	assert_output --partial 'must be DATE, TIMESTAMP or DATETIME'
	run -0 jq -c . < <(api "$V2/datasets/ops?fields=location,datasetReference(datasetId)")
	assert_output '{"datasetReference":{"datasetId":"ops"},"location":"EU"}'
}

@test "a table that has expired is gone" {
	start
	query "CREATE TABLE ops.e (a INT64) OPTIONS (expiration_timestamp =
		TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 300 MILLISECOND))" >/dev/null
	api "$V2/datasets/ops/tables/e" | jq -e .expirationTime
	sleep 0.4
	run -0 said < <(api "$V2/datasets/ops/tables/e")
	assert_output --partial '404 notFound'
}

@test "rows of a table by pages that stay whole; an old token is refused" {
	start --set bq_page_bytes=120
	query "CREATE TABLE ops.p (n INT64, ts TIMESTAMP, f FLOAT64, b BOOL, d DATE, x BIGNUMERIC)" >/dev/null
	query "INSERT INTO ops.p VALUES (9007199254740993, TIMESTAMP '2026-01-02 03:04:05.678901+00', 0.5, TRUE, DATE '2026-01-02', BIGNUMERIC '1.50'), (NULL, NULL, 2, FALSE, NULL, NULL), (3, NULL, 1e30, NULL, NULL, NULL)" | jq -e '.numDmlAffectedRows == "3"'
	T=$V2/datasets/ops/tables/p/data
	api "$T?formatOptions.useInt64Timestamp=true" >one
	run -0 jq -c '[.totalRows, (.rows|length), [.rows[0].f[].v]]' one
	assert_output '["3",1,["9007199254740993","1767323045678901","0.5","true","2026-01-02","1.5"]]'
	token=$(jq -r .pageToken one)
	run -0 jq -c '[.rows[].f[].v]' < <(api "$T?pageToken=$token&selectedFields=f,b")
	assert_output '["2.0","false","1e+30",null]'
	run -0 said < <(api "$T?selectedFields=nope")
	assert_output --partial 'No such field nope'
	query "UPDATE ops.p SET n = 4 WHERE n = 3" >/dev/null
	run -0 said < <(api "$T?pageToken=$token")
	assert_output --partial 'Invalid value for pageToken'
	run -0 jq -c '[.totalRows, .rows]' < <(api "$T?maxResults=0")
	assert_output '["3",null]'
}

@test "without its location, or with another, a job is not found" {
	start
	: >none
	run -0 load_file none "$(job j1 '{"writeDisposition":"WRITE_TRUNCATE"}')"
	assert_output 'DONE null 0'
	for l in '' '?location=US'; do
		run -0 said < <(api "$V2/jobs/j1$l")
		assert_output "404 notFound Not found: Job $P:j1"
		run -0 said < <(api -X POST "$V2/jobs/j1/cancel$l")
		assert_output "404 notFound Not found: Job $P:j1"
		run -0 said < <(api "$V2/queries/j1$l")
		assert_output "404 notFound Not found: Job $P:j1"
	done
	api "$V2/jobs/j1?location=eu" | jq -e '.status.state == "DONE"'
	# a dataset in the EU is nowhere else
	load_file none "$(job j2 '{}' US)" >/dev/null
	run -0 jq -r .status.errorResult.message < <(api "$V2/jobs/j2?location=US")
	assert_output "Not found: Dataset $P:ops was not found in location US"
	run -0 said < <(query 'SELECT 1 FROM core.x' '[]' '{"location":"US"}')
	assert_output --partial 'was not found in location US'
}

@test "a job id is used once, and a job that failed keeps it" {
	start --set bq_get404=2
	echo '{"d":"bad"}' >in
	run -0 load_file in "$(job j1)"
	assert_output 'DONE invalid null'
	echo '{"d":"2026-01-01"}' >in
	run -0 load_file in "$(job j1)"
	assert_output "409 duplicate Already Exists: Job $P:EU.j1"
	for want in 404 404 200; do
		[ "$(api -o /dev/null -w '%{http_code}' "$V2/jobs/j1?location=EU")" = $want ]
	done
	run -0 ended j1
	assert_output 'DONE invalid null'
	run -0 load_file in "$(job 'j 1')"
	assert_output --partial '400 invalid Invalid job ID "j 1"'
	run -0 load_file in "$(job j1_g2)"
	assert_output 'DONE null 1'
}

@test "a used id may be told at the last chunk" {
	start --set bq_duplicate=last
	echo '{"d":"2026-01-01"}' >in
	load_file in "$(job j1)" >/dev/null
	session "$(job j1)"
	[ -n "$S" ]
	run -0 chunk "0-18/19" in
	assert_output 409
	run -0 rows 'SELECT COUNT(*) FROM ops.t'
	assert_output '["1"]'
}

@test "a job is pending, then running, then done; one that was cancelled did nothing" {
	start --set bq_polls=2
	echo '{"d":"2026-01-01"}' >in
	session "$(job j1)"
	chunk 0-18/19 in >/dev/null
	[ "$(jq -r .status.state body)" = PENDING ]
	for want in PENDING RUNNING DONE DONE; do
		run -0 jq -r .status.state < <(api "$V2/jobs/j1?location=EU")
		assert_output $want
	done
	session "$(job j2)"
	chunk 0-18/19 in >/dev/null
	run -0 jq -r '.job.status.state' < <(api -X POST "$V2/jobs/j2/cancel?location=EU")
	for _ in 1 2 3; do api "$V2/jobs/j2?location=EU" >last; done
	[ "$(jq -r .status.errorResult.reason last)" = stopped ]
	# nobody asked after it, and its rows are there all the same
	session "$(job j3)"
	chunk 0-18/19 in >/dev/null
	run -0 jq -r .numRows < <(api "$V2/datasets/ops/tables/t")
	assert_output 2
	query 'SELECT 1' >answer
	jq -e '.jobComplete == false and .rows == null' answer
	id=$(jq -r .jobReference.jobId answer)
	api "$V2/queries/$id?location=EU" | jq -e '.jobComplete == false'
	api "$V2/queries/$id?location=EU" | jq -e '.jobComplete and .totalRows == "1"'
}

@test "uploads: chunks of 256 KiB, what the server has, probes, the end unknown" {
	start
	for i in {1..20000}; do echo "{\"d\":\"2026-01-01\",\"n\":$i,\"s\":\"xx\"}"; done >in
	n=$(size_of in)
	((n > 524288))
	head -c 262144 in >a
	tail -c +262145 in | head -c 262144 >b
	tail -c +524289 in >c
	session "$(job j1)"
	run -0 chunk "*/$n"
	assert_output 308                     # nothing there, no Range
	head -c 1000 a >small
	run -0 chunk "0-999/$n" small
	assert_output 400
	run -0 chunk "0-262143/$n" a
	assert_output '308 bytes=0-262143'
	run -0 chunk "524288-$((n - 1))/$n" c # a hole
	assert_output 400
	run -0 chunk "*/*"
	assert_output '308 bytes=0-262143'
	run -0 chunk "0-262143/$n" a          # again: kept as it was
	assert_output '308 bytes=0-262143'
	run -0 chunk "262144-524287/*" b
	assert_output '308 bytes=0-524287'
	run -0 chunk "524288-$((n - 1))/$n" b # not as long as it says
	assert_output 400
	run -0 chunk "524288-$((n - 1))/$n" c
	assert_output 200
	run -0 chunk "*/$n"                   # the answer was lost: the job again
	assert_output 200
	[ "$(jq -r .jobReference.jobId body)" = j1 ]
	run -0 ended j1
	assert_output 'DONE null 20000'
	# ends on a boundary that nobody knew of: an empty PUT says so
	head -c 262143 /dev/zero | tr '\0' ' ' >blank
	echo >>blank
	session "$(job j2)"
	run -0 chunk '0-262143/*' blank
	assert_output '308 bytes=0-262143'
	run -0 chunk '*/262144'
	assert_output 200
}

@test "uploads: short ranges, dead sessions, lost answers, coded bodies" {
	start --set bq_short=1 --set bq_dies=2
	head -c 1048576 /dev/zero | tr '\0' ' ' >in
	session "$(job j1)"
	run -0 chunk '0-1048575/*' in
	assert_output '308 bytes=0-524287'    # half of it was kept
	tail -c +524289 in >rest
	run -0 chunk '524288-1048575/*' rest
	assert_output '308 bytes=0-1048575'
	run -0 chunk '*/1048576'
	assert_output 410
	session "$(job j1)"                   # the same id: no job was made
	[ -n "$S" ]
	run -0 said < <(api -X PUT -H 'Content-Encoding: gzip' -d x "$S")
	assert_output --partial '400 invalid Content-Encoding'
	S=${S}x
	run -0 chunk '*/1048576'
	assert_output 410
	sim_stop
	fault '{"match":"PUT /upload","do":"reset"}'
	start
	echo '{"d":"2026-01-01"}' >in
	session "$(job j1)"
	run chunk 0-18/19 in
	run -0 ended j1                       # the answer was lost, not the job
	assert_output 'DONE null 1'
}

@test "gzip is known by its first bytes; one that is cut or has two members fails" {
	start
	for i in {1..3000}; do echo "{\"d\":\"2026-01-01\",\"n\":\"$i\"}"; done >in
	gzip -c in >in.gz
	run -0 load_file in.gz "$(job j1)"
	assert_output 'DONE null 3000'
	head -c 5000 in.gz >cut.gz
	run -0 load_file cut.gz "$(job j2)"
	assert_output 'DONE invalid null'
	cat in.gz in.gz >two.gz
	run -0 load_file two.gz "$(job j3)"
	assert_output 'DONE invalid null'
	run -0 rows 'SELECT COUNT(*), SUM(n) FROM ops.t'
	assert_output '["3000","4501500"]'
}

@test "multipart: two parts, CRLF, nothing before or after" {
	start
	send() { # BODY-FORMAT ID
		# shellcheck disable=SC2059 # the body is the format
		printf -- "$1" "$(job "$2")" >body.in
		curl -sS -H 'Authorization: Bearer tok' \
			-H 'Content-Type: multipart/related; boundary=B' \
			--data-binary @body.in "$UP?uploadType=multipart"
	}
	head='--B\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n%s\r\n--B\r\n'
	media='content-type: application/octet-stream\r\n\r\n{"d":"2026-01-01"}\n\r\n--B--'
	send "$head$media" j1 | jq -e '.status.state == "PENDING"'
	run -0 ended j1
	assert_output 'DONE null 1'
	for bad in "x$head$media" "$head${media}x" "$head${media%--}" \
		"${head//\\r/}$media" "${head/application\/json/text\/plain}$media"; do
		run -0 said < <(send "$bad" j2)
		assert_output --partial '400 badRequest Malformed multipart body'
	done
}

@test "loads say their schema and their format, and take no guess" {
	start
	: >in
	while IFS=$'\t' read -r members want; do
		run -0 load_file in "$(job j1 "$members")"
		assert_output --partial "$want"
	done <<'EOF'
{"autodetect":true}	400 invalid autodetect is refused
{"schema":null}	400 invalid schema is missing
{"sourceFormat":null}	400 invalid sourceFormat is missing, its default is CSV
{"sourceFormat":"CSV"}	400 invalid sourceFormat
{"sourceUris":["gs://b/o"]}	400 invalid sourceUris
{"writeDisposition":"TRUNCATE"}	400 invalid Invalid value for writeDisposition
{"maxBadRecord":1}	Unknown name "maxBadRecord" at 'configuration.load'
{"maxBadRecords":"1"}	Invalid value at 'configuration.load.maxBadRecords'
{"schema":{"fields":[{"name":"a","typ":"DATE"}]}}	Unknown name "typ" at 'configuration.load.schema.fields'
{"schema":{"fields":[{"name":"a","type":"INT"},{"name":"A","type":"STRING"}]}}	Field A already exists in schema
{"destinationTable":{"datasetId":"ops","tableId":"t"}}	Required parameter is missing: destinationTable
EOF
	run -0 load_file in "$(job j1 '{"schemaUpdateOptions":["ALLOW_FIELD_ADDITION"],"writeDisposition":"WRITE_TRUNCATE"}')"
	assert_output 'DONE invalid null'
	run -0 load_file in "$(job j2 '{"destinationTable":{"projectId":"weir-test","datasetId":"nope","tableId":"t"}}')"
	assert_output 'DONE notFound null'
}

@test "each bad record is told, with its place; a load that fails leaves nothing" {
	start
	nth=0
	while IFS=$'\t' read -r record want; do
		{ echo '{"d":"2026-01-01"}'; echo "$record"; } >in
		: $((++nth))
		load_file in "$(job "j$nth")" >end
		api "$V2/jobs/j$nth?location=EU" >got
		run -0 jq -r '.status|"\(.errorResult.reason): \(.errors[1].message)"' got
		assert_output --partial "invalid: Error while reading data, error message: JSON parsing error in row starting at position 19: $want"
	done <<'EOF'
{"d":"2026-01-01","zz":1}	No such field: zz.
{"n":1}	Missing required field: d.
{"d":null}	Missing required field: d.
{"d":"2026-13-01"}	Could not parse value as DATE: d.
{"d":"2026-01-01","n":"x"}	Could not convert value to integer: n.
{"d":"2026-01-01","n":1.5}	Could not convert value to integer: n.
{"d":"2026-01-01","n":9007199254740993}	Could not convert value to integer (over 2^53 it must be a string): n.
{"d":"2026-01-01","x":"1,5"}	Invalid BIGNUMERIC value: x.
{"d":"2026-01-01","at":"yesterday"}	Could not parse value as TIMESTAMP: at.
{"d":"2026-01-01","b":"maybe"}	Could not convert value to boolean: b.
{"d":"2026-01-01","s":["a"]}	Array specified for non-repeated field: s.
{"d":"2026-01-01","s":"a","s":"b"}	Duplicate field: s.
{"d":"2026-01-01"	
EOF
	run -0 said < <(api "$V2/datasets/ops/tables/t")
	assert_output --partial '404 notFound' # not even made
	run -0 load_file in "$(job k1 '{"maxBadRecords":1}')"
	assert_output 'DONE null 1'
	api "$V2/jobs/k1?location=EU" | jq -e '.status.errors|length == 1'
	api "$V2/jobs/k1?location=EU" | jq -e '.statistics.load.badRecords == "1"'
	run -0 load_file in "$(job k2)"
	assert_output 'DONE invalid null'
	run -0 rows 'SELECT COUNT(*) FROM ops.t'
	assert_output '["1"]'
}

@test "values come back exact" {
	start
	printf '%s\n' '{"d":"2026-01-01","n":"9223372036854775807","x":"-12345678901234567890.123456789012345678","at":"2026-01-02T03:04:05.678901+02:00","s":"å\u0001\"","b":true}' \
		'{"d":"2026-01-02","n":-5,"x":1.50,"at":"2026-01-02 03:04:05 UTC"}' >in
	load_file in "$(job j1)" >/dev/null
	run -0 rows 'SELECT * FROM ops.t ORDER BY d'
	assert_output '["2026-01-01","9223372036854775807","-12345678901234567890.123456789012345678","1767315845678901","å\u0001\"","true"]
["2026-01-02","-5","1.5","1767323045000000",null,null]'
	run -0 rows "SELECT x + BIGNUMERIC '0.1', x * 2, SUM(x) OVER () FROM ops.t WHERE n < 0"
	assert_output '["1.6","3","1.5"]'
	run -0 rows "SELECT x FROM ops.t ORDER BY x"
	assert_output $'["-12345678901234567890.123456789012345678"]\n["1.5"]'
	run -0 rows "SELECT n + 1 FROM ops.t"
	assert_output '"int64 overflow"'
}

@test "dispositions: append, truncate, empty; a partition by its decorator" {
	start
	query "CREATE TABLE ops.f (d DATE NOT NULL, s STRING) PARTITION BY d" >/dev/null
	query "INSERT INTO ops.f VALUES ('2026-01-01', 'a'), ('2026-01-01', 'b'), ('2026-01-02', 'c')" >/dev/null
	echo '{"d":"2026-01-01","s":"n"}' >in
	F='"schema":{"fields":[{"name":"d","type":"DATE","mode":"REQUIRED"},{"name":"s","type":"STRING"}]}'
	to() { printf '{"destinationTable":{"projectId":"%s","datasetId":"ops","tableId":"%s"},%s,"writeDisposition":"%s"%s}' "$P" "$1" "$F" "$2" "${3:-}"; }
	run -0 load_file in "$(job j1 "$(to 'f$20260101' WRITE_TRUNCATE)")"
	assert_output 'DONE null 1'
	run -0 rows 'SELECT s FROM ops.f ORDER BY s' # of all sources, that day
	assert_output $'["c"]\n["n"]'
	run -0 load_file in "$(job j2 "$(to 'f$20260102' WRITE_TRUNCATE)")"
	assert_output 'DONE invalid null'            # a row of another day
	run -0 load_file in "$(job j3 "$(to f WRITE_EMPTY)")"
	assert_output 'DONE duplicate null'
	run -0 load_file in "$(job j4 "$(to f WRITE_APPEND ',"timePartitioning":{"type":"MONTH","field":"d"}')")"
	assert_output 'DONE invalid null'
	run -0 load_file in "$(job j5 "$(to f WRITE_TRUNCATE)")"
	assert_output 'DONE null 1'
	F='"schema":{"fields":[{"name":"d","type":"DATE","mode":"REQUIRED"},{"name":"s","type":"STRING"},{"name":"z","type":"STRING"}]}'
	run -0 load_file in "$(job j6 "$(to f WRITE_APPEND)")"
	assert_output 'DONE invalid null'
	run -0 load_file in "$(job j7 "$(to f WRITE_APPEND ',"schemaUpdateOptions":["ALLOW_FIELD_ADDITION"]')")"
	assert_output 'DONE null 1'
	run -0 rows 'SELECT COUNT(*), COUNT(z) FROM ops.f'
	assert_output '["2","0"]'
}

@test "days that have expired are gone; a filter that is demanded is demanded" {
	start
	query "CREATE TABLE ops.x (d DATE, n INT64) PARTITION BY d OPTIONS (
		partition_expiration_days = 3, require_partition_filter = TRUE)" |
		jq -e .jobComplete
	query "INSERT INTO ops.x VALUES (CURRENT_DATE(), 1),
		(DATE_SUB(CURRENT_DATE(), INTERVAL 9 DAY), 2)" >/dev/null
	run -0 rows "SELECT n FROM ops.x WHERE d > '2020-01-01'"
	assert_output '["1"]'
	for sql in 'SELECT n FROM ops.x' 'DELETE FROM ops.x WHERE n = 1' \
		'UPDATE ops.x SET n = 2 WHERE n = 1'; do
		run -0 said < <(query "$sql")
		assert_output --partial "without a filter over column(s) 'd'"
	done
}

@test "a view made as a table resource follows its query" {
	start
	query 'CREATE TABLE ops.t AS SELECT 1 AS n' >/dev/null
	api "$V2/datasets/ops/tables" -d '{"tableReference":{"tableId":"v"},"view":{
		"query":"SELECT n + 1 AS m FROM ops.t","useLegacySql":false}}' |
		jq -e '.type == "VIEW" and .schema.fields[0].name == "m"'
	query 'UPDATE ops.t SET n = 5 WHERE TRUE' >/dev/null
	run -0 rows 'SELECT m FROM ops.v'
	assert_output '["6"]'
	run -0 said < <(api "$V2/datasets/ops/tables/v/data")
	assert_output --partial 'Cannot list a table of type VIEW'
	run -0 said < <(api "$V2/datasets/ops/tables" -d '{"tableReference":{"tableId":"w"},
		"view":{"query":"SELECT 1"}}')
	assert_output --partial 'useLegacySql must be false'
	run -0 said < <(api "$V2/datasets/ops/tables/w")
	assert_output --partial '404 notFound'
}

@test "a job fails, or grumbles, as the script says" {
	fault '{"match":"POST /upload","do":"job-error","reason":"jobBackendError","body":"try later"}'
	fault '{"match":"POST /bigquery/v2/projects/weir-test/jobs","do":"job-warning","reason":"invalid","body":"hm"}'
	start
	echo '{"d":"2026-01-01"}' >in
	run -0 load_file in "$(job j1)"
	assert_output 'DONE jobBackendError null'
	run -0 load_file in "$(job j2)"
	assert_output 'DONE null 1'
	api "$V2/jobs" -d '{"jobReference":{"projectId":"weir-test","jobId":"q1","location":"EU"},
		"configuration":{"query":{"query":"SELECT 1","useLegacySql":false}}}' >/dev/null
	api "$V2/jobs/q1?location=EU" |
		jq -e '.status|.errorResult == null and .errors[0].message == "hm"'
}

@test "queries: legacy SQL, unknown members and what is over the cap are refused" {
	start
	query 'CREATE TABLE ops.q AS SELECT "x" AS s' >/dev/null
	run -0 said < <(api "$V2/queries" -d '{"query":"SELECT 1"}')
	assert_output --partial '400 invalid useLegacySql must be false'
	run -0 said < <(query 'SELECT 1' '[]' '{"maxBytesBilled":"1"}')
	assert_output --partial 'Unknown name "maxBytesBilled"'
	run -0 said < <(query 'SELECT s FROM ops.q' '[]' '{"maximumBytesBilled":"1000"}')
	assert_output '400 bytesBilledLimitExceeded Query exceeded limit for bytes billed: 1000. 10485760 or higher required.'
	query 'SELECT s FROM ops.q' '[]' '{"maximumBytesBilled":"10485760"}' |
		jq -e '.totalBytesBilled == "10485760" and .totalBytesProcessed == "3"'
	query 'DELETE FROM ops.q WHERE TRUE' '[]' '{"dryRun":true}' |
		jq -e '.jobReference == null and .totalBytesProcessed == "3"'
	run -0 rows 'SELECT COUNT(*) FROM ops.q'
	assert_output '["1"]'
	run -0 said < <(query 'SELECT nope FROM ops.q' '[]' '{"dryRun":true}')
	assert_output '400 invalidQuery Unrecognized name: nope at [1:8]'
	api "$V2/jobs" -d '{"jobReference":{"projectId":"weir-test","jobId":"dry","location":"EU"},
		"configuration":{"dryRun":true,"query":{"query":"SELECT s FROM ops.q","useLegacySql":false}}}' |
		jq -e '.statistics.query.totalBytesProcessedAccuracy == "PRECISE" and .jobReference == null'
	run -0 said < <(api "$V2/jobs/dry?location=EU")
	assert_output --partial '404 notFound'
}

@test "a request id makes a change happen once" {
	start
	query 'CREATE TABLE ops.r (n INT64)' >/dev/null
	for _ in 1 2; do
		query 'INSERT INTO ops.r VALUES (1)' '[]' '{"requestId":"one"}' |
			jq -e '.numDmlAffectedRows == "1"'
	done
	run -0 rows 'SELECT COUNT(*) FROM ops.r'
	assert_output '["1"]'
}

@test "results by pages; a query that failed is an error of getQueryResults" {
	start
	q() { api "$V2/jobs" -d "$(jq -nc --arg id "$1" --arg q "$2" --arg p $P '{jobReference:{projectId:$p,jobId:$id,location:"EU"},configuration:{query:{query:$q,useLegacySql:false}}}')"; }
	q q1 'SELECT x FROM UNNEST([1,2,3,4,5]) AS x ORDER BY x' | jq -e .status.state
	R="$V2/queries/q1?location=EU"
	api "$R&maxResults=2" >one
	run -0 jq -c '[.jobComplete, .totalRows, .schema.fields[0].type, [.rows[].f[0].v]]' one
	assert_output '[true,"5","INTEGER",["1","2"]]'
	run -0 jq -c '[[.rows[].f[0].v], .pageToken]' < <(api "$R&pageToken=$(jq -r .pageToken one)")
	assert_output '[["3","4","5"],null]'
	run -0 jq -c '[.totalRows,.rows,.pageToken]' < <(api "$R&maxResults=0")
	assert_output '["5",null,null]'
	run -0 said < <(api "$R&pageToken=zz")
	assert_output --partial 'Invalid value for pageToken'
	q q2 'SELECT 1 FRM x' | jq -e .status.state
	run -0 said < <(api "$V2/queries/q2?location=EU")
	assert_output --partial '400 invalidQuery Syntax error'
	run -0 jq -r .status.errorResult.reason < <(api "$V2/jobs/q2?location=EU")
	assert_output invalidQuery
	run -0 jq -r '[.jobs[]|.jobReference.jobId]|join(" ")' < <(api "$V2/jobs")
	assert_output 'q2 q1'
}

@test "a query writes its rows to a table, with its disposition" {
	start
	q() { api "$V2/jobs" -d "$(jq -nc --arg id "$1" --arg q "$2" --arg w "$3" --arg p $P '{jobReference:{projectId:$p,jobId:$id,location:"EU"},configuration:{query:{query:$q,useLegacySql:false,destinationTable:{projectId:$p,datasetId:"ops",tableId:"out"},writeDisposition:$w}}}')" >/dev/null
		api "$V2/jobs/$1?location=EU" | jq -r '.status.errorResult.reason'; }
	[ "$(q q1 'SELECT 1 AS n' WRITE_TRUNCATE)" = null ]
	[ "$(q q2 'SELECT 2 AS n' WRITE_EMPTY)" = duplicate ]
	[ "$(q q3 'SELECT 2 AS n' WRITE_APPEND)" = null ]
	[ "$(q q4 'SELECT "x" AS n' WRITE_APPEND)" = invalid ]
	[ "$(q q5 'DELETE FROM ops.out WHERE TRUE' WRITE_APPEND)" = invalid ]
	run -0 rows 'SELECT n FROM ops.out ORDER BY n'
	assert_output $'["1"]\n["2"]'
}

@test "parameters of each type; one that is missing or malformed is named" {
	start
	while IFS=$'\t' read -r type value expr want; do
		run -0 rows "SELECT $expr" "$(param p "$type" "$value")"
		assert_output "$want"
	done <<'EOF'
STRING	it's	@p	["it's"]
INT64	-9223372036854775808	@p	["-9223372036854775808"]
DATE	2024-02-29	DATE_ADD(@p, INTERVAL 1 YEAR)	["2025-02-28"]
TIMESTAMP	2026-01-02 03:04:05+00	UNIX_SECONDS(@p)	["1767323045"]
BOOL	true	NOT @p	["false"]
BIGNUMERIC	0.10	@p * @p	["0.01"]
FLOAT64	2	@p / 4	["0.5"]
INT64	x	@p	"Invalid value for parameter 'p': x"
STRING	a	@q	"Query parameter 'q' not found at [1:8]"
EOF
	run -0 rows 'SELECT @p IS NULL, COALESCE(@p, 5)' "$(param p INT64)"
	assert_output '["true","5"]'
	run -0 rows 'SELECT x FROM UNNEST(@a) AS x WHERE x IN UNNEST(@a) ORDER BY x DESC' \
		'[{"name":"a","parameterType":{"type":"ARRAY","arrayType":{"type":"STRING"}},"parameterValue":{"arrayValues":[{"value":"u"},{"value":"v"}]}}]'
	assert_output $'["v"]\n["u"]'
}

@test "SQL: what the service would give" {
	start
	query "CREATE TABLE ops.a (k STRING NOT NULL, d DATE, n INT64, x BIGNUMERIC, t TIMESTAMP)" >/dev/null
	query "INSERT INTO ops.a VALUES ('a','2026-01-01',1,NUMERIC '1.1',CURRENT_TIMESTAMP()),('b','2026-01-02',2,NULL,NULL),('a','2026-01-03',NULL,NUMERIC '10',NULL)" >/dev/null
	while IFS=$'\t' read -r sql want; do
		run -0 rows "$sql"
		assert_output "$want"
	done <<'EOF'
SELECT k, COUNT(*) AS c, SUM(x) FROM ops.a GROUP BY k ORDER BY c DESC LIMIT 1	["a","2","11.1"]
SELECT MAX(x) FROM ops.a	["10"]
SELECT DATE_DIFF(MAX(d), MIN(d), DAY) FROM ops.a	["2"]
WITH q AS (SELECT k, n FROM ops.a WHERE n IS NOT NULL) SELECT COUNT(*) FROM q JOIN ops.a AS a USING (k)	["3"]
SELECT k FROM ops.a QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY d DESC) = 1 ORDER BY k LIMIT 1	["a"]
SELECT COUNTIF(n IS DISTINCT FROM 1) FROM ops.a	["2"]
SELECT SAFE_CAST('x' AS INT64), CAST('7' AS INT64), CAST(DATE '2026-01-02' AS STRING)	[null,"7","2026-01-02"]
SELECT FORMAT_DATE('%Y%m%d', d) FROM ops.a WHERE k = 'b'	["20260102"]
SELECT IF(n > 1, 'big', 'small') FROM ops.a WHERE n = 2	["big"]
SELECT CASE WHEN x BETWEEN 5 AND 20 THEN 1 ELSE 0 END FROM ops.a ORDER BY d DESC LIMIT 1	["1"]
SELECT (SELECT n FROM ops.a WHERE k = 'b') + 1	["3"]
SELECT 10 / 4, DIV(10, 4), MOD(10, 4), BIGNUMERIC '10' / 4	["2.5","2","2","2.5"]
SELECT k FROM ops.a EXCEPT DISTINCT SELECT 'a'	["b"]
SELECT TO_HEX(SHA256('abc'))	["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
SELECT EXTRACT(YEAR FROM DATE '2026-01-02'), DATE_TRUNC(DATE '2026-05-17', MONTH)	["2026","2026-05-01"]
SELECT * EXCEPT (t, x) FROM ops.a WHERE k = 'b'	["b","2026-01-02","2"]
SELECT STRUCT(1 AS a, 'x' AS b).b	["x"]
EOF
}

@test "SQL that is wrong, or not known here, is refused by name and place" {
	start
	query "CREATE TABLE ops.a (k STRING NOT NULL, d DATE, n INT64)" >/dev/null
	query "INSERT INTO ops.a VALUES ('a', NULL, 1), ('b', NULL, 2)" >/dev/null
	while IFS=$'\t' read -r sql want; do
		run -0 said < <(query "$sql")
		assert_output --partial "400 invalidQuery $want"
	done <<'EOF'
SELECT k, COUNT(*) FROM ops.a	SELECT list expression references column k which is neither grouped nor aggregated at [1:8]
SELECT k FROM ops.a WHERE n = 'x'	No matching signature for operator = for argument types: INT64, STRING
SELECT k FROM ops.a WHERE n	WHERE clause should return type BOOL, but returns INT64 at [1:27]
SELECT APPROX_COUNT_DISTINCT(k) FROM ops.a	Function not found: APPROX_COUNT_DISTINCT at [1:8]
SELECT k FROM ops.a WHERE k = n + 'a'	No matching signature for operator +
SELECT k k2 FROM ops.a a JOIN ops.a b ON TRUE	Column name k is ambiguous at [1:8]
UPDATE ops.a SET k = 'x'	UPDATE must have a WHERE clause
DELETE FROM ops.a	DELETE must have a WHERE clause
INSERT INTO ops.a (k) VALUES (1)	Value of type INT64 cannot be assigned to k, which has type STRING
INSERT INTO ops.a (k, k) VALUES ('a', 'b')	INSERT has columns with duplicate name: k
INSERT INTO ops.a (n) VALUES (1)	Required field k cannot be null
INSERT INTO ops.a (k, d) SELECT 'a', 'b'	Query column 2 has type STRING which cannot be inserted into column d, which has type DATE
EXPORT DATA OPTIONS (uri = 'x') AS SELECT 1	Syntax error: Unexpected keyword or identifier EXPORT at [1:1]
SELECT (SELECT n FROM ops.a)	Scalar subquery produced more than one element
SELECT 1 +	Syntax error: Unexpected end of statement at [1:11]
SELECT 1 / 0	division by zero
SELECT CAST('x' AS INT64)	Bad int64 value: x
SELECT DATE '2026-02-30'	Could not cast literal "2026-02-30" to type DATE
SELECT 1 AS a, 2 AS a	Duplicate column names in the result are not supported. Found duplicate(s): a
WITH RECURSIVE x AS (SELECT 1) SELECT 1	WITH RECURSIVE: not known to this stand-in
EOF
	run -0 said < <(query 'SELECT 1 FROM ops.nope')
	assert_output "404 notFound Not found: Table $P:ops.nope was not found in location EU"
	run -0 said < <(query 'SELECT 1 FROM nope')
	assert_output --partial 'must be qualified with a dataset'
}

@test "a script that fails in its transaction leaves nothing, one that commits all" {
	start
	query 'CREATE TABLE ops.a (n INT64); CREATE TABLE ops.b (n INT64)' >/dev/null
	query 'INSERT INTO ops.a VALUES (1)' >/dev/null
	before=$(api "$V2/datasets/ops/tables/a" | jq -r .etag)
	run -0 said < <(query "BEGIN TRANSACTION; DELETE FROM ops.a WHERE TRUE;
		INSERT INTO ops.b SELECT 5;
		ASSERT (SELECT COUNT(*) FROM ops.b) = 2 AS 'not two'; COMMIT TRANSACTION")
	assert_output '400 invalidQuery not two at [3:3]'
	run -0 rows 'SELECT (SELECT COUNT(*) FROM ops.a), (SELECT COUNT(*) FROM ops.b)'
	assert_output '["1","0"]'
	[ "$(api "$V2/datasets/ops/tables/a" | jq -r .etag)" = "$before" ]
	query "BEGIN TRANSACTION; UPDATE ops.a SET n = n + 1 WHERE n = 1;
		INSERT INTO ops.b SELECT n FROM ops.a; COMMIT TRANSACTION;
		SELECT n FROM ops.b" >got
	run -0 jq -c '[.rows[0].f[0].v, .numDmlAffectedRows]' got
	assert_output '["2",null]'
	id=$(jq -r .jobReference.jobId got)
	run -0 jq -c '[.jobs[].statistics.query.statementType]' \
		< <(api "$V2/jobs?parentJobId=$id&projection=full")
	assert_output '["SELECT","COMMIT_TRANSACTION","INSERT","UPDATE","BEGIN_TRANSACTION"]'
	run -0 jq -c '[.jobs[2,3].statistics.query.dmlStats]' \
		< <(api "$V2/jobs?parentJobId=$id")
	assert_output '[{"insertedRowCount":"1","deletedRowCount":"0","updatedRowCount":"0"},{"insertedRowCount":"0","deletedRowCount":"0","updatedRowCount":"1"}]'
	run -0 said < <(query 'BEGIN TRANSACTION; DROP TABLE ops.a; COMMIT TRANSACTION')
	assert_output --partial 'DDL statement is not supported in a transaction'
	run -0 said < <(query 'BEGIN TRANSACTION; DELETE FROM ops.a WHERE TRUE; ROLLBACK TRANSACTION; SELECT COUNT(*) FROM ops.a; SELECT 1 FROM ops.zz')
	assert_output --partial '404 notFound'
	run -0 rows "DECLARE x INT64 DEFAULT 4; SET x = x + 1; CREATE TEMP TABLE tt AS SELECT x AS n; SELECT n FROM tt"
	assert_output '["5"]'
}

@test "MERGE: who is updated, inserted, deleted; two source rows on one are an error" {
	start
	query "CREATE TABLE ops.m (k STRING NOT NULL, v INT64)" >/dev/null
	query "INSERT INTO ops.m VALUES ('a', 1), ('b', 2), ('c', 3)" >/dev/null
	S="(SELECT 'a' AS k, 10 AS v UNION ALL SELECT 'd', 40)"
	query "MERGE ops.m t USING $S s ON t.k = s.k
		WHEN MATCHED THEN UPDATE SET v = s.v + t.v
		WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)
		WHEN NOT MATCHED BY SOURCE AND t.k = 'c' THEN DELETE" |
		jq -e '.dmlStats == {insertedRowCount:"1",deletedRowCount:"1",updatedRowCount:"1"}'
	run -0 rows 'SELECT k, v FROM ops.m ORDER BY k'
	assert_output $'["a","11"]\n["b","2"]\n["d","40"]'
	run -0 said < <(query "MERGE ops.m t USING (SELECT 'a' AS k UNION ALL SELECT 'a') s
		ON t.k = s.k WHEN MATCHED THEN DELETE")
	assert_output '400 invalidQuery UPDATE/MERGE must match at most one source row for each target row'
	query "MERGE ops.m USING $S s ON m.k = s.k WHEN NOT MATCHED THEN INSERT ROW" |
		jq -e '.numDmlAffectedRows == "0"'
	run -0 said < <(query "UPDATE ops.m SET v = s.v FROM (SELECT 'a' AS k, 1 AS v
		UNION ALL SELECT 'a', 2) s WHERE m.k = s.k")
	assert_output --partial 'must match at most one source row'
	run -0 rows 'SELECT COUNT(*) FROM ops.m'
	assert_output '["3"]'
}

@test "the tables of the warehouse are made, twice, and views follow them" {
	start
	for i in 1 2; do
		for f in "$ROOT"/pipelines/sql/bigquery/[0-9]*.sql; do
			sed 's/analytics_core/core/g; s/analytics_ops/ops/g' "$f" >ddl
			query "$(<ddl)" | jq -e '.jobComplete' || return 1
		done
	done
	api "$V2/datasets/core/tables/fact_kpi_daily" |
		jq -e '.timePartitioning.field == "date" and .clustering.fields[0] == "source_system"'
	api "$V2/datasets/core/tables/kpi_daily" |
		jq -e '.type == "VIEW" and .schema.fields[0].type == "DATE"'
	run -0 said < <(query 'INSERT INTO core.kpi_daily (date) VALUES (CURRENT_DATE())')
	assert_output --partial 'Cannot perform DML on a view'
	run -0 said < <(query 'CREATE TABLE core.kpi_daily (a INT64)')
	assert_output --partial '409 duplicate'
}

@test "the pushed down statement counts the export as kpi-agg does" {
	"$WEIR_B"/test/gen-ga4 --dir data --start 2026-11-19 --end 2026-11-19 --sessions 30
	start --data "$T/data"
	kpi-agg --sql bigquery --project $P --property 412345678 --date 2026-11-19 \
		--kpis "$ROOT"/conf/kpis.jq --source ga4 >sql
	rows "$(<sql)" | jq -c '[.[0,1,2,4,5,6,7,8,9]]' | sort >there
	ndjson-part --source ga4 --feed 412345678 --date 2026-11-19 \
		--tz Europe/Stockholm -- cat data/analytics_412345678/events_20261119.ndjson |
		event-id --profile ga4 | ndjson-dedup --key event_id 2>/dev/null |
		kpi-agg --kpis "$ROOT"/conf/kpis.jq --source ga4 | grep -v '@stream' |
		jq -c 'def t: if . == null then null else tostring end; [.date, .app_id,
			.platform, .metric, .segment, (.value|t), (.num|t), (.den|t), .unit]' |
		sort >here
	(($(wc -l <here) > 50))
	diff here there
	run -0 said < <(query 'DELETE FROM analytics_412345678.events_20261119 WHERE TRUE')
	assert_output --partial '403 accessDenied'
}

@test "a large upload is not kept in memory" {
	skip_if_san
	start
	yes '{"d":"2026-01-01","n":1,"s":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}' |
		head -c 67108800 >in              # 64 MiB less 64 bytes: whole lines
	session "$(job j1)"
	for ((at = 0; at < 67108800; at += 8388608)); do
		tail -c +$((at + 1)) in | head -c 8388608 >c
		chunk "$at-$((at + $(size_of c) - 1))/67108800" c >/dev/null
	done
	run -0 awk '/VmHWM/ { print ($2 < 120000 ? "small" : $2) }' "/proc/$SIM_PID/status"
	assert_output small
}
