#!/usr/bin/env bats
# Pages cut into their elements (lib/page.c), by test/unit/page_cut.

bats_require_minimum_version 1.5.0
load helper

setup() {
	weir_setup
	CUT=$WEIR_B/test/unit/page_cut
}

pages() { # small pages of many shapes, one a file
	cat >1.json <<-'E'
		{"a":"x\"[{","data":[ {"a":1,"b":[{"c":"]}\\"}]},
		 {
		  "z": 2
		 } , {}],"paging":{"next":"u","data":[1,2]}}
	E
	jq -nc '{data:[range(200)|{id:"\(.)",v:[range(. % 7)|{k:"\u00e9\"\\"}],
		s:("x" * (. % 90))}],p:null}' >2.json
	jq . 2.json >3.json
	jq -c '{x:{data:.data},data:{q:1}}' 2.json >4.json
	printf '{"data":[]}' >5.json
	printf ' {"kind":"k" , "data" : [ { } ] } \n' >6.json
	printf '{"d\\u0061ta":[{"deep":%s%s}]}' "$(printf '[%.0s' {1..900})" \
		"$(printf ']%.0s' {1..900})" >7.json
}

@test "elements and rest are those of jq" {
	local f path
	pages
	for f in 1 2 3 5 6 4; do
		path=data
		((f != 4)) || path=x.data
		"$CUT" "$path" 4096 <$f.json | jq -cS . >got
		jq -cS ".$path[]" $f.json >want
		jq -cS ".$path=[]" $f.json >>want
		cmp got want
	done
}

@test "pieces of any size give the same" {
	local f n
	pages
	for f in 1 2 3 5 6 7; do
		"$CUT" data 1000000 <$f.json >want
		for n in 1 2 3 5 63 64 65 127 1000 0 0 0; do
			"$CUT" data $n <$f.json >got
			cmp got want
		done
	done
}

@test "other paths of the same name are left alone" {
	echo '{"a":{"data":[1]},"b":[{"data":[2]}],"data":[{"data":[3]}]}' >p
	run -0 "$CUT" data 3 <p
	assert_line --index 0 '{"data":[3]}'
	assert_line --index 1 '{"a":{"data":[1]},"b":[{"data":[2]}],"data":[]}'
}

@test "a page without the array is its own rest" {
	local b
	for b in '{"data":null,"d":1}' '{"data":{"data":[1]}}' '{}'; do
		run -0 "$CUT" data 3 <<<"$b"
		assert_output "$b"
	done
}

@test "what is not a whole sound page is 65 and named" {
	local b
	for b in '' ' ' '[]' 'null' '1' '{"data":[{},]}' '{"data":[{}' '{"data":[' \
		'{"data":[{}]' '{"data":[1]}' '{"data":[[]]}' '{"data":[null]}' \
		'{"data":[{"a":01}]}' '{"data":[{}],"data":[]}' '{"data":[{}]]}' \
		'{"data":[{}]}x' '{"data":[{}{}]}' '{"data":[{"a":"
"}]}' '{"data":[{"a":]}}]}' '{"data":[{}],"x":01}' '{"data":[,{}]}' \
		'{"data":[{"a":1,}]}' '{"data":[{"a"}]}' '{"data":[{}];}' \
		'{"data":[{"a":"\ud800"}]}' $'{"data":[{"a":"\xff"}]}' \
		$'{"data":[{}],"\xff":1}' '{"data":[{"a":NaN}]}' '<html>'; do
		for n in 1 4096; do
			run -65 --separate-stderr "$CUT" data $n <<<"$b"
			[[ $stderr == *'page: byte '* ]]
		done
	done
}

@test "the byte of an error is that of the page" {
	run -65 "$CUT" data 7 <<<'{"x":1,"data":[{"a":1}, {"b":02}]}'
	assert_output --partial 'byte 30:'
	run -65 "$CUT" data 7 <<<'{"x":1,"data":[{"a":1}, {"b":2}],"c":03}'
	assert_output --partial 'byte 38:'
}

@test "nesting over 1000 in an element is refused" {
	printf '{"data":[{"deep":%s' "$(printf '[%.0s' {1..5000})" >p
	run -65 "$CUT" data 100 <p
	printf '{"data":[{"deep":%s%s}]}' "$(printf '[%.0s' {1..1001})" \
		"$(printf ']%.0s' {1..1001})" >p
	run -65 "$CUT" data 100 <p
	assert_output --partial 'nesting'
}

@test "an element over the ceiling is refused, memory stays that of one" {
	{ printf '{"data":[{"a":"'; head -c 20M /dev/zero | tr '\0' x
	printf '"}]}'; } >p
	run -65 "$CUT" data 65536 <p
	assert_output --partial 'too long'
	{ printf '{"data":[{"a":"'; head -c 15M /dev/zero | tr '\0' x
	printf '"},{"b":1}]}'; } >p
	"$CUT" data 65536 <p >out
	assert_equal "$(wc -c <out)" $((15 * 1048576 + 9 + 8 + 12))
}

@test "tokens are signed as libcrypto verifies them, short R and S too" {
	run -0 --separate-stderr "$WEIR_B/test/unit/jwt"
	assert_line --partial 'signatures'
	assert_line --partial '0 of '
}

@test "samples of the services are cut as jq cuts them" {
	need_shared samples
	local f n=0 dir
	dir=$(shared samples)
	while IFS= read -r f; do
		jq -e 'type == "object" and (.data | type) == "array" and
			([.data[] | type == "object"] | all)' "$f" \
			>/dev/null 2>&1 || continue
		# numbers as they stand: jq 1.6 would round them on both sides
		"$CUT" data 1000 <"$f" | jq -cS . >got
		{ jq -cS '.data[]' "$f"; jq -cS '.data=[]' "$f"; } >want
		cmp got want
		n=$((n + 1))
	done < <(find "$dir/meta" "$dir/asc" -name '*.json' -size -2M | head -60)
	((n > 0)) || skip 'no sample with a data array'
}
