# A PostgreSQL of our own, as a peer for statements of GoogleSQL: it knows
# records, arrays, exact decimals and windows, and it is another's work. What it
# calls by another name is defined or respelled here; nothing else is changed.
# It says nothing of what BigQuery itself accepts.
#
# shellcheck shell=bash

pg_bin() {
	local d
	for d in /usr/lib/postgresql/*/bin; do
		[[ -x $d/initdb && -x $d/postgres ]] && printf '%s\n' "$d"
	done | tail -1
}

need_postgres() {
	[[ -n $(pg_bin) ]] && command -v psql >/dev/null ||
		skip "no PostgreSQL server on this machine"
	[[ -z ${PG_WHY:-} ]] || skip "PostgreSQL does not start: $PG_WHY"
}

as_pg() {
	if ((EUID == 0)); then
		setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
	else
		"$@"
	fi
}

# Why it cannot be had, for skip.
pg_failed() {
	PG_WHY=$(grep -im 1 'denied\|error\|fatal\|could not' "$PG_DIR/log")
	export PG_WHY=${PG_WHY:-$(tail -1 "$PG_DIR/log")}
}

# A server on a socket below a directory with a short name: sockets need that.
# Where it does not start, PG_WHY says why.
pg_start() {
	PG_DIR=$(mktemp -d /tmp/weir-pg.XXXXXX)
	chmod 777 "$PG_DIR"
	export PGHOST=$PG_DIR PGUSER=weir PGDATABASE=postgres
	export PGOPTIONS='-c client_min_messages=warning'
	unset PGPORT
	as_pg "$(pg_bin)/initdb" -D "$PG_DIR/data" -U weir -A trust \
		--locale=C --encoding=UTF8 --no-sync >"$PG_DIR/log" 2>&1 || {
		pg_failed
		return 0
	}
	as_pg "$(pg_bin)/pg_ctl" -D "$PG_DIR/data" -w -l "$PG_DIR/data/log" \
		-o "-c listen_addresses='' -k $PG_DIR -c fsync=off -c jit=off -c max_parallel_workers_per_gather=0" \
		start >>"$PG_DIR/log" 2>&1 || {
		pg_failed
		return 0
	}
	pg_words | psql -qX -v ON_ERROR_STOP=1
}

pg_stop() {
	[[ -n ${PG_DIR:-} ]] || return 0
	as_pg "$(pg_bin)/pg_ctl" -D "$PG_DIR/data" -m immediate stop \
		>/dev/null 2>&1 || true
	rm -rf "$PG_DIR"
	unset PG_DIR
}

# Types and functions of GoogleSQL.
pg_words() {
	cat <<'END'
create domain string as text;
create domain int64 as bigint;
create domain float64 as double precision;
create domain bignumeric as numeric;
create function is_nan(double precision) returns boolean language sql immutable
	as $$ select $1 = 'NaN'::float8 $$;
create function is_inf(double precision) returns boolean language sql immutable
	as $$ select $1 in ('Infinity'::float8, '-Infinity'::float8) $$;
create function ends_with(text, text) returns boolean language sql immutable
	as $$ select right($1, length($2)) = $2 $$;
create function format_date(text, date) returns text language sql immutable
	as $$ select to_char($2, 'YYYYMMDD') $$;
-- %.15g, or the shortest of 16 and 17 digits
create function digits15(double precision) returns text language sql immutable
	set extra_float_digits = 0 as $$ select $1::text $$;
create function gformat(text, double precision) returns text
	language sql immutable as $$ select case
	when $1 = '%.15g' then digits15($2) else $2::text end $$;
create function error(m text) returns boolean language plpgsql
	as $$ begin raise exception '%', m; end $$;
END
}

# pg_type NAME: types and tables from a schema of BigQuery, on stdin.
pg_schema() {
	jq -r '
	def scalar: {"STRING": "text", "INTEGER": "bigint", "INT64": "bigint",
		"FLOAT": "double precision", "FLOAT64": "double precision",
		"BOOLEAN": "boolean", "BOOL": "boolean"}[.];
	def columns($name): map("\"\(.name)\" "
		+ (if .fields then "\"\($name)_\(.name)\"" else (.type | scalar) end)
		+ (if .mode == "REPEATED" then "[]" else "" end)) | join(", ");
	def types($name): .[] | select(.fields) | .name as $n | .fields
		| types($name + "_" + $n),
		  "create type \"\($name)_\($n)\" as (\(columns($name + "_" + $n)));";
	types("ga4"), "create table ga4 (\(columns("ga4")));"' |
		psql -qX -v ON_ERROR_STOP=1
}

# pg_load TABLE: rows of the export, NDJSON on stdin.
pg_load() {
	{
		printf 'create table "%s" (like ga4);\n' "$1"
		printf 'create temp table raw (line text);\n'
		printf "copy raw from stdin with (format csv, delimiter e'\\\\x01', quote e'\\\\x02');\n"
		cat
		printf '\\.\n'
		printf 'insert into "%s" select r.* from raw, jsonb_populate_record(null::ga4, line::jsonb) r;\n' "$1"
	} | psql -qX -v ON_ERROR_STOP=1
}

# A statement as PostgreSQL spells it: tables without project and dataset,
# members of records in parentheses, FORMAT under another name, ordinality,
# escapes in literals.
pg_spell() {
	sed -E \
		-e 's/`[^`]*\.([A-Za-z0-9_]+)`/"\1"/g' \
		-e "s/'([^'\\\\]*(\\\\.[^'\\\\]*)+)'/E'\\1'/g" \
		-e 's/\bt\.([a-z_0-9]+)\.([a-z_0-9]+)\.([a-z_0-9]+)/((t.\1).\2).\3/g' \
		-e 's/\bt\.([a-z_0-9]+)\.([a-z_0-9]+)/(t.\1).\2/g' \
		-e 's/\bp\.([a-z_0-9]+)\.([a-z_0-9]+)/(p.\1).\2/g' \
		-e 's/FORMAT\(/gformat(/g' \
		-e 's/UNNEST\(([a-z_0-9.]+)\) AS p WITH OFFSET AS o/UNNEST(\1) WITH ORDINALITY AS p(key, value, o)/g'
}

# Runs a statement of KPIs from stdin; a line for each row, columns between
# tabs, decimals in their shortest form, "-" for null.
pg_kpis() {
	{
		printf 'set extra_float_digits = 1;\n'
		printf "select concat_ws(e'\\t', date, app_id, platform, source_system, metric, segment,\n"
		printf "coalesce(trim_scale(value)::text, '-'), coalesce(trim_scale(num)::text, '-'),\n"
		printf "coalesce(trim_scale(den)::text, '-'), unit, kpi_version, run_id, quality) from (\n"
		pg_spell
		printf ') x\n'
	} | psql -qXAt -v ON_ERROR_STOP=1
}
