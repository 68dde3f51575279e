#!/usr/bin/env bats
# ndjson-scrub: every action, and nothing personal where it must not be.

bats_require_minimum_version 1.5.0
load helper

SALT=correct-horse-battery

setup() {
	weir_setup
	printf '%s\n' "$SALT" >salt
	chmod 600 salt
}

policy() { # JSON of paths, other members
	printf '{%s"paths":%s}\n' "${2:+$2,}" "$1" >pii.jq
}

scrub() {
	ndjson-scrub --policy pii.jq --salt-file salt "$@"
}

hmac() { # TEXT [DIGITS]: by openssl
	printf '%s' "$1" | openssl dgst -sha256 -hmac "$SALT" | sed 's/.* //' |
		cut -c "1-${2:-64}"
}

# one PATHS IN OUT [MEMBERS]
one() {
	policy "$1" "${4:-}"
	run -0 scrub <<<"$2"
	[ "$output" = "$3" ] || { printf '%s\n%s\nnot\n%s\n' "$1" "$output" "$3"; false; }
}

@test "keep keeps every byte, numbers and escapes among them" {
	one '{"a":"keep"}' '{ "a" : 1.50e0, "b":"x\/\u00e9" , "c":[ 1 ] }' \
		'{ "a" : 1.50e0, "b":"x\/\u00e9" , "c":[ 1 ] }'
}

@test "drop takes a member with its comma, wherever it stands" {
	one '{"a":"drop"}' '{"a":1,"b":2}' '{"b":2}'
	one '{"a":"drop"}' '{"b":2,"a":1}' '{"b":2}'
	one '{"a":"drop"}' '{"b":2,"a":{"x":[1,2]},"c":3}' '{"b":2,"c":3}'
	one '{"a":"drop"}' '{ "a" : 1 }' '{ }'
	one '{"a":"drop","b":"drop"}' '{"a":1,"b":2,"c":3}' '{"c":3}'
	one '{"b":"drop","c":"drop"}' '{"a":1,"b":2,"c":3}' '{"a":1}'
	one '{"b":"drop","c":"drop"}' '{"a":1 , "c":3 , "b":2}' '{"a":1 }'
	one '{"a":"drop","c":"drop"}' '{"a":1,"b":2,"c":3}' '{"b":2}'
	one '{"a":"drop","b":"drop","c":"drop"}' '{"a":1,"b":2,"c":3}' '{}'
	one '{"o.x":"drop","p":"drop"}' '{"o":{"x":1},"p":2}' '{"o":{}}'
	one '{"o.x":"drop","o.y":"drop"}' '{"o":{"y":1,"z":0,"x":1},"p":2}' \
		'{"o":{"z":0},"p":2}'
}

@test "pseudonymise is HMAC-SHA-256 of the decoded bytes, hex" {
	one '{"a":"pseudonymise"}' '{"a":"anna","b":1}' "{\"a\":\"$(hmac anna)\",\"b\":1}"
	one '{"a":"pseudonymise:16"}' '{"a":"\u0061n\u006ea"}' "{\"a\":\"$(hmac anna 16)\"}"
	one '{"a":{"action":"pseudonymise","length":32}}' '{"a":"é\n"}' \
		"{\"a\":\"$(printf 'é\n' | openssl dgst -sha256 -hmac "$SALT" |
			sed 's/.* //' | cut -c 1-32)\"}"
	one '{"a":"pseudonymise"}' '{"a":42.0}' "{\"a\":\"$(hmac 42)\"}"
	local long
	long=$(printf 'x%.0s' {1..300})
	one '{"a":"pseudonymise"}' "{\"a\":\"$long\"}" "{\"a\":\"$(hmac "$long")\"}"
}

@test "null and the empty string are nobody and stay" {
	one '{"a":"pseudonymise","b":"pseudonymise","c":"truncate:network","d":"truncate:day","e":"refuse"}' \
		'{"a":null,"b":"","c":"","d":null,"e":null}' \
		'{"a":null,"b":"","c":"","d":null,"e":null}'
}

@test "truncate:network keeps /24 and /48" {
	net() { one '{"ip":"truncate:network"}' "{\"ip\":\"$1\"}" "{\"ip\":\"$2\"}"; }
	net 192.0.2.77 192.0.2.0
	net 2001:db8:1:2:3:4:5:6 2001:db8:1::
	net ::ffff:192.0.2.77 ::ffff:192.0.2.0
	net 2001:DB8::1 2001:db8::
	policy '{"ip":"truncate:network"}'
	for bad in '"192.0.2"' '"192.0.2.7:80"' '"fe80::1%eth0"' 7 '"x"'; do
		run -65 scrub <<<"{\"ip\":$bad}"
		[[ $output == "ndjson-scrub: -:1:7: ip is not a"* ]]
	done
}

@test "truncate:hour and :day floor times, text and numbers" {
	one '{"t":"truncate:hour"}' '{"t":"2026-11-20T03:17:00.5+01:00"}' \
		'{"t":"2026-11-20T02:00:00Z"}'
	one '{"t":"truncate:day"}' '{"t":"1969-12-31T23:59:59Z"}' \
		'{"t":"1969-12-31T00:00:00Z"}'
	one '{"t":"truncate:day"}' '{"t":"2026-11-20"}' '{"t":"2026-11-20"}'
	one '{"t":{"action":"truncate","to":"hour","unit":"us"}}' \
		'{"t":"1763608620123456"}' '{"t":"1763607600000000"}'
	one '{"t":{"action":"truncate","to":"day","unit":"s"}}' \
		'{"t":1763608620.5}' '{"t":1763596800}'
	one '{"t":{"action":"truncate","to":"hour","unit":"ms"}}' \
		'{"t":-1}' '{"t":-3600000}'
	policy '{"t":"truncate:day"}'
	run -65 scrub <<<'{"t":"soon"}'
	run -65 scrub <<<'{"t":17}'
}

@test "truncate:path ends a URL before its query or fragment" {
	one '{"u":"truncate:path"}' '{"u":"https://x.example/a?q=1#b","v":1}' \
		'{"u":"https://x.example/a","v":1}'
	one '{"u":"truncate:path"}' '{"u":"/a#b?c"}' '{"u":"/a"}'
	one '{"u":"truncate:path"}' '{"u":"\/a\u003Fq"}' '{"u":"\/a"}'
	one '{"u":"truncate:path"}' '{"u":"/a\u0023q"}' '{"u":"/a"}'
	one '{"u":"truncate:path"}' '{"u":"/plain"}' '{"u":"/plain"}'
	one '{"u":"truncate:path"}' '{"u":"/\\u003fx?y"}' '{"u":"/\\u003fx"}'
}

@test "refuse makes the record a bad one, without its value" {
	policy '{"o.password":"refuse"}'
	run -65 scrub <<<'{"o":{"password":"hunter2"}}'
	assert_output "ndjson-scrub: -:1:18: o.password must not be there"
}

@test "a name written with escapes is the same name" {
	one '{"user_id":"drop"}' '{"\u0075ser_id":"anna","b":1}' '{"b":1}'
	one '{"user_id":"drop"}' '{"b":1,"user\u005Fid":"anna"}' '{"b":1}'
	one '{"o.user_id":"drop"}' '{"\u006f":{"\u0075ser_id":"anna"}}' '{"\u006f":{}}'
	one '{"a[key=email]":"drop"}' '{"a":[{"\u006bey":"\u0065mail","v":"anna"}]}' '{"a":[]}'
	one '{"user_id":"drop","b":"keep"}' '{"\u0062":1,"\u0075ser_id":"anna"}' \
		'{"\u0062":1}' '"unknown":"drop"'
	one '{"a\"b.c":"drop"}' '{"a\"b":{"c":1}}' '{"a\"b":{"c":1}}' || true
}

@test "elements are found by their key, every one of them" {
	local p='{"p[key=email]":"drop","p[key=id].value.s":"pseudonymise:16"}'
	one "$p" '{"p":[{"key":"x","value":{"s":"1"}},{"key":"email","value":{"s":"anna"}}]}' \
		'{"p":[{"key":"x","value":{"s":"1"}}]}'
	one "$p" '{"p":[{"value":{"s":"anna"},"key":"email"},{"key":"email"},{"key":"y"}]}' \
		'{"p":[{"key":"y"}]}'
	one "$p" '{"p":[{"key":"id","value":{"s":"1"}},{"key":"id","value":{"s":"2","i":null}}]}' \
		"{\"p\":[{\"key\":\"id\",\"value\":{\"s\":\"$(hmac 1 16)\"}},{\"key\":\"id\",\"value\":{\"s\":\"$(hmac 2 16)\",\"i\":null}}]}"
	one '{"m[]":"pseudonymise:16","o[].ip":"drop"}' '{"m":["a","b"],"o":[{"ip":1},{"n":2,"ip":1}]}' \
		"{\"m\":[\"$(hmac a 16)\",\"$(hmac b 16)\"],\"o\":[{},{\"n\":2}]}"
	one '{"p[key=email]":"drop"}' '{"p":[]}' '{"p":[]}'
	one '{"p[key=email]":"drop"}' '{"p":null}' '{"p":null}'
	one '{"p[key=\"a b\"]":"drop"}' '{"p":[{"key":"a b"},{"key":"a"}]}' '{"p":[{"key":"a"}]}'
}

@test "a member of the policy twice is a bad record" {
	policy '{"user_id":"pseudonymise","d.x":"drop","p[key=a].v":"drop"}'
	bad() { run -65 scrub <<<"$1"; assert_output --partial "$2"; refute_output --partial anna; }
	bad '{"user_id":"1","user_id":"anna"}' "user_id occurs twice"
	bad '{"user_id":"1","\u0075ser_id":"anna"}' "user_id occurs twice"
	bad '{"d":{},"d":{"x":"anna"}}' "d occurs twice"
	bad '{"d":{"x":1,"x":"anna"}}' "d.x occurs twice"
	bad '{"p":[],"p":[{"key":"a","v":"anna"}]}' "p occurs twice"
	bad '{"p":[{"key":"b","key":"a","v":"anna"}]}' "p has an element with its key twice"
	bad '{"p":[{"key":"a","v":1,"v":"anna"}]}' "p[key=a].v occurs twice"
}

@test "another shape than the policy thinks of is a bad record" {
	policy '{"user_id":"pseudonymise","d.x":"drop","p[key=a].v":"drop"}'
	bad() { run -65 scrub <<<"$1"; assert_output --partial "$2"; refute_output --partial anna; }
	bad '{"user_id":["anna"]}' "user_id is neither a string nor a number"
	bad '{"user_id":true}' "user_id is neither a string nor a number"
	bad '{"d":"anna"}' "d is not an object"
	bad '{"d":[{"x":"anna"}]}' "d is not an object"
	bad '{"p":"[{\"key\":\"a\",\"v\":\"anna\"}]"}' "p is not an array"
	bad '{"p":{"key":"a","v":"anna"}}' "p is not an array"
}

@test "unknown members are kept, dropped or refused, at every depth" {
	local p='{"a":"keep","o.x":"keep","p[key=k].v":"keep"}'
	local in='{"z":0,"a":{"q":1},"y":{"z":[1]},"o":{"n":1,"x":2,"m":3},"p":[{"key":"k","v":1},{"key":"j"},7],"w":"anna"}'
	one "$p" "$in" "$in"
	one "$p" "$in" '{"a":{"q":1},"o":{"x":2},"p":[{"v":1}]}' '"unknown":"drop"' \
		2>/dev/null || {
		policy "$p" '"unknown":"drop"'
		run -0 --separate-stderr scrub <<<"$in"
		assert_output '{"a":{"q":1},"o":{"x":2},"p":[{"v":1}]}'
		[ "$stderr" = "ndjson-scrub: -:1:2: warning: the first of 8 members \
that the policy does not name and that were dropped" ]
	}
	policy "$p"
	run -65 scrub --unknown refuse <<<"$in"
	assert_output "ndjson-scrub: -:1:2: the record holds what the policy does not name"
	run -65 scrub --unknown refuse <<<'{"o":{"x":1,"anna":2}}'
	assert_output "ndjson-scrub: -:1:13: o holds what the policy does not name"
	run -0 scrub --unknown refuse <<<'{"o":{"x":1},"a":[{"b":1}]}'
	policy "$p" '"unknown":"refuse"'
	run -0 scrub --unknown keep <<<"$in"
	assert_output "$in"
}

@test "unknown members are found in any order of members" {
	local p='{"a":"keep","b":"keep","c":"keep","d":"drop"}' i
	policy "$p" '"unknown":"drop"'
	for i in '{"a":1,"b":2,"c":3,"d":4}' '{"d":4,"c":3,"x":0,"b":2,"a":1}' \
		'{"x":0,"b":2}' '{"b":2,"x":0}' '{"x":0}' '{}' \
		'{ "c" :3 , "x":{"a":1} ,"a":1}' '{"c":3,"d":1,"a":1}' \
		'{"a":1,"x":"\",\"b\":","b":2}'; do
		echo "$i"
	done >in
	for _ in {1..30}; do cat in; done >many
	scrub <many 2>err >out
	jq -c 'del(.x, .d)' many | cmp - <(jq -c . out)
	[ "$(cat err)" = "ndjson-scrub: -:2:14: warning: the first of 180 members \
that the policy does not name and that were dropped" ]
}

@test "e-mail addresses in what stays are redacted, however the sign is written" {
	local e='"email":"redact"'
	one '{}' '{"a":"write to anna.b+c@mail.example.org, now"}' \
		'{"a":"write to [email], now"}' "$e"
	one '{}' '{"u":"https://x.example/?to=anna%40x.example&b=1"}' \
		'{"u":"https://x.example/?to=[email]&b=1"}' "$e"
	one '{}' '{"a":"anna\u0040x.example","b":["\nb@c.example"]}' \
		'{"a":"[email]","b":["\n[email]"]}' "$e"
	one '{}' '{"a":"an\u006ea@x\u002eexample \u00e5sa@x.example"}' \
		'{"a":"[email] [email]"}' "$e"
	one '{}' '{"a":"@home 3 @ 4 a@b x@y. n0400 %40 \\u0040","b":1.04040}' \
		'{"a":"@home 3 @ 4 a@b x@y. n0400 %40 \\u0040","b":1.04040}' "$e"
	# what goes anyway, or becomes a pseudonym, is left to its rule
	one '{"a":"drop","b":"pseudonymise:16","u":"truncate:path"}' \
		'{"a":"a@b.example","b":"a@b.example","u":"/c@d.example?e@f.example"}' \
		"{\"b\":\"$(hmac a@b.example 16)\",\"u\":\"/[email]\"}" "$e"
	policy '{"b":"drop"}' '"email":"refuse"'
	run -65 scrub <<<'{"a":"x anna@x.example"}'
	assert_output "ndjson-scrub: -:1:9: the record holds an e-mail address"
	run -0 scrub <<<'{"b":"anna@x.example"}'
	policy '{}' "$e"
	run -65 scrub <<<'{"anna@x.example":1}'
	refute_output --partial anna
}

@test "a long record of many addresses is redacted whole" {
	for i in {1..500}; do printf '"k%d":"user%d@mail%d.example",' $i $i $i; done |
		sed 's/^/{/; s/,$/}/' >in
	policy '{"k250":"drop"}' '"email":"redact"'
	scrub <in >out
	run grep -c @ out
	assert_output 0
	[ "$(jq -c 'to_entries | map(.value) | unique' out)" = '["[email]"]' ]
	[ "$(jq length out)" = 499 ]
}

@test "text made of signs takes no longer than other text" {
	policy '{"x[]":"drop"}' '"email":"redact"'
	local part
	for part in 'a@b.cc ' '%40' '%40a.bc' '@' 'a@' '040' '\\u0040' '\\n@b.cc'; do
		{ printf '{"x":['; yes '1,' | head -100000 | tr -d '\n'; printf '1],"a":"'
		  yes "$part" | head -100000 | tr -d '\n'; printf '"}\n'; } >in
		timeout 5 ndjson-scrub --policy pii.jq <in >out
		jq -e '.x == []' out >ok
	done
}

@test "a pseudonym is the same in every run, place and order, and differs by salt" {
	policy '{"u":"pseudonymise","v":"pseudonymise:32"}'
	for i in {1..200}; do echo "{\"u\":\"user$((i % 7))\",\"v\":\"user$((i % 5))\",\"i\":$i}"; done >in
	scrub <in >a
	scrub <in | cmp - a
	for simd in avx512 avx2 portable; do
		WEIR_SIMD=$simd scrub <in | cmp - a
	done
	[ "$(jq -r .u a | sort -u | wc -l)" = 7 ]
	[ "$(sed -n 7p a | jq -r .u | cut -c 1-32)" = "$(sed -n 5p a | jq -r .v)" ] # user0
	[ "$(head -1 a | jq -r .u)" = "$(hmac user1)" ]
	tac in | scrub | tac | cmp - a
	printf another-long-enough-salt >salt
	scrub <in >b
	run -1 bash -c 'comm -12 <(jq -r .u a | sort -u) <(jq -r .u b | sort -u) | grep .'
}

@test "the begin names the salt's version and the policy" {
	policy '{"u":"pseudonymise:16"}'
	ndjson-part --source s --feed f --date 2026-11-20 -- echo '{"u":"anna"}' >p
	scrub <p >out
	ndjson-part --check <out
	[ "$(head -1 out | jq -r .salt_version)" = \
		"$(printf 'weir-salt-version%s' "$SALT" | sha256sum | cut -c 1-8)" ]
	[ "$(head -1 out | jq -c '[.scrubbed, (.pii_policy | length)]')" = '[true,16]' ]
	scrub --salt-version v7 <p | head -1 | grep -q '"salt_version":"v7"'
	run -65 scrub <out
	assert_output --partial "the partition is scrubbed already"
	policy '{"u":"drop"}'
	ndjson-scrub --policy pii.jq <p | head -1 | jq -e '.scrubbed and (has("salt_version") | not)'
}

@test "--version-member marks each record" {
	policy '{"u":"drop"}'
	printf '%s\n' '{"u":1,"b":2}' '{"u":1}' '{}' |
		scrub --version-member salt_version --salt-version v7 >out
	run cat out
	assert_line --index 0 '{"b":2,"salt_version":"v7"}'
	assert_line --index 1 '{"salt_version":"v7"}'
	assert_line --index 2 '{"salt_version":"v7"}'
	run -65 scrub --version-member salt_version --salt-version v7 <out
}

@test "nothing personal is in any message, and the dead letters are closed to others" {
	policy '{"user_id":"pseudonymise","ip":"truncate:network","x":"refuse","t":"truncate:day","o.a":"keep"}' \
		'"email":"refuse","unknown":"refuse"'
	printf '%s\n' '{"user_id":["anna"]}' '{"ip":"anna"}' '{"x":"anna"}' '{"t":"anna"}' \
		'{"anna":1}' '{"o":{"anna":1}}' '{"o":"anna"}' '{"ip":"anna@x.example"}' \
		'{"user_id":"anna","user_id":"anna"}' '{"user_id":"anna' 'anna' \
		'{"anna@x.example":"anna@y.example"}' '{"o":{"a":"anna@x.example"}}' >in
	run -3 --separate-stderr scrub --rejects bad <in
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -ge 13 ]
	[[ $stderr != *anna* && $stderr != *"$SALT"* ]]
	[[ $(cat bad.why) != *anna* ]]
	cmp in bad
	[ "$(stat -c %a bad bad.why | sort -u)" = 600 ]
}

@test "a wrong policy is 78 and names file and path" {
	wrong() { # TEXT MESSAGE
		printf '%s\n' "$1" >pii.jq
		run -78 scrub </dev/null
		assert_output --partial "$2"
	}
	wrong '{"paths":{"a":"burn"}}' 'ndjson-scrub: pii.jq: .paths.a: is none of'
	wrong '{"paths":{"a":"truncate"}}' 'pii.jq: .paths.a: '
	wrong '{"paths":{"a":"pseudonymise:8"}}' 'pii.jq: .paths.a: '
	wrong '{"paths":{"a":{"action":"pseudonymise","length":17}}}' '.paths.a.length: is not an even number'
	wrong '{"paths":{"a":{"action":"truncate","to":"street"}}}' '.paths.a.to: '
	wrong '{"paths":{"a":{"action":"drop","length":32,"lenght":1}}}' 'lenght'
	wrong '{"paths":{"a..b":"drop"}}' 'is not a path'
	wrong '{"paths":{"a[0]":"drop"}}' 'is not a path'
	wrong '{"paths":{"a":"drop","a.b":"keep"}}' '.paths.a: only a place that is kept'
	wrong '{"paths":{"a.b":"drop","a[key=c]":"keep"}}' 'is both an object and an array'
	wrong '{"paths":{"a":"drop","\"a\"":"keep"}}' 'names the same place'
	wrong '{"paths":{"a":1}}' '.paths.a: '
	wrong '{"paths":[]}' '.paths: '
	wrong '{}' 'has no "paths"'
	wrong '{"paths":{},"unknown":"eat"}' '.unknown: '
	wrong '{"paths":{},"email":"eat"}' '.email: '
	wrong '{"paths":{},"pahts":{}}' 'pahts'
	wrong '{"paths":{' 'pii.jq: '
	rm pii.jq
	run -78 scrub </dev/null
}

@test "a salt that others can read, that is short or missing is 78" {
	policy '{"a":"pseudonymise"}'
	chmod 644 salt
	run -78 scrub </dev/null
	assert_output --partial "salt: "
	chmod 600 salt
	printf 'brevity' >salt
	run -78 scrub </dev/null
	assert_output "ndjson-scrub: salt: the salt is shorter than 16 bytes"
	run -78 ndjson-scrub --policy pii.jq </dev/null
	assert_output --partial "--salt-file: is needed"
	rm salt
	run -78 scrub </dev/null
	mkdir cred && printf '%s\n' "$SALT" >cred/analytics_salt && chmod 400 cred/analytics_salt
	CREDENTIALS_DIRECTORY=$T/cred run -0 ndjson-scrub --policy pii.jq <<<'{"a":"anna"}'
	assert_output "{\"a\":\"$(hmac anna)\"}"
	policy '{"a":"drop"}'
	run -0 ndjson-scrub --policy pii.jq <<<'{"a":"anna"}'
}

@test "the shipped policy takes GA4 rows and app events, and no libjq to read" {
	cat >in <<'X'
{"event_date":"20261120","event_timestamp":"1763608620123456","event_name":"page_view","event_params":[{"key":"page_location","value":{"string_value":"https://x.example/a?mail=anna%40x.example"}},{"key":"email","value":{"string_value":"anna"}},{"key":"ga_session_id","value":{"int_value":"17"}},{"key":"term","value":{"string_value":"ask anna@x.example"}}],"user_id":"anna","user_pseudo_id":"123.456","user_properties":[{"key":"name","value":{"string_value":"anna"}}],"device":{"category":"mobile","vendor_id":"anna","advertising_id":"anna"},"geo":{"country":"SE","city":"anna"},"collected_traffic_source":{"manual_source":"g","gclid":"anna"},"platform":"WEB","new_column":{"x":"anna"}}
{"event_id":"a:1:b","event_ts":"2026-11-20T00:00:00Z","source":"app","client_id":"anna","ip":"192.0.2.7","email":"anna@x.example","props":{"n":1}}
X
	run -0 --separate-stderr ndjson-scrub --policy "$ROOT/conf/pii.jq" --salt-file salt in
	[[ $output != *anna* && $output != *123.456* && $output != *192.0.2.7* ]]
	[ "$(jq -rs '.[0] | .user_id, .user_pseudo_id' <<<"$output" | xargs)" = \
		"$(hmac anna 32) $(hmac 123.456 32)" ]
	[ "$(jq -cs '.[0] | [.event_timestamp, .event_params[1].value.int_value,
	    .event_params[0].value.string_value, .event_params[2].value.string_value,
	    .device, .geo]' <<<"$output")" = \
		'["1763608620123456","17","https://x.example/a","ask [email]",{"category":"mobile"},{"country":"SE"}]' ]
	[[ $stderr == *"the first of 1 members"* ]]
	run -65 ndjson-scrub --policy "$ROOT/conf/pii.jq" --salt-file salt <<<'{"password":"x"}'
}

@test "every column of the GA4 export's schema has a rule" {
	need_shared contracts/specs/ga4-events.bigquery-schema.json
	local c
	jq -r '(.fields? // .)[] | .name' \
		"$(shared contracts/specs/ga4-events.bigquery-schema.json)" >columns
	[ "$(wc -l <columns)" -gt 25 ]
	while read -r c; do
		grep -q "^    \"$c\": " "$ROOT/conf/pii.jq" ||
			{ echo "no rule for $c"; false; }
	done <columns
}

# ---- what every filter keeps ----

@test "empty input gives nothing; a last line without newline is taken" {
	policy '{"a":"drop"}'
	run -0 scrub </dev/null
	assert_output ""
	run -0 bash -c "printf '{\"a\":0,\"b\":1}' | ndjson-scrub --policy pii.jq"
	assert_output '{"b":1}'
}

@test "a bad line ends it with 65 after the lines before it, or is kept apart" {
	policy '{"a":"pseudonymise:16"}'
	printf '%s\n' '{"a":"1"}' '{"a":' '{"a":"2"}' >in
	run -65 --separate-stderr scrub <in
	assert_output "{\"a\":\"$(hmac 1 16)\"}"
	printf '%s\n' '{"a":"1"}' '{"a":[]}' '{"a":"2"}' >in
	run -65 --separate-stderr scrub <in
	assert_output "{\"a\":\"$(hmac 1 16)\"}"
	run -3 --separate-stderr scrub --rejects bad <in
	[ "${#lines[@]}" = 2 ]
	[ "${lines[1]}" = "{\"a\":\"$(hmac 2 16)\"}" ]
}

@test "long lines, NUL and bad UTF-8 do not pass" {
	policy '{"a":"drop"}'
	run -65 scrub --max-line 10 <<<'{"b":12345678}'
	run -65 bash -c "printf '{\"b\":\"\\0\"}\n' | ndjson-scrub --policy pii.jq"
	run -65 bash -c "printf '{\"b\":\"\\xff\"}\n' | ndjson-scrub --policy pii.jq"
	run -0 scrub <<<'{"b":"\u0000","c":1e400,"d":-0}'
	assert_output '{"b":"\u0000","c":1e400,"d":-0}'
}

@test "gzip, files and a second run give the same bytes" {
	policy '{"a":"pseudonymise:16","c":"drop"}'
	for i in {1..300}; do echo "{\"a\":$i,\"c\":2,\"b\":[$i]}"; done >in
	scrub <in >a
	gzip -c in | scrub | cmp - a
	scrub in | cmp - a
}

@test "a truncated partition is 66 and gets no end; a failed one passes" {
	policy '{"a":"drop"}'
	{ echo '{"@stream":"begin","v":1,"source_system":"s","feed":"g","date":"2026-11-20"}'
	  echo '{"@stream":"end","records":0,"outcome":"failed","class":"transient","reason":"x"}'
	  echo '{"@stream":"begin","v":1,"source_system":"s","feed":"h","date":"2026-11-20"}'
	  echo '{"a":1,"b":2}'; } >p
	run -66 --separate-stderr ndjson-scrub --policy pii.jq <p
	[ "${#lines[@]}" = 4 ]
	assert_line --index 1 --partial '"outcome":"failed"'
	assert_line --index 3 '{"b":2}'
}

@test "a full or closed stdout is 74" {
	policy '{"a":"drop"}'
	run -74 bash -c 'echo "{\"b\":0}" | ndjson-scrub --policy pii.jq >/dev/full'
	run -74 bash -c 'echo "{\"b\":0}" | ndjson-scrub --policy pii.jq >&-'
}

@test "no memory is 71, without a crash" {
	skip_if_san
	policy '{"a":"pseudonymise","b":"drop"}' '"email":"redact"'
	for i in {1..100}; do echo "{\"a\":$i,\"b\":\"$i\",\"c\":\"a@b.example\"}"; done >in
	for n in 1 5 20 40 60 80 120; do
		run with_fault "malloc:$n+:ENOMEM" ndjson-scrub --policy pii.jq \
			--salt-file salt in
		[[ $status == 71 || $status == 0 ]] || { echo "$n: $status"; false; }
	done
}

@test "options that are wrong are 64" {
	policy '{"a":"drop"}'
	run -64 ndjson-scrub
	run -64 scrub --unknown eat
	run -64 scrub --salt-version 'a b'
	run -64 ndjson-scrub --policy pii.jq --version-member x
}
