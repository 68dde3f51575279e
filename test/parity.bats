#!/usr/bin/env bats
# pipelines/parity: both engines over a day of GA4, and where they differ.

bats_require_minimum_version 1.5.0
load helper
load sim
load bq
load pipes

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
	! cmp pushdown more
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
