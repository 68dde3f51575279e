#!/usr/bin/env bats
# pipelines/parity: both engines over a day of GA4, and where they differ.

bats_require_minimum_version 1.5.0
load helper
load sim
load loader
load bq
load pipes
load real/pushdown

setup_file() {
	bq_key_file
}

setup() {
	pipes_setup
	bq_setup
	unset BQ_LOCATION WEIR_BQ_OPTIONS WEIR_FETCH_OPTIONS
	PARITY=$PIPES/parity
	mkdir -p "$WEIR_HOME/raw"
}

# A day of a property in the raw layer, as the daily job leaves it.
in_raw() { # PROPERTY DATE
	ndjson-part --source ga4 --feed "$1" --date "$2" -- \
		cat "ga4/analytics_$1/events_${2//-/}.ndjson" |
		raw-store --dir "$WEIR_HOME/raw" >/dev/null
}

# The same as BigQuery would say it: null where there is nothing, digits of
# another length, another run, in another order.
recorded() { # PROPERTY DATE
	raw-store --dir "$WEIR_HOME/raw" --replay --source ga4 --feed "$1" \
		--from "$2" --to "$2" | event-id --profile ga4 |
		ndjson-dedup --key event_id |
		kpi-agg --kpis "$ROOT/conf/kpis.jq" --source ga4 --plain |
		sed -E 's/"run_id":"[^"]*"/"run_id":"other"/;
			s/"value":([0-9]+\.[0-9]+)/"value":\10/' |
		jq -c '.num //= null | .den //= null' | tac
}

parity() {
	"$PARITY" --date 2026-11-19 --property $F1 "$@"
}

@test "a day that both count alike is equal, whatever the order and form of the rows" {
	make_export 2026-11-19 2026-11-19
	in_raw $F1 2026-11-19
	recorded $F1 2026-11-19 >pushdown
	run -0 --separate-stderr parity --pushdown pushdown
	[[ -z $output ]]
	[[ $stderr == "parity: ga4.$F1.2026-11-19: equal, $(grep -c . pushdown) rows" ]]
	# nothing is left behind
	run ! compgen -G "${TMPDIR:-/tmp}/weir-parity.*"
}

@test "each key that differs is named once, with both values and what differs" {
	make_export 2026-11-19 2026-11-19
	in_raw $F1 2026-11-19
	recorded $F1 2026-11-19 |
		jq -c 'select(.platform != "ios" or .metric != "users")
		| if .platform == "web" and .metric == "events" then .value += 1 else . end
		| if .platform == "web" and .metric == "revenue" and .segment == "" then .unit = "EUR" else . end
		| if .platform == "web" and .metric == "conversion_rate" and .segment == "" then .den += 1 else . end' >pushdown
	head -1 pushdown | jq -c '.metric = "sö\"\\ n" | .segment = "a\tb" | .value = 0.000000000001' >>pushdown
	run -1 --separate-stderr parity --pushdown pushdown
	[[ $stderr == *'5 keys differ' ]]
	jq -e '.check == "parity" and .severity == "error" and .source_system == "ga4"
	    and .date == "2026-11-19" and .app_id == "flocken" and (.message | length > 0)
	    and (.action | length > 0)' <<<"$output"
	run jq -rc '[.platform, .metric, .segment, .differs, (.streaming == null), (.pushdown == null)]' <<<"$output"
	assert_output - <<-'END'
		["ios","users","","no row in pushdown",false,true]
		["web","conversion_rate","","den",false,false]
		["web","events","","value",false,false]
		["web","revenue","","unit SEK and EUR",false,false]
		["web","sö\"\\ n","a\tb","no row in streaming",true,false]
	END
	# exact, where doubles are not
	sed 's/^{.*"metric":"events","segment":"".*"value":[0-9]*/&.00000000000000000000001/' \
		pushdown >more
	run ! cmp pushdown more
	run -1 --separate-stderr parity --pushdown more --streaming pushdown
	[[ $output == *'00000000000000000000001'* ]]
}

@test "a day that is not in the raw layer is not ready, and nothing is said to be equal" {
	kpi events 1 >pushdown
	run -4 --separate-stderr parity --pushdown pushdown
	[[ -z $output ]]
	[[ $stderr == *'no rows of streaming (notready, 4)'* ]]
	[[ $stderr != *equal* ]]
	# and a day without one row is no day of zeros
	: >pushdown
	make_export 2026-11-19 2026-11-19
	in_raw $F1 2026-11-19
	run -1 --separate-stderr parity --pushdown pushdown
	[[ $output == *'no row in pushdown'* ]]
}

@test "what is wrong with the command line or the dictionary is said before any work" {
	run -64 "$PARITY"
	run -64 "$PARITY" --date 2026-13-01
	run -64 "$PARITY" --date 2026-11-19 --property 'a b'
	run -64 "$PARITY" --date 2026-11-19 --nothing
	run -64 "$PARITY" --date 2026-11-19 --pushdown x
	run -66 parity --pushdown missing
	run -0 "$PARITY" --help
	[[ $output == 'usage: pipelines/parity --date DATE'* ]]
	echo '{"apps": []}' >none.jq
	run -64 --separate-stderr env -u GOOGLE_CLOUD_PROJECT APPS=none.jq \
		"$PARITY" --date 2026-11-19 --property 7
	[[ $stderr == *'--project: is needed'* ]]
	run -78 env APPS=none.jq "$PARITY" --date 2026-11-19
	make_export 2026-11-19 2026-11-19
	in_raw $F1 2026-11-19
	mkdir conf
	cp "$ROOT"/conf/*.jq conf
	sed -i 's/"agg": "distinct"/"agg": "distinct~"/' conf/kpis.jq
	WEIR_CONF=$T/conf run -78 --separate-stderr parity --project p
	[[ $stderr == *'has no exact SQL: distinct~'* ]]
}

# --- against the stand-in of BigQuery, which keeps the export ---

# The stand-in with the days in ga4/, and where the pipelines find it.
export_sim() {
	bq_sim --data ga4 "$@"
	export WEIR_BQ_OPTIONS="${BQ[*]}" WEIR_FETCH_OPTIONS="${BQ[*]}"
	export GOOGLE_CLOUD_PROJECT=weir-test
}

@test "the statement counts what the stream counts, over the export where it lies" {
	make_export 2026-11-19 2026-11-19 --sessions 40
	export_sim
	run -0 --separate-stderr "$PARITY" --date 2026-11-19 --fetch
	[[ -z $output ]]
	[[ $stderr == *"ga4.$F1.2026-11-19: equal, "* ]]
	[[ $stderr == *"ga4.$F2.2026-11-19: equal, "* ]]
}

@test "a day that was restated since it was fetched differs from the raw layer, and not when fetched anew" {
	make_export 2026-11-19 2026-11-19
	in_raw $F1 2026-11-19
	sed -n '$p' "ga4/analytics_$F1/events_20261119.ndjson" |
		jq -c '.event_name = "login" | .user_pseudo_id = "late"' >>"ga4/analytics_$F1/events_20261119.ndjson"
	export_sim
	run -1 --separate-stderr parity
	[[ $output == *'"metric":"events","segment":""'*'"differs":"value"'* ]]
	run -0 parity --fetch
}

@test "a day without its daily table is not ready" {
	make_export 2026-11-19 2026-11-19
	in_raw $F1 2026-11-19
	rm "ga4/analytics_$F1/events_20261119.ndjson"
	export_sim
	run -4 --separate-stderr parity
	[[ $stderr == *'no rows of pushdown (notready, 4)'* ]]
	[[ -z $output ]]
}

@test "a dictionary of every construct is equal over rows full of collisions" {
	mkdir -p conf ga4/analytics_$F1
	cp "$ROOT"/conf/*.jq conf
	all_kpis >conf/kpis.jq
	all_apps | jq '.apps[0].sources.ga4.feeds = ["412345678"] | .apps[1].sources.ga4.feeds = ["412345678"]' >conf/apps.jq
	# NaN and Infinity are for test/real: the stand-in has no such numbers
	ga4_rows 250 21 2026-11-19 | sed 's/"NaN"/null/g; s/"Infinity"/null/g' \
		>"ga4/analytics_$F1/events_20261119.ndjson"
	export_sim
	WEIR_CONF=$T/conf run -0 --separate-stderr parity --fetch
	[[ $stderr == *"equal, "[0-9][0-9][0-9][0-9]*" rows" ]]
}

@test "the statement is staged, published and read like any batch, and loading it again changes nothing" {
	make_export 2026-11-19 2026-11-19
	export_sim
	bql --setup --location EU >/dev/null
	sql() {
		RUN_ID=r1 kpi-agg --sql bigquery --project weir-test --property $F1 \
			--date 2026-11-19 --kpis "$ROOT/conf/kpis.jq" --source ga4
	}
	sql >q.sql
	bql --table fact_kpi_daily --query q.sql --source ga4 --feed $F1 \
		--date 2026-11-19 --batch "ga4.$F1.2026-11-19" --stage --fingerprint ab >/dev/null
	bql --publish "ga4.$F1.2026-11-19" >/dev/null
	ndjson-part --source ga4 --feed $F1 --date 2026-11-19 --run-id r1 -- \
		cat "ga4/analytics_$F1/events_20261119.ndjson" | event-id --profile ga4 |
		ndjson-dedup --key event_id |
		kpi-agg --kpis "$ROOT/conf/kpis.jq" --source ga4 --plain >stream
	q --omit-null num,den --numbers value,num,den \
		'SELECT * FROM `analytics_core.kpi_daily` ORDER BY date, app_id, platform, metric, segment' >live
	cmp live stream
	[[ -s live ]]
	bql --table fact_kpi_daily --query q.sql --source ga4 --feed $F1 \
		--date 2026-11-19 --batch "ga4.$F1.2026-11-19" --fingerprint ab |
		jq -e '.restated == 0'
}
