#!/usr/bin/env bats
# Expressions and configuration: native, libjq, and what neither may do.

bats_require_minimum_version 1.5.0
load helper

# is EXPRESSION RECORD ANSWER: natively, and the same by libjq.
is() {
	run -0 --separate-stderr "$WEIR_B/test/unit/expr" "$1" <<<"$2"
	[ "${lines[0]}" = native ] || fail "$1 is not native"
	[ "${lines[1]}" = "$3" ] || fail "$1 of $2: ${lines[1]}, not $3"
	[ "${lines[2]}" = "evaluated 1 native, 0 libjq" ] || fail "$1: ${lines[2]}"
	run -0 --separate-stderr "$WEIR_B/test/unit/expr" --jq "$1" <<<"$2"
	if [[ $3 == error* ]]; then
		[[ ${lines[1]} == error* ]] || fail "libjq: $1: ${lines[1]}"
	else
		[ "${lines[1]}" = "$3" ] || fail "libjq: $1: ${lines[1]}, not $3"
	fi
}

# exact EXPRESSION RECORD ANSWER: natively; libjq refuses the record.
exact() {
	run -0 "$WEIR_B/test/unit/expr" "$1" <<<"$2"
	[ "${lines[1]}" = "$3" ] || fail "$1 of $2: ${lines[1]}, not $3"
	run -0 "$WEIR_B/test/unit/expr" --jq "$1" <<<"$2"
	[ "${lines[1]}" = "error number has more digits than libjq can keep" ] ||
		fail "libjq: ${lines[1]}"
}

refused() {
	run -64 "$WEIR_B/test/unit/expr" "$1" </dev/null
	assert_output --partial "$2"
}

EVENT='{"event_name":"purchase","n":null,"device":{"category":"mobile"},"event_params":[{"key":"page","value":{"string_value":"x?a=1"}},{"key":"sid","value":{"int_value":"17","string_value":null}},{"key":"sid","value":{"int_value":"18"}},{"key":"odd","value":3}],"items":[{"price":1.5,"qty":2},{"price":2.25,"qty":1}]}'

@test "paths: null on the way is null, a scalar is an error" {
	is .event_name "$EVENT" "string purchase"
	is .device.category "$EVENT" "string mobile"
	is '.["device"]."category"' "$EVENT" "string mobile"
	is .missing.deep.er "$EVENT" "null "
	is .n.x "$EVENT" "null "
	is .event_name.x "$EVENT" "error value on the path cannot be indexed"
	is '.event_name.x?' "$EVENT" "none "
	is '.items[0].price' "$EVENT" "number 1.5"
	is '.items[-1].price' "$EVENT" "number 2.25"
	is '.items[7].price' "$EVENT" "null "
	is '.device[0]' "$EVENT" "error value on the path cannot be indexed"
}

@test "a member by its key: first output, as jq has it" {
	is '.event_params[] | select(.key == "sid") | .value | (.int_value // .string_value)' \
		"$EVENT" "string 17"
	is '(.event_params[] | select("sid" == .key).value.int_value)' "$EVENT" "string 17"
	is 'first(.event_params[]? | select(.key=="page") | .value.string_value)' \
		"$EVENT" "string x?a=1"
	is '.event_params[] | select(.key=="none") | .value' "$EVENT" "none "
	is '(.event_params[] | select(.key=="none") | .value) // "d"' "$EVENT" "string d"
	is '.event_params[] | select(.key=="page") | .value.int_value' "$EVENT" "null "
	is '(.event_params[] | select(.key=="sid") | .value.string_value) // "second"' \
		"$EVENT" "string second"
	is '.event_params[] | select(.key=="sid") | .value | select(.string_value) | .int_value' \
		"$EVENT" "none "
	is '.event_params[] | select(.key=="odd") | .value.x' "$EVENT" \
		"error value on the path cannot be indexed"
	is '.none[] | select(.key=="a")' "$EVENT" "error value cannot be iterated over"
	is '.none[]? | select(.key=="a")' "$EVENT" "none "
}

@test "definitions are put in place" {
	is 'def param(k): .event_params[] | select(.key == k) | .value
		| (.int_value // .double_value // .string_value); param("sid")' \
		"$EVENT" "string 17"
	is 'def a: .device; def b($k): .[$k]; a | b("category")' "$EVENT" "string mobile"
	is 'def f(g): g | g; f(.device)' '{"device":{"device":1}}' "number 1"
	is '"mobile" as $m | .device.category == $m' "$EVENT" "true "
}

@test "comparisons, logic, alternatives, conditions" {
	is '.event_name == "purchase" and .n == null' "$EVENT" "true "
	is '.event_name == "refund" or .device.category != "mobile"' "$EVENT" "false "
	is '.n // .m // 0' "$EVENT" "number 0"
	is 'if .n then 1 elif .device then "two" else 3 end' "$EVENT" "string two"
	is '.a < .b' '{"a":null,"b":false}' "true "
	is '.a < .b' '{"a":10,"b":"1"}' "true "
	is '.a >= .b' '{"a":"b","b":"a"}' "true "
	is '.a == .b' '{"a":1,"b":1.0}' "true "
	is '(.a | not)' '{"a":0}' "false "
	is '.a | IN("x","y")' '{"a":"y"}' "true "
	is 'any(.items[]; .price > 2)' "$EVENT" "true "
	is 'all(.items[]; .price > 2)' "$EVENT" "false "
	is 'select(.event_name == "x") | .n' "$EVENT" "none "
}

@test "strings" {
	is '.event_name | startswith("pur")' "$EVENT" "true "
	is '.a | ltrimstr("x-") | rtrimstr("!")' '{"a":"x-y!"}' "string y"
	is '.a | ascii_downcase' '{"a":"ÄB"}' "string Äb"
	is '.a | contains("b")' '{"a":"abc"}' "true "
	is '.a | length' '{"a":"å\ud83d\ude00"}' "number 2"
	is '.a[0:4] + "-" + .a[4:6]' '{"a":"20261120"}' "string 2026-11"
	is '.a[1:-1]' '{"a":"åäö"}' "string ä"
	is '"\(.a)/\(.b):\(.c)"' '{"a":"x","b":1.50,"c":null}' "string x/1.5:null"
	is '.a | split("?")[0]' '{"a":"/p?x=1"}' "string /p"
	is '.a | split("?")[1]' '{"a":"/p"}' "null "
	is '.a | test("^(cpc|ppc|paid.*)$")' '{"a":"paid_social"}' "true "
	is '.a | test("cpc|ppc"; "i")' '{"a":"x-PPC"}' "true "
	is '.a | tonumber + 1' '{"a":"41"}' "number 42"
	is '.a | type' '{"a":[]}' "string array"
	is '.a == "\u0061\""' '{"a":"a\u0022"}' "true "
	is '.a + 1' '{"a":"x"}' "error values cannot be added"
}

@test "sums and counts over arrays" {
	is '[.items[].price] | add' "$EVENT" "number 3.75"
	is '[.items[] | .price * .qty] | add' "$EVENT" "number 5.25"
	is '.items | map(select(.qty > 1)) | length' "$EVENT" "number 1"
	is '.items | length' "$EVENT" "number 2"
	is '[.none[]?] | add' "$EVENT" "null "
}

@test "numbers are exact, natively: libjq would lose digits and refuses" {
	exact .a '{"a":120210123456789013}' "number 120210123456789013"
	exact '.a == .b' '{"a":120210123456789013,"b":120210123456789014}' "false "
	exact '.a + 1' '{"a":120210123456789013}' "number 120210123456789014"
	exact '.a > 9007199254740992' '{"a":9007199254740993}' "true "
	exact .a '{"a":0.1234567890123456789}' "number 0.1234567890123456789"
	run -0 "$WEIR_B/test/unit/expr" '.a + .b' <<<'{"a":0.1,"b":0.2}'
	[ "${lines[1]}" = "number 0.3" ]
	run -0 "$WEIR_B/test/unit/expr" '.a + 1' <<<'{"a":1e300}'
	[ "${lines[1]}" = "error number too long for exact arithmetic" ]
	run -0 "$WEIR_B/test/unit/expr" '.a | tonumber' <<<'{"a":"120210123456789013"}'
	[ "${lines[1]}" = "number 120210123456789013" ]
	# doubles as a printer of doubles wrote them are safe with libjq
	run -0 "$WEIR_B/test/unit/expr" '.a / 1' <<<'{"a":12.345678901234567}'
	[ "${lines[1]}" = "number 12.345678901234567" ]
	refused '.a / 120210123456789013' "column 6: number has more digits"
}

@test "numbers are spelled alike by both, whatever version libjq has" {
	by_jq() {
		run -0 "$WEIR_B/test/unit/expr" "$1" <<<"$2"
		[ "${lines[0]}" = libjq ]
		[ "${lines[1]}" = "$3" ] || fail "$1: ${lines[1]}"
	}
	is '.a | tostring' '{"a":1e2}' "string 100"
	is '"\(1.50) \(.a)"' '{"a":-0.0}' "string 1.5 -0"
	run -0 "$WEIR_B/test/unit/expr" '"\(.a)"' <<<'{"a":{"b":[1.50,1E+2,"1.50"]}}'
	assert_line --index 1 'string {"b":[1.5,100,"1.50"]}'
	by_jq '[.a, .b, .c] | tojson' '{"a":1.50,"b":1e2,"c":-0.0}' "string [1.5,100,-0]"
	by_jq '[1.50, 1e2, 007, 1., .5] | tojson' '{}' "string [1.5,100,7,1,0.5]"
	by_jq 'if.50then[1.0,.a]|tojson else 2end' '{"a":100}' "string [1,100]"
	by_jq '{(.a|@text): 1.50}|tojson' '{"a":1.50}' 'string {"1.5":1.5}'
	by_jq '.a / 1' '{"a":1e17}' "number 100000000000000000"
	by_jq '{a}' '{"a":1.0E-5}' 'json {"a":0.00001}'
	by_jq '-.a / 1' '{"a":0}' "number 0"
	# within libjq those beyond 17 digits or under 0.0001 stay its own
	by_jq '[.a, .b, 1e17] | tojson' '{"a":1e17,"b":0.00001}' "string [1e+17,1e-05,1e+17]"
}

@test "a member that is there twice is an error where it is read" {
	run -0 "$WEIR_B/test/unit/expr" '.a // 1' <<<'{"a":1,"a":2}'
	[ "${lines[1]}" = "error member occurs twice" ]
	run -0 "$WEIR_B/test/unit/expr" '.a.b?' <<<'{"a":{"b":1,"\u0062":2}}'
	[ "${lines[1]}" = "error member occurs twice" ]
	run -0 "$WEIR_B/test/unit/expr" .b <<<'{"a":1,"a":2,"b":3}'
	[ "${lines[1]}" = "number 3" ]
	run -0 "$WEIR_B/test/unit/expr" '.b / 3' <<<'{"a":1,"a":2,"b":3}'
	[ "${lines[1]}" = "error member occurs twice" ]
}

@test "everything else goes to libjq: first output, errors, nothing printed" {
	by_jq() {
		run -0 --separate-stderr "$WEIR_B/test/unit/expr" "$1" <<<"$2"
		[ "${lines[0]}" = libjq ]
		[ "${lines[1]}" = "$3" ] || fail "$1: ${lines[1]}"
		[ -z "$stderr" ]
	}
	by_jq '.a / 4' '{"a":1}' "number 0.25"
	by_jq '.a as $x | [$x, 1] | tojson' '{"a":"ä\u0000"}' 'string ["ä\u0000",1]'
	by_jq '[.a[] | . * 2]' '{"a":[1,2]}' "json [2,4]"
	by_jq 'range(3)' '{}' "number 0"
	by_jq '.a | capture("(?<x>b+)").x' '{"a":"abbc"}' "string bb"
	by_jq 'reduce .a[] as $x (0; . + $x)' '{"a":[1,2]}' "number 3"
	by_jq 'try error("x") catch .' '{}' "string x"
	by_jq '.a | error' '{"a":"oops"}' "error oops"
	by_jq '.. | select(type=="boolean")' '{"a":{"b":true}}' "true "
	run -0 "$WEIR_B/test/unit/expr" '.a / 1' <<<"{\"a\":$(printf '[%.0s' {1..400})$(printf ']%.0s' {1..400})}"
	[[ ${lines[1]} == error* ]]
}

@test "values for libjq in a native expression: asked for that record alone" {
	run -0 "$WEIR_B/test/unit/expr" '.a == .b' < <(
		printf '%s\n' '{"a":1,"b":1}' '{"a":[1,{"x":2}],"b":[1.0,{"x":2}]}')
	assert_line --index 0 native
	assert_line --index 1 "true "
	assert_line --index 2 "true "
	assert_line --index 3 "evaluated 1 native, 1 libjq"
}

@test "what an expression may not do is refused, with the place" {
	refused '$ENV.HOME' "column 1: '\$ENV' is not to be had here"
	refused '.a | env' "column 6: 'env'"
	refused '"\(input)"' "column 4: 'input'"
	refused 'inputs' "'inputs'"
	refused 'debug' "'debug'"
	refused 'input_filename' "'input_filename'"
	refused 'now' "'now'"
	refused '0|localtime' "'localtime'"
	refused 'import "a" as a; .' "'import'"
	refused 'include "a"; .' "'include'"
	refused 'repeat(1)' "'repeat'"
	refused 'recurse(.)' "'recurse'"
	refused '[limit(3; range(infinite))]' "'infinite'"
	refused 'def f: f; f' "calls itself"
	refused 'def f(x): 1, f(x + 1); f(1)' "calls itself"
	refused '$__loc__' "is not to be had here"
	refused 'halt_error' "'halt_error'"
	refused 'stderr' "'stderr'"
	refused '.a ==' "column 6: syntax error"
	refused '.a[' "column 3: bracket not closed"
	refused '"abc' "column 1: string is not closed"
	refused $'.a |\n nosuch' "nosuch/0 is not defined"
	refused '.a }' "column 4: bracket without"
	refused $'.a\xff' "column 3: not UTF-8"
}

@test "members and strings of a refused name are nobody's concern" {
	is .input '{"input":1}' "number 1"
	is '.env.now' '{"env":{"now":2}}' "number 2"
	is '.a == "input"' '{"a":"input"}' "true "
	run -0 "$WEIR_B/test/unit/expr" '{input: 1, now: .a} | .input / 1' <<<'{"a":1}'
	[ "${lines[1]}" = "number 1" ]
}

@test "~/.jq is never read" {
	echo 'def length: "hacked"; def mine: 1;' >.jq
	HOME=$PWD run -0 "$WEIR_B/test/unit/expr" '[.a] | length / 1' <<<'{"a":1}'
	[ "${lines[1]}" = "number 1" ]
	HOME=$PWD run -64 "$WEIR_B/test/unit/expr" 'mine' <<<'{}'
}

@test "random expressions and records: native and libjq agree" {
	# ltrimstr of libjq 1.6 leaks where its input is no string
	echo leak:jv_mem_alloc >lsan
	export LSAN_OPTIONS=suppressions=$PWD/lsan
	run -0 "$WEIR_B/test/unit/expr_diff" 1 120 12
	run -0 "$WEIR_B/test/unit/expr_diff" "$RANDOM" 120 12
}

# --- configuration ------------------------------------------------------------

digest() {
	"$WEIR_B/test/unit/expr" --conf "$1" | cut -d' ' -f1
}

@test "a configuration has one digest: native, as JSON, by libjq" {
	cat >a.jq <<-'END'
	# comment
	def m(n; $u): {name: n, unit: $u};
	"EUR" as $c |
	{ version: 3, "b c": [1, 2.50, -3, .5, 007], if: "x\u00e9\n",
	  nested: {a: null, b: true, c: false}, e: [], o: {},
	  metrics: [m("orders"; "1"), m("revenue"; $c)] }
	+ { sum: (1.5 + 2), list: ([1] + [2, 3]), text: ("a" + "b"), version: 4 }
	END
	jq -n "$(cat a.jq)" >a.json
	sed '1,2{/comment/s/.*/. as $all |/}' a.jq >b.jq
	grep -q 'as $all' b.jq
	[ "$(digest a.jq)" = "$(digest a.json)" ]
	[ "$(digest a.jq)" = "$(digest b.jq)" ]
	sed 's/2\.50/25.0e-1/' a.jq >c.jq
	[ "$(digest a.jq)" = "$(digest c.jq)" ]
	run -0 "$WEIR_B/test/unit/expr" --conf b.jq
	assert_output --partial " libjq"
	[ "$(digest a.jq)" = "$(jq -cSj -n "$(sed s/2.50/2.5/ a.jq)" | sha256sum | cut -d' ' -f1)" ]
}

@test "the configuration as shipped needs no libjq" {
	for f in "$ROOT"/conf/*.jq; do
		run -0 "$WEIR_B/test/unit/expr" --conf "$f"
		assert_output --partial " native"
	done
}

@test "a wrong configuration is refused with file and place, exit 78" {
	wrong() {
		printf '%s' "$1" >c.jq
		run -78 "$WEIR_B/test/unit/expr" --conf c.jq
		assert_output "expr: c.jq: $2"
	}
	wrong '{a: env}' "column 5: 'env' is not to be had here"
	wrong '{a: 1, b: {c: 1, c: 2}}' "column 18: member occurs twice"
	wrong '{"a":1,"a":2}' "a member occurs twice"
	wrong '[1]' "the program yields an array, not an object"
	wrong '"a"' "the program yields a string, not an object"
	wrong '' "column 1: the program is empty"
	wrong $'# nothing\n' "column 1: the program is empty"
	wrong 'def f: 1;' "column 9: nothing stands behind the definitions"
	wrong '{}, {}' "the program yields more than one value"
	wrong 'empty' "the program yields nothing"
	wrong $'{a:\n  }' "line 2, column 3: syntax error, unexpected '}'"
	wrong '{a: "\(1)"' "column 1: bracket not closed"
	wrong '{a: (1 | error("no way"))}' "no way"
	wrong '{a: (.b.c), x: 12345678901234567890}' \
		"column 16: number has more digits than libjq can keep"
	wrong $'{a: 1} # \\\n' "column 10: comment ends in a backslash"
	run -78 "$WEIR_B/test/unit/expr" --conf missing.jq
	run -78 "$WEIR_B/test/unit/expr" --conf .
}

@test "integers of a native configuration keep all digits" {
	echo '{id: 12345678901234567890}' >a.jq
	echo '{"id":12345678901234567890}' >a.json
	[ "$(digest a.jq)" = "$(digest a.json)" ]
	[ "$(digest a.jq)" = "$(printf '{"id":12345678901234567890}' |
		sha256sum | cut -d' ' -f1)" ]
}
