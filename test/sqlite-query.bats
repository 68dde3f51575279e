#!/usr/bin/env bats
# sqlite-query: rows as NDJSON, exact, and read-only.

bats_require_minimum_version 1.5.0
load helper

query() {
	sqlite-query --db w.db "$@"
}

warehouse() {
	{
		echo '{"@stream":"begin","v":1,"source_system":"ga4","feed":"1","date":"2026-11-19","run_id":"r1"}'
		cat <<-'X'
		{"date":"2026-11-19","app_id":"a","platform":"web","source_system":"ga4","metric":"aov","segment":"","value":12.50,"num":25.0,"den":2,"unit":"SEK","kpi_version":"1","run_id":"r1","quality":"final"}
		{"date":"2026-11-19","app_id":"a","platform":"web","source_system":"ga4","metric":"big","segment":"channel=meta","value":123456789012345678901234567890.5,"unit":"SEK","kpi_version":"1","run_id":"r1","quality":{"sampled":false}}
		{"date":"2026-11-19","app_id":"a","platform":"web","source_system":"ga4","metric":"rate","segment":"","value":null,"num":0,"den":0,"unit":"ratio","kpi_version":"1","run_id":"r1","quality":"{\"not\" json"}
		X
		echo '{"@stream":"end","records":3,"outcome":"complete"}'
	} >kpis
	sqlite-load --db w.db --table fact_kpi_daily <kpis >/dev/null
}

@test "KPI records come back byte for byte" {
	warehouse
	query --omit-null num,den 'SELECT * FROM kpi_daily ORDER BY metric' >out
	grep -v @stream kpis | diff - out
	query --omit-null num,den 'SELECT * FROM kpi_daily ORDER BY metric' | cmp - out
}

@test "fact_kpi_daily shows decimals as numbers, generation and feed beside them" {
	warehouse
	run -0 query 'SELECT value AS v, feed, generation, batch_id FROM fact_kpi_daily WHERE metric = "aov"'
	assert_output '{"v":12.50,"feed":"1","generation":1,"batch_id":"ga4.1.2026-11-19"}'
}

@test "integers and REAL values are exact, BLOB is base64, NULL null" {
	sqlite3 w.db 'CREATE TABLE t (x)'
	run -0 query "SELECT 9223372036854775807 a, -9223372036854775808 b, 0.1 c,
	    0.1 + 0.2 d, 5.0 e, 1e300 f, 5e-324 g, x'00ff10' h, x'' i, NULL j, 'ä\"' k, x'41' l"
	assert_output '{"a":9223372036854775807,"b":-9223372036854775808,"c":0.1,"d":0.30000000000000004,"e":5.0,"f":1e+300,"g":4.94065645841247e-324,"h":"AP8Q","i":"","j":null,"k":"ä\"","l":"QQ=="}'
	run -65 query 'SELECT 9e999 AS a'
	assert_output "sqlite-query: w.db: column 'a': infinity has no form in JSON"
}

@test "dec_ functions and the collation are exact where SQLite is not" {
	sqlite3 w.db 'CREATE TABLE t (v TEXT)'
	sqlite3 w.db "INSERT INTO t VALUES ('0.1'), ('0.2'), ('12345678901234567890.01'), (NULL)"
	run -0 query --numbers s 'SELECT dec_sum(v) AS s FROM t'
	assert_output '{"s":12345678901234567890.31}'
	run -0 query "SELECT dec_add('0.1','0.2') a, dec_sub(1,'0.9') b, dec_mul('1.1','1.1') c,
	    dec_div(2,3,4) d, dec_div(1,0,2) e, dec_cmp('10','9') f, dec_same('1.50','1.5') g,
	    dec_same(NULL,NULL) h, dec_same('1e400','10e399') i, dec_add(NULL,1) j"
	assert_output '{"a":"0.3","b":"0.1","c":"1.21","d":"0.6667","e":null,"f":1,"g":1,"h":1,"i":1,"j":null}'
	run -0 query "SELECT group_concat(v) x FROM (SELECT column1 v FROM (VALUES ('10'),('9'),('-1'),('9.5')) ORDER BY v COLLATE decimal)"
	assert_output '{"x":"-1,9,9.5,10"}'
	run -65 query "SELECT dec_add('x', 1)"
	assert_output --partial 'not an exact number'
	run -65 query "SELECT dec_add(0.5, 1)"
	run -65 query --numbers a "SELECT 'x' AS a"
	assert_output --partial "column 'a': a value is not a number"
}

@test "parameters are bound, never SQL" {
	warehouse
	run -0 query --param "m=aov" --param 'n:int=2' 'SELECT metric FROM kpi_daily WHERE metric = :m LIMIT @n'
	assert_output '{"metric":"aov"}'
	run -0 query --param "m=x' OR '1'='1" 'SELECT metric FROM kpi_daily WHERE metric = $m'
	assert_output ""
	run -0 query --param a=1 --param b:int=1 --param c:real=1 --param d:null= \
		'SELECT :a a, :b b, :c c, :d d'
	assert_output '{"a":"1","b":1,"c":1.0,"d":null}'
	run -0 query --param g=1 'SELECT count(*) n FROM fact_kpi_daily WHERE generation = :g'
	assert_output '{"n":3}'
	run -64 query 'SELECT :a'
	assert_output --partial 'parameter :a is not given'
	run -64 query 'SELECT ?'
	run -64 query --param z=1 'SELECT 1'
	assert_output --partial 'the query has no parameter z'
	run -64 query --param b:int=1x 'SELECT :b'
	run -64 query --param b:int=9223372036854775808 'SELECT :b'
	run -64 query --param b:blob=1 'SELECT :b'
	run -64 query --param b 'SELECT :b'
}

@test "it only reads, unless --write" {
	warehouse
	local sql
	for sql in 'DELETE FROM batches' 'CREATE TABLE x (a)' 'DROP TABLE meta' \
		"VACUUM INTO 'stolen.db'" 'PRAGMA user_version = 5' 'BEGIN IMMEDIATE' \
		"ATTACH 'stolen.db' AS s" "SELECT load_extension('x')"; do
		run query "$sql"
		[[ $status = 64 || $status = 65 ]] || { echo "$sql: $status"; false; }
	done
	[ ! -e stolen.db ]
	run -64 query 'SELECT 1; SELECT 2'
	assert_output --partial 'more than one statement'
	run -0 sqlite-load --db w.db --verify
}

@test "--write is one transaction, kept when all of it succeeded" {
	warehouse
	run -0 query --write "CREATE TABLE note (x TEXT); INSERT INTO note VALUES ('a'); SELECT * FROM note;"
	assert_output '{"x":"a"}'
	run -65 query --write "INSERT INTO note VALUES ('b'); SELECT * FROM nowhere"
	run -74 bash -c "sqlite-query --db w.db --write \"INSERT INTO note VALUES ('c') RETURNING x\" >/dev/full"
	run -0 query 'SELECT group_concat(x) x FROM note'
	assert_output '{"x":"a"}'
	run -0 sqlite-load --db w.db --verify
}

@test "the query may stand in a file, with comments" {
	warehouse
	printf -- '-- how many\nSELECT count(*) AS n FROM kpi_daily -- all\n;\n-- end' >q.sql
	run -0 query --file q.sql
	assert_output '{"n":3}'
	run -0 bash -c 'sqlite-query --db w.db --file - <q.sql'
	assert_output '{"n":3}'
	echo '-- nothing' >q.sql
	run -64 query --file q.sql
	run -66 query --file nowhere.sql
	run -64 query --file q.sql 'SELECT 1'
	run -64 query
	run -65 query 'SELEC 1'
	assert_output --partial "sqlite-query: w.db: wrong query: 'near \"SELEC\": syntax error'"
}

@test "the rows as a partition end only when the query did" {
	warehouse
	run -0 query --source x --feed y --date 2026-11-19 'SELECT 1 AS a'
	assert_line --index 0 --partial '"source_system":"x","feed":"y","date":"2026-11-19"'
	assert_line --index 1 '{"a":1}'
	assert_line --index 2 '{"@stream":"end","records":1,"outcome":"complete"}'
	run -0 query --source x --feed y --date 2026-11-19 'SELECT 1 AS a WHERE 0'
	assert_line --index 1 '{"@stream":"end","records":0,"outcome":"empty"}'
	run -65 --separate-stderr query --source x --feed y --date 2026-11-19 \
		"SELECT abs(column1) AS a FROM (VALUES (1), (-9223372036854775808))"
	[[ $output != *'"end"'* ]]
	run -64 query --source x 'SELECT 1'
}

@test "--box is aligned, and shows no control characters raw" {
	sqlite3 w.db "CREATE TABLE t (name TEXT, n INTEGER);
	    INSERT INTO t VALUES ('å', 5), ('long' || char(27) || '[31m', NULL), ('', 12345)"
	run -0 query --box 'SELECT * FROM t'
	assert_output "$(printf '%s\n' 'name              n' \
		'------------  -----' 'å                 5' \
		'long\x1b[31m       ' '              12345')"
	run -0 query --box 'SELECT * FROM t WHERE 0'
	assert_output "$(printf '%s\n' 'name  n' '----  -')"
}

@test "two columns of one name are refused, unknown names in lists too" {
	sqlite3 w.db 'CREATE TABLE t (a)'
	run -65 query 'SELECT 1 AS a, 2 AS a'
	assert_output --partial "two columns are named 'a'"
	run -64 query --numbers b 'SELECT 1 AS a'
	run -64 query --omit-null b 'SELECT 1 AS a'
	run -0 query --omit-null all 'SELECT 1 AS a, NULL AS b, NULL AS c'
	assert_output '{"a":1}'
	run -0 query --omit-null all 'SELECT NULL AS b'
	assert_output '{}'
}

@test "a missing database 66, a damaged 65, nothing is made" {
	run -66 query 'SELECT 1'
	[ ! -e w.db ]
	echo 'this is not a database, it is text of some length' >w.db
	run -65 query 'SELECT 1'
	: >w.db
	run -65 query 'SELECT 1'
	rm w.db && mkdir w.db
	run -73 query 'SELECT 1'
	rmdir w.db && ln -s other.db w.db
	run -73 query 'SELECT 1'
}

@test "invalid UTF-8 and NUL in a text" {
	sqlite3 w.db "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'ff41' AS TEXT))"
	run -65 query 'SELECT a FROM t'
	assert_output --partial "column 'a': a text is not UTF-8"
	run -0 query "SELECT CAST(x'410042' AS TEXT) AS a"
	assert_output '{"a":"A\u0000B"}'
}

@test "a read-only directory and another's database can be read" {
	warehouse
	sqlite3 w.db 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	local d # SQLite looks at each directory above
	d=$(mktemp -d /tmp/weir-test-XXXXXX)
	cp w.db "$d" && chmod 644 "$d/w.db" && chmod 755 "$d"
	run -0 as_nobody sqlite-query --db "$d/w.db" 'SELECT count(*) n FROM kpi_daily'
	assert_output '{"n":3}'
	chmod 600 "$d/w.db"
	run -66 as_nobody sqlite-query --db "$d/w.db" 'SELECT 1'
}

@test "readers do not wait for a writer" {
	warehouse
	sqlite3 w.db <<-X &
	BEGIN IMMEDIATE;
	DELETE FROM batches;
	.shell touch held; sleep 1
	ROLLBACK;
	X
	while [[ ! -e held ]]; do sleep 0.02; done
	run -0 query --wait 0 'SELECT count(*) n FROM kpi_daily'
	assert_output '{"n":3}'
	run -75 query --wait 0 --write 'DELETE FROM freezes'
	wait
}

@test "stdout full, closed, or a reader that goes" {
	warehouse
	run -74 bash -c 'sqlite-query --db w.db "SELECT 1" >/dev/full'
	run -74 bash -c 'sqlite-query --db w.db "SELECT 1" >&-'
	run -141 bash -c 'sqlite-query --db w.db "WITH RECURSIVE r(i) AS (SELECT 1
	    UNION ALL SELECT i + 1 FROM r LIMIT 300000) SELECT i FROM r" | head -1; exit ${PIPESTATUS[0]}'
}

@test "SIGTERM ends a query that would run for ever" {
	sqlite3 w.db 'CREATE TABLE t (a)'
	sqlite-query --db w.db 'WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r)
	    SELECT count(*) FROM r' 2>err &
	local pid=$! s=0
	sleep 0.3
	kill -TERM $pid
	wait $pid || s=$?
	((s == 143))
}

@test "WEIR_STATS gets the count of rows" {
	warehouse
	WEIR_STATS=s query 'SELECT 1 AS a UNION SELECT 2' >/dev/null
	[ "$(jq -c 'select(.event=="end")|[.tool,.status,.counts.rows]' s)" = '["sqlite-query",0,2]' ]
}
