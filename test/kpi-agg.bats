#!/usr/bin/env bats
# kpi-agg: counts against jq, exactness, order, pieces, refusals.

bats_require_minimum_version 1.5.0
load helper

setup() {
	weir_setup
	K=$ROOT/conf/kpis.jq
	cat >k.jq <<'END'
{ "version": "t1",
  "sources": { "s": {
    "date": ".d", "app_id": ".app", "platform": ".plat", "event": ".ev",
    "time": ".t", "time_unit": "s", "user": ".u", "session": [".u", ".s"],
    "events": ["view", "cart", "buy"],
    "segments": { "channel": { "value": ".ch" },
                  "pair": { "value": [".ch", ".ev"], "default": "-" } } } },
  "metrics": [
    { "name": "n", "source": "s", "agg": "count", "segments": ["channel", "pair"] },
    { "name": "buys", "source": "s", "agg": "count", "event": "buy" },
    { "name": "big", "source": "s", "agg": "count", "where": ".v > 50 and .ch != null" },
    { "name": "total", "source": "s", "agg": "sum", "value": ".v", "segments": ["channel"] },
    { "name": "least", "source": "s", "agg": "min", "value": ".v" },
    { "name": "most", "source": "s", "agg": "max", "value": ".v" },
    { "name": "mean", "source": "s", "agg": "avg", "value": ".v", "places": 3 },
    { "name": "users", "source": "s", "agg": "distinct", "key": "user", "segments": ["channel"] },
    { "name": "sessions", "source": "s", "agg": "distinct", "key": "session" },
    { "name": "users_about", "source": "s", "agg": "distinct~", "key": "user" },
    { "name": "per_user", "source": "s", "agg": "ratio", "num": "total", "den": "users", "segments": ["channel"] },
    { "name": "money", "source": "s", "agg": "sum", "event": "buy", "value": ".v", "unit": ".cur", "once": ".o" },
    { "name": "orders", "source": "s", "agg": "distinct", "event": "buy", "key": ".o", "missing": ["(not set)"] },
    { "name": "order_value", "source": "s", "agg": "ratio", "num": "money", "den": "orders", "places": 2 },
    { "name": "way", "source": "s", "agg": "funnel", "key": "user", "window_s": 600,
      "steps": [ { "name": "view", "event": "view" }, { "name": "cart", "event": "cart" },
                 { "name": "buy", "where": ".ev == \"buy\"" } ] } ] }
END
}

# N records of one day, in an order and with values that follow from SEED.
records() { # N [SEED]
	jq -nc --argjson n "$1" --argjson seed "${2:-1}" '
	def step: (. * 1103515245 + 12345) % 2147483648;
	foreach range($n) as $i ($seed; step | step | step | step | step | step | step;
	  . as $a | ($a | step) as $b | ($b | step) as $c | ($c | step) as $d
	  | { d: "2026-03-29", app: "app\(($a / 65536 | floor) % 2)",
	    plat: ["WEB", "IOS", "android"][($b / 65536 | floor) % 3],
	    ev: ["view", "view", "cart", "buy"][($c / 65536 | floor) % 4],
	    u: (($d / 65536 | floor) % 40 | if . == 0 then null else "u\(.)" end),
	    s: (($a / 4096 | floor) % 5), t: (1774738800 + ($b / 256 | floor) % 7200),
	    v: ((($c / 128 | floor) % 20001 - 3000) / 100),
	    ch: ["Direct", "Email", null, "Paid \"Söcial\""][($d / 1024 | floor) % 4] })'
}

part() { # FEED DATE, records on stdin
	ndjson-part --source s --feed "$1" --date "$2" -- cat
}

some() { # FILTER: is it true of a row?
	jq -se "any(.[]; $1)" >/dev/null
}

# The same numbers by jq alone. Amounts in hundredths, which doubles hold.
by_jq() {
	jq -sc '
	def cents: .v * 100 | round;
	def three: if . == null then . else . * 1000 | round / 1000 end;
	def reach(f): group_by(.u) | map(sort_by([.t, (.ev | {view: 1, cart: 2, buy: 3}[.])]) | f) | add // 0;
	def w2: . as $e | [range(length)] | any(. as $i | $e[$i].ev == "view"
	  and any(range($i + 1; $e | length); $e[.].ev == "cart" and $e[.].t - $e[$i].t <= 600)) | if . then 1 else 0 end;
	def w3: . as $e | [range(length)] | any(. as $i | $e[$i].ev == "view"
	  and any(range($i + 1; $e | length); . as $j | $e[$j].ev == "cart"
	    and any(range($j + 1; $e | length); $e[.].ev == "buy" and $e[.].t - $e[$i].t <= 600))) | if . then 1 else 0 end;
	def one(m; seg; v): [m, seg, v];
	def quo($a; $b): if $b == 0 then null else $a / $b * 1000 | round / 1000 end;
	def metrics: . as $r
	  | one("n"; ""; length), one("buys"; ""; map(select(.ev == "buy")) | length),
	    one("big"; ""; map(select(.v > 50 and .ch != null)) | length),
	    one("least"; ""; map(cents) | min / 100), one("most"; ""; map(cents) | max / 100),
	    one("mean"; ""; (map(cents) | add) / length / 100 | three),
	    one("sessions"; ""; map(select(.u != null) | [.u, .s]) | unique | length),
	    ((., (group_by(.ch // "(not set)")[])) as $g
	      | (if ($g | length) == length then "" else "channel=\($g[0].ch // "(not set)")" end) as $seg
	      | ($g | map(.u | values) | unique | length) as $u | ($g | map(cents) | add) as $c
	      | one("total"; $seg; $c / 100), one("users"; $seg; $u), one("per_user"; $seg; quo($c / 100; $u))),
	    (group_by(.ch // "(not set)")[] | one("n"; "channel=\(.[0].ch // "(not set)")"; length)),
	    (group_by([.ch // "-", .ev])[] | one("n"; "pair=\(.[0].ch // "-")/\(.[0].ev)"; length)),
	    (map(select(.u != null)) | (map(select(.ev == "view").u) | unique | length) as $a
	      | reach(w2) as $b | reach(w3) as $c
	      | one("way"; ""; quo($c; $a)), one("way"; "step=1.view"; quo($a; $a)),
	        one("way"; "step=2.cart"; quo($b; $a)), one("way"; "step=3.buy"; quo($c; $b)));
	group_by(.app)[] | .[0].app as $app | (group_by(.plat | ascii_downcase)[] | [(.[0].plat | ascii_downcase), .]), ["all", .]
	| .[0] as $p | .[1] | [metrics] | unique[] | [$app, $p] + .' | sort
}

by_kpi_agg() {
	kpi-agg --kpis k.jq --source s "$@" | jq -c 'select(.metric
	    | IN("users_about", "money", "orders", "order_value") | not)
	  | [.app_id, .platform, .metric, .segment,
	    (.value | if . == null then . else . * 1000 | round / 1000 end)]' | sort
}

@test "every aggregation is what jq counts over the same records" {
	for seed in 1 7 23; do
		records 300 $seed >in
		by_jq <in >want
		by_kpi_agg in >got
		[ -s want ]
		diff want got
	done
}

@test "the order of the records does not matter, nor what is read before" {
	records 400 3 >in
	kpi-agg --kpis k.jq --source s in >a
	tac in | kpi-agg --kpis k.jq --source s >b
	shuf --random-source=<(yes) in | gzip | kpi-agg --kpis k.jq --source s >c
	cmp a b
	cmp a c
	kpi-agg --kpis k.jq --source s in | cmp a -
}

@test "rows are sorted by their key" {
	records 200 5 | kpi-agg --kpis k.jq --source s |
		jq -r '[.date, .app_id, .platform, .metric, .segment] | join("\u0001")' >keys
	LC_ALL=C sort -c keys
	[ "$(sort -u keys | wc -l)" = "$(wc -l <keys)" ]
}

@test "a record read twice counts twice, a distinct key once" {
	records 100 9 >in
	kpi-agg --kpis k.jq --source s in | jq -c 'select(.platform == "all" and .segment == "")' >once
	cat in in | kpi-agg --kpis k.jq --source s | jq -c 'select(.platform == "all" and .segment == "")' >twice
	run -0 jq -nr --slurpfile a once --slurpfile b twice '
	  range($a | length) | $a[.] as $x | $b[.] as $y
	  | select($x.metric | IN("n", "users", "total", "mean", "users_about"))
	  | select($x.app_id == "app0") | "\($x.metric) \($y.value / $x.value)"'
	assert_output "mean 1
n 2
total 2
users 1
users_about 1"
}

@test "pieces merged are the same bytes as one go" {
	records 500 11 >in
	head -1 in | jq -c '.ev = "new" | .v = null' >>in
	part f 2026-03-29 <in | kpi-agg --kpis k.jq --source s >want
	for i in 1 2 3; do
		awk "NR % 3 == $i % 3" in | part f 2026-03-29 |
			kpi-agg --kpis k.jq --source s --partial $i/3 >p$i
	done
	run -0 jq -c 'select(.["@stream"] == "begin") | [.kind, .piece, .of]' p2
	assert_output '["kpi-partial",2,3]'
	kpi-agg --kpis k.jq --source s --merge p3 p1 p2 | cmp want -
	cat p2 p3 p1 | kpi-agg --kpis k.jq --source s --merge | cmp want -
	# a partial result is itself the same for any order of its records
	tac in | awk 'NR % 2 == 0' | part f 2026-03-29 | kpi-agg --kpis k.jq --source s --partial 1/2 >a
	tac in | awk 'NR % 2 == 0' | sort | part f 2026-03-29 | kpi-agg --kpis k.jq --source s --partial 1/2 >b
	cmp a b
}

@test "a missing, cut or foreign piece is not merged" {
	records 60 2 >in
	for i in 1 2; do
		awk "NR % 2 == $i % 2" in | part f 2026-03-29 |
			kpi-agg --kpis k.jq --source s --partial $i/2 >p$i
	done
	run -66 --separate-stderr kpi-agg --kpis k.jq --source s --merge p2
	[ -z "$output" ]
	[[ $stderr == *"piece 1 of 2 is missing"* ]]
	head -n -1 p2 >cut
	run -66 kpi-agg --kpis k.jq --source s --merge p1 cut
	run -66 kpi-agg --kpis k.jq --source s --merge /dev/null
	run -65 kpi-agg --kpis k.jq --source s --merge p1 p1
	assert_output --partial "this piece came before"
	sed 's/"t1"/"t2"/' k.jq >k2.jq
	run -78 kpi-agg --kpis k2.jq --source s --merge p1 p2
	assert_output --partial "p1:1: made by another dictionary"
	run -65 kpi-agg --kpis k.jq --source s p1
	assert_output --partial "put them together with --merge"
	sed 's/"keys":\["0*[0-9a-f]/"keys":["x/' p1 >bad
	run -65 kpi-agg --kpis k.jq --source s --merge bad p2
	assert_output --partial "a damaged partial result"
	run -66 kpi-agg --kpis k.jq --source s --partial 1/2 in
	run -64 kpi-agg --kpis k.jq --source s --partial 3/2 in
}

@test "sums are exact and do not depend on the order, far beyond doubles" {
	cat >in <<'END'
{"d":"2026-01-01","v":0.1}
{"d":"2026-01-01","v":"0.2"}
{"d":"2026-01-01","v":-0.3}
{"d":"2026-01-01","v":9007199254740993}
{"d":"2026-01-01","v":1e30}
{"d":"2026-01-01","v":-1E+30}
{"d":"2026-01-01","v":1e-7}
{"d":"2026-01-01","v":null}
{"d":"2026-01-01"}
{"d":"2026-01-01","v":"NaN"}
END
	run -0 --separate-stderr bash -c 'kpi-agg --kpis k.jq --source s in | grep -F "\"metric\":\"total\",\"segment\":\"\","'
	[[ $output == *'"value":9007199254740993.0000001'* ]]
	[[ $stderr == *"1 values were NaN or infinite"* ]]
	kpi-agg --kpis k.jq --source s in 2>/dev/null >a
	sort -r in | kpi-agg --kpis k.jq --source s 2>/dev/null | cmp a -
}

@test "a sum of more than 38 digits ends with 65 and names the group" {
	for i in 1 2 3; do
		echo '{"d":"2026-01-01","app":"shop","plat":"web","v":90000000000000000000000000000000000000}'
	done >in
	run -65 --separate-stderr kpi-agg --kpis k.jq --source s in
	[[ $stderr == *": the sum for 2026-01-01, app 'shop', platform "*"more than 38 digits"* ]]
	# what goes over and comes back is no overflow
	sed 's/:9/:-9/' in | cat in - | kpi-agg --kpis k.jq --source s 2>/dev/null |
		jq -e -s 'map(select(.metric == "total" and .segment == "" and .platform == "all").value) == [0]'
}

@test "numbers of 5000 digits and text for a number are bad records" {
	d=$(printf '7%.0s' {1..5000})
	printf '{"d":"2026-01-01","v":%s}\n' 1 "$d" 2 '"x"' 3 true >in
	run -65 --separate-stderr kpi-agg --kpis k.jq --source s in
	[ -z "$output" ]
	[ "${stderr_lines[0]}" = "kpi-agg: in:2:1: the value of a metric has more than 38 digits" ]
	run -3 --separate-stderr kpi-agg --kpis k.jq --source s --rejects r in
	[ "$(wc -l <r)" = 3 ]
	some '.metric == "total" and .platform == "all" and .segment == "" and .value == 6' <<<"$output"
	run -65 kpi-agg --kpis k.jq --source s --rejects r --max-rejects 2 in
}

@test "a bad record leaves no trace, not even a group" {
	cat >in <<'END'
{"d":"2026-01-01","app":"good","plat":"web","u":"a","v":1}
{"d":"2026-01-01","app":"bad","plat":"tv","u":"b","v":"x"}
{"d":"2026-01-01","app":"good","plat":"web","u":["c"],"v":1}
{"d":"2026-01-01","app":"good","plat":"all","v":1}
{"d":"2026-13-01","app":"good","plat":"web","v":1}
{"d":"2026-01-01","app":"good","app":"twice","plat":"web","v":1}
END
	run -3 --separate-stderr kpi-agg --kpis k.jq --source s --rejects r in
	[ "$(wc -l <r)" = 5 ]
	head -1 in | kpi-agg --kpis k.jq --source s >want 2>/dev/null
	diff want <(echo "$output")
}

@test "keys: null is not counted, empty text is, 7 and \"7\" are one, pairs are pairs" {
	cat >in <<'END'
{"d":"2026-01-01","u":null,"s":1}
{"d":"2026-01-01","s":1}
{"d":"2026-01-01","u":"","s":1}
{"d":"2026-01-01","u":7,"s":1}
{"d":"2026-01-01","u":"7","s":"1"}
{"d":"2026-01-01","u":"\u0037","s":2}
{"d":"2026-01-01","u":"71","s":null}
{"d":"2026-01-01","u":"7","s":"11"}
{"d":"2026-01-01","u":"71","s":"1"}
END
	run -0 --separate-stderr bash -c 'kpi-agg --kpis k.jq --source s in | jq -c "select(.platform == \"all\" and .segment == \"\" and (.metric | IN(\"users\", \"sessions\", \"users_about\"))) | [.metric, .value]"'
	assert_output '["sessions",5]
["users",3]
["users_about",3]'
}

@test "keys of one slot do not slow it: distinct counts under a keyed hash" {
	# equal low and high halves, and long common prefixes
	jq -nc 'range(20000) | {d: "2026-01-01", u: ("0000000000000000000000000000000000000000" + tostring), s: (. * 4294967296)}' >in
	run -0 --separate-stderr timeout 20 kpi-agg --kpis k.jq --source s in
	some '.metric == "sessions" and .platform == "all" and .value == 20000' <<<"$output"
}

@test "distinct~ is within its stated error, and more than its registers" {
	jq -nc 'range(30000) | {d: "2026-01-01", u: "user \(.)"}' >in
	kpi-agg --kpis k.jq --source s in 2>/dev/null |
		some '.metric == "users_about" and .platform == "all" and .value > 29000 and .value < 31000'
}

@test "counts are the same whatever the number of places that keys are seen in" {
	# the sets of places become wider, and beyond 256 the keys go over to
	# the common set on the way
	local n
	for n in 15 31 32 60 100 200 400; do
		jq -nc --argjson n $n 'range(3000) | {d: "2026-01-01", plat: ["web", "ios"][. % 2], ch: "c\(. * 7 % $n)", u: "u\(. % 611)"}' >in
		jq -sc '(group_by(.ch)[] | ["channel=\(.[0].ch)", (map(.u) | unique | length)]), ["", (map(.u) | unique | length)]' in | sort >want
		kpi-agg --kpis k.jq --source s in 2>/dev/null | jq -c 'select(.metric == "users" and .platform == "all") | [.segment, .value]' | sort | diff want -
		part f 2026-01-01 <in | kpi-agg --kpis k.jq --source s 2>/dev/null >whole
		part f 2026-01-01 <in | kpi-agg --kpis k.jq --source s --partial 1/1 | kpi-agg --kpis k.jq --source s --merge 2>/dev/null | cmp whole -
	done
}

@test "money of several currencies is not added; the row says mixed" {
	cat >in <<'END'
{"d":"2026-01-01","plat":"web","ev":"buy","v":10,"cur":"SEK","o":"1"}
{"d":"2026-01-01","plat":"web","ev":"buy","v":30,"cur":"SEK","o":"2"}
{"d":"2026-01-01","plat":"ios","ev":"buy","v":5.50,"cur":"EUR","o":"3"}
END
	run -0 --separate-stderr bash -c 'kpi-agg --kpis k.jq --source s in | jq -c "select(.metric | IN(\"money\", \"order_value\", \"orders\")) | [.platform, .metric, .segment, .value, .unit]"'
	assert_output '["all","money","",null,"mixed"]
["all","money","currency=EUR",5.5,"EUR"]
["all","money","currency=SEK",40,"SEK"]
["all","order_value","",null,"mixed"]
["all","order_value","currency=EUR",5.5,"EUR"]
["all","order_value","currency=SEK",20,"SEK"]
["all","orders","",3,"count"]
["ios","money","",5.5,"EUR"]
["ios","order_value","",5.5,"EUR"]
["ios","orders","",1,"count"]
["web","money","",40,"SEK"]
["web","order_value","",20,"SEK"]
["web","orders","",2,"count"]'
}

@test "a transaction sent twice has its amount once; without an id each counts" {
	cat >in <<'END'
{"d":"2026-01-01","t":20,"ev":"buy","v":99,"cur":"SEK","o":"1"}
{"d":"2026-01-01","t":10,"ev":"buy","v":10,"cur":"SEK","o":"1"}
{"d":"2026-01-01","t":10,"ev":"buy","v":12,"cur":"SEK","o":"1"}
{"d":"2026-01-01","t":30,"ev":"buy","v":1,"cur":"SEK"}
{"d":"2026-01-01","t":30,"ev":"buy","v":1,"cur":"SEK"}
END
	for i in 1 2 3; do
		shuf --random-source=<(yes $i) in | kpi-agg --kpis k.jq --source s 2>/dev/null |
			some '.metric == "money" and .platform == "all" and .value == 12'
	done
}

@test "a funnel needs its order, its window, and another event for each step" {
	cat >in <<'END'
{"d":"2026-01-01","u":"right","t":100,"ev":"view"}
{"d":"2026-01-01","u":"right","t":100,"ev":"cart"}
{"d":"2026-01-01","u":"right","t":700,"ev":"buy"}
{"d":"2026-01-01","u":"late","t":100,"ev":"view"}
{"d":"2026-01-01","u":"late","t":200,"ev":"cart"}
{"d":"2026-01-01","u":"late","t":701,"ev":"buy"}
{"d":"2026-01-01","u":"wrong","t":1,"ev":"buy"}
{"d":"2026-01-01","u":"wrong","t":2,"ev":"cart"}
{"d":"2026-01-01","u":"wrong","t":3,"ev":"view"}
{"d":"2026-01-01","u":"again","t":0,"ev":"view"}
{"d":"2026-01-01","u":"again","t":1000,"ev":"view"}
{"d":"2026-01-01","u":"again","t":1001,"ev":"cart"}
{"d":"2026-01-01","u":"again","t":1002,"ev":"buy"}
{"d":"2026-01-01","t":1,"ev":"view"}
END
	for order in cat tac; do
		run -0 --separate-stderr bash -c "$order in | kpi-agg --kpis k.jq --source s | jq -c 'select(.platform == \"all\" and .metric == \"way\") | [.segment, .num, .den, .value]'"
		assert_output '["",2,4,0.5]
["step=1.view",4,4,1]
["step=2.cart",3,4,0.75]
["step=3.buy",2,3,0.666667]'
	done
}

@test "a partition has rows of 0 for its apps, and none where not ready or failed" {
	end() { printf '{"@stream":"begin","v":1,"source_system":"ga4","feed":"412345678","date":"2026-11-19","run_id":"r7","quality":"%s"}\n{"@stream":"end","records":0,"outcome":"%s"%s}\n' "$1" "$2" "${3:-}"; }
	end late empty | kpi-agg --kpis "$K" --source ga4 >out
	run -0 ndjson-part --check out
	run -0 bash -c 'jq -c "select(.metric == (\"events\", \"revenue\", \"aov\") and .segment == \"\") | [.app_id, .platform, .metric, .value, .unit, .run_id, .quality]" out | head -4'
	assert_output '["flocken","all","aov",null,"SEK","r7","late"]
["flocken","all","events",0,"count","r7","late"]
["flocken","all","revenue",0,"SEK","r7","late"]
["flocken","android","aov",null,"SEK","r7","late"]'
	[ "$(jq -r 'select(.metric == "events").platform' out | paste -sd' ')" = "all android ios web" ]
	for o in not_ready failed; do
		run bash -c "$(declare -f end); end x $o ',\"class\":\"auth\",\"reason\":\"why\"' | kpi-agg --kpis '$K' --source ga4"
		[ "${#lines[@]}" = 2 ]
		assert_output --partial "\"outcome\":\"$o\""
	done
}

@test "a partial partition has only what was seen, of quality partial" {
	{
		echo '{"@stream":"begin","v":1,"source_system":"s","feed":"f","date":"2026-01-01"}'
		echo '{"d":"2026-01-01","plat":"web","v":1}'
		echo '{"@stream":"end","records":1,"outcome":"partial","reason":"a page is missing"}'
	} | kpi-agg --kpis k.jq --source s >out 2>/dev/null
	[ "$(jq -r 'select(.platform).platform' out | sort -u | paste -sd' ')" = "all web" ]
	[ "$(jq -r 'select(.platform).quality' out | sort -u)" = partial ]
	tail -1 out | jq -e '.outcome == "partial" and .reason == "a page is missing"'
}

@test "a record of another day than its partition's is refused" {
	records 3 | jq -c '.d = "2026-03-30"' | part f 2026-03-29 >in
	run -65 kpi-agg --kpis k.jq --source s in
	assert_output --partial "in:2:1: the date is not that of the partition"
	run -65 kpi-agg --kpis k.jq --source s <(ndjson-part --source other --feed f --date 2026-03-29 -- true)
	assert_output --partial "of source 'other', not of --source s"
}

@test "days of 23 and 25 hours are days like others; plain input has several" {
	for d in 2026-03-28 2026-03-29 2026-10-25; do
		for t in 00:00:00+01:00 02:30:00+02:00 23:59:60Z; do
			echo "{\"d\":\"${d}T$t\",\"u\":\"x\"}"
		done
	done >in
	echo '{"d":"20261025"}' >>in
	run -0 --separate-stderr bash -c 'kpi-agg --kpis k.jq --source s in | jq -c "select(.metric == (\"n\", \"users\") and .platform == \"all\" and .segment == \"\") | [.date, .metric, .value]"'
	assert_output '["2026-03-28","n",3]
["2026-03-28","users",1]
["2026-03-29","n",3]
["2026-03-29","users",1]
["2026-10-25","n",4]
["2026-10-25","users",1]'
}

@test "an unknown app is counted under its own id and reported" {
	cat >in <<'END'
{"event_date":"20261119","event_name":"page_view","platform":"WEB","stream_id":"4400000000"}
{"event_date":"20261119","event_name":"screen_view","platform":"IOS","app_info":{"id":"com.example.flocken"}}
{"event_date":"20261119","event_name":"screen_view","platform":"IOS","app_info":{"id":"com.other"},"stream_id":"4400000001"}
{"event_date":"20261119","event_name":"page_view","platform":"WEB","stream_id":"1"}
{"event_date":"20261119","event_name":"sheep_shorn","platform":"WEB","stream_id":"1"}
END
	sed -n '1,3p' in | ndjson-part --source ga4 --feed 412345678 --date 2026-11-19 -- cat >p1
	sed -n '4,5p' in | ndjson-part --source ga4 --feed 999 --date 2026-11-19 -- cat >p2
	run -0 --separate-stderr env WEIR_STATS=st kpi-agg --kpis "$K" --source ga4 p1 p2
	[ "${#stderr_lines[@]}" = 3 ]
	[[ $stderr == *"event name 'sheep_shorn' is not in $K (1 records)"* ]]
	[[ $stderr == *"app '999' is not in $ROOT/conf/apps.jq: loaded under its own id (2 records)"* ]]
	[[ $stderr == *"app 'com.other' is not in "* ]]
	run -0 jq -c 'select(.metric == "events" and .platform == "all") | [.app_id, .value]' <<<"$output"
	assert_output '["com.other",1]
["flocken",2]
["999",2]'
	some '.event == "end" and (.counts | .unknown_events == 1 and .unknown_apps == 3 and .expr_jq == 0)' <st
}

@test "--app counts one app, and the partition is then partial" {
	records 50 4 >in
	run -0 --separate-stderr bash -c 'kpi-agg --kpis k.jq --source s --app app1 in | jq -r .app_id | sort -u'
	assert_output app1
	part f 2026-03-29 <in | kpi-agg --kpis k.jq --source s --app app1 2>/dev/null | tail -1 |
		jq -e '.outcome == "partial"'
	jq -c 'select(.app == "app1")' in | part f 2026-03-29 | kpi-agg --kpis k.jq --source s --app app1 2>/dev/null |
		tail -1 | jq -e '.outcome == "complete"'
}

@test "--wide has the same values as the rows" {
	records 120 6 >in
	kpi-agg --kpis k.jq --source s in 2>/dev/null | jq -c '[.app_id, .platform, .segment, .metric, .value]' | sort >a
	kpi-agg --kpis k.jq --source s --wide in 2>/dev/null |
		jq -c '. as $r | del(.date, .app_id, .platform, .source_system, .segment, .kpi_version, .run_id, .quality) | to_entries[] | [$r.app_id, $r.platform, $r.segment, .key, .value]' | sort >b
	diff a b
}

@test "sums over a platform only where the owner says that they add up" {
	wrong() { # MEMBERS PATH TEXT
		jq -nc "{version: \"1\", sources: {s: {date: \".d\"}}, metrics: [{name: \"x\", source: \"s\"} + $1]}" >w.jq
		run -78 kpi-agg --kpis w.jq --source s
		assert_output --partial "kpi-agg: w.jq: $2: $3"
	}
	wrong '{agg: "distinct", key: ".u", rollup: {platform: "sum"}}' .metrics[0].rollup.platform "x is not additive over platform and cannot be summed"
	wrong '{agg: "avg", value: ".v", rollup: {date: "sum"}}' .metrics[0].rollup.date "x is not additive"
	wrong '{agg: "avg", value: ".v", additive: true}' .metrics[0].additive "this kind of metric does not add up"
	wrong '{agg: "min", value: ".v", additive: {platform: true}}' .metrics[0].additive.platform "this kind"
	jq -nc '{version: "1", sources: {s: {date: ".d", platform: ".p"}}, metrics: [{name: "x", source: "s", agg: "distinct", key: ".u", additive: {platform: true}, rollup: {platform: "sum"}}]}' >w.jq
	printf '{"d":"2026-01-01","p":"%s","u":1}\n' a b b >in
	kpi-agg --kpis w.jq --source s in 2>/dev/null | some '.platform == "all" and .value == 2'
}

@test "a wrong dictionary is refused with the path of the member, before any work" {
	wrong() { # PROGRAM TEXT
		jq -c "$1" <(jq -n -f k.jq) >w.jq
		run -78 --separate-stderr kpi-agg --kpis w.jq --source s /nonexistent
		[[ $stderr == *"kpi-agg: w.jq: $2"* ]] || {
			echo "$1: $stderr"
			false
		}
	}
	wrong '.version = 3' '.version: '
	wrong '.metrics[1].agg = "median"' '.metrics[1].agg: '
	wrong '.metrics[2].where = ".v >"' '.metrics[2].where: '
	wrong '.metrics[2].where = "$ENV.HOME"' '.metrics[2].where: '
	wrong '.metrics[2].whre = "1"' '.metrics[2].whre: '
	wrong '.metrics[3].name = "date"' '.metrics[3].name: '
	wrong '.metrics[3].name = "n"' '.metrics[3]: '
	wrong 'del(.metrics[7].key)' '.metrics[7]: needs "key"'
	wrong '.metrics[10].den = "nothing"' '.metrics[10].den: '
	wrong '.metrics[10].segments = ["pair"]' '.metrics[10].segments: '
	wrong '.metrics[14].steps[1].name = "A b"' '.metrics[14].steps[1]: '
	wrong '.metrics[0].segments[1] = "x"' '.metrics[0].segments[1]: no such segment'
	wrong '.dimensions = ["date", "country"]' '.dimensions: '
	wrong '.all = ["app_id"]' '.all[0]: '
	wrong 'del(.sources.s.date)' '.sources.s: needs "date"'
	run -78 kpi-agg --kpis k.jq --source other
	assert_output --partial 'has no source "other"'
	echo '{"apps":[{"app_id":"a","zone":"Mars/Olympus"}]}' >apps.jq
	run -78 kpi-agg --kpis k.jq --source s
	assert_output --partial "apps.jq: .apps[0].zone: no such time zone"
}

@test "conf/ as shipped runs without libjq and names its metrics" {
	run -0 --separate-stderr bash -c 'kpi-agg --kpis "$1" --source ga4 </dev/null' - "$K"
	for m in events users sessions orders revenue aov conversion_rate profile_created daily_active_sessions activation_funnel; do
		jq -n -f "$K" | jq -e --arg m $m 'any(.metrics[]; .name == $m and .owner != null and .description != null)' >/dev/null
	done
	[[ $(ldd "$(command -v kpi-agg)") != *libcurl* ]]
}

@test "an expression of libjq's gives the same as a native one" {
	records 80 8 >in
	jq -n -f k.jq | jq -c '.metrics[2].where = "[.v, .ch] | .[0] > 50 and .[1] != null"
	  | .sources.s.segments.channel.value = "[.ch] | first"' >slow.jq
	kpi-agg --kpis k.jq --source s in >a 2>/dev/null
	kpi-agg --kpis slow.jq --source s in 2>/dev/null | cmp a -
}

@test "limits: groups and memory end with 71 and say which" {
	records 200 5 >in
	run -71 kpi-agg --kpis k.jq --source s --max-groups 20 in
	assert_output --partial "--max-groups: there are more groups than 20"
	jq -nc 'range(9000) | {d: "2026-01-01", u: tostring}' >many
	run -71 kpi-agg --kpis k.jq --source s --max-memory 64K many
	assert_output --partial "--max-memory: the distinct keys need more than 65536 bytes"
}

@test "empty input, a cut partition, a bad line, a long line" {
	run -0 --separate-stderr kpi-agg --kpis k.jq --source s /dev/null
	[ -z "$output" ]
	records 5 >in
	part f 2026-03-29 <in | head -n -1 >cut
	run -66 --separate-stderr kpi-agg --kpis k.jq --source s cut
	[ "${#lines[@]}" = 1 ] # its begin, and no row
	printf '%s' "$(cat in)" | kpi-agg --kpis k.jq --source s >a
	kpi-agg --kpis k.jq --source s in | cmp a -
	{ head -2 in; echo '{"d":'; tail -3 in; } >bad
	run -65 kpi-agg --kpis k.jq --source s bad
	assert_line --partial "kpi-agg: bad:3:"
	run -3 kpi-agg --kpis k.jq --source s --rejects r bad
	jq -nc '{d: "2026-03-29", u: ("x" * 2000)}' >>in
	run -65 kpi-agg --kpis k.jq --source s --max-line 1K in
	run -74 bash -c 'kpi-agg --kpis k.jq --source s --rejects r bad >/dev/full'
}

@test "every JSON kernel gives the same bytes" {
	records 150 12 >in
	kpi-agg --kpis k.jq --source s in >a
	for k in avx2 sse2 portable; do
		WEIR_SIMD=$k kpi-agg --kpis k.jq --source s in | cmp a -
	done
}

@test "the real export: events, users and sessions are what jq counts" {
	need_shared samples/ga4/export/analytics_web
	dir=$(shared samples/ga4/export)
	for f in "$dir"/analytics_web/events_202012{01,11,17}.ndjson "$dir"/analytics_app/events_2018100{1,3}.ndjson; do
		kpi-agg --kpis "$K" --source ga4 "$f" 2>/dev/null |
			jq -c 'select(.platform == "all" and .segment == "" and (.metric | IN("events", "users", "sessions"))) | [.app_id, .metric, .value]' >got
		jq -sc 'group_by(.app_info.id)[] | (.[0].app_info.id // "unknown") as $a
		  | [$a, "events", length],
		    [$a, "sessions", (map({u: .user_pseudo_id, s: first(.event_params[] | select(.key == "ga_session_id") | .value.int_value)} | select(.u != null and .s != null)) | unique | length)],
		    [$a, "users", (map(.user_pseudo_id | values) | unique | length)]' "$f" >want
		diff want got
	done
}

@test "many unknown names, apps and days take no more than their number of time" {
	local most=60
	[[ -z ${SAN:-} ]] || most=200
	jq -nc 'range(30000) | {d: "2026-01-01", ev: "e\(.)"}' >in
	jq -n -f k.jq | jq -c '.metrics[0].segments = []' >few.jq
	run -0 --separate-stderr timeout $most kpi-agg --kpis few.jq --source s in
	[ "${#stderr_lines[@]}" -le 23 ]
	[[ $stderr == *"29980 more event names like these"* ]]
	jq -nc 'range(6000) | {d: "2026-01-01", app: "a\(.)", u: 1}' >in
	run -0 --separate-stderr timeout $most kpi-agg --kpis k.jq --source s in
}

@test "no memory is a message and 71, at any allocation" {
	skip_if_san
	records 30 >in
	calls=$(fault_calls malloc kpi-agg --kpis k.jq --source s in)
	for nth in $(seq 1 $((calls / 25 + 1)) "$calls"); do
		run -71 --separate-stderr with_fault "malloc:$nth+:ENOMEM" kpi-agg --kpis k.jq --source s in
		[[ $stderr == *"out of memory"* ]]
	done
}

# ---- metrics by feed, products, maps ----

# A dictionary of two feeds, of two levels of the same thing.
levels() {
	cat >l.jq <<'END'
{ "version": "l", "sources": { "ads": {
    "date": ".d", "stream": ".camp", "platform": "all",
    "segments": { "campaign": { "value": ".camp" } } } },
  "metrics": [
    { "name": "spend", "source": "ads", "agg": "sum", "feeds": "*.campaign",
      "value": ".spend", "unit": ".cur", "segments": ["campaign"] },
    { "name": "got", "source": "ads", "agg": "sum", "feeds": "*.campaign",
      "value": ".got", "unit": ".cur", "segments": ["campaign"] },
    { "name": "n", "source": "ads", "agg": "sum", "feeds": "*.campaign",
      "value": ".n", "segments": ["campaign"] },
    { "name": "cost", "source": "ads", "agg": "ratio", "num": "spend", "den": "n",
      "places": 2, "segments": ["campaign"] },
    { "name": "back", "source": "ads", "agg": "ratio", "num": "got", "den": "spend",
      "places": 2, "segments": ["campaign"], "unit": "ratio" },
    { "name": "reach", "source": "ads", "agg": "one", "feeds": ["*.account"],
      "value": ".reach" } ] }
END
	cat >apps.jq <<'END'
{ "apps": [
  { "app_id": "a", "currency": "SEK", "sources": { "ads": { "feeds": "act_1", "streams": "c2" } } },
  { "app_id": "b", "currency": "SEK", "sources": { "ads": { "feeds": "act_1", "streams": ["c1", "c3"] } } } ] }
END
}

ads() { # FEED: rows on stdin
	ndjson-part --source ads --feed "$1" --date 2026-11-19 --allow-empty -- cat |
		kpi-agg --kpis l.jq --source ads
}

short() { # METRIC: what rows say of it, in their own digits
	grep "\"metric\":\"$1\"" | sed 's/.*"app_id":\([^,]*\),"platform":\([^,]*\),.*"segment":\("[^"]*"\),"value":\([^,]*\),.*"unit":\("[^"]*"\).*/[\1,\2,\3,\4,\5]/'
}

@test "a metric counts in its feeds alone: elsewhere it has no row, not even of 0" {
	levels
	cat >rows <<'END'
{"d":"2026-11-19","camp":"c1","spend":"10.50","got":"21","cur":"SEK","n":"3","reach":"7"}
{"d":"2026-11-19","camp":"c2","spend":"0.1","cur":"SEK","reach":"5"}
{"d":"2026-11-19","camp":"c3","spend":"0.2","cur":"SEK","reach":"5"}
END
	ads act_1.campaign <rows >o 2>err
	[ ! -s err ]
	assert_equal "$(jq -r '.metric // empty' o | sort -u | paste -sd,)" back,cost,got,n,spend
	run -0 short spend <o
	assert_output '["a","all","",0.1,"SEK"]
["a","all","campaign=c2",0.1,"SEK"]
["b","all","",10.7,"SEK"]
["b","all","campaign=c1",10.5,"SEK"]
["b","all","campaign=c3",0.2,"SEK"]'
	# of something that brought nothing back it is 0
	run -0 short back <o
	assert_output '["a","all","",0,"ratio"]
["a","all","campaign=c2",0,"ratio"]
["b","all","",1.96,"ratio"]
["b","all","campaign=c1",2,"ratio"]
["b","all","campaign=c3",0,"ratio"]'
	# of nothing it is null
	run -0 short cost <o
	assert_line --index 0 '["a","all","",null,"SEK"]'
	# an empty day has rows for the metrics of its feed
	ads act_1.campaign </dev/null >o
	assert_equal "$(jq -c 'select(.metric) | [.app_id, .metric, .value]' o | paste -sd' ')" \
		'["a","back",null] ["a","cost",null] ["a","got",0] ["a","n",0] ["a","spend",0] ["b","back",null] ["b","cost",null] ["b","got",0] ["b","n",0] ["b","spend",0]'
	ads act_1.account </dev/null >o
	assert_equal "$(jq -c 'select(.metric) | [.app_id, .metric, .value]' o | paste -sd' ')" \
		'["a","reach",null] ["b","reach",null]'
}

@test "a feed that no metric counts is told once, and so is input without a feed" {
	levels
	row='{"d":"2026-11-19","camp":"c1","spend":1}'
	{
		echo "$row" | ndjson-part --source ads --feed act_1.ad --date 2026-11-19 -- cat
		echo "${row/19/20}" | ndjson-part --source ads --feed act_1.ad --date 2026-11-20 -- cat
	} >in
	run -0 --separate-stderr kpi-agg --kpis l.jq --source ads in
	assert_equal "$(grep -c "act_1.ad: warning: no metric of l.jq counts this feed" <<<"$stderr")" 1
	run -0 jq -c 'select(.metric)' <<<"$output"
	assert_output ''
	run -0 --separate-stderr kpi-agg --kpis l.jq --source ads <<<"$row"
	[[ $stderr == *"no metric of l.jq counts records without a feed"* ]]
}

@test "the value of the only record; of none and of several there is none" {
	levels
	sed -i 's/"feeds": "act_1", "streams": \["c1", "c3"\]/"feeds": "act_2"/' apps.jq
	local one='{"d":"2026-11-19","reach":"9007199254740993"}'
	local none='{"d":"2026-11-19"}'
	reach() {
		ads act_2.account | short reach
	}
	run -0 reach <<<"$one"
	assert_output '["b","all","",9007199254740993,""]'
	run -0 reach <<<"$none"$'\n'"$one"
	assert_output '["b","all","",9007199254740993,""]'
	run -0 reach <<<"$one"$'\n'"$one"
	assert_output '["b","all","",null,""]'
	run -0 reach <<<"$none"
	assert_output '["b","all","",null,""]'
	# and in pieces
	piece() { # I ROW
		ndjson-part --source ads --feed act_2.account --date 2026-11-19 -- echo "$2" |
			kpi-agg --kpis l.jq --source ads --partial "$1/2"
	}
	merged() {
		kpi-agg --kpis l.jq --source ads --merge p1 p2 | short reach
	}
	piece 1 "$one" >p1
	piece 2 "$none" >p2
	run -0 merged
	assert_output '["b","all","",9007199254740993,""]'
	piece 2 "$one" >p2
	run -0 merged
	assert_output '["b","all","",null,""]'
}

@test "pieces of records without platforms give the bytes of one go" {
	levels
	for i in 1 2 3 4 5 6; do
		echo "{\"d\":\"2026-11-19\",\"camp\":\"c$((i % 3 + 1))\",\"spend\":\"$i.0$i\",\"n\":$i,\"got\":\"0.$i\",\"cur\":\"SEK\"}"
	done >rows
	ads act_1.campaign <rows >whole
	for i in 1 2; do
		sed -n "$((3 * i - 2)),$((3 * i))p" rows |
			ndjson-part --source ads --feed act_1.campaign --date 2026-11-19 -- cat |
			kpi-agg --kpis l.jq --source ads --partial $i/2 >p$i
	done
	kpi-agg --kpis l.jq --source ads --merge p2 p1 | grep -v '^{"@' >merged
	[ "$(wc -l <merged)" = 25 ]
	grep -v '^{"@' whole | diff - merged
}

@test "money by money: each currency by itself, also one that only one side has" {
	levels
	cat >rows <<'END'
{"d":"2026-11-19","camp":"c1","spend":"10","got":"5","cur":"SEK","n":1}
{"d":"2026-11-19","camp":"c3","spend":"4","cur":"EUR","n":1}
END
	ads act_1.campaign <rows >o
	run -0 short back <o
	assert_output '["a","all","",null,"ratio"]
["b","all","",null,"mixed"]
["b","all","campaign=c1",0.5,"ratio"]
["b","all","campaign=c3",0,"ratio"]
["b","all","currency=EUR",0,"ratio"]
["b","all","currency=SEK",0.5,"ratio"]'
}

# Of product types and prices, as a shop's report has them.
shop() {
	cat >s.jq <<'END'
{ "version": "s", "sources": { "shop": {
    "date": ".d", "app_id": [".parent", ".sku"], "event": ".type // .event",
    "platform": { "value": ".type // .device", "map": { "mac": ["F1", "F7"], "tv": "TV" }, "default": "ios" },
    "events": ["1", "F1", "F7", "IA"] } },
  "metrics": [
    { "name": "new", "source": "shop", "agg": "sum", "event": ["1", "F1"], "value": ".units" },
    { "name": "other", "source": "shop", "agg": "sum", "unlisted": true, "value": ".units" },
    { "name": "due", "source": "shop", "agg": "sum", "value": ".units", "times": ".each", "missing": [""] },
    { "name": "paid", "source": "shop", "agg": "sum", "value": ".units", "times": ".price", "abs": ["times"] },
    { "name": "back", "source": "shop", "agg": "sum", "where": ".units | startswith(\"-\")",
      "value": ".units", "times": ".each", "missing": "", "abs": ["value", "times"] },
    { "name": "most", "source": "shop", "agg": "max", "value": ".units", "times": ".each", "missing": "" } ] }
END
}

sold() {
	kpi-agg --kpis s.jq --source shop
}

@test "products are exact, with the sign of their factors or without" {
	shop
	cat >rows <<'END'
{"d":"2026-11-19","sku":"A","parent":"","type":"1","units":"3","each":"0.1","price":"0.99"}
{"d":"2026-11-19","sku":"A","parent":"","type":"1","units":"-2","each":"0.7000","price":"-0.99"}
{"d":"2026-11-19","sku":"A","type":"1","units":"12345678901234567","each":"0.000000000000000001","price":1e3}
{"d":"2026-11-19","sku":"A","type":"1","units":"5","each":null,"price":0}
{"d":"2026-11-19","sku":"A","type":"1","units":"5","each":"","price":0}
END
	values() {
		sold <rows 2>/dev/null | grep '"platform":"ios"' |
			sed 's/.*"metric":"\([a-z]*\)".*"value":\([^,]*\),.*/\1 \2/'
	}
	run -0 values
	assert_output 'back 1.4
due -1.087654321098765433
most 0.3
new 12345678901234578
other 0
paid 12345678901234567000.99'
}

@test "a product of more than 38 digits is a bad record" {
	shop
	run -65 sold <<<'{"d":"2026-11-19","sku":"A","type":"1","units":"12345678901234567891","each":"98765432109876543219","price":1}'
	assert_output --partial 'kpi-agg: -:1:1: '
	assert_output --partial 'the product of a metric has more than 38 digits'
	run -65 sold <<<'{"d":"2026-11-19","sku":"A","type":"1","units":"3","each":"1,000.5","price":1}'
	assert_output --partial 'the value of a metric is no number'
}

@test "platforms by a map, apps by the first id that is not empty, names that are not listed" {
	shop
	cat >apps.jq <<'END'
{ "apps": [ { "app_id": "a", "sources": { "shop": { "ids": ["SKU.A"], "platforms": ["ios", "mac"] } } } ] }
END
	cat >rows <<'END'
{"d":"2026-11-19","sku":"SKU.A","parent":"","type":"1","units":"1","each":"0","price":"0"}
{"d":"2026-11-19","sku":"coins","parent":"SKU.A","type":"IA","units":"10","each":"0","price":"0"}
{"d":"2026-11-19","sku":"SKU.A","parent":"","type":"F1","units":"100","each":"0","price":"0"}
{"d":"2026-11-19","sku":"SKU.A","parent":"","type":"F1X","units":"1000","each":"0","price":"0"}
{"d":"2026-11-19","sku":"SKU.A","parent":"","event":"1","device":"TV","units":"10000","each":"0","price":"0"}
END
	sold <rows >o 2>err
	assert_equal "$(<err)" "kpi-agg: warning: event name 'F1X' is not in s.jq (1 records)"
	run -0 short new <o
	assert_output '["a","all","",10101,""]
["a","ios","",1,""]
["a","mac","",100,""]
["a","tv","",10000,""]'
	run -0 short other <o
	assert_output '["a","all","",1000,""]
["a","ios","",1000,""]
["a","mac","",0,""]
["a","tv","",0,""]'
}

@test "what is wrong in these members is refused with its path" {
	bad() { # FILE SED MESSAGE SOURCE
		sed "$2" "$1" >bad.jq
		run -78 kpi-agg --kpis bad.jq --source "$4" </dev/null
		assert_output --partial "bad.jq: $3"
	}
	levels
	bad l.jq 's/"num": "spend", "den": "n",/"num": "spend", "den": "n", "feeds": "x",/' \
		'.metrics[3].feeds: a ratio is of the feeds of its num and den' ads
	bad l.jq '0,/"feeds": "\*.campaign"/s//"feeds": []/' '.metrics[0].feeds: names no feed' ads
	bad l.jq '/"n", "source"/s/"\*.campaign"/"*.x"/' '.metrics[3]: num and den must be of the same feeds' ads
	bad l.jq 's/"den": "n"/"den": "reach"/' '.metrics[3].den: no such metric of this source that is no ratio, avg, one or funnel' ads
	bad l.jq 's/"agg": "one"/"agg": "one", "additive": true/' '.metrics[5].additive: this kind of metric does not add up' ads
	bad l.jq 's/"value": ".reach"/"owner": "x"/' '.metrics[5]: needs "value"' ads
	shop
	bad s.jq 's/"tv": "TV"/"tv": "F1"/' '.sources.shop.platform.map: "F1" is there twice' shop
	bad s.jq 's/"tv": "TV"/"all": "TV"/' '.sources.shop.platform.map.all: a platform is named in a-z' shop
	bad s.jq 's/"default": "ios"/"default": "all"/' '.sources.shop.platform.default: a platform is named in a-z' shop
	bad s.jq 's/"value": ".type \/\/ .device", //' '.sources.shop.platform: needs "value"' shop
	bad s.jq 's/"default": "ios"/"other": "ios"/' '.sources.shop.platform.other' shop
	bad s.jq 's/"unlisted": true/"unlisted": true, "event": "1"/' '.metrics[1].unlisted: needs "events" in the source' shop
	bad s.jq 's/"abs": \["times"\]/"abs": ["price"]/' '.metrics[3].abs[0]: must be "value" or "times"' shop
	bad s.jq 's/"agg": "max", "value": ".units"/"agg": "count"/' '.metrics[5].times: needs "value"' shop
	bad s.jq 's/\[".parent", ".sku"\]/[]/' '.sources.shop.app_id: must be an expression' shop
	wrong_apps() { # SED MESSAGE SOURCE
		sed "$1" "$ROOT/conf/apps.jq" >bad.jq
		run -78 kpi-agg --kpis "$K" --apps bad.jq --source "$3" </dev/null
		assert_output --partial "bad.jq: $2"
	}
	wrong_apps '0,/"account": "1001"/s//"account": "act_1001"/' '.apps[0].sources.meta.accounts[0]: needs "account", the digits of its id' meta
	wrong_apps '0,/"level": "campaign"/s//"level": "page"/' '.apps[0].sources.meta.accounts[0].level: must be account' meta
	wrong_apps '0,/"account": "1001"/s//"account": "1003"/' '.apps[0].sources.meta.accounts[1]: an app has one ad account' meta
	wrong_apps '0,/"window": 28/s//"window": 0/' '.apps[0].sources.meta.window: must be 1 to 400 days' meta
	wrong_apps '0,/"zone": "America/s//"zone": "Amerika/' '.apps[0].sources.asc.zone: no such time zone' asc
	wrong_apps '0,/"vendor"/s//"seller"/' '.apps[0].sources.asc.seller' asc
	wrong_apps '/skus/s/com.example.betet/com.example.flocken/' '.: id "com.example.flocken" is of two apps' asc
}

@test "the dictionaries that the page shows are taken" {
	local n=0 f
	awk '/^\.Sh EXAMPLES/ { s = 1 } s && /^\.Bd/ { n++; p = 1; next } /^\.Ed/ { p = 0 }
		p { gsub(/\\e/, "\\"); print > ("example." n) }' "$ROOT/man/weir-kpis.5"
	for f in example.*; do
		run -0 kpi-agg --kpis "$f" --source "$(jq -r '.sources | keys[0]' "$f")" </dev/null
		n=$((n + 1))
	done
	[ $n = 2 ]
}
