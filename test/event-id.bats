#!/usr/bin/env bats
# event-id: stamps, payloads, the identity of GA4 rows.

bats_require_minimum_version 1.5.0
load helper

id_of() { # the id alone; options of event-id as arguments
	event-id "$@" | grep -oE '"event_id":"[^"]*"' | cut -d '"' -f 4
}

digest() { # of the text on the command line
	printf '%s' "$1" | sha256sum | cut -d ' ' -f 1
}

@test "the id is source, UTC stamp and the digest of the canonical form" {
	run -0 id_of --source app --ts at \
		<<<'{ "b" : 1.50, "at":"2026-11-20T03:17:00.1239+01:00", "a":"x\/\u0079" }'
	assert_output "app:20261120021700123:$(digest \
		'{"a":"x/y","at":"2026-11-20T03:17:00.1239+01:00","b":1.5}')"
}

@test "the id goes in as first member and no other byte changes" {
	printf '%s\n' '{"t":1,"b":1.50, "a":"x\/y" }' '{ "t":2}' >in
	event-id --source x --ts t --ts-unit s <in >out
	sed -E 's/"event_id":"[^"]*",//' out | cmp - in
	[ "$(grep -c '^{"event_id":"x:1970' out)" = 2 ]
}

@test "milliseconds are cut, not rounded, before and after 1970" {
	one() { # JSON UNIT STAMP
		run -0 id_of --source x --ts t --ts-unit "$2" <<<"{\"t\":$1}"
		[[ $output == "x:$3:"* ]] || { echo "$1 $2: $output, not $3"; false; }
	}
	one 1732072620123999 us 20241120031700123
	one '"1732072620123999"' us 20241120031700123
	one 1732072620.1239 s 20241120031700123
	one '"1732072620.9999999"' s 20241120031700999
	one 1.7320726201239e9 s 20241120031700123
	one 1732072620123 ms 20241120031700123
	one -1 us 19691231235959999
	one -0.0005 s 19691231235959999
	one -1 ms 19691231235959999
	one 0 s 19700101000000000
	one 253402300799 s 99991231235959000
	one '"2024-02-29T23:59:60Z"' rfc3339 20240229235959999
	one '"2024-02-29T23:59:59.9999Z"' rfc3339 20240229235959999
	one '"2024-12-31T23:30:00-01:00"' rfc3339 20250101003000000
	one '"0001-01-01T00:00:00Z"' rfc3339 00010101000000000
}

@test "a record after one of the same day gets the right stamp, too" {
	printf '{"t":"%s"}\n' 2024-11-20T03:17:00.1239Z 2024-11-20T23:59:59.001Z \
		2024-11-20T03:17:00Z 2024-11-20T03:17:00.12Z \
		2024-11-20T03:17:00.123+01:00 2024-11-21T00:00:00.5Z >in
	run -0 id_of --source x --ts t <in
	[ "$(cut -d : -f 2 <<<"$output" | paste -sd ' ')" = "20241120031700123 \
20241120235959001 20241120031700000 20241120031700120 20241120021700123 \
20241121000000500" ]
	printf '{"t":"%s"}\n' 2024-11-20T03:17:00.123Z 2024-11-20T24:17:00.123Z >in
	run -65 event-id --source x --ts t <in
	assert_line "event-id: -:2: t is not an RFC 3339 time"
}

@test "a missing, null, odd or far time is a bad record that is named" {
	one() { # RECORD REASON OPTION ...
		local rec=$1 why=$2
		shift 2
		run -65 event-id --source x --ts a.t "$@" <<<"$rec"
		assert_output "event-id: -:1: a.t $why"
	}
	one '{"a":{}}' "is missing"
	one '{"a":{"t":null}}' "is null"
	one '{"a":{"t":true}}' "is neither a string nor a number"
	one '{"a":{"t":17}}' "is a number: its unit is needed (--ts-unit)"
	one '{"a":{"t":"yesterday"}}' "is not an RFC 3339 time"
	one '{"a":{"t":"2026-02-29T00:00:00Z"}}' "is not an RFC 3339 time"
	one '{"a":{"t":"x"}}' "is not a number" --ts-unit s
	one '{"a":{"t":""}}' "is not a number" --ts-unit s
	one '{"a":{"t":"1 "}}' "is not a number" --ts-unit s
	one '{"a":{"t":1e30}}' "is not within the years 1 to 9999" --ts-unit us
	one '{"a":{"t":253402300800}}' "is not within the years 1 to 9999" --ts-unit s
	one '{"a":{"t":1,"t":2}}' "occurs twice" --ts-unit s
}

@test "the source may be in the record, or be the partition's" {
	run -0 id_of --source-path s --ts t --ts-unit s <<<'{"t":0,"s":"web.1"}'
	assert_output --regexp '^web\.1:19700101000000000:'
	run -65 event-id --source-path s --ts t --ts-unit s <<<'{"t":0,"s":"a:b"}'
	run -64 event-id --source a:b --ts t
	ndjson-part --source ga4 --feed 1 --date 2026-11-20 -- echo '{"t":0}' >p
	event-id --ts t --ts-unit s <p >out
	sed -n 2p out | grep -q '^{"event_id":"ga4:19700101'
	ndjson-part --check <out
	run -64 event-id --ts t <<<'{"t":0}'
	assert_output --partial "records outside a partition need --source"
}

@test "--exclude leaves members out of the hash and in the record" {
	local a b
	a=$(id_of --source x --ts t --ts-unit s <<<'{"t":0,"m":{"x":1}}')
	b=$(id_of --source x --ts t --ts-unit s --exclude f,m.f,none --exclude g \
		<<<'{"f":[1,2],"t":0,"m":{"f":"\"","x":1},"g":{}}')
	[ "$a" = "$b" ]
	b=$(id_of --source x --ts t --ts-unit s --exclude f,g \
		<<<'{"f":[1,2],"t":0,"m":{"x":1},"\u0067":{}}')
	[ "$a" = "$b" ]
	run -0 event-id --source x --ts t --ts-unit s --exclude f <<<'{"f":1,"t":0}'
	assert_output --partial '"f":1,"t":0}'
}

@test "--payload takes a string's bytes, or the canonical form of a value" {
	run -0 id_of --source x --ts t --ts-unit s --payload p.q \
		<<<'{"t":0,"p":{"q":"a\u00e9\n"}}'
	assert_output "x:19700101000000000:$(printf 'a\303\251\n' | sha256sum | cut -d ' ' -f 1)"
	run -0 id_of --source x --ts t --ts-unit s --payload p <<<'{"t":0,"p":[1.0, 2]}'
	assert_output "x:19700101000000000:$(digest '[1,2]')"
	run -65 event-id --source x --ts t --ts-unit s --payload p <<<'{"t":0}'
	assert_output "event-id: -:1: p is missing"
}

@test "--raw-bytes hashes what stands there" {
	run -0 id_of --source x --ts t --ts-unit s --raw-bytes <<<'{"t" : 0,"b":1.0}'
	assert_output "x:19700101000000000:$(digest '{"t" : 0,"b":1.0}')"
	run -0 id_of --source x --ts t --ts-unit s --raw-bytes --payload b \
		<<<'{"t" : 0,"b":"x"}'
	assert_output "x:19700101000000000:$(digest '"x"')"
}

@test "a record that has an id is refused, and --replace gives it a new one" {
	printf '%s\n' '{"t":0,"a":1}' '{"t":1}' |
		event-id --source x --ts t --ts-unit s --lineage --batch b >once
	run -65 event-id --source x --ts t --ts-unit s <once
	assert_output "event-id: -:1: has event_id already: --replace gives it a new one"
	event-id --source x --ts t --ts-unit s --lineage --batch b --replace \
		<once | cmp - once
	echo '{"t":0, "event_id" : "old" ,"a":1}' |
		event-id --source x --ts t --ts-unit s --replace >out
	run -0 jq -c 'del(.event_id)' out
	assert_output '{"t":0,"a":1}'
	[ "$(jq -r .event_id out)" = "$(head -1 once | jq -r .event_id)" ]
}

@test "lineage names file, line and batch, and is no part of the id" {
	printf '%s\n' '{"t":0}' '' '{"t":1}' >f.ndjson
	event-id --source x --ts t --ts-unit s --lineage --batch 'b"1' f.ndjson >out
	run -0 jq -c '[.source_file, .line_no, .batch_id]' out
	assert_line --index 0 '["f.ndjson",1,"b\"1"]'
	assert_line --index 1 '["f.ndjson",3,"b\"1"]'
	cmp <(jq -r .event_id out) <(id_of --source x --ts t --ts-unit s f.ndjson)
	run -65 event-id --source x --ts t --ts-unit s --lineage \
		<<<'{"t":0,"line_no":7}'
	assert_output --partial "has line_no already"
}

@test "a member twice is a bad record, however it is spelt" {
	run -65 event-id --source x --ts t --ts-unit s <<<'{"t":0,"a":1,"a":1}'
	assert_output "event-id: -:1: an object has a member twice"
	run -65 event-id --source x --ts t --ts-unit s <<<'{"t":0,"a":1,"\u0061":1}'
	run -65 event-id --source x --ts t --ts-unit s <<<'{"t":0,"o":[{"b":1,"b":2}]}'
	run -65 event-id --source x --ts t --ts-unit s <<<'{"t":0,"event_id":1,"event\u005fid":2}'
	assert_output "event-id: -:1: event_id occurs twice"
}

@test "the canonical form here is that of the library, for odd records" {
	"$WEIR_B/test/unit/canon"
}

@test "SHA-256 and HMAC agree with NIST, RFC 4231 and libcrypto on every path" {
	local simd
	for simd in avx512 avx2 portable; do # sixteen lanes, two, libcrypto
		WEIR_SIMD=$simd run -0 "$WEIR_B/test/unit/sha"
		assert_output ok
	done
}

@test "every path writes the same bytes" {
	for i in {1..200}; do
		printf '{"t":%d,"x":"%0*d","a":{"z":1,"b":[%d.50]}}\n' $i $i $i $i
	done >in
	event-id --source x --ts t --ts-unit s <in >a
	for simd in avx512 avx2 portable; do
		WEIR_SIMD=$simd event-id --source x --ts t --ts-unit s <in |
			cmp - a
	done
	[ "$(jq -r .event_id a | sort -u | wc -l)" = 200 ]
}

# ---- GA4 ----

ga4_row='{"event_date":"20261120","event_timestamp":"1763608620123456",
"event_name":"purchase","event_params":[
{"key":"ga_session_id","value":{"int_value":"1763608000"}},
{"key":"value","value":{"double_value":31.5}},
{"key":"tax","value":{"double_value":31.0}},
{"key":"empty"},
{"key":"page_title","value":{"string_value":"Caf\u00e9 \"x\""}}],
"user_pseudo_id":"1.2","stream_id":"44","batch_page_id":"7","items":[]}'

same_as_row() { # reads a row
	local id
	id=$(id_of --source ga4 --profile ga4)
	[[ $id == ga4:* ]]
	[ "$id" = "$want" ] || { echo "$1: $id, not $want"; false; }
}

@test "the payload of a GA4 row is the one that the page describes" {
	run -0 id_of --source ga4 --profile ga4 --property 123 <<<"$(jq -c . <<<"$ga4_row")"
	assert_output "ga4:20251120031700123:$(digest "ga4/1,3:123,2:44,8:purchase,\
16:1763608620123456,3:1.2,1:7,-,-,5;5:empty,-,13:ga_session_id,n10:1763608000,\
10:page_title,s9:Café \"x\",3:tax,n2:31,5:value,n4:31.5,")"
}

@test "one GA4 row has one id in every shape of JSON" {
	want=$(jq -c . <<<"$ga4_row" | id_of --source ga4 --profile ga4)
	# numbers for INT64, as TO_JSON_STRING and data frames write them
	jq -c '.event_timestamp |= tonumber | .batch_page_id |= tonumber
	    | .event_params[0].value.int_value |= tonumber' <<<"$ga4_row" |
		same_as_row numbers
	# FLOAT64 in strings and with exponents; all slots there, null or not
	jq -c . <<<"$ga4_row" | sed 's/31\.5/"3.15e1"/; s/31\.0/"31.0"/' |
		jq -c '.event_params |= map(.value |= ({string_value: null,
		    int_value: null, float_value: null, double_value: null} + .))
		    | .user_id = null | .batch_ordering_id = null' |
		same_as_row console
	# the whole number in the int slot, the float slot, as 31.00
	jq -c . <<<"$ga4_row" | sed 's/{"double_value":31.0}/{"int_value":"31"}/;
	    s/"double_value":31.5/"float_value":31.50/' | same_as_row slots
	# other order, white space, {} and null for no value
	jq -c '.event_params |= reverse | to_entries | reverse | from_entries' \
		<<<"$ga4_row" | sed 's/"key"/ "key"/g; s/{ "key":"empty"}/{"value" : {}, "key":"empty"}/' |
		same_as_row order
	jq -c '.event_params[3].value = null' <<<"$ga4_row" | same_as_row null
	# NaN in a string is null
	jq -c '.event_params[3].value = {double_value:"NaN"}' <<<"$ga4_row" |
		same_as_row NaN
	# upper case, parameters as pretty JSON in a string, stream_id a number
	jq -c '.stream_id |= tonumber | .event_params |= tojson
	    | with_entries(.key |= ascii_upcase)' <<<"$ga4_row" |
		sed 's/:\[/:[/; s/},{/},\\n {/g' | same_as_row upper
	# attribution, place and user columns do not count
	jq -c '. + {geo:{city:"x"}, traffic_source:{name:"y"}, user_ltv:{revenue:1}}' \
		<<<"$ga4_row" | same_as_row attribution
}

@test "no parameters: absent, null, [] and a string of [] are one" {
	local row='{"event_name":"x","event_timestamp":1763608620123456'
	want=$(id_of --source ga4 --profile ga4 <<<"$row}")
	same_as_row null <<<"$row,\"event_params\":null}"
	same_as_row empty <<<"$row,\"event_params\":[ ]}"
	same_as_row text <<<"$row,\"event_params\":\"[]\"}"
}

@test "what tells GA4 rows apart makes other ids" {
	jq -c '., (.stream_id = "45"), (.user_pseudo_id = null), (.user_pseudo_id = ""),
	    (.event_params[4].value.string_value = "31"), (.batch_page_id = null),
	    (.event_params[0].value = {string_value: "1763608000"}),
	    (.batch_ordering_id = 7 | .batch_page_id = null),
	    (.event_params += [.event_params[0]]), (.event_timestamp = 1763608620123457)' \
		<<<"$ga4_row" | id_of --source ga4 --profile ga4 >ids
	[ "$(wc -l <ids)" = 10 ]
	[ "$(sort -u ids | wc -l)" = 10 ]
	jq -c . <<<"$ga4_row" >row
	[ "$(id_of --source ga4 --profile ga4 --property 1 row)" != "$(head -1 ids)" ]
}

@test "the property is the partition's feed" {
	jq -c . <<<"$ga4_row" >row
	ndjson-part --source ga4 --feed 123 --date 2026-11-20 -- cat row |
		event-id --profile ga4 >p
	[ "$(sed -n 2p p | jq -r .event_id)" = \
		"$(id_of --source ga4 --profile ga4 --property 123 row)" ]
}

@test "a GA4 row of no known shape is a bad record" {
	one() { # FILTER REASON
		run -65 event-id --source ga4 --profile ga4 <<<"$(jq -c "$1" <<<"$ga4_row")"
		assert_output "event-id: -:1: $2"
	}
	one 'del(.event_name)' "event_name is not a string"
	one 'del(.event_timestamp)' "event_timestamp is missing"
	one '.event_params = {}' "event_params is not an array"
	one '.event_params = "[1"' "event_params is a string that is not JSON"
	one '.event_params[0] = 1' "an event parameter is not an object"
	one 'del(.event_params[0].key)' "an event parameter has no key"
	one '.event_params[0].value = 1' "the value of an event parameter is not an object"
	one '.event_params[0].value = {int_value: "x"}' "a number is not one"
	one '.event_params[0].value = {string_value: 1}' "a string_value is not a string"
}

@test "81 rows that two public dumps hold have the same id in both" {
	need_shared samples/ga4/web-variant
	local dir
	dir=$(shared samples/ga4)
	# The Python text of an array becomes JSON: commas between elements, None
	# is null, single quotes around names and values are double ones (values
	# with an apostrophe have double ones already). NaN is no JSON.
	cat "$dir"/web-pythonrepr/*.json | sed 's/\bNaN\b/null/g' | jq -c '
	    .sample_rows[] | .event_params |= (
		gsub("\\}\\s+\\{"; "},{") | gsub(": None"; ": null")
		| gsub("\u0027(?<k>key|value|(string|int|float|double)_value)\u0027";
		    "\"\(.k)\"")
		| gsub(": \u0027(?<v>[^\u0027]*)\u0027(?<e>[,}])"; ": \"\(.v)\"\(.e)")
		| fromjson)' | event-id --source ga4 --profile ga4 |
		jq -r '[.user_pseudo_id, .event_timestamp, .event_name, .event_id]
		    | @tsv' | sort >a
	cat "$dir"/web-variant/*.json | jq -c '.sample_rows[]' |
		event-id --source ga4 --profile ga4 |
		jq -r '[.USER_PSEUDO_ID, .EVENT_TIMESTAMP, .EVENT_NAME, .event_id]
		    | @tsv' | sort >b
	[ "$(comm -12 <(cut -f 1-3 a) <(cut -f 1-3 b) | wc -l)" = 81 ]
	[ "$(comm -12 a b | wc -l)" = 81 ]
	[ "$(cut -f 4 b | sort -u | wc -l)" = 310 ]
}

# ---- what every filter keeps ----

@test "empty input gives nothing; a last line without newline is taken" {
	run -0 event-id --source x --ts t </dev/null
	assert_output ""
	run -0 bash -c "printf '{\"t\":0}' | event-id --source x --ts t --ts-unit s"
	assert_output --partial '"t":0}'
}

@test "a bad line in the middle ends it with 65, or goes to the dead letters" {
	printf '%s\n' '{"t":0}' '{"t":' '{"t":2}' >in
	run -65 --separate-stderr event-id --source x --ts t --ts-unit s <in
	[ "${#lines[@]}" = 1 ]
	[[ $stderr == "event-id: -:2:"* ]]
	run -3 --separate-stderr event-id --source x --ts t --ts-unit s \
		--rejects bad <in
	[ "${#lines[@]}" = 2 ]
	[ "$(cat bad)" = '{"t":' ]
	printf '%s\n' '{"t":0}' '{"t":"x"}' '{"t":2}' >in
	run -3 --separate-stderr event-id --source x --ts t --ts-unit s \
		--rejects bad <in
	[ "${#lines[@]}" = 2 ]
	[ "$(cat bad)" = '{"t":"x"}' ]
}

@test "long lines, NUL and bad UTF-8 are bad records; deep and large ones pass" {
	run -65 event-id --source x --ts t --max-line 10 <<<'{"t":12345678}'
	run -65 bash -c "printf '{\"t\":0,\"a\":\"\\0\"}\n' | event-id --source x --ts t"
	run -65 bash -c "printf '{\"t\":0,\"a\":\"\\xff\"}\n' | event-id --source x --ts t"
	deep=$(printf '[%.0s' {1..900})$(printf ']%.0s' {1..900})
	run -0 id_of --source x --ts t --ts-unit s <<<"{\"t\":0,\"a\":$deep,\"A\": 1}"
	assert_output "x:19700101000000000:$(digest "{\"A\":1,\"a\":$deep,\"t\":0}")"
	n=$(printf '9%.0s' {1..5000})
	run -0 id_of --source x --ts t --ts-unit s <<<"{\"t\":0,\"a\":$n}"
	run -0 id_of --source x --ts t --ts-unit s <<<'{"t":0,"a":1e400}'
	assert_output "x:19700101000000000:$(digest '{"a":1e+400,"t":0}')"
}

@test "a second run gives the same bytes, from gzip, too" {
	for i in {1..300}; do echo "{\"t\":$i,\"b\":[$i]}"; done >in
	event-id --source x --ts t --ts-unit s <in >a
	gzip -c in | event-id --source x --ts t --ts-unit s | cmp - a
	event-id --source x --ts t --ts-unit s in | cmp - a
}

@test "a truncated partition is 66 and gets no end; a failed one passes" {
	ndjson-part --source s --feed f --date 2026-11-20 -- echo '{"t":0}' >p
	head -2 p >cut
	run -66 --separate-stderr event-id --ts t --ts-unit s <cut
	[ "${#lines[@]}" = 2 ]
	{ cat p
	  echo '{"@stream":"begin","v":1,"source_system":"s","feed":"g","date":"2026-11-20"}'
	  echo '{"@stream":"end","records":0,"outcome":"failed","class":"transient","reason":"x"}'
	  cat p; } >three
	event-id --ts t --ts-unit s <three >out
	[ "$(grep -c '"@stream":"end"' out)" = 3 ]
	[ "$(grep -c '"outcome":"failed"' out)" = 1 ]
}

@test "a full or closed stdout is 74" {
	run -74 bash -c 'echo "{\"t\":0}" | event-id --source x --ts t --ts-unit s >/dev/full'
	run -74 bash -c 'echo "{\"t\":0}" | event-id --source x --ts t --ts-unit s >&-'
}

@test "no memory is 71, without a crash" {
	skip_if_san
	for i in {1..100}; do echo "{\"t\":$i,\"b\":\"$i\"}"; done >in
	for n in 1 5 20 40 60; do
		run with_fault "malloc:$n+:ENOMEM" event-id --source x --ts t \
			--ts-unit s in
		[[ $status == 71 || $status == 0 ]] || { echo "$n: $status"; false; }
	done
}

@test "options that contradict each other are 64" {
	run -64 event-id --source x
	run -64 event-id --source x --profile ga4 --ts t
	run -64 event-id --source x --profile ga3
	run -64 event-id --source x --ts t --ts-unit h
	run -64 event-id --source x --source-path y --ts t
	run -64 event-id --source x --ts t --raw-bytes --exclude a
	run -64 event-id --source x --ts t --batch b
	run -64 event-id --source x --ts 'a..b'
}
