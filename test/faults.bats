#!/usr/bin/env bats
# Every fault of a service against every connector: see faults.bash.

bats_require_minimum_version 1.5.0
load helper
load faults

setup_file() {
	faults_start
}

teardown_file() {
	faults_stop
}

setup() {
	weir_setup
	faults_env
	OPTS=() FRONT=()
}

@test "an undisturbed run gives its rows, through the listener too" {
	row good '0 -' <<<'on 0 NONE'
	judged
}

@test "408, 429, 500, 502, 503, 504: five tries, then transient" {
	local s
	for s in 408 429 500 502 503 504; do
		row "s$s" '75 5' < <(status "$s X")
	done
	judged
}

@test "400, 404, 405, 410, 413, 414, 422 and others are not tried again" {
	local s
	BODY='{"error":{"message":"no such thing","status":"N"}}'
	for s in 405 413 414 418 422; do
		row "s$s" '65 1' < <(status "$s X")
	done
	row s400 '65 1' 'ascf:75 -' < <(status '400 X')
	row s404 '65 1' 'ga4x:75 1' < <(status "404 X")
	row s410 '65 1' < <(status "410 X")
	judged
}

@test "409 where nothing is created is no good news" {
	row conflict '65 1' < <(status '409 X')
	judged
}

@test "wait as the service asks: in seconds, until a date by its own clock" {
	local d
	OPTS=(--backoff 10)
	TIMES=1 row seconds '0 -' < <(TIMES=1 status '429 X' 'Retry-After: 3')
	row date '0 -' < <(TIMES=1 status '503 X' \
		'Date: Fri, 20 Nov 2026 10:00:00 GMT' \
		'Retry-After: Fri, 20 Nov 2026 10:00:03 GMT')
	judged
	for d in "$T"/*/; do
		waited "$d" 300
	done
}

# The time between the first two requests to the target, in ms.
waited() { # DIRECTORY LEAST [MOST]
	local ms c=${1%/}
	c=${c##*.}
	ms=$(while read -r m what; do
		# shellcheck disable=SC2254 # a pattern
		case $what in ${TARGET[$c]}*) echo "$m" ;; esac
	done <"$1/log" | head -n 2 | paste -sd- | awk -F- '{print $2 - $1}')
	echo "$1: $ms ms"
	((ms >= $2 && ms <= ${3:-100000}))
}

@test "a date that is past, or no date, makes no wait of its own" {
	row past '0 -' < <(TIMES=1 status '429 X' \
		'Date: Fri, 20 Nov 2026 10:00:00 GMT' \
		'Retry-After: Fri, 20 Nov 2020 10:00:03 GMT')
	row junk '0 -' < <(TIMES=1 status '503 X' 'Retry-After: soon')
	judged
}

@test "a wait of a day: given up at once, and said" {
	local d
	row day '75 1' < <(status '429 X' 'Retry-After: 86400')
	row date '75 1' < <(status '503 X' \
		'Date: Fri, 20 Nov 2026 10:00:00 GMT' \
		'Retry-After: Sat, 21 Nov 2026 10:00:00 GMT')
	judged
	for d in "$T"/*/; do
		echo "$d"
		grep -q '86400 s' "$d/err"
	done
}

@test "401: one new token where there is one, then the end" {
	row s401 '77 2' 'meta*:77 1' 'ascf:77 1' < <(status '401 X')
	row once '0 -' 'meta*:-' 'ascf:-' < <(TIMES=1 status '401 X')
	judged
}

@test "403 is a missing right; where the reason is a rate limit, it passes" {
	row s403 '77 1' 'ascf:75 -' < <(status '403 X')
	BODY='{"error":{"code":403,"message":"m","errors":[{"reason":"rateLimitExceeded"}],"status":"PERMISSION_DENIED"}}'
	row rate 'ga4*:75 5' < <(status '403 X')
	BODY='{"error":{"message":"m","type":"OAuthException","code":17,"error_subcode":2446079}}'
	row limit 'meta*:75 5' < <(status '403 X')
	judged
}

@test "redirects are never followed, no secret goes there" {
	local s thief
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}\n' >thief
	: >thief.log
	"$WEIR_B"/test/raw --port-file thief.port --log thief.log thief 3>&- &
	thief=$!
	for _ in {1..500}; do [[ ! -s thief.port ]] || break; sleep 0.01; done
	for s in 301 302 303 307 308; do
		row "s$s" '65 1' < <(status "$s X" \
			"Location: http://127.0.0.1:$(<thief.port)/x")
	done
	kill -0 $thief
	judged $thief
	[ ! -s thief.log ]
}

@test "HTML or another text where data should be: once more, then 65" {
	BODY='<!DOCTYPE html><html><body>Sign in</body></html>'
	row html '65 2' < <(status '200 OK' 'Content-Type: application/json')
	row once '0 -' < <(TIMES=1 status '200 OK')
	BODY='Service Unavailable'
	row text '65 2' 'ascf:65 -' < <(status '200 OK' 'Content-Type: text/plain')
	judged
}

@test "no body at all where there must be one is no empty day" {
	row s204 '65 -' < <(status '204 No Content')
	row s200 '65 -' < <(status '200 OK')
	judged
}

@test "JSON that is cut, null, a list, deep, has junk behind, or is another object" {
	local deep
	deep=$(printf '[%.0s' {1..2000})
	local n=0 b
	for b in '{"a":[{"b":' 'null' '[]' '"text"' '17' '{}' \
		"{\"rows\":$deep" "{\"data\":$deep" '{"rows":[]}}' \
		'{"data":[{"a":1},{"a":nul}]}' '{"rows":7}' '{"data":null}'; do
		n=$((n + 1))
		row "json$n" "65 -" "ga4x:$((n == 6 || n > 10 ? 75 : 65)) -" < <(BODY=$b status '200 OK')
	done
	judged
}

@test "the body of the service, cut at half with a right length" {
	row half '65 -' 'ascs:75 5' 'ascf:65 -' <<-'E'
		on 0 @T
		ok @F/half
	E
	judged
}

@test "an error object inside a 200 is an error, by its reason" {
	BODY='{"error":{"code":503,"message":"later","status":"UNAVAILABLE"}}' \
		row g503 'ga4*:75 5' < <(BODY='{"error":{"code":503,"message":"later","status":"UNAVAILABLE"}}' status '200 OK')
	row g403 'ga4*:77 1' < <(BODY='{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}' status '200 OK')
	row m190 'meta*:77 1' < <(BODY='{"error":{"message":"m","type":"OAuthException","code":190,"error_subcode":463}}' status '200 OK')
	row m2 'meta*:75 5' < <(BODY='{"error":{"message":"m","type":"OAuthException","code":2,"is_transient":true}}' status '200 OK')
	row a 'asc[sj]:65 -' < <(BODY='{"errors":[{"status":"403","code":"FORBIDDEN_ERROR","title":"t","detail":"d"}]}' status '200 OK')
	judged
}

@test "a body shorter than its length, a reset in it, chunks without end: again" {
	row short '75 5' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n@E\r\n
		file @F/body
	E
	row reset '75 5' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n
		file @F/half
		reset
	E
	row before '75 5' <<-'E'
		on 0 @T
		reset
	E
	row silent '75 5' <<-'E'
		on 0 @T
	E
	row chunks '75 5' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n
		file @F/body
	E
	row size '75 5' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n
	E
	row once '0 -' <<-'E'
		on 1 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n
		file @F/body
	E
	judged
}

@test "two lengths, a body longer than told, one that only the end ends" {
	row two '65 1' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 7\r\n\r\n{"a":1}
	E
	row same '65 1' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n{"a":1}
	E
	row long '75 5' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}{"data":[],"rows":[]}
	E
	row cut '75 5' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n
		file @F/half
	E
	judged
}

@test "gzip that is cut, without its end, with a wrong checksum, with junk" {
	local f
	for f in cut tail crc junk; do
		row $f '75 5' 'ascf:-' <<-E
			on 0 @T
			ok @F/$f.gz @E
		E
		row once$f '0 -' 'ascf:-' <<-E
			on 1 @T
			ok @F/$f.gz @E
		E
	done
	judged
}

@test "gzip of several members is read whole" {
	row two '0 -' 'ascf:-' <<-'E'
		on 0 @T
		ok @F/two.gz @E
	E
	judged
}

@test "a bomb, a giant body, giant headers: stopped at the limit" {
	[[ -e $F/bomb ]] ||
		head -c 64M /dev/zero | tr '\0' ' ' | gzip -n >"$F/bomb"
	OPTS=(--max-body 1M)
	row bomb '65 1' 'ascf:-' <<-E
		on 0 @T
		ok $F/bomb @E
	E
	row giant '65 1' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n
		repeat 99999999 a
	E
	row heads '65 1' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\n
		repeat 4000 X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n
		send \r\n
	E
	row head '65 1' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nX:
		repeat 9000000 a
		send \r\n\r\n
	E
	judged
}

@test "silence, and a drip, end at the stall limit and are tried again" {
	OPTS=(--stall-timeout 1 --tries 2)
	FAULT_JOBS=12
	row silence '75 2' <<-'E'
		on 0 @T
		wait 9000
	E
	row drip '75 2' <<-'E'
		on 0 @T
		send HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n
		drip 40 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
	E
	judged
}

@test "a refused connection and an unknown name: tried again, transient" {
	OPTS=(--tries 2 --connect-timeout 2)
	URL=http://127.0.0.1:1 row refused '75 *0' <<<'on 0 NONE'
	URL=https://nowhere.invalid row unknown '75 *0' <<<'on 0 NONE'
	judged
}

# cert NAME ALTERNATIVE-NAME [openssl option ...]: in the file's directory
cert() {
	[[ ! -e $F/$1.pem ]] || return 0
	local name=$F/$1 alt=$2
	shift 2
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$name.key" -out "$name.pem" -subj /CN=sim \
		-addext "subjectAltName=$alt" "$@" 2>/dev/null
}

@test "TLS: a trusted one is good; unknown issuer, other host, expired, old: 78" {
	SCHEME=https
	cert good IP:127.0.0.1
	cert other DNS:other.example
	cert old IP:127.0.0.1
	ended
	FRONT=(--tls "$F/good.pem" "$F/good.key") OPTS=(--ca-file "$F/good.pem")
	row good '0 -' 'asc[jf]:-' <<<'on 0 NONE'
	OPTS=()
	row issuer '78 *0' <<<'on 0 NONE'
	OPTS=(--ca-file "$F/other.pem")
	row another '78 *0' <<<'on 0 NONE'
	FRONT=(--tls "$F/other.pem" "$F/other.key")
	row host '78 *0' <<<'on 0 NONE'
	FRONT=(--tls "$F/ended.pem" "$F/old.key") OPTS=(--ca-file "$F/ended.pem")
	row ended '78 *0' <<<'on 0 NONE'
	FRONT=(--tls "$F/good.pem" "$F/good.key" --tls-old)
	OPTS=(--ca-file "$F/good.pem")
	row version '78 *0' <<<'on 0 NONE'
	OPTS=(--ca-file /nonexistent)
	row nofile '78 *0' <<<'on 0 NONE'
	judged
}

# A certificate of a day that is past.
ended() {
	[[ ! -e $F/ended.pem ]] || return 0
	mkdir ca
	(
		cd ca || exit
		openssl x509 -x509toreq -in "$F/old.pem" -signkey "$F/old.key" \
			-out csr
		printf '[v]\nsubjectAltName=IP:127.0.0.1\n' >ext
		printf '%s\n' '[ca]' default_ca=c '[c]' database=idx \
			new_certs_dir=. rand_serial=yes default_md=sha256 \
			policy=p '[p]' commonName=optional >cnf
		: >idx
		openssl ca -batch -config cnf -selfsign -keyfile "$F/old.key" \
			-in csr -startdate 20200101000000Z \
			-enddate 20200102000000Z -extfile ext -extensions v \
			-notext -out "$F/ended.pem"
	) 2>/dev/null
}

@test "a proxy that asks for a password is 78, at once" {
	printf 'read\nsend HTTP/1.1 407 X\\r\\nContent-Length: 0\\r\\n\\r\\n\n' >proxy
	: >proxy.log
	"$WEIR_B"/test/raw --port-file proxy.port --log proxy.log proxy 3>&- &
	local proxy=$!
	for _ in {1..500}; do [[ ! -s proxy.port ]] || break; sleep 0.01; done
	https_proxy=http://127.0.0.1:$(<proxy.port)
	export https_proxy
	URL=https://api.example.invalid row proxy '78 *0' <<<'on 0 NONE'
	judged $proxy
	# one CONNECT from each connector, none with a header of ours
	assert_equal "$(wc -l <proxy.log)" "${#CONNECTORS[@]}"
	run ! grep -qi '^authorization\|Bearer' proxy.log.full
}

@test "an error that repeats our credentials, with escapes and line breaks" {
	local d
	row echoed '65 1' 'ascf:-' <<-'E'
		on 0 @T
		send HTTP/1.1 400 X\r\nConnection: close\r\n\r\n{"error":{"message":"you \\u001b[31m sent\\nforged: 
		echo Authorization
		send ","code":100,"errors":[{"reason":"
		echo Authorization
		send "}]},"errors":[{"status":"400","code":"X","title":"
		echo Authorization
		send ","detail":"d\\r\\nforged: \\u202e
		echo Authorization
		send "}]}
	E
	row plain '65 1' 'ascf:-' <<-'E'
		on 0 @T
		send HTTP/1.1 400 X\r\nConnection: close\r\n\r\n
		echo Authorization
	E
	OPTS=(--verbose)
	row verbose '65 1' 'ascf:75 -' <<-'E'
		on 0 @T
		send HTTP/1.1 400 X\r\nX-Echo: 
		echo Authorization
		send \r\nContent-Length: 2\r\n\r\n{}
	E
	judged
	for d in "$T"/*/; do
		run ! grep -q '^forged' "$d/err"
	done
}

@test "a token that ends in the middle: a new one, and on at the same page" {
	local d
	OPTS=(--page-size 20 --parallel 1)
	row export 'ga4x:0 -' < <(printf 'on 2 @T\npass\n--\n'
		TIMES=1 status '401 X')
	OPTS=(--page-size 1)
	row report 'ga4r:0 -' < <(printf 'on 2 @T\npass\n--\n'
		TIMES=1 status '401 X')
	OPTS=()
	row pages 'ascj:0 2' < <(TIMES=1 status '401 X')
	judged
	for d in "$T"/{export.ga4x,report.ga4r}/; do
		# the third page was asked for twice in a row, no other
		assert_equal "$(grep -c 'POST /google-token' "$d/log")" 2
		cut -d' ' -f2- "$d/log" | grep -v google-token | uniq -d >twice
		[[ $d == *ga4r* ]] || assert_equal "$(wc -l <twice)" 1
	done
}

@test "a page twice, and pages that go round: no data of that page" {
	local half rows
	mkdir pre
	connector ga4x "http://127.0.0.1:$SIM_PORT" --page-size 20 \
		--parallel 1 --record pre/x >/dev/null
	connector ga4r "http://127.0.0.1:$SIM_PORT" --page-size 1 \
		--record pre/r >/dev/null
	cp "$(grep -l '"f":' pre/x/*.body | while read -r f; do
		grep -q startIndex "${f%body}head" || echo "$f"
	done)" first.x
	cp "$(ls -tr pre/r/*.body | head -n 1)" first.r
	OPTS=(--page-size 20 --parallel 1)
	PREFIX=20 row page 'ga4x:65 -' <<<"on 0 @T
ok $T/first.x"
	OPTS=(--page-size 1)
	PREFIX=1 row report 'ga4r:65 2' <<<"on 0 @T
ok $T/first.r"
	OPTS=()
	row loop 'meta*:65 2' < <(BODY='{"data":[],"paging":{"cursors":{"after":"QVFI=1"},"next":"https://graph.facebook.com/x"}}' status '200 OK')
	# a, b, a: links that name the listener's own port
	row links 'ascj:65 2' <<-'E'
		on 1 @T?*cursor=b
		send HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"data":[],"links":{"next":"http://
		echo Host
		send /asc/v1/analyticsReports/r2-0/instances?filter%5Bgranularity%5D=DAILY&limit=200"}}
		--
		on 0 @T
		send HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"data":[],"links":{"next":"http://
		echo Host
		send /asc/v1/analyticsReports/r2-0/instances?cursor=b"}}
	E
	judged
}

@test "what makes a report run is not sent again once it was sent" {
	row posted 'metaa:75 0' <<-'E'
		on 0 POST /graph/
		reset
	E
	judged
	assert_equal "$(grep -c ' POST ' posted.metaa/log)" 1
}

@test "files of another host: https, no token, no cookie, never shown" {
	row shown 'ascf:65 1' < <(BODY='<Error><Message>no</Message></Error>' \
		status '404 X' 'Set-Cookie: a=b')
	OPTS=(--verbose)
	row again 'ascf:0 -' < <(TIMES=2 status '503 X' 'Set-Cookie: a=b')
	judged
	awk -v RS='\n====\n' '/^GET \/asc-files\//' ./*.ascf/log.full >asked
	[[ $(grep -c '^GET /asc-files' asked) -ge 4 ]]
	run ! grep -qiE '^(authorization|cookie):' asked
	run ! grep -q 'X-Amz\|a=b' shown.ascf/err again.ascf/err
}

@test "a recording gives the same bytes again, of every connector, offline" {
	local c
	for c in "${CONNECTORS[@]}"; do
		connector "$c" "http://127.0.0.1:$SIM_PORT" --record "rec.$c" \
			>"$c.one" 2>err
		mkdir "home.$c"
		(
			export HOME=$T/home.$c
			cp "$F/token" "$F/secret" "$HOME"
			connector "$c" "http://127.0.0.1:$SIM_PORT" \
				--replay "rec.$c" --connect-timeout 1 >"$c.two"
		)
		cmp "$c.one" "$c.two"
		run ! grep -rqaFf "$F/secrets" "rec.$c"
	done
	# several pages, several days
	connector ga4x "http://127.0.0.1:$SIM_PORT" --page-size 7 \
		--record many >one
	connector ga4x "http://127.0.0.1:$SIM_PORT" --page-size 7 \
		--replay many >two
	cmp one two
	connector ga4r "http://127.0.0.1:$SIM_PORT" --page-size 1 \
		--record some >one
	connector ga4r "http://127.0.0.1:$SIM_PORT" --page-size 1 \
		--replay some >two
	cmp one two
}

@test "the memory of a connector does not grow with the answer" {
	skip_if_san 'its memory is another'
	local c
	[[ -e $F/blanks ]] || head -c 120M /dev/zero | tr '\0' ' ' >"$F/blanks"
	cat >script <<-E
		on 0 GET /bigquery/v2/*/data[?]
		ok $F/blanks
		--
		on 0 POST /ga4/
		ok $F/blanks
		--
		on 0 GET /graph/v25.0/act_1001/insights
		ok $F/blanks
		--
		on 0 GET /asc/v1/sales
		ok $F/blanks
	E
	: >log
	"$WEIR_B"/test/raw --front "$SIM_PORT" --port-file port --log log \
		script 3>&- &
	for _ in {1..500}; do [[ ! -s port ]] || break; sleep 0.01; done
	for c in ga4x ga4r meta ascs; do
		rc=0
		/usr/bin/env time -f %M -o "rss.$c" bash "$FAULTS" connector \
			"$c" "http://127.0.0.1:$(<port)" >out 2>err || rc=$?
		assert_equal "$c $rc" "$c 65"
		echo "$c: $(tail -n 1 "rss.$c") KiB"
		[ "$(tail -n 1 "rss.$c")" -lt 65536 ]
	done
	judged $!
}

@test "a disk that fills while an answer is kept: 74, nothing of it printed" {
	skip_if_san
	SHIM_SO=$(fault_so)
	[[ -e $F/object ]] || {
		printf '{"rows":[],"data":['
		head -c 20M /dev/zero | tr '\0' ' '
		printf ']}'
	} >"$F/object"
	gzip -nc "$F/object" >"$F/object.gz"
	for SHIM in write:1:ENOSPC write:3:EIO; do
		row "${SHIM//:/-}" '74 1' 'ascj:-' 'asc[sf]:-' <<-E
			on 0 @T
			ok $F/object
		E
	done
	judged
}
