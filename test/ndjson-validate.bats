#!/usr/bin/env bats
# ndjson-validate: every keyword, both forms of contract, rejects.

bats_require_minimum_version 1.5.0
load helper

# fits SCHEMA GOOD... -- BAD...: values of the member v, one record each.
fits() {
	local schema=$1 status=0
	shift
	: >good
	: >bad
	while (($#)) && [[ $1 != -- ]]; do
		printf '{"v":%s}\n' "$1" >>good
		shift
	done
	(($# == 0)) || shift
	while (($#)); do
		printf '{"v":%s}\n' "$1" >>bad
		shift
	done
	printf '{"properties":{"v":%s}}' "$schema" >s.json
	cat good bad >in
	ndjson-validate --schema s.json --rejects dead in >out 2>err || status=$?
	diff good out || fail "good ones of $schema: $(cat err)"
	diff bad dead || fail "bad ones of $schema: $(cat err)"
	((status == ($(wc -l <bad) > 0 ? 3 : 0))) || fail "status $status"
}

# refused SCHEMA TEXT: no work is begun.
refused() {
	printf '%s' "$1" >s.json
	run -78 ndjson-validate --schema s.json /dev/null
	assert_output --partial "$2"
}

@test "type: one, several, integer by value, number for both" {
	fits '{"type":"string"}' '"a"' '""' -- 1 null '["a"]' '{}' true
	fits '{"type":"integer"}' 1 -0 1.0 12e1 1.50e2 \
		123456789012345678901234567890 -- 1.5 '"1"' 1e-1 null
	fits '{"type":"number"}' 1 1.5 1e400 -- '"1"' true
	fits '{"type":"boolean"}' true false -- 0 null '"true"'
	fits '{"type":"null"}' null -- 0 false '""' '{}'
	fits '{"type":"array"}' '[]' '[1]' -- '{}' 1
	fits '{"type":"object"}' '{}' '{"a":1}' -- '[]' '"{}"'
	fits '{"type":["string","null"]}' '"a"' null -- 1 '{}'
	fits '{"type":["integer","string"]}' 1 '"a"' -- 1.5
}

@test "true and false as schemas" {
	fits true 1 '{}' null
	fits false -- 1 '{}' null
	fits '{}' 1 '{}' null
}

@test "enum and const: by value, whatever the spelling" {
	fits '{"enum":["a","b",1,null,[1,2],{"x":1,"y":2}]}' '"a"' '"\u0061"' \
		1.0 1e0 null '[1, 2.0]' '{"y":2,"x":1.0}' -- \
		'"c"' 2 true '[2,1]' '{"x":1}' '"1"'
	fits '{"const":"web"}' '"web"' '"w\u0065b"' -- '"Web"' null
	fits '{"const":0}' 0 -0 0.0 -- false '"0"' null
	fits '{"const":9007199254740993}' 9007199254740993 -- 9007199254740992
	fits '{"enum":[]}' -- 1 '"a"'
}

@test "minimum, maximum and the exclusive ones: exact at any length" {
	fits '{"minimum":1.1}' 1.1 2.6 1.10 '"x"' -- 0.6 1.0999999999999999999999
	fits '{"maximum":3}' 2.6 3.0 3e0 -- 3.5 3.00000000000000000001 4e0
	fits '{"exclusiveMinimum":1.1}' 1.2 -- 1.1 1.10 0.6
	fits '{"exclusiveMaximum":3}' 2.2 2.99999999999999999999 -- 3 3.0 30e-1
	fits '{"minimum":-2}' -2 0 -- -2.0001 -3 -1e30
	fits '{"minimum":9007199254740993}' 9007199254740993 -- 9007199254740992
	fits '{"maximum":1e400}' 1e400 10e399 1 -- 1.1e400 1e401
}

@test "multipleOf: exact decimals" {
	fits '{"multipleOf":2}' 0 10 -4 '"x"' 1e30 -- 7 1.5 1e-1
	fits '{"multipleOf":1.5}' 0 4.5 -- 35
	fits '{"multipleOf":0.01}' 4.02 1.10 19.99 0.07 1e5 -- 4.025 0.001
	fits '{"multipleOf":0.0001}' 0.0075 -- 0.00751
	fits '{"multipleOf":1000}' 1e3 5000 -- 1500 1e2
}

@test "minLength and maxLength count characters, not bytes" {
	fits '{"minLength":2}' '"fo"' 100 -- '"f"' '"\ud83d\ude00"' '"ä"'
	fits '{"maxLength":2}' '"f"' '"fo"' '"åä"' '"😀😀"' '"\n\t"' -- '"foo"'
	fits '{"minLength":0,"maxLength":0}' '""' -- '"a"'
}

@test "pattern: found anywhere, anchors, classes, repeats" {
	fits '{"pattern":"^a*$"}' '"aaa"' '""' true -- '"abc"'
	fits '{"pattern":"a+"}' '"xxaayy"' -- '"xyz"'
	fits '{"pattern":"^[0-9]{8}$"}' '"20261120"' -- '"2026112"' \
		'"202611201"' '"2026112x"' '"20261120\n"'
	fits '{"pattern":"^\\d{4}-\\d\\d$"}' '"2026-11"' -- '"2026/11"'
	fits '{"pattern":"^(?:web|ios)$"}' '"web"' '"ios"' -- '"webios"'
	fits '{"pattern":"^[^@\\s]+@[^@\\s]+$"}' '"a@b"' '"ä@b"' -- '"a b@c"' '"@b"'
	fits '{"pattern":"^.{2}$"}' '"ab"' '"äö"' '"😀x"' -- '"a"' '"a\n"'
	fits '{"pattern":"^\\w+\\.x$"}' '"a_1.x"' -- '"a-1.x"' '"a1xx"'
	fits '{"pattern":"^[a-c-]+$"}' '"a-c"' -- '"d"'
	fits '{"pattern":"^[\\]x^]+$"}' '"]^x"' -- '"y"'
	fits '{"pattern":"^[äö]x$"}' '"äx"' '"öx"' -- '"ax"' '"x"'
	fits '{"pattern":"^ä?b$"}' '"b"' '"äb"' -- '"ääb"'
	fits '{"pattern":"^a{2,3}?$"}' '"aa"' '"aaa"' -- '"a"' '"aaaa"'
	fits '{"pattern":"^$|^x"}' '""' '"xy"' -- '"y"'
	fits '{"pattern":"^\\u0041\\x42\\/\\-$"}' '"AB/-"' -- '"ab/-"'
	fits '{"pattern":"^\\S\\D\\W$"}' '"aa-"' '"äää"' -- '" a-"' '"a1-"' '"aaa"'
}

@test "pattern: what has no POSIX form is refused, not guessed" {
	refused '{"pattern":"^(?!x)"}' ".pattern: lookaround"
	refused '{"pattern":"(?<n>a)"}' ".pattern: lookaround"
	refused '{"pattern":"(a)\\1"}' ".pattern: this escape"
	refused '{"pattern":"\\bx"}' ".pattern: this escape"
	refused '{"pattern":"\\p{L}"}' ".pattern: this escape"
	refused '{"pattern":"[à-ö]"}' ".pattern: range"
	refused '{"pattern":"[^ä]"}' ".pattern: negated"
	refused '{"pattern":"a**"}' ".pattern: repeat"
	refused '{"pattern":"a)"}' ".pattern: ) without"
	refused '{"pattern":"(a"}' ".pattern: group"
	refused '{"pattern":"[a"}' ".pattern: class"
	refused '{"pattern":"a{99999}"}' ".pattern: more than 1000"
	refused '{"pattern":"((a{500}){500}){500}"}' ".pattern: too large"
}

@test "format: date, date-time, uuid; others are refused" {
	fits '{"format":"date"}' '"2024-02-29"' 1 -- '"2023-02-29"' \
		'"20240229"' '"2024-2-29"' '"2024-02-29 "'
	fits '{"format":"date-time"}' '"2026-11-20T03:15:00Z"' \
		'"2026-11-20T03:15:00.123456+01:00"' '"2016-12-31T23:59:60Z"' -- \
		'"2026-11-20"' '"2026-11-20T03:15:00"' '"2026-13-20T03:15:00Z"' \
		'"2026-11-20T25:15:00Z"'
	fits '{"format":"uuid"}' '"2eb8aa08-aa98-11ea-b4aa-73b441d16380"' -- \
		'"2eb8aa08aa9811eab4aa73b441d16380"' \
		'"2eb8aa08-aa98-11ea-b4ga-73b441d16380"'
	refused '{"format":"email"}' ".format: only date"
}

@test "required and properties, with escaped names" {
	fits '{"required":["a","b"]}' '{"a":1,"b":2}' '{"\u0061":1,"b":null}' 1 \
		-- '{"a":1}' '{}'
	fits '{"properties":{"a":{"type":"integer"},"b\"c":{"type":"string"}}}' \
		'{"a":1,"b\"c":"x"}' '{"b\u0022c":"x"}' '{}' '[]' 12 -- \
		'{"a":"x"}' '{"b\u0022c":1}' '{"\u0061":"x"}'
	fits '{"required":["__proto__","é"]}' '{"__proto__":1,"é":2}' \
		'{"__proto__":1,"\u00e9":2}' -- '{"__proto__":1}'
}

@test "a member that is there twice is refused where the schema names it" {
	fits '{"properties":{"a":{}}}' '{"b":1,"b":2}' -- '{"a":1,"a":2}' \
		'{"a":1,"\u0061":2}'
}

@test "additionalProperties and patternProperties" {
	fits '{"properties":{"a":{}},"additionalProperties":false}' '{"a":1}' '{}' \
		-- '{"a":1,"b":2}' '{"b":2}'
	fits '{"properties":{"a":{}},"additionalProperties":{"type":"string"}}' \
		'{"a":1,"b":"x"}' -- '{"a":1,"b":2}'
	fits '{"patternProperties":{"^n_":{"type":"number"},"x$":{"maximum":9}},
		"additionalProperties":false}' '{"n_a":1}' '{"n_x":9}' '{"ax":"s"}' \
		-- '{"n_a":"1"}' '{"n_x":10}' '{"b":1}'
	fits '{"properties":{"ab":{"minimum":1}},
		"patternProperties":{"^a":{"maximum":5}}}' '{"ab":3}' -- \
		'{"ab":6}' '{"ab":0}'
}

@test "propertyNames, minProperties, maxProperties" {
	fits '{"propertyNames":{"pattern":"^[a-z_]+$"}}' '{"a_b":1}' '{}' 1 -- \
		'{"A":1}' '{"a":1,"b-c":2}'
	fits '{"minProperties":1,"maxProperties":2}' '{"a":1}' '{"a":1,"b":2}' -- \
		'{}' '{"a":1,"b":2,"c":3}'
}

@test "items: one schema, a tuple, additionalItems" {
	fits '{"items":{"type":"integer"}}' '[1,2]' '[]' '{}' '[ 1 , 2 ]' -- \
		'[1,"x"]' '[null]'
	fits '{"items":[{"type":"integer"},{"type":"string"}]}' '[1,"a",null]' \
		'[1]' '[]' -- '["a"]' '[1,2]'
	fits '{"items":[{}],"additionalItems":false}' '[1]' '[]' -- '[1,2]'
	fits '{"items":[{}],"additionalItems":{"type":"null"}}' '[1,null]' -- \
		'[1,2]'
	fits '{"items":{},"additionalItems":false}' '[1,2]'
	fits '{"items":false}' '[]' -- '[1]'
}

@test "minItems, maxItems, uniqueItems, contains" {
	fits '{"minItems":1,"maxItems":2}' '[1]' '[1,2]' '""' -- '[]' '[1,2,3]'
	fits '{"uniqueItems":true}' '[1,2]' '[1,"1",true]' '[{"a":1},{"a":2}]' \
		'[[1],[2]]' '[]' '["",null,false,0]' -- '[1,1.0]' '["a","\u0061"]' \
		'[{"a":1,"b":2},{"b":2,"a":1}]' '[null,null]'
	fits '{"uniqueItems":false}' '[1,1]'
	fits '{"contains":{"minimum":5}}' '[3,5]' 1 -- '[3,4]' '[]'
}

@test "allOf, anyOf, oneOf, not" {
	fits '{"allOf":[{"type":"integer"},{"minimum":2}]}' 2 -- 1 2.5 '"x"'
	fits '{"anyOf":[{"type":"integer"},{"minimum":2}]}' 1 2.5 '"x"' -- 1.5
	fits '{"oneOf":[{"type":"integer"},{"minimum":2}]}' 1 2.5 -- 3 1.5
	fits '{"not":{"type":"integer"}}' '"a"' 1.5 -- 1
	fits '{"not":{}}' -- 1 null
	fits '{"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},
		{"required":["b"]}]}' '{"a":1,"b":2}' -- '{"a":1}' '{"a":"x","b":2}'
	fits '{"anyOf":[true,false]}' 1
	fits '{"oneOf":[true,true]}' -- 1
}

@test "if, then, else" {
	fits '{"if":{"properties":{"t":{"const":"x"}}},"then":{"required":["a"]},
		"else":{"required":["b"]}}' '{"t":"x","a":1}' '{"t":"y","b":1}' -- \
		'{"t":"x","b":1}' '{"t":"y"}'
	fits '{"if":{"maximum":0},"then":{"minimum":-10}}' -1 5 -- -11
	fits '{"then":{"const":0}}' 1
}

@test "\$ref: to definitions, by pointer, to the whole, and round" {
	cat >s.json <<-'END'
	{"definitions":{"pos":{"exclusiveMinimum":0},
	  "tree":{"type":"object","properties":{"v":{"$ref":"#/definitions/pos"},
	    "kids":{"items":{"$ref":"#/definitions/tree"}}},"required":["v"],
	    "additionalProperties":false},
	  "a/b":{"type":"string"},"c%d":{"type":"null"}},
	 "properties":{"t":{"$ref":"#/definitions/tree"},
	  "s":{"$ref":"#/definitions/a~1b"},"n":{"$ref":"#/definitions/c%25d"},
	  "again":{"$ref":"#/properties/s"},"self":{"$ref":"#"}},
	 "additionalProperties":false}
	END
	cat >in <<-'END'
	{"t":{"v":1,"kids":[{"v":2,"kids":[]},{"v":3}]}}
	{"s":"x","n":null,"again":"y","self":{"self":{"s":"z"}}}
	{"t":{"v":1,"kids":[{"v":2,"kids":[{"v":0}]}]}}
	{"t":{"kids":[]}}
	{"s":1}
	{"n":0}
	{"self":{"self":{"x":1}}}
	END
	run -3 --separate-stderr ndjson-validate --schema s.json --rejects dead in
	assert_output "$(head -2 in)"
	diff <(tail -n +3 in) dead
	run -0 jq -r '"\(.line):\(.byte): \(.reason)"' dead.why
	assert_output - <<-'END'
	3:41: .t.kids[0].kids[0].v: not more than 0
	4:6: .t: member 'v' is missing
	5:6: .s: a string expected, not a number
	6:6: .n: null expected, not a number
	7:18: .self.self.x: member is not allowed
	END
}

@test "a schema that cannot be kept is refused with its place, exit 78" {
	refused '{"properties":{"a":{"typ":"string"}}}' \
		".properties.a.typ: this keyword is not checked here"
	refused '{"type":"text"}' ".type: unknown type"
	refused '{"minLength":-1}' ".minLength: a count expected"
	refused '{"minimum":"1"}' ".minimum: a number expected"
	refused '{"multipleOf":0}' ".multipleOf: a positive number"
	refused '{"required":"a"}' ".required: an array expected"
	refused '{"items":1}' ".items: a schema expected"
	refused '{"anyOf":[]}' ".anyOf: empty list"
	refused '{"dependencies":{}}' ".dependencies: this keyword"
	refused '{"$ref":"http://x.example/y"}' '."$ref": only references within'
	refused '{"$ref":"#/definitions/x"}' '."$ref": nothing there'
	refused '{"$ref":"#/definitions/a","type":"null","definitions":{"a":{}}}' \
		".type: draft-07 ignores"
	refused '{"$ref":"#"}' "a reference that leads to itself"
	refused '{"definitions":{"a":{"allOf":[{"$ref":"#/definitions/b"}]},
		"b":{"anyOf":[{"$ref":"#/definitions/a"}]}}}' "leads to itself"
	refused '{"$schema":"https://json-schema.org/draft/2020-12/schema"}' \
		"only draft-07"
	refused '[]' "not an object"
	refused '{"type":"object"' "s.json: column 1: bracket not closed"
	refused '{"type":"object","type":"array"}' "occurs twice"
	refused '' "the program is empty"
	run -78 ndjson-validate --schema missing.json /dev/null
	assert_output --partial "missing.json: cannot open"
}

@test "notes are taken and not checked" {
	fits '{"title":"x","description":"y","$comment":"z","default":1,
		"examples":[2],"type":"string"}' '"a"' -- 1
	printf '%s' '{"$schema":"http://json-schema.org/draft-07/schema#",
		"$id":"https://x.example/s","$defs":{"a":{}}}' >s.json
	run -0 ndjson-validate --schema s.json - <<<'{"a":1}'
	assert_output '{"a":1}'
}

contract() {
	cat >c.jq <<-'END'
	# jq, so that it may have comments and helpers
	def text: {type: "string", minLength: 1};
	{ all: {required: ["ts"], properties: {ts: {type: "integer"},
	    event_name: text}},
	  events: {
	    login: {properties: {method: text, ts: {}, event_name: {},
	      params: {properties: {a: {}}}}, required: ["method"]},
	    purchase: {properties: {value: {"$ref": "#/definitions/money"}},
	      required: ["value"]}},
	  definitions: {money: {type: "number", minimum: 0}} }
	END
	cat >in <<-'END'
	{"event_name":"login","ts":1,"method":"x"}
	{"event_name":"login","ts":1,"method":"x","extra":1,"params":{"a":1,"b":2}}
	{"event_name":"purchase","ts":1,"value":1.5}
	{"event_name":"pur\u0063hase","ts":1,"value":-1}
	{"event_name":"login","ts":"1","method":"x"}
	{"event_name":"other","ts":1}
	{"event_name":"other","ts":2}
	{"event_name":7,"ts":1}
	{"ts":1}
	{"event_name":"login","event_name":"purchase","ts":1}
	END
}

@test "a contract per event: each by its own schema and the common one" {
	contract
	run -3 --separate-stderr ndjson-validate --schema c.jq --rejects dead in
	assert_output "$(sed -n '1,3p;6,7p' in)"
	diff <(sed -n '4,5p;8,10p' in) dead
	run -0 jq -r '"\(.line): \(.reason)"' dead.why
	assert_output - <<-'END'
	4: .value: less than 0
	5: .ts: an integer expected, not a string
	8: the event name is not a string
	9: the event name is not a string
	10: the event name is there twice
	END
}

@test "unknown events and members are told on stderr and counted" {
	contract
	WEIR_STATS=stats run -3 --separate-stderr \
		ndjson-validate --schema c.jq --rejects dead in
	[[ $stderr == *"ndjson-validate: warning: unknown event 'other': 2 records"* ]]
	[[ $stderr == *"unknown member '.extra': 1 records"* ]]
	[[ $stderr == *"unknown member '.params.b': 1 records"* ]]
	run -0 jq -c 'select(.event=="end").counts |
		[.records_in,.records_out,.rejected,.unknown_events,.unknown_members]' stats
	assert_output '[10,5,5,2,2]'
}

@test "--unknown reject makes them bad records" {
	contract
	run -3 --separate-stderr ndjson-validate --schema c.jq --unknown reject \
		--rejects dead in
	assert_output "$(sed -n '1p;3p' in)"
	run -0 jq -r 'select(.line==2 or .line==6) | .reason' dead.why
	assert_output - <<-'END'
	.extra: member is not in the schema
	no schema for this event name
	END
	run -64 ndjson-validate --schema c.jq --unknown maybe in
}

@test "--type-path and type_path say where the name is" {
	echo '{"events":{"a":{"required":["x"]}},"type_path":"e.name"}' >c.json
	printf '%s\n' '{"e":{"name":"a"},"x":1}' '{"e":{"name":"a"}}' >in
	run -65 --separate-stderr ndjson-validate --schema c.json in
	assert_output '{"e":{"name":"a"},"x":1}'
	[[ $stderr == "ndjson-validate: in:2:1: the record: member 'x' is missing"* ]]
	printf '%s\n' '{"n":"a","x":1}' >in
	run -0 ndjson-validate --schema c.json --type-path n in
	assert_output '{"n":"a","x":1}'
	run -78 ndjson-validate --schema c.json --type-path 'n[' in
}

@test "bytes of good records are passed unchanged" {
	echo '{"type":"object","properties":{"a":{"minimum":0}}}' >s.json
	printf '{ "a" : 1.50e+01 ,"b":"\\u00e4\\/", "c":[ 1,{"d":null} ]}\n' >in
	run -0 ndjson-validate --schema s.json --quiet in
	assert_line --index 0 '{ "a" : 1.50e+01 ,"b":"\u00e4\/", "c":[ 1,{"d":null} ]}'
}

@test "names the line of a bad record and exits 65; the good ones went out" {
	echo '{"required":["a"]}' >s.json
	printf '{"a":1}\n{"b":1}\n{"a":2}\n' >in
	run -65 --separate-stderr ndjson-validate --schema s.json in
	assert_output '{"a":1}'
	[ "${stderr_lines[0]}" = \
		"ndjson-validate: in:2:1: the record: member 'a' is missing" ]
	printf '{"a":1}\n{"a":\n{"a":2}\n' >in
	run -65 --separate-stderr ndjson-validate --schema s.json in
	[[ ${stderr_lines[0]} == "ndjson-validate: in:2:"* ]]
}

@test "no value of a record stands in a message" {
	echo '{"properties":{"mail":{"type":"integer"},"p":{"pattern":"^x"}}}' >s.json
	printf '%s\n' '{"mail":"ada@example.org"}' '{"p":"ada@example.org"}' >in
	run -3 --separate-stderr ndjson-validate --schema s.json --rejects d in
	[[ $stderr != *ada@* ]]
	run ! grep -q ada@ d.why
}

@test "empty input, no last newline, gzip, a line over the ceiling" {
	echo '{"type":"object"}' >s.json
	run -0 ndjson-validate --schema s.json /dev/null
	assert_output ""
	printf '{"a":1}\n{"a":2}' >in
	run -0 ndjson-validate --schema s.json in
	assert_output "$(printf '{"a":1}\n{"a":2}')"
	gzip -k in
	run -0 ndjson-validate --schema s.json in.gz
	assert_output "$(printf '{"a":1}\n{"a":2}')"
	printf '{"a":"%0200d"}\n{"a":1}\n' 0 >in
	run -3 --separate-stderr ndjson-validate --schema s.json --max-line 100 \
		--rejects dead in
	assert_output '{"a":1}'
	printf '{"a":"\xff"}\n{"a":"\0"}\n{"a":1}\n' >in
	run -3 --separate-stderr ndjson-validate --schema s.json --rejects dead in
	assert_output '{"a":1}'
}

@test "partitions go through: counted anew, truncated 66, failed passed on" {
	echo '{"required":["a"]}' >s.json
	printf '{"a":1}\n{"b":1}\n' |
		ndjson-part --source x --feed y --date 2026-11-19 -- cat >part
	ndjson-validate --schema s.json --rejects d part >out || [ $? = 3 ]
	run -0 jq -c 'select(.["@stream"]=="end")|[.records,.rejected,.outcome]' out
	assert_output '[1,1,"complete"]'
	head -2 part >cut
	run -66 --separate-stderr ndjson-validate --schema s.json cut
	run ! grep -q '"end"' <<<"$output"
}

@test "1000 levels of nesting are checked, each" {
	echo '{"properties":{"a":{"$ref":"#"}},"additionalProperties":false}' >s.json
	printf '%s1%s\n' "$(printf '{"a":%.0s' {1..990})" \
		"$(printf '}%.0s' {1..990})" >in
	ndjson-validate --schema s.json in | cmp - in
	sed 's/1/{"b":1}/' in >bad
	run -65 --separate-stderr ndjson-validate --schema s.json bad
	[[ $stderr == *"member is not allowed"* ]]
}
