# What the tests of the pushed down statement share: rows of the export, a
# dictionary that has all there is, and KPI records as lines.
#
# shellcheck shell=bash

# KPI records as pg_kpis prints rows; digits are not touched.
kpi_lines() {
	sed -E 's/"(value|num|den)":(-?[0-9.]+)/"\1":"\2"/g' | jq -r '
	[.date, .app_id, .platform, .source_system, .metric, .segment,
	 .value // "-", .num // "-", .den // "-", .unit, .kpi_version, .run_id,
	 .quality] | join("\t")'
}

# stream_kpis KPIS PROPERTY DATE [QUALITY-OUTCOME]: of rows on stdin.
stream_kpis() {
	ndjson-part --source ga4 --feed "$2" --date "$3" --allow-empty -- cat |
		event-id --profile ga4 | ndjson-dedup --key event_id |
		kpi-agg --kpis "$1" --apps "${APPS:-apps.jq}" --source ga4 --plain
}

# ga4_rows N SEED DATE: rows full of collisions. Many are there again with
# their parameters in another order, null slots, or 5 in place of 5.0.
ga4_rows() {
	jq -nc --argjson n "$1" --argjson seed "$2" --arg date "$3" '
	def step: (. * 1103515245 + 12345) % 2147483648;
	def pick($list; $r): $list[($r / 65536 | floor) % ($list | length)];
	foreach range($n) as $i ([$seed | range(24) as $k | . + 7919 * $k | step];
	  map(step);
	  . as $r
	  | ((($r[0] / 65536 | floor) % 7200) * 5000000 + 1795042800000000) as $ts
	  | { event_date: ($date | gsub("-"; "")), event_timestamp: ($ts | tostring),
	      event_name: pick(["page_view", "sign_up", "first_visit", "purchase", "purchase",
	        "profile_created", "refund", "odd \u00e5 name", "begin_checkout"]; $r[1]),
	      event_params: ([
	        {key: "ga_session_id", value: pick([{int_value: "17"}, {int_value: "18"},
	          {double_value: 18}, {double_value: 18.5}, {string_value: "18.5"}, {}]; $r[2])},
	        (if $r[3] % 3 > 0 then {key: "session_engaged", value:
	          pick([{string_value: "1"}, {int_value: "1"}, {string_value: "0"}, {double_value: 1}]; $r[4])}
	          else empty end),
	        (if $r[5] % 4 > 0 then {key: "currency", value:
	          pick([{string_value: "SEK"}, {string_value: "EUR"}, {string_value: ""}, {string_value: "SEK"}]; $r[6])}
	          else empty end),
	        {key: "value", value: pick([{int_value: "7"}, {double_value: 7}, {double_value: 0.1},
	          {double_value: 12345.678901}, {double_value: "NaN"}, {double_value: 1e-7}, {int_value: "-3"},
	          {double_value: 9007199254740993}, {float_value: 2.5}, {int_value: "9223372036854775807"}]; $r[7])},
	        {key: "page \"x\" \\ \u0027y\u0027", value: {string_value: pick(["a\u0027b", "c\\d", "e\nf", "", "åß"]; $r[8])}}]
	        + if $r[9] % 40 == 0 then [{key: "note", value: {string_value: "1"}}, {key: "note", value: {string_value: "2"}}] else [] end),
	      user_pseudo_id: pick(["u1", "u2", "u3", "u4", "u5", "1.0", "1", null, ""]; $r[10]),
	      app_info: (if $r[11] % 3 == 0 then null else
	        {id: pick(["com.a", "com.b", "com.unknown", "", null]; $r[12])} end),
	      stream_id: pick(["11", "22", "99", null]; $r[13]),
	      platform: pick(["WEB", "IOS", "Android", null, "", "SM\u00c5"]; $r[14]),
	      session_traffic_source_last_click: (if $r[15] % 4 == 0 then null else
	        {cross_channel_campaign: {default_channel_group: pick(["Direct", "Email", "a,b=c", null, ""]; $r[16])}} end),
	      traffic_source: {medium: pick(["cpc", null, "organic"]; $r[17])},
	      geo: {country: pick(["Sweden", "Norge", null]; $r[18])},
	      is_active_user: pick([true, false, null]; $r[19]),
	      ecommerce: (if $r[20] % 5 == 0 then null else
	        { transaction_id: pick(["T1", "T2", "T3", "(not set)", "", null, "T4"]; $r[20]),
	          purchase_revenue: pick([10, 0.1, 0.2, 99.995, "NaN", null, -5.25, 1234567.891, 0, 0.30000000000000004]; $r[21]),
	          total_item_quantity: pick(["1", "2", "-1", null]; $r[22]),
	          tax_value: pick([0.5, "Infinity", 2.25, null]; $r[23]) } end),
	      batch_page_id: pick(["1", "2", null]; $r[2]), batch_event_index: pick(["1", null]; $r[3]) }
	  | (., if $r[5] % 6 == 0 and $r[9] % 40 != 0 then
	      .event_params |= (reverse | map(if .value == {} then del(.value) else
	        .value |= ({string_value: null, int_value: null} + . | if .int_value == "7" then {double_value: 7} else . end) end))
	      else empty end)
	  | walk(if type == "object" then with_entries(select(.value != null)) else . end))'
}

# Every construct that has an exact meaning in SQL.
all_kpis() {
	cat <<'END'
{ "version": "all's \"v\" \\ 1",
  "sources": { "ga4": {
    "date": ".event_date", "app_id": ".app_info.id", "stream": ".stream_id",
    "platform": ".platform", "event": ".event_name",
    "time": ".event_timestamp", "time_unit": "us",
    "user": ".user_pseudo_id",
    "session": [".user_pseudo_id",
      "(.event_params[]? | select(.key == \"ga_session_id\") | .value | .int_value // .double_value // .float_value // .string_value)"],
    "exclude": "(.event_params[]? | select(.key == \"page \\\"x\\\" \\\\ 'y'\") | .value.string_value) == \"c\\\\d\"",
    "events": ["page_view", "sign_up", "first_visit", "purchase", "profile_created"],
    "segments": {
      "channel": { "value": ".session_traffic_source_last_click.cross_channel_campaign.default_channel_group" },
      "place": { "value": [".geo.country", ".traffic_source.medium"], "default": "it's -" } } } },
  "metrics": [
    { "name": "events", "source": "ga4", "agg": "count", "segments": ["channel", "place"] },
    { "name": "unlisted", "source": "ga4", "agg": "count", "unlisted": true },
    { "name": "no_user", "source": "ga4", "agg": "count", "where": ".user_pseudo_id == null" },
    { "name": "active", "source": "ga4", "agg": "count", "where": ".is_active_user" },
    { "name": "not_active", "source": "ga4", "agg": "count", "where": ".is_active_user == false or (.is_active_user | not)" },
    { "name": "quoted", "source": "ga4", "agg": "count", "event": ["odd å name", "it's", "x\"; DROP TABLE y; --"] },
    { "name": "late", "source": "ga4", "agg": "count", "where": ".event_timestamp > \"1795042818\" and .event_timestamp >= \"17\"" },
    { "name": "big", "source": "ga4", "agg": "count", "where": ".ecommerce.purchase_revenue > 10" },
    { "name": "small", "source": "ga4", "agg": "count", "where": ".ecommerce.purchase_revenue <= 0.2" },
    { "name": "not_ten", "source": "ga4", "agg": "count", "where": ".ecommerce.purchase_revenue != 10" },
    { "name": "many", "source": "ga4", "agg": "count", "where": "((.ecommerce.total_item_quantity // 0) | tonumber) >= 2" },
    { "name": "engaged", "source": "ga4", "agg": "distinct", "key": "session",
      "where": "(.event_params[]? | select(.key == \"session_engaged\") | .value | .string_value // .int_value) == \"1\" or (.event_params[]? | select(.key == \"session_engaged\") | .value.int_value) == 1" },
    { "name": "any_engaged", "source": "ga4", "agg": "count", "where": "any(.event_params[]; .key == \"session_engaged\" and (.value.string_value == \"1\" or .value.int_value == \"1\"))" },
    { "name": "all_short", "source": "ga4", "agg": "count", "where": "all(.event_params[]?; (.key | length) < 14 and .value.int_value != \"-3\")" },
    { "name": "first_note", "source": "ga4", "agg": "count", "where": "(.event_params[] | select(.key == \"note\") | .value.string_value) == \"1\"" },
    { "name": "views", "source": "ga4", "agg": "count", "where": "(.event_name | startswith(\"page\")) and (.platform // \"x\" | ascii_downcase | IN(\"web\", \"ios\"))" },
    { "name": "names", "source": "ga4", "agg": "distinct", "key": "(.event_name | ltrimstr(\"page_\") | rtrimstr(\"_up\") | .[0:5])" },
    { "name": "kinds", "source": "ga4", "agg": "distinct", "key": ["if .user_pseudo_id then \"known\" else \"none\" end", "(.platform // \"\") + \"/\" + .geo.country"] },
    { "name": "users", "source": "ga4", "agg": "distinct", "key": "user", "segments": ["channel"] },
    { "name": "users_sum", "source": "ga4", "agg": "distinct", "key": "user", "segments": ["place"], "additive": {"platform": true}, "rollup": {"platform": "sum"} },
    { "name": "sessions", "source": "ga4", "agg": "distinct", "key": "session", "segments": ["channel"], "total": false },
    { "name": "sessions_all", "source": "ga4", "agg": "distinct", "key": "session", "segments": ["channel", "place"] },
    { "name": "values", "source": "ga4", "agg": "distinct", "key": "(.event_params[] | select(.key == \"value\") | .value | .int_value // .float_value)" },
    { "name": "orders", "source": "ga4", "agg": "distinct", "event": "purchase", "key": ".ecommerce.transaction_id", "missing": ["(not set)", ""], "segments": ["channel"] },
    { "name": "revenue", "source": "ga4", "agg": "sum", "event": "purchase", "value": ".ecommerce.purchase_revenue", "once": ".ecommerce.transaction_id", "missing": ["(not set)", ""],
      "segments": ["channel", "place"], "unit": "(.event_params[]? | select(.key == \"currency\") | .value.string_value)" },
    { "name": "tax", "source": "ga4", "agg": "sum", "value": ".ecommerce.tax_value", "segments": ["place"], "unit": "(.event_params[]? | select(.key == \"currency\") | .value.string_value)" },
    { "name": "gross", "source": "ga4", "agg": "sum", "value": ".ecommerce.purchase_revenue", "unit": "SEK", "segments": ["channel"] },
    { "name": "abs_gross", "source": "ga4", "agg": "sum", "value": ".ecommerce.purchase_revenue", "abs": ["value"], "times": ".ecommerce.total_item_quantity" },
    { "name": "once_gross", "source": "ga4", "agg": "sum", "value": ".ecommerce.purchase_revenue", "once": [".user_pseudo_id", ".ecommerce.transaction_id"] },
    { "name": "pieces", "source": "ga4", "agg": "sum", "value": ".ecommerce.total_item_quantity" },
    { "name": "least", "source": "ga4", "agg": "min", "value": ".ecommerce.purchase_revenue", "segments": ["channel"] },
    { "name": "most", "source": "ga4", "agg": "max", "value": "(.event_params[] | select(.key == \"value\") | .value.int_value)" },
    { "name": "dearest", "source": "ga4", "agg": "max", "value": ".ecommerce.purchase_revenue", "unit": "(.event_params[]? | select(.key == \"currency\") | .value.string_value)" },
    { "name": "mean", "source": "ga4", "agg": "avg", "value": ".ecommerce.purchase_revenue", "places": 3, "segments": ["place"] },
    { "name": "mean_whole", "source": "ga4", "agg": "avg", "value": ".ecommerce.total_item_quantity", "places": 0 },
    { "name": "mean_money", "source": "ga4", "agg": "avg", "value": ".ecommerce.tax_value", "places": 1, "segments": ["channel"], "unit": "(.event_params[]? | select(.key == \"currency\") | .value.string_value)" },
    { "name": "only", "source": "ga4", "agg": "one", "event": "profile_created", "value": ".ecommerce.purchase_revenue", "segments": ["place"] },
    { "name": "aov", "source": "ga4", "agg": "ratio", "num": "revenue", "den": "orders", "places": 4, "segments": ["channel"] },
    { "name": "rate", "source": "ga4", "agg": "ratio", "num": "orders", "den": "sessions_all", "places": 12, "segments": ["channel"], "unit": "ratio" },
    { "name": "tax_share", "source": "ga4", "agg": "ratio", "num": "tax", "den": "revenue", "places": 2, "segments": ["place"] },
    { "name": "half", "source": "ga4", "agg": "ratio", "num": "no_user", "den": "events", "places": 0 },
    { "name": "least_per_user", "source": "ga4", "agg": "ratio", "num": "least", "den": "users", "places": 5, "segments": ["channel"] },
    { "name": "way", "source": "ga4", "agg": "funnel", "key": "user", "window_s": 4000, "missing": ["u5"],
      "steps": [ { "name": "visit", "event": ["first_visit", "page_view"] }, { "name": "cart", "where": ".event_name == \"begin_checkout\" or .event_name == \"sign_up\"" },
                 { "name": "again", "event": ["page_view", "sign_up"] }, { "name": "buy", "event": "purchase", "where": ".ecommerce.purchase_revenue > 0" } ] },
    { "name": "of_others", "source": "ga4", "agg": "count", "feeds": "4*" },
    { "name": "of_none", "source": "ga4", "agg": "count", "feeds": "5*" } ] }
END
}

all_apps() {
	cat <<'END'
{ "apps": [
  { "app_id": "a's", "currency": "SEK", "sources": { "ga4": { "ids": ["com.a"], "streams": ["11"], "feeds": ["412"], "platforms": ["web", "tv"] } } },
  { "app_id": "b", "sources": { "ga4": { "ids": "com.b", "streams": ["22"], "feeds": ["412"] } } },
  { "app_id": "c", "currency": "NOK", "sources": { "ga4": { "feeds": ["999"], "platforms": ["web"] } } } ] }
END
}
