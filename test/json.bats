#!/usr/bin/env bats
# The JSON scanner, its kernels, and the walk over validated text.

load helper
bats_require_minimum_version 1.5.0

KERNELS="avx512 avx2 sse2 portable"

rows() { # KERNEL PATH...
	local kernel=$1
	shift
	WEIR_SIMD=$kernel "$WEIR_B/test/unit/json_rows" "$@"
}

# The same answer from every kernel.
says() { # LINE WANT PATH...
	local line=$1 want=$2 k got
	shift 2
	for k in $KERNELS; do
		got=$(printf '%s\n' "$line" | rows "$k" "$@")
		[[ $got == "$want" ]] || fail "$k: $line: $got"
	done
}

@test "kernels and the exact way agree on rows made and broken at random" {
	for seed in 1 2 3; do
		run -0 "$WEIR_B/test/unit/json_diff" $seed 20000
		assert_output "20000 rounds"
	done
}

@test "finds members, nested members, selected and counted elements in one pass" {
	says '{"a":1,"b":{"c":"x","d":{"e":[]}},"p":[{"key":"k","value":{"int_value":"7"}},{"key":"z"}],"n":[5,{"q":null}]}' \
		$'ok\t1\t"x"\t[]\t"7"\t{"key":"z"}\t5\tnull\t-' \
		a b.c b.d.e 'p[key=k].value.int_value' 'p[key=z]' 'n[0]' 'n[1].q' b.x
}

@test "a key and a selected value are found however they are spelled" {
	says '{"\u0061":1,"p":[{"key":"\u006b","v":2}]}' $'ok\t1\t2' a 'p[key=k].v'
	says '{ "a" :	1 , "p" : [ { "v" : 2 , "key" : "k" } ] }' $'ok\t1\t2' a 'p[key=k].v'
	says '{"aa":0,"":3,"a\"":4,"b.c":5}' $'ok\t3\t4\t5' '""' '"a\""' '"b.c"'
}

@test "a member that occurs twice is flagged, in whatever spelling" {
	says '{"a":1,"a":2}' $'ok\t!1' a
	says '{"a":1,"\u0061":2}' $'ok\t!1' a
	says '{"b":{"c":1,"c":2}}' $'ok\t!1' b.c
	says '{"b":{"c":1},"b":{"d":2}}' $'ok\t!1\t!-' b.c b.d
	says '{"p":[{"key":"k","v":1},{"key":"k","v":2}]}' $'ok\t1' 'p[key=k].v'
}

@test "names with one ending and one length are told apart" {
	says '{"aa_long_member":1,"bb_long_member":2,"cc_long_member":3}' \
		$'ok\t1\t3\t-' aa_long_member cc_long_member dd_long_member
}

@test "malformed paths are refused with a reason" {
	for p in '' a. .. 'a[' 'a[x' 'a[x]' 'a[x=y' 'a[1' '"a' 'a[1]b'; do
		run "$WEIR_B/test/unit/json_rows" "$p"
		assert_failure 1
		[[ $output == "$p: "?* ]] || fail "$p: $output"
	done
}

@test "1000 levels are in bounds, 1001 are not, 100 000 brackets cost no stack" {
	local deep
	deep=$(printf '[%.0s' {1..999})1$(printf ']%.0s' {1..999})
	says "{\"a\":$deep,\"b\":2}" $'ok\t2' b
	says "{\"a\":[$deep]}" "bad 1005 nesting is over 1000 levels" b
	for k in $KERNELS; do
		head -c 100000 /dev/zero | tr '\0' '[' | sed 's/^/{"a":/' >in
		run -0 rows "$k" a <in
		assert_output --partial "bad 1005 nesting"
	done
}

@test "a bad row does not touch the rows around it" {
	local many
	many=$(printf '}%.0s' {1..300})
	for bad in '{"a":"x' '{"a":1}}' '{"a":[1}' '{"a":1},"b":{}' '"a"' '{"a' \
		'{}{}' '{},' '[]' '{"a":1]' '{"a" 1}' '{"a"::1}' '{,}' '{"a":,}' \
		'{"a":1,}' '{"a":01}' '{"a":tru}' '{"a":"\x"}' '{"a":"\ud800"}' \
		'{"a":"\ud83d\u0041"}' '{"a":"\\ud83d\ude00"}' $'{"a":"\xff"}' \
		$'{"a":"\x01"}' $'{"a":"\xe2\x82"}' 'x' '}' ']' '{"a":"\u12g4"}' "0.0$many" "$many" "{\"a\":0$many" "$many${many//\}/\{}"; do
		for k in $KERNELS; do
			run -0 rows "$k" a <<<"{\"a\":1}
$bad
{\"a\":\"é\"}"
			assert_line --index 0 $'ok\t1'
			[[ ${lines[1]} == "bad "* ]] || fail "$k: $bad: ${lines[1]}"
			assert_line --index 2 $'ok\t"é"'
		done
	done
}

@test "numbers of any size keep their bytes" {
	for n in -0 1e400 1e-400 9007199254740993 18446744073709551616 \
		"$(head -c 5000 /dev/zero | tr '\0' 9)" 0.1e+05; do
		says "{\"a\":$n}" $'ok\t'"$n" a
	done
}

# ---- JSONTestSuite, where the samples are beside the checkout

suite() {
	need_shared samples/json-test-suite
	S=$(shared samples/json-test-suite)
	: >accepted
	: >refused
	for f in "$S"/test_parsing/*.json; do
		case ${f##*/} in
		y_*) echo "$f" >>accepted ;;
		n_*) echo "$f" >>refused ;;
		i_*) case $(grep "^${f##*/}	" "$S/policy_i.tsv" | cut -f2) in
			accept) echo "$f" >>accepted ;;
			reject) echo "$f" >>refused ;;
			*) fail "no verdict: $f" ;;
			esac ;;
		esac
	done
	# One record a case: the text is the member "a"; line ends that are
	# blanks become blanks.
	local i=0
	while read -r f; do
		printf '{"id":"%d","ts":"2026-11-19T00:00:00Z","a":' $((++i))
		# a byte order mark belongs to the start of a file only
		sed '1s/^\xef\xbb\xbf//' "$f" | tr '\n' ' '
		printf '}\n'
	done <accepted >good.ndjson
	i=0
	while read -r f; do
		printf '{"id":"%d","ts":"2026-11-19T00:00:00Z","a":' $((++i))
		cat "$f"
		printf '}\n'
	done <refused >bad.ndjson
}

@test "JSONTestSuite: all 318 cases, every kernel" {
	suite
	(($(cat accepted refused | wc -l) == 318))
	for k in $KERNELS; do
		rows "$k" a <good.ndjson >out
		! grep -v '^ok' out
		(($(wc -l <out) == $(wc -l <accepted)))
		rows "$k" a <bad.ndjson >out
		! grep '^ok' out
		(($(wc -l <out) == $(wc -l <bad.ndjson)))
	done
}

# Each filter: what is accepted comes out with its bytes, of what is refused
# nothing comes out and every line is named.
through() { # NAME COMMAND...
	local name=$1 status=0
	shift
	"$@" <good.ndjson >out 2>err || fail "$name: status $?: $(cat err)"
	sed 's/"event_id":"[^"]*",//' out | cmp - good.ndjson ||
		fail "$name: other bytes"
	"$@" --rejects dead <bad.ndjson >out 2>err || status=$?
	((status == 3)) || fail "$name: status $status: $(cat err)"
	[[ ! -s out ]] || fail "$name: let through: $(head -1 out)"
	cut -b1-65536 bad.ndjson | cmp - dead || fail "$name: dead letters differ"
}

@test "JSONTestSuite: all 318 cases, every filter" {
	suite
	echo '{"unknown":"keep","paths":{}}' >policy.jq
	echo 0123456789abcdef0123456789abcdef >salt
	chmod 600 salt
	echo '{"type":"object"}' >schema.json
	through ndjson-part ndjson-part --strip
	through event-id event-id --source x --ts ts --raw-bytes
	through ndjson-dedup ndjson-dedup --key id
	through ndjson-validate ndjson-validate --schema schema.json
	through ndjson-scrub ndjson-scrub --policy policy.jq --salt-file salt \
		--unknown keep
}

# The two that do not hand single records on: what is counted, what is kept.
@test "JSONTestSuite: all 318 cases, counted by kpi-agg and kept by raw-store" {
	suite
	cat >kpis.jq <<-'J'
		{"version":"1","dimensions":["date","app_id","platform"],"all":[],
		 "sources":{"x":{"date":".ts"}},
		 "metrics":[{"name":"n","source":"x","agg":"count"}]}
	J
	echo '{"version":1,"apps":[]}' >apps.jq
	local n status=0
	n=$(wc -l <good.ndjson)
	run -0 --separate-stderr kpi-agg --kpis kpis.jq --source x good.ndjson
	assert_output --partial "\"value\":$n,"
	kpi-agg --kpis kpis.jq --source x --rejects dead bad.ndjson >out 2>/dev/null || status=$?
	((status == 3))
	! grep -q '"value":[1-9]' out
	cut -b1-65536 bad.ndjson | cmp - dead

	ndjson-part --source x --feed f --date 2026-11-19 -- cat good.ndjson >part
	raw-store --dir raw <part | cmp - part
	gzip -dc raw/x/f/2026-11-19/*.ndjson.gz | cmp - good.ndjson
	{
		printf '{"@stream":"begin","v":1,"source_system":"x","feed":"g","date":"2026-11-19"}\n'
		cat bad.ndjson
		printf '{"@stream":"end","records":%d,"outcome":"complete"}\n' "$(wc -l <bad.ndjson)"
	} >badpart
	status=0
	raw-store --dir raw --rejects dead <badpart >out 2>/dev/null || status=$?
	((status == 3))
	assert_equal "$(tail -1 out)" "{\"@stream\":\"end\",\"records\":0,\"outcome\":\"complete\",\"rejected\":$(wc -l <bad.ndjson)}"
	cut -b1-65536 bad.ndjson | cmp - dead
}
