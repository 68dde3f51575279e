#!/usr/bin/env bats
# kpi-agg --sql bigquery: what the statement is made of, and what is refused.
# That it counts the same as kpi-agg itself is shown by test/real/pushdown.bats.

bats_require_minimum_version 1.5.0
load helper

setup() {
	weir_setup
	echo '{"apps": []}' >apps.jq
	cat >kpis.jq <<'END'
{ "version": "1",
  "sources": { "ga4": { "date": ".event_date", "platform": ".platform",
    "event": ".event_name", "time": ".event_timestamp", "user": ".user_pseudo_id",
    "segments": { "channel": { "value": ".traffic_source.medium" } } } },
  "metrics": [ { "name": "m", "source": "ga4", "agg": "count" } ] }
END
}

sql() {
	kpi-agg --sql bigquery --project p --property 412 --date 2026-11-19 \
		--kpis kpis.jq --source ga4 "$@"
}

# The first metric with other members.
with() { # JQ-OBJECT
	jq --argjson m "$1" '.metrics[0] += $m' kpis.jq >k && mv k kpis.jq
}

# refused MEMBERS PATH TEXT: nothing is written, and the member is named.
refused() {
	jq --argjson m "$1" '.metrics[0] |= {name, source, agg} + $m' kpis.jq >k
	mv k kpis.jq
	run -78 --separate-stderr sql
	[[ -z $output ]]
	[[ $stderr == "kpi-agg: kpis.jq: $2: has no exact SQL: $3"* ]] || {
		echo "$stderr"
		return 1
	}
}

where() { # EXPRESSION TEXT
	refused "$(jq -nc --arg w "$1" '{agg: "count", where: $w}')" '.metrics[0].where' "$2"
}

@test "the shipped dictionary has an exact statement, the same bytes each time" {
	ship() {
		kpi-agg --sql bigquery --project p --property 412345678 \
			--date 2026-11-19 --kpis "$ROOT/conf/kpis.jq" --source ga4
	}
	ship >a
	ship >b
	cmp a b
	[[ $(tail -c 1 a | od -An -tx1) == ' 0a' ]]
	run ! grep -q ';$' a
}

@test "a range names each daily table, and never a wildcard" {
	sql --since 2026-02-27 --until 2026-03-02 --intraday 2026-03-02 >q
	run grep -o '`[^`]*`' q
	assert_output '`p.analytics_412.events_20260227`
`p.analytics_412.events_20260228`
`p.analytics_412.events_20260301`
`p.analytics_412.events_intraday_20260302`'
	run ! grep -q 'TABLE_SUFFIX\|events_\*' q
	run grep -c "AS quality" q
	assert_output 4
	run grep -c "'partial' AS quality" q
	assert_output 1
	sql --dataset other >q
	grep -qF 'FROM `p.other.events_20261119` AS t' q
	kpi-agg --sql bigquery --project example.com:p-1 --property a-b \
		--date 2026-11-19 --kpis kpis.jq --source ga4 >q
	grep -qF '`example.com:p-1.analytics_a_b.events_20261119`' q
}

@test "the columns are those of a KPI record, in their order" {
	local list
	list=$(sql | sed -n '/^SELECT r\.date/,/^FROM rounded/p' | tr '\n' ' ' |
		sed "s/^SELECT//; s/FROM rounded.*//; s/'[^']*' AS//g; s/ [a-z]\./ /g" | tr -d ' ')
	[[ $list == date,app_id,platform,source_system,metric,segment,value,num,den,unit,kpi_version,run_id,quality ]] || {
		echo "$list"
		return 1
	}
}

@test "only columns that something needs are read" {
	sql >q
	run ! grep -q 't\.geo\|t\.device\|t\.user_properties\|t\.items\|t\.traffic_source\|SELECT \*' q
	with '{"segments": ["channel"]}'
	sql >q
	grep -qF 't.traffic_source.medium AS' q
}

@test "names in the configuration are quoted, wherever they stand" {
	local bad="x'); DROP TABLE \`t\`; -- \\"
	jq --arg bad "$bad" '.version = $bad
		| .metrics[0] += {event: [$bad], description: "d\n; DROP", where: ("# c\n.event_name == " + ($bad | tojson)),
		  segments: ["channel"], missing: [$bad]}
		| .metrics[0].agg = "distinct" | .metrics[0].key = ".user_pseudo_id"
		| .sources.ga4.segments.channel.default = $bad' kpis.jq >k && mv k kpis.jq
	jq -n --arg bad "$bad" '{apps: [{app_id: $bad, currency: $bad,
		sources: {ga4: {ids: $bad, streams: $bad, feeds: "412"}}}]}' >apps.jq
	jq '.sources.ga4 += {app_id: ".app_info.id", stream: ".stream_id"}' kpis.jq >k && mv k kpis.jq
	RUN_ID=$bad sql >q
	# without comments and literals nothing of it is left
	sed -E "s/^ *--.*//; s/'([^'\\\\]|\\\\.)*'/L/g" q >bare
	run ! grep -q 'DROP\|;\|#' bare
	run ! grep -q "'" bare
	(($(grep -c 'DROP' q) > 6))
	# a comment is one line
	run ! grep -q '^; DROP' q
}

@test "a NUL in a text is refused" {
	where '.event_name == "a\u0000b"' 'a text with a NUL'
}

@test "what has no exact SQL is refused by the name of the member and of the thing" {
	refused '{"agg": "distinct~", "key": "user"}' '.metrics[0].agg' 'distinct~'
	where '.event_params | length > 3' 'an array as a value'
	where '[.event_params[] | .key] | length > 1' 'an array or object'
	where '.event_params[].key == "a"' '[] without select'
	where '.event_params[0].key == "a"' 'an element by its number'
	where '.event_name | test("^a.*b$")' 'test/1'
	where '.event_name as $x | $x == "a"' 'what libjq alone understands'
	where '.event_name | explode | length > 2' 'explode/0'
	where '.user_id | startswith("a")' 'startswith of what may be null'
	where '.user_id | ascii_downcase == "a"' 'ascii_downcase of what may be null'
	where '.no_such_column == 1' 'column .no_such_column, which the schema does not have'
	where '.geo.town == 1' 'column .town, which the schema does not have'
	where '.event_name.x == 1' 'a member of a scalar'
	where '.event_params.key == "a"' 'a member of an array'
	where '.geo == "a" or (.geo | tostring) == "b"' 'tostring/0'
	where '.ecommerce.tax_value > 1e3' 'a FLOAT64 beside a number of more than 15 digits'
	where '.ecommerce.tax_value == "NaN"' 'NaN or Infinity'
	where '.ecommerce.tax_value == .ecommerce.refund_value' 'a comparison of two values'
	where '.event_name < .user_id' 'the order of two columns'
	where '(.ecommerce.tax_value - 1) > 0' 'subtraction'
	where '.event_name, .user_id' 'several outputs'
	where '"\(.event_name)" == "a"' 'a text with \( )'
	where '.event_name[-3:] == "abc"' 'a slice from the end'
	where '(.user_id | tonumber) > 1' 'tonumber of what may be null'
	refused '{"agg": "sum", "value": ".user_id"}' '.metrics[0].value' 'a number from a column that is none'
	refused '{"agg": "sum", "value": ".ecommerce.tax_value", "times": ".ecommerce.refund_value"}' \
		'.metrics[0].times' 'a product of two numbers with decimals'
	refused '{"agg": "sum", "value": ".ecommerce.tax_value", "unit": ".ecommerce.refund_value"}' \
		'.metrics[0].unit' 'a FLOAT64 that would be seen'
	refused '{"agg": "distinct", "key": ".event_params"}' '.metrics[0].key' 'an array as a value'
	refused '{"agg": "sum", "value": ".ecommerce.unique_items", "missing": ["7"]}' \
		'.metrics[0].missing' 'digits that stand for no value'
}

@test "parts of the source are refused by name too" {
	jq '.sources.ga4.segments.channel.value = ".ecommerce.tax_value" | .metrics[0].segments = ["channel"]' kpis.jq >k
	run -78 --separate-stderr sql --kpis k
	[[ $stderr == 'kpi-agg: k: .sources.ga4.segments.channel.value: has no exact SQL: a FLOAT64 that would be seen'* ]]
	jq '.sources.ga4.exclude = ".event_params"' kpis.jq >k
	run -78 --separate-stderr sql --kpis k
	[[ $stderr == 'kpi-agg: k: .sources.ga4.exclude: has no exact SQL: an array as a value'* ]]
	jq '.sources.ga4 += {time_unit: "rfc3339"} | .metrics[0] += {agg: "funnel", key: "user",
		steps: [{name: "a", event: "a"}, {name: "b", where: ".event_params"}]}' kpis.jq >k
	run -78 --separate-stderr sql --kpis k
	[[ $stderr == *'.time_unit: has no exact SQL: times as text'* ]]
	[[ $stderr == *'.metrics[0].steps[1].where: has no exact SQL: an array'* ]]
}

@test "every member that is refused is named in one run" {
	jq '.metrics = [{"name": "a", "source": "ga4", "agg": "count", "where": ".items"},
		{"name": "b", "source": "ga4", "agg": "distinct~", "key": "user"},
		{"name": "c", "source": "ga4", "agg": "count"}]' kpis.jq >k
	run -78 --separate-stderr sql --kpis k
	((${#stderr_lines[@]} == 2))
}

@test "a column that another schema has may be used, and what it lacks is null" {
	jq '. + [{name: "new_one", type: "STRING", mode: "NULLABLE"}]
		| map(select(.name != "user_id"))' "$ROOT/test/data/ga4-events.schema.json" >s.json
	with '{"where": ".new_one == \"a\" and .user_id == null"}'
	sql --schema s.json >q
	grep -qF 't.new_one AS' q
	run ! grep -qF 't.user_id' q
	jq '{schema: {fields: .}}' s.json >t.json
	sql --schema t.json | cmp - q
	run -78 --separate-stderr sql
	[[ $stderr == *'column .new_one'* ]]
	echo '{"fields": [{"name": "a b", "type": "STRING"}]}' >s.json
	run -78 --separate-stderr sql --schema s.json
	[[ $stderr == 'kpi-agg: s.json: is no schema of a table'* ]]
	echo '[{"name": "event_name", "type": "STRING"}]' >s.json
	run -78 --separate-stderr sql --schema s.json
	[[ $stderr == *'is not of the GA4 export'* ]]
	run -78 --separate-stderr sql --schema nowhere.json
}

@test "metrics of other feeds are not in the statement" {
	jq '.metrics += [{"name": "other", "source": "ga4", "agg": "distinct~", "key": "user", "feeds": "5*"}]' kpis.jq >k
	sql --kpis k >q
	run ! grep -q other q
}

@test "the command line is checked before any work" {
	local args=(--kpis kpis.jq --source ga4)
	wrong() { # TEXT ARGUMENT ...
		run -64 --separate-stderr kpi-agg "${@:2}" </dev/null
		[[ $stderr == *"$1"* ]]
		[[ -z $output ]]
	}
	wrong 'bigquery is the only one' --sql postgres "${args[@]}"
	wrong '--project and --property' --sql bigquery --date 2026-11-19 "${args[@]}"
	wrong 'needs --date' --sql bigquery --project p --property 4 "${args[@]}"
	wrong 'needs --date' --sql bigquery --project p --property 4 --since 2026-11-19 "${args[@]}"
	wrong 'needs --date' --sql bigquery --project p --property 4 \
		--since 2026-11-19 --until 2026-11-18 "${args[@]}"
	wrong 'more than 400 days' --sql bigquery --project p --property 4 \
		--since 2025-11-19 --until 2026-12-24 "${args[@]}"
	wrong 'not asked for' --sql bigquery --project p --property 4 \
		--date 2026-11-19 --intraday 2026-11-18 "${args[@]}"
	wrong '--project: letters' --sql bigquery --project 'p`' --property 4 --date 2026-11-19 "${args[@]}"
	wrong '--property: letters' --sql bigquery --project p --property "4'" --date 2026-11-19 "${args[@]}"
	wrong '--dataset: letters' --sql bigquery --project p --property 4 --dataset 'a.b' --date 2026-11-19 "${args[@]}"
	wrong 'excludes --app' --sql bigquery --project p --property 4 --date 2026-11-19 --app a "${args[@]}"
	wrong 'excludes --app' --sql bigquery --project p --property 4 --date 2026-11-19 "${args[@]}" file
	wrong 'only for --source ga4' --sql bigquery --project p --property 4 --date 2026-11-19 --kpis kpis.jq --source meta
	wrong 'without --sql' --project p "${args[@]}"
}

@test "a full disk ends it with 74" {
	sql >q # it has one
	run -74 bash -c 'kpi-agg "$@" >/dev/full' - --sql bigquery --project p \
		--property 412 --date 2026-11-19 --kpis kpis.jq --source ga4
}

@test "a year of days is one statement" {
	sql --since 2025-11-20 --until 2026-11-19 >q
	(($(size_of q) < 1048576))
	run grep -c 'FROM `p' q
	assert_output 365
}
