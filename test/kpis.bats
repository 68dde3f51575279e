#!/usr/bin/env bats
# The dictionary as shipped, on what fetch-meta and fetch-asc print.

bats_require_minimum_version 1.5.0
load helper
load sim

setup_file() {
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$BATS_FILE_TMPDIR/AuthKey_ABC123DEFG.p8" 2>/dev/null
	chmod 600 "$BATS_FILE_TMPDIR"/*.p8
	openssl pkey -in "$BATS_FILE_TMPDIR/AuthKey_ABC123DEFG.p8" -pubout \
		-out "$BATS_FILE_TMPDIR/pub.pem"
}

setup() {
	weir_setup
	(umask 077 && echo EAAGsimToken0123456789 >token)
	export ASC_ISSUER_ID=57246542-96fe-1a63-e053-0824d011072a
	export ASC_KEY_FILE=$BATS_FILE_TMPDIR/AuthKey_ABC123DEFG.p8
}

# The clock of Meta stands at 2026-11-20 12:00 UTC.
meta_start() {
	sim_start --set now_offset=$(($(date -ud '2026-11-20 12:00' +%s) - $(date +%s)))
}
# meta ACCOUNT LEVEL [option ...]
meta() {
	fetch-meta --allow-http --base-url "$SIM/graph" --token-file token \
		--backoff 0 --poll-ms 3 --account "$1" --level "$2" "${@:3}"
}
asc() { # REPORT
	fetch-asc --allow-http --base-url "$SIM/asc" --backoff 1 \
		--vendor 80012345 --report "$1"
}
kpis() { # SOURCE: a stream on stdin
	kpi-agg --kpis "$ROOT/conf/kpis.jq" --source "$1"
}
rows() {
	grep -v '^{"@stream"'
}
part() { # SOURCE FEED DATE: records on stdin
	ndjson-part --source "$1" --feed "$2" --date "$3" --allow-empty -- cat
}
# METRIC: what rows say, in their own digits.
short() {
	grep "\"metric\":\"$1\"" | sed 's/.*"app_id":\([^,]*\),"platform":\([^,]*\),.*"segment":\("[^"]*"\),"value":\([^,]*\),.*"unit":\("[^"]*"\).*/[\1,\2,\3,\4,\5]/'
}
# METRIC: the value over all platforms and segments.
total() {
	short "$1" | sed -n 's/^\["[^"]*","all","",\([^,]*\),.*/\1/p'
}

# ---- Meta ----

@test "meta: each day's numbers are what jq adds up, money in the account's currency" {
	meta_start
	meta 1001 campaign >raw
	WEIR_STATS=st kpis meta <raw >k
	grep -q '"expr_jq":0' st
	[ "$(rows <k | jq -r .date | sort -u | wc -l)" = 28 ]
	rows <raw | jq -s -S -c '
		def n: . // "0" | tonumber;
		def act($t): (. // []) | map(select(.action_type == $t))[0].value | n;
		group_by(.date_start)[] | { date: .[0].date_start,
		  spend: (map(.spend | n) | add * 100 | round),
		  impressions: (map(.impressions | n) | add),
		  clicks: (map(.clicks | n) | add),
		  installs: (map(.actions | act("mobile_app_install")) | add),
		  purchases: (map(.actions | act("omni_purchase")) | add),
		  purchase_value: (map(.action_values | act("omni_purchase")) | add * 100 | round) }' >want
	rows <k | jq -s -S -c '
		map(select(.segment == "" and .platform == "all" and .app_id == "flocken"
		  and (.metric | IN("spend", "impressions", "clicks", "installs", "purchases", "purchase_value"))))
		| group_by(.date)[] | { date: .[0].date } + (map({ (.metric):
		  (if .unit == "SEK" then .value * 100 | round else .value end) }) | add)
		| select(.impressions > 0)' >got
	[ "$(wc -l <want)" -ge 12 ]
	diff want got
	# a silent day is 0 of all, and no ratio of it
	rows <k | jq -s -e 'map(select(.metric == "spend" and .segment == "" and .value == 0))
		| length == 28 - '"$(wc -l <want)"
	rows <k | jq -s -e 'all(.[] | select(.metric == "cpi"); (.den == 0) == (.value == null))'
}

@test "meta: campaigns are segments, the account's own row is the reach" {
	meta_start
	meta 1001 campaign --lookback-days 1 >c
	meta 1002 account --lookback-days 1 >a
	run -0 bash -c "cat c | kpi-agg --kpis '$ROOT/conf/kpis.jq' --source meta | jq -r 'select(.metric == \"spend\") | .segment'"
	assert_output $'\ncampaign=120241001000010000\ncampaign=120241001000020000\ncampaign=120241001000030000'
	kpis meta <c >k
	run ! grep -q '"reach"' k
	kpis meta <a >k
	run -0 bash -c "grep -v '^{.@' k | jq -c '[.app_id, .platform, .metric, .value, .unit]'"
	assert_output "[\"betet\",\"all\",\"reach\",$(rows <a | jq -r .reach),\"count\"]"
	# other levels and breakdowns are of no metric: nothing is counted twice
	for level in adset ad; do
		meta 1001 $level --lookback-days 1 | kpis meta >k 2>err
		grep -q "act_1001.$level: warning: no metric of .*kpis.jq counts this feed" err
		[ -z "$(rows <k)" ]
	done
	meta 1001 campaign --lookback-days 1 --breakdowns age,gender | kpis meta >k 2>err
	grep -q "act_1001.campaign.age-gender: warning: no metric" err
	[ -z "$(rows <k)" ]
}

@test "meta: one action type a metric, the first that the row has, never their sum" {
	day=2026-11-19
	row() { # ACTIONS VALUES
		echo "{\"level\":\"campaign\",\"account_id\":\"1001\",\"campaign_id\":\"120241001000010000\",\"account_currency\":\"SEK\",\"spend\":\"10.10\",\"date_start\":\"$day\",\"actions\":[$1],\"action_values\":[$2]}"
	}
	a() { # TYPE [VALUE]
		echo "{\"action_type\":\"$1\"${2:+,\"value\":\"$2\",\"7d_click\":\"1\"}}"
	}
	{
		row "$(a purchase 3),$(a offsite_conversion.fb_pixel_purchase 2),$(a omni_purchase 4),$(a mobile_app_install 7)" \
			"$(a purchase 30.03),$(a omni_purchase 40.04)"
		row "$(a offsite_conversion.fb_pixel_purchase 20),$(a purchase 10),$(a omni_app_install 50),$(a mobile_app_install 60)" \
			"$(a offsite_conversion.fb_pixel_purchase 0.000001)"
		# a type without its value, an entry without a type
		row "$(a omni_purchase),{\"value\":\"9\"},$(a purchase 100),$(a link_click 999)" ''
		# rows without any actions, and without anything
		echo "{\"level\":\"campaign\",\"campaign_id\":\"120241001000020000\",\"account_currency\":\"SEK\",\"spend\":\"0\",\"date_start\":\"$day\"}"
		echo "{\"level\":\"campaign\",\"campaign_id\":\"120241001000020000\",\"date_start\":\"$day\"}"
	} | part meta act_1001.campaign $day | kpis meta >k
	assert_equal "$(total purchases <k)" 114
	assert_equal "$(total purchase_value <k)" 40.040001
	assert_equal "$(total installs <k)" 57
	assert_equal "$(total spend <k)" 30.3
	assert_equal "$(total cpi <k)" 0.5316
	assert_equal "$(total roas <k)" 1.3215
	assert_equal "$(total impressions <k)" 0
}

@test "meta: six decimals, ids and 38 digits stay what they are; another account is reported" {
	day=2026-11-19
	for spend in 0.092195 12.938049 99999999999999999999999999.000001; do
		echo "{\"campaign_id\":\"120240477971330604\",\"account_currency\":\"SEK\",\"spend\":\"$spend\",\"date_start\":\"$day\"}"
	done | part meta act_77.campaign $day | kpis meta >k 2>err
	assert_equal "$(total spend <k)" 100000000000000000000000012.030245
	grep -q '"segment":"campaign=120240477971330604"' k
	assert_equal "$(grep -c "app 'act_77.campaign' is not in .*apps.jq: loaded under its own id (3 records)" err)" 1
}

# ---- App Store ----

@test "asc: units by product type and money by currency are what jq adds up" {
	sim_start --set asc.public_key="$BATS_FILE_TMPDIR/pub.pem" --set asc.rows=300
	asc SALES >raw
	WEIR_STATS=st kpis asc <raw >k 2>err
	[ ! -s err ]
	grep -q '"expr_jq":0' st
	rows <raw | jq -s -S -c '
		def n: tonumber;
		map(. + { app: (if .parent_identifier != "" then .parent_identifier else .sku end | sub("com.example."; "")),
		  plat: (if .product_type_identifier | IN("F1", "F7", "FI1") then "macos" else "ios" end),
		  t: .product_type_identifier,
		  amount: ((.units | n) * (.developer_proceeds | n)) })
		| group_by([.report_date, .app, .plat])[]
		| { date: .[0].report_date, app: .[0].app, plat: .[0].plat,
		  first: (map(select(.t | IN("1F")) | .units | n) | add // 0),
		  again: (map(select(.t == "3F") | .units | n) | add // 0),
		  updates: (map(select(.t | IN("7F", "F7")) | .units | n) | add // 0),
		  in_app: (map(select(.t | IN("IA1", "IAY", "FI1")) | .units | n) | add // 0),
		  refunded: (map(select(.units | startswith("-")) | .units | n) | 0 - (add // 0)),
		  due: (map(select(.amount != 0)) | group_by(.currency_of_proceeds)
		    | map({ (.[0].currency_of_proceeds): (map(.amount) | add * 100 | round) }) | add // {}) }' >want
	rows <k | jq -s -S -c '
		map(select(.platform != "all")) | group_by([.date, .app_id, .platform])[]
		| (map(select(.segment == "") | { (.metric): .value }) | add) as $m
		| { date: .[0].date, app: .[0].app_id, plat: .[0].platform,
		  first: $m.first_downloads, again: $m.redownloads, updates: $m.updates,
		  in_app: $m.in_app_units, refunded: $m.refunded_units,
		  due: ((map(select(.metric == "proceeds" and (.segment | startswith("currency="))))
		    | if length > 0 then . else null end)
		    // map(select(.metric == "proceeds" and .segment == "" and .value != 0))
		    | map({ (.unit): (.value * 100 | round) }) | add // {}) }' >got
	[ "$(wc -l <want)" = 20 ]
	diff want got
	assert_equal "$(rows <k | jq -s 'map(select(.metric == "units_other").value) | unique' -c)" '[0]'
}

# SKU PARENT TYPE UNITS PROCEEDS CURRENCY PRICE [CMB]: a row of a sales report.
sale() {
	printf '{"report_date":"2026-11-19","sku":"%s","parent_identifier":"%s","product_type_identifier":"%s","units":"%s","developer_proceeds":"%s","currency_of_proceeds":"%s","customer_currency":"%s","customer_price":"%s","cmb":"%s","country_code":"SE"}\n' \
		"$1" "$2" "$3" "$4" "$5" "$6" "$6" "$7" "${8:-}"
}
sales() {
	part asc 80012345.sales_summary_daily 2026-11-19 | kpis asc
}
F=com.example.flocken

@test "asc: every product type of the table is in its one group" {
	local n=1 type
	types='1 1F 1T F1 1-B F1-B 1E 1EP 1EU 3 3F 7 7F 7T F7 IA1 IA1-M FI1 IA9 IA9-M IAY IAY-M IA3 3T IAC 5'
	for type in $types; do
		sale $F '' "$type" $n 0 SEK 0
		n=$((2 * n))
	done | sales >k 2>err
	sum() {
		local n=1 s=0 t
		for t in $types; do
			[[ " $* " != *" $t "* ]] || s=$((s + n))
			n=$((2 * n))
		done
		echo $s
	}
	only() { # APP METRIC
		rows <k | grep '"app_id":"flocken"' | total "$1"
	}
	assert_equal "$(only first_downloads)" "$(sum 1 1F 1T F1 1-B F1-B 1E 1EP 1EU)"
	assert_equal "$(only redownloads)" "$(sum 3 3F)"
	assert_equal "$(only updates)" "$(sum 7 7F 7T F7)"
	assert_equal "$(only in_app_units)" "$(sum IA1 IA1-M FI1 IA9 IA9-M IAY IAY-M)"
	assert_equal "$(only restored_units)" "$(sum IA3)"
	assert_equal "$(only units_other)" "$(sum 3T IAC 5)"
	# what is not in the table is told, by name
	assert_equal "$(grep -o "event name '[^']*'" err | paste -sd' ')" \
		"event name '3T' event name '5' event name 'IAC'"
	# Mac products are on their own platform
	assert_equal "$(rows <k | short first_downloads | grep '"flocken","macos",""' | cut -d, -f4)" "$(sum F1 F1-B)"
}

@test "asc: refunds keep their signs right: units, proceeds and what customers paid" {
	{
		sale coins $F IA1 10 0.70 USD 0.99
		# a refund: units and price are negative, proceeds are not
		sale coins $F IA1 -3 0.70 USD -0.99
		# a credit of complete-my-bundle is no refund
		sale $F '' 1-B -1 2.00 USD -2.99 CMB-C
		sale $F '' 1F 500 0 JPY 0
	} | sales >k
	mine() {
		rows <k | grep '"app_id":"flocken"' | total "$1"
	}
	assert_equal "$(mine in_app_units)" 7
	assert_equal "$(mine refunded_units)" 3
	assert_equal "$(mine refunded_proceeds)" 2.1
	assert_equal "$(mine proceeds)" 2.9
	assert_equal "$(mine customer_spend)" 3.94
	# 500 free downloads in Japan make no yen
	assert_equal "$(rows <k | short proceeds | grep -c JPY)" 0
	assert_equal "$(rows <k | short proceeds | head -n 1)" '["betet","all","",0,"SEK"]'
}

@test "asc: a purchase is its parent's, an app is told by its SKU, a stranger by his own" {
	{
		sale "$F.coins" $F IA1 1 1 SEK 1
		sale $F '' 1F 2 0 SEK 0
		sale com.example.betet '' 1F 4 0 SEK 0
		sale x com.example.other IA1 8 1 SEK 1
	} | sales >k 2>err
	assert_equal "$(rows <k | jq -r 'select(.platform == "ios" and .segment == "" and (.metric | IN("first_downloads", "in_app_units"))) | "\(.app_id) \(.metric) \(.value)"' | paste -sd,)" \
		'betet first_downloads 4,betet in_app_units 0,com.example.other first_downloads 0,com.example.other in_app_units 8,flocken first_downloads 2,flocken in_app_units 1'
	grep -q "app 'com.example.other' is not in " err
}

@test "asc: subscriptions from their own reports, none from another" {
	sim_start --set asc.public_key="$BATS_FILE_TMPDIR/pub.pem"
	asc SUBSCRIPTION >raw
	kpis asc <raw >k 2>err
	[ ! -s err ]
	assert_equal "$(rows <k | jq -r .metric | sort -u | paste -sd,)" active_subscriptions,active_trials
	diff <(rows <raw | jq -c '[.report_date, (.active_standard_price_subscriptions | tonumber)]') \
		<(rows <k | jq -c 'select(.app_id == "flocken" and .platform == "ios" and .metric == "active_subscriptions") | [.date, .value]')
	asc SUBSCRIPTION_EVENT >raw
	kpis asc <raw >k 2>err
	[ ! -s err ]
	diff <(rows <raw | jq -c '[.report_date, (.quantity | tonumber)]') \
		<(rows <k | jq -c 'select(.app_id == "flocken" and .platform == "ios" and .metric == "subscriptions_renewed") | [.date, .value]')
	# an event that nobody knows is told, and none of ours
	rows <raw | head -n 1 | jq -c '.event = "Crossgrade from Win-Back Offer" | .report_date = "2026-11-19"' |
		part asc 80012345.subscription_event_summary_daily 2026-11-19 | kpis asc >k 2>err
	grep -q "event name 'Crossgrade from Win-Back Offer' is not in" err
	assert_equal "$(rows <k | jq -s -c 'map(.value) | unique')" '[0]'
	# analytics reports count something else
	rows <raw | head -n 1 | part asc 1000000001.app_downloads_standard_daily "$(rows <raw | head -n 1 | jq -r .report_date)" | kpis asc >k 2>err
	grep -q 'warning: no metric of' err
	[ -z "$(rows <k)" ]
}

@test "asc: a day without sales is rows of 0 for both apps on both platforms" {
	sales </dev/null >k
	assert_equal "$(rows <k | jq -s -c 'map(.value) | unique')" '[0]'
	assert_equal "$(rows <k | jq -r '"\(.app_id).\(.platform)"' | sort -u | paste -sd,)" \
		betet.all,betet.ios,betet.macos,flocken.all,flocken.ios,flocken.macos
	assert_equal "$(rows <k | jq -r .metric | sort -u | wc -l)" 10
}

@test "the keys of all feeds of a source are different: they live in one warehouse" {
	sim_start --set asc.public_key="$BATS_FILE_TMPDIR/pub.pem" --set asc.rows=60
	for a in 1001 1002; do
		for l in account campaign; do
			meta $a $l --lookback-days 5 | kpis meta
		done
	done | rows >k
	for r in SALES SUBSCRIPTION SUBSCRIPTION_EVENT; do
		asc $r | kpis asc
	done | rows >>k
	jq -r '[.date, .app_id, .platform, .source_system, .metric, .segment] | @tsv' k | sort >keys
	[ "$(wc -l <keys)" -gt 1000 ]
	uniq -d keys >twice
	[ ! -s twice ]
}
