#!/usr/bin/env bats
# One stream through every filter: a truncated partition first, two good ones,
# a failed one between them, an empty one, and one from a foreign command.

load helper
bats_require_minimum_version 1.5.0

row() { # DATE NUMBER: a row of the GA4 export, with no more than is needed
	printf '{"event_date":"%s","event_timestamp":"%s%06d","event_name":"page_view","user_pseudo_id":"u%d","platform":"WEB","stream_id":"1","event_params":[{"key":"ga_session_id","value":{"int_value":"%d"}}]}\n' \
		"${1//-/}" "$(date -ud "$1T12:00:00Z" +%s)" "$2" "$2" "$2"
}
begin() { # DATE
	printf '{"@stream":"begin","v":1,"source_system":"ga4","feed":"123","date":"%s","day_tz":"UTC","run_id":"r1","note":[1.0,"\\u00e9"]}\n' "$1"
}
end() { # RECORDS OUTCOME MORE
	printf '{"@stream":"end","records":%d,"outcome":"%s","x":{"y" : 1.50}%s}\n' "$@"
}

# The stream that comes into each filter; make_in KEYED: with an event_id.
make_in() {
	{
		begin 2026-11-15
		row 2026-11-15 1
		# no end: its source was killed
		begin 2026-11-16
		row 2026-11-16 1
		row 2026-11-16 2
		end 2 complete ,\"rejected\":1
		begin 2026-11-17
		row 2026-11-17 1
		end 1 failed ',"class":"auth","reason":"403 é"'
		begin 2026-11-18
		end 0 empty ''
		ndjson-part --source ga4 --feed 123 --date 2026-11-19 --tz UTC \
			--run-id r1 --set 'note=[1.0,"\u00e9"]' -- \
			bash -c "$(declare -f row); row 2026-11-19 1; row 2026-11-19 2; row 2026-11-19 3"
	} >in
	ndjson-part --summary in >in.sum 2>/dev/null || true
}
keyed() {
	event-id --source ga4 --profile ga4 <in >in.keyed 2>/dev/null || true
	mv in.keyed in
}

# What every filter must do with it: $status, out, and the records it lets
# through by date ("-" where their number is its own affair).
judge() {
	assert_equal "$status" 66
	run --separate-stderr ndjson-part --summary out
	assert_equal "$status" 66
	run jq -r '[.date,.outcome,(.class // ""),(.reason // "")]|join(" ")' <<<"$output"
	assert_output '2026-11-15 truncated  
2026-11-16 complete  
2026-11-17 failed auth 403 é
2026-11-18 empty  
2026-11-19 complete  '
	# what is not ours passes byte for byte, and rejects add up
	assert_equal "$(grep -c '"note":\[1.0,"\\u00e9"\]' out)" 5
	assert_equal "$(grep -c '"x":{"y" : 1.50}' out)" 3
	assert_equal "$(grep -c '"rejected":1' out)" 1
	assert_equal "$(grep -c '"run_id":"r1","note"' out)" 5
	# nothing is said twice, and the truncated one is named
	grep -q "partition 'ga4' '123' 2026-11-15 is truncated" err
}
same_records() {
	assert_equal "$(ndjson-part --summary out 2>/dev/null | jq -r .records | tr '\n' ' ')" \
		'1 2 1 0 3 '
}
through() { # COMMAND ...
	status=0
	"$@" <in >out 2>err || status=$?
	judge
	# the same again
	"$@" <in 2>/dev/null | cmp out -
}

setup() {
	weir_setup
	make_in
}

@test "event-id" {
	through event-id --source ga4 --profile ga4
	same_records
}

@test "ndjson-scrub" {
	head -c 32 /dev/zero | tr '\0' k >salt
	chmod 600 salt
	through ndjson-scrub --policy "$ROOT/conf/pii.jq" --salt-file salt
	same_records
}

@test "ndjson-validate" {
	echo '{"type":"object","required":["event_name"]}' >schema.json
	through ndjson-validate --schema schema.json
	same_records
}

@test "ndjson-dedup in memory" {
	keyed
	through ndjson-dedup --key event_id
	same_records
}

@test "ndjson-dedup, the last of each" {
	keyed
	through ndjson-dedup --key event_id --last
	assert_equal "$(ndjson-part --summary out 2>/dev/null | jq -r .records | tail -n 4 | tr '\n' ' ')" \
		'2 1 0 3 '
}

@test "ndjson-dedup with a store" {
	keyed
	through ndjson-dedup --key event_id --store store --batch b1
	same_records
}

@test "kpi-agg" {
	keyed
	through kpi-agg --kpis "$ROOT/conf/kpis.jq" --source ga4
	events() { # of that day
		jq -r "select(.date==\"$1\" and .metric==\"events\" and .platform==\"all\" and .segment==\"\").value" out
	}
	assert_equal "$(events 2026-11-16)" 2
	assert_equal "$(events 2026-11-19)" 3
}

@test "raw-store" {
	through raw-store --dir raw
	same_records
	cmp in out
	run raw-store --dir raw --verify
	assert_success
	run jq -r '[.date,.outcome,.rows]|join(" ")' < <(raw-store --dir raw --list)
	assert_output '2026-11-16 complete 2
2026-11-18 empty 0
2026-11-19 complete 3'
	# and read back it is whole
	raw-store --dir raw --replay --source ga4 >again
	ndjson-part --check again
}

@test "ndjson-part --through a foreign command" {
	status=0
	ndjson-part --through -- jq -c . <in >out 2>err || status=$?
	judge
	assert_equal "$(ndjson-part --summary out 2>/dev/null | jq -r .records | tail -n 4 | tr '\n' ' ')" \
		'2 1 0 3 '
}

@test "all of them in one pipe, into the warehouse" {
	head -c 32 /dev/zero | tr '\0' k >salt
	chmod 600 salt
	status=0
	raw-store --dir raw <in 2>err |
		ndjson-scrub --policy "$ROOT/conf/pii.jq" --salt-file salt 2>>err |
		event-id --source ga4 --profile ga4 2>>err |
		ndjson-dedup --key event_id 2>>err |
		kpi-agg --kpis "$ROOT/conf/kpis.jq" --source ga4 2>>err >out ||
		status=$?
	run --separate-stderr ndjson-part --summary out
	run jq -r '[.date,.outcome]|join(" ")' <<<"$output"
	assert_output '2026-11-15 truncated
2026-11-16 complete
2026-11-17 failed
2026-11-18 empty
2026-11-19 complete'
	run --separate-stderr sqlite-load --db w.db --table fact_kpi_daily \
		--max-rejects 1 <out
	assert_equal "$status" 66
	sqlite-query --db w.db "select date, value from fact_kpi_daily
		where metric = 'events' and platform = 'all' and segment = ''
		order by date" >rows
	run jq -r '[.date,(.value|tostring)]|join(" ")' rows
	assert_output '2026-11-16 2
2026-11-18 0
2026-11-19 3'
}
