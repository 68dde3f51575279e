#!/usr/bin/env bats
# The HTTP module, driven by test/unit/http_get against a listener that does
# what it is told (test/sim/raw.c): the rows of faults that concern transport.

bats_require_minimum_version 1.5.0
load helper
load raw

setup() {
	raw_setup
	export TMPDIR=$T
	printf 'sesame-Open/12345+67' >token
	chmod 600 token
}

count() { # how many requests came
	wc -l <"$LOG" | tr -d ' '
}

# answer BODY [STATUS [HEADER ...]]: a section's lines
answer() {
	local body=$1 status=${2:-200 OK} h sent
	sent=${body//\\\\/\\}
	shift
	(($# == 0)) || shift
	printf 'read\nsend HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n' \
		"$status" "${#sent}"
	for h in "$@"; do printf '%s\\r\\n' "$h"; done
	printf '\\r\\n%s\n' "$body"
}
then_() { printf -- '--\n'; }
# again SECTIONS: what goes wrong first, then a good answer
good() {
	then_
	answer '{"ok":1}'
}

@test "a good answer is handed over as it came, with one request" {
	answer '{"a":[1, 2]}' | raw
	run -0 --separate-stderr get "$URL/x?y=1"
	assert_output '{"a":[1, 2]}'
	assert_equal "$(cut -d' ' -f2- "$LOG")" 'GET /x?y=1 HTTP/1.1'
	run grep -ci '^authorization\|^cookie\|^expect' "$LOG.full"
	assert_output 0
}

@test "an empty answer is no fault" {
	printf 'read\nsend HTTP/1.1 204 No Content\\r\\n\\r\\n\n' | raw
	run -0 --separate-stderr get "$URL/x"
	assert_output ''
}

@test "a service's wish to wait is heeded, in seconds and as a date" {
	{ answer '' '429 Slow' 'Retry-After: 1'; good; } | raw
	run -0 --separate-stderr "$GET" --allow-http "$URL/x"
	assert_output '{"ok":1}'
	run awk 'NR==1{a=$1} NR==2{print ($1-a >= 1000 && $1-a < 2500)}' "$LOG"
	assert_output 1
	{ answer '' '503 Busy' 'Date: Fri, 20 Nov 2026 10:00:00 GMT' \
		'Retry-After: Fri, 20 Nov 2026 10:00:01 GMT'; good; } | raw
	run -0 --separate-stderr "$GET" --allow-http "$URL/x"
	run awk 'NR==1{a=$1} NR==2{print ($1-a >= 1000 && $1-a < 2500)}' "$LOG"
	assert_output 1
}

@test "a date that is past, or unreadable, makes no negative wait" {
	{ answer '' '503 Busy' 'Date: Fri, 20 Nov 2026 10:00:00 GMT' \
		'Retry-After: Fri, 20 Nov 2020 10:00:01 GMT'
	then_; answer '' '429 Slow' 'Retry-After: soon'; good; } | raw
	run -0 --separate-stderr get "$URL/x"
	assert_equal "$(count)" 3
}

@test "a wait of a day gives up at once and says so" {
	answer '' '429 Slow' 'Retry-After: 86400' | raw
	run -75 --separate-stderr get "$URL/x"
	assert_equal "$(count)" 1
	[[ $stderr == *'86400 s'* ]]
	answer '' '429 Slow' 'Retry-After: 99999999999999999999' | raw
	run -75 get "$URL/x"
	assert_equal "$(count)" 1
}

@test "408, 429, 5xx are tried five times, then 75" {
	local s
	for s in 408 429 500 502 503 504; do
		answer '{"part":1}' "$s X" | raw
		run -75 --separate-stderr get "$URL/x"
		assert_output ''
		assert_equal "$s $(count)" "$s 5"
	done
	answer '' '500 X' | raw
	run -75 get --tries 2 "$URL/x"
	assert_equal "$(count)" 2
}

@test "our own waits double, with chance, and are scaled" {
	answer '' '500 X' | raw
	run -75 "$GET" --allow-http --backoff 10 --tries 4 "$URL/x"
	# at most 100, 200, 400 ms
	run awk 'NR==1{a=$1} END{print ($1-a <= 1000)}' "$LOG"
	assert_output 1
}

@test "400, 404, 405, 410, 413, 414, 422 and others are not tried again" {
	local s
	for s in 400 404 405 409 410 413 414 418 422 501; do
		answer '{"error":{"message":"no such thing","status":"N"}}' \
			"$s X" | raw
		run -65 --separate-stderr get "$URL/x"
		assert_equal "$s $(count)" "$s 1"
		[[ $stderr == *"status $s: 'no such thing'"* ]]
	done
}

@test "the error shapes of the services are understood" {
	local b
	answer '{"error":{"code":403,"message":"m","errors":[{"reason":"rateLimitExceeded"}]}}' '403 X' | raw
	run -75 get "$URL/x"
	assert_equal "$(count)" 5
	answer '{"error":{"code":403,"message":"m","errors":[{"reason":"quotaExceeded"}]}}' '403 X' | raw
	run -75 get "$URL/x"
	assert_equal "$(count)" 1
	answer '{"error":{"code":403,"message":"m","errors":[{"reason":"accessDenied"}]}}' '403 X' | raw
	run -77 get "$URL/x"
	assert_equal "$(count)" 1
	answer '{"errors":[{"status":"403","code":"FORBIDDEN_ERROR","title":"t","detail":"the detail"}]}' '403 X' | raw
	run -77 get "$URL/x"
	assert_output --partial "'the detail'"
	for b in '{"error":{"message":"m","code":100}}' \
		'{"error":"invalid_grant","error_description":"d"}'; do
		answer "$b" | raw
		run -65 --separate-stderr get "$URL/x"
		assert_output ''
	done
	answer '{"error":{"message":"m","code":2,"is_transient":true}}' | raw
	run -75 --separate-stderr get "$URL/x"
	assert_output ''
	answer '{"error":{"message":"m","code":503}}' | raw
	run -75 get "$URL/x"
}

@test "401 without a token to renew ends at once, with one once more" {
	answer '' '401 X' | raw
	run -77 get "$URL/x"
	assert_equal "$(count)" 1
	answer '' '401 X' | raw
	run -77 get --bearer token "$URL/x"
	assert_equal "$(count)" 2
	{ answer '' '401 X'; good; } | raw
	run -0 get --bearer token "$URL/x"
}

@test "redirects are not followed and take no secret along" {
	local s
	answer 'stolen' | raw
	local thief=$URL thief_log=$LOG
	for s in 301 302 303 307 308; do
		answer '' "$s X" "Location: $thief/x" | raw
		run -65 get --bearer token "$URL/x"
		assert_equal "$(count)" 1
	done
	assert_equal "$(wc -l <"$thief_log")" 0
}

@test "a presigned URL is fetched without our headers and is not shown" {
	answer 'nope' '404 X' | raw
	run -65 get --bearer token --secret-url --verbose \
		"$URL/seg?X-Amz-Signature=abcdef0123456789"
	refute_output --partial abcdef0123456789
	run grep -ci '^authorization' "$LOG.full"
	assert_output 0
	run grep -c 'X-Amz-Signature=abcdef0123456789' "$LOG.full"
	assert_output 1
}

@test "HTML where data should be: once more, then 65" {
	answer '<html><body>Sorry</body></html>' | raw
	run -65 --separate-stderr get "$URL/x"
	assert_output ''
	assert_equal "$(count)" 2
	{ answer ' <!doctype html>' '200 OK' 'Content-Type: application/json'
	good; } | raw
	run -0 --separate-stderr get "$URL/x"
	assert_output '{"ok":1}'
}

@test "a page that is cut or not what was agreed gives no record" {
	local b
	for b in '{"data":[{"a":1},{"a":' 'null' '[]' '{"data":[{"a":1}]' \
		'{"data":[{"a":1},{"a":nul}]}' '{"data":[{"a":1}]}}' \
		"{\"data\":[{\"a\":$(printf '[%.0s' {1..2000})"; do
		answer "$b" | raw
		run -65 --separate-stderr get --array data "$URL/x"
		assert_output ''
	done
}

@test "a body shorter than its length is tried again, nothing is shown" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\n{"a":1}\n' | raw
	run -75 --separate-stderr get "$URL/x"
	assert_output ''
	assert_equal "$(count)" 5
}

@test "a reset in the body, or before it, is tried again" {
	{ printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\n{"a":1}\nwait 20\nreset\n'
	then_; printf 'read\nreset\n'
	then_; printf 'reset\n'; good; } | raw
	run -0 --separate-stderr get "$URL/x"
	assert_output '{"ok":1}'
}

@test "chunks without an end are tried again" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n7\\r\\n{"a":1}\\r\\n\n' | raw
	run -75 --separate-stderr get "$URL/x"
	assert_output ''
	assert_equal "$(count)" 5
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n{"a":1}\\r\\n\n' | raw
	run -75 --separate-stderr get --tries 2 "$URL/x"
	assert_output ''
}

@test "chunks with an end are an answer" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\n{"a\\r\\n4\\r\\n":1}\\r\\n0\\r\\n\\r\\n\n' | raw
	run -0 --separate-stderr get "$URL/x"
	assert_output '{"a":1}'
}

@test "two lengths are refused" {
	local two
	for two in '7\r\nContent-Length: 3' '7\r\nContent-Length: 7'; do
		printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: %s\\r\\n\\r\\n{"a":1}\n' \
			"${two//\\/\\}" | raw
		run -65 --separate-stderr get "$URL/x"
		assert_output ''
		assert_equal "$(count)" 1
	done
}

@test "a body longer than its length is never taken for whole" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\n\\r\\n{"a":1},{"b":2}\n' | raw
	run -75 --separate-stderr get "$URL/x"
	assert_output ''
}

@test "a body that ends with the connection must look whole" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n{"a":[1,2\n' | raw
	run -75 --separate-stderr get "$URL/x"
	assert_output ''
	printf 'read\nsend HTTP/1.0 200 OK\\r\\n\\r\\n{"a":[1,2]}\\n\n' | raw
	run -0 --separate-stderr get "$URL/x"
	assert_output '{"a":[1,2]}'
}

# packed FILE: a section that serves it with Content-Encoding: gzip
packed() {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Encoding: gzip\\r\\nContent-Length: %d\\r\\n\\r\\n\nfile %s\n' \
		"$(size_of "$1")" "$1"
}

@test "gzip of one and of several members is undone" {
	printf '{"a":1' | gzip -n >one.gz
	printf '}' | gzip -n >two.gz
	cat one.gz two.gz >both.gz
	packed "$T/both.gz" | raw
	run -0 --separate-stderr get "$URL/x"
	assert_output '{"a":1}'
	packed "$T/both.gz" | raw
	get --raw "$URL/x" >out 2>err
	cmp out both.gz
}

@test "gzip that is cut, has a wrong checksum, or junk after it: again, 75" {
	head -c 20000 /dev/urandom | od -An -tx1 | gzip -n >good.gz
	local n
	n=$(size_of good.gz)
	head -c $((n - 4)) good.gz >cut.gz
	{ head -c $((n - 8)) good.gz; printf 'abcd'; tail -c 4 good.gz; } >crc.gz
	{ cat good.gz; printf 'junk'; } >junk.gz
	{ head -c 300 good.gz; printf 'XXXX'; tail -c +305 good.gz; } >bits.gz
	printf '{"a":1}' >plain.gz
	local f
	for f in cut crc junk bits plain; do
		packed "$T/$f.gz" | raw
		run -75 --separate-stderr get --tries 2 "$URL/x"
		assert_output ''
		assert_equal "$f $(count)" "$f 2"
	done
}

@test "an encoding we did not ask for is refused" {
	answer 'xx' '200 OK' 'Content-Encoding: br' | raw
	run -65 --separate-stderr get "$URL/x"
	assert_output ''
}

rss() { sed -n 's/.*rss: //p' err; }

@test "a gzip bomb stops at the limit, memory stays small" {
	head -c 400M /dev/zero | gzip -n1 >bomb.gz
	packed "$T/bomb.gz" | raw
	run -65 --separate-stderr get --max-body 8M "$URL/x"
	assert_output ''
	[[ $stderr == *'--max-body'* ]]
	assert_equal "$(count)" 1
	get --max-body 8M --rss "$URL/x" 2>err >out || :
	skip_if_san 'no memory limits'
	(($(rss) < 64 * 1024))
}

@test "a body over memory goes to a file without a name and comes back whole" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 104857600\\r\\n\\r\\n\nrepeat 104857600 x\n' | raw
	get --rss "$URL/x" 2>err | sha256sum >got
	head -c 104857600 /dev/zero | tr '\0' x | sha256sum >want
	cmp got want
	[[ -z $(find "$T" -name '.tmp-*' -o -name 'weir-*') ]]
	skip_if_san 'no memory limits'
	(($(rss) < 64 * 1024))
}

@test "a body over the limit stops, told or not" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nfffffff\\r\\n\nrepeat 100000000 x\n' | raw
	run -65 --separate-stderr get --max-body 1M "$URL/x"
	assert_output ''
	assert_equal "$(count)" 1
}

@test "giant headers stop" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\n\nrepeat 3000 X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\r\\n\nsend \\r\\n\n' | raw
	run -65 --separate-stderr get "$URL/x"
	assert_equal "$(count)" 1
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nX: \nrepeat 90000000 a\nsend \\r\\n\\r\\n\n' | raw
	get --rss --tries 1 "$URL/x" 2>err >out && status=0 || status=$?
	((status == 65 || status == 75))
	skip_if_san 'no memory limits'
	(($(rss) < 64 * 1024))
}

@test "silence and a slow drip end at the stall limit" {
	printf 'read\nwait 20000\n' | raw
	run -75 --separate-stderr get --stall-timeout 1 --tries 2 "$URL/x"
	assert_equal "$(count)" 2
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n\ndrip 50 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n' | raw
	run -75 --separate-stderr get --stall-timeout 1 --tries 1 "$URL/x"
	assert_output ''
	printf 'read\nwait 20000\n' | raw
	run -75 get --timeout 1 --tries 1 "$URL/x"
}

@test "a refused connection and an unknown name are tried again, 75" {
	answer '{}' | raw
	kill "${RAW_PIDS##* }"
	wait "${RAW_PIDS##* }" || :
	run -75 get "$URL/x"
	assert_output --partial '5 tries'
	run -75 get --tries 2 --connect-timeout 2 https://nowhere.invalid/x
}

@test "a name that leads to a link-local or metadata address is refused" {
	local a
	skip_if_san
	for a in 169.254.169.254 169.254.0.1 fe80::1 fd00:ec2::254 \
		::ffff:169.254.169.254; do
		FAULT_DNS=$a LD_PRELOAD=$(fault_so) run -78 --separate-stderr \
			"$GET" --backoff 0 --bearer token https://api.example.invalid/x
		[[ $stderr == *"link-local"* ]]
		[[ $stderr == *" 78 "* ]]
	done
	# the way of it, by a name that leads here
	cert good DNS:api.example.invalid
	answer '{"ok":1}' | raw --tls good.pem good.key
	FAULT_DNS=127.0.0.1 LD_PRELOAD=$(fault_so) run -0 --separate-stderr \
		"$GET" --ca-file good.pem "https://api.example.invalid:$PORT/x"
	assert_output '{"ok":1}'
}

@test "no plain http but to this machine, and only when allowed" {
	answer '{}' | raw
	run -78 "$GET" "$URL/x"
	assert_equal "$(count)" 0
	run -78 get http://example.invalid/x
	run -78 get ftp://127.0.0.1/x
	run -78 get file:///etc/passwd
	run -78 get "http://user:pass@127.0.0.1:$PORT/x"
	run -78 get http://169.254.169.254/computeMetadata
	run -78 get https://169.254.169.254/computeMetadata
	assert_equal "$(count)" 0
}

cert() { # NAME SUBJECT-ALT [openssl options]
	local name=$1 alt=$2
	shift 2
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$name.key" \
		-out "$name.pem" -subj "/CN=$name" -addext \
		"subjectAltName=$alt" "$@" 2>/dev/null
}

@test "TLS: trusted is good; unknown issuer, other host are 78 without a request" {
	cert good IP:127.0.0.1,DNS:localhost
	answer '{"ok":1}' | raw --tls good.pem good.key
	run -0 --separate-stderr "$GET" --ca-file good.pem --bearer token \
		"https://127.0.0.1:$PORT/x"
	assert_output '{"ok":1}'
	answer '{"ok":1}' | raw --tls good.pem good.key
	run -78 --separate-stderr get --bearer token "https://127.0.0.1:$PORT/x"
	assert_output ''
	assert_equal "$(count)" 0
	cert other DNS:other.example
	answer '{"ok":1}' | raw --tls other.pem other.key
	run -78 get --ca-file other.pem --bearer token \
		"https://127.0.0.1:$PORT/x"
	assert_equal "$(count)" 0
	run -78 get --ca-file /nonexistent "https://127.0.0.1:$PORT/x"
}

@test "TLS: an expired certificate and a version below 1.2 are 78" {
	cert old IP:127.0.0.1
	openssl x509 -x509toreq -in old.pem -signkey old.key -out old.csr \
		2>/dev/null
	printf '[v]\nsubjectAltName=IP:127.0.0.1\n' >ext
	# `x509 -req` of newer versions makes no certificate that has ended
	printf '%s\n' '[ca]' default_ca=c '[c]' database=idx new_certs_dir=. \
		rand_serial=yes default_md=sha256 policy=p '[p]' \
		commonName=optional >ca.cnf
	: >idx
	openssl ca -batch -config ca.cnf -selfsign -keyfile old.key -in old.csr \
		-startdate 20200101000000Z -enddate 20200102000000Z \
		-extfile ext -extensions v -notext -out expired.pem 2>/dev/null
	answer '{"ok":1}' | raw --tls expired.pem old.key
	run -78 get --ca-file expired.pem "https://127.0.0.1:$PORT/x"
	assert_equal "$(count)" 0
	answer '{"ok":1}' | raw --tls old.pem old.key --tls-old
	run -78 get --ca-file old.pem "https://127.0.0.1:$PORT/x"
	assert_equal "$(count)" 0
}

@test "a proxy that asks for a password is 78, one that is busy 75" {
	printf 'read\nsend HTTP/1.1 407 X\\r\\nContent-Length: 0\\r\\n\\r\\n\n' | raw
	https_proxy=$URL run -78 get https://api.example.invalid/x
	assert_equal "$(count)" 1
	printf 'read\nsend HTTP/1.1 503 X\\r\\nContent-Length: 0\\r\\n\\r\\n\n' | raw
	https_proxy=$URL run -75 get https://api.example.invalid/x
	assert_equal "$(count)" 5
}

@test "no secret is shown, plain, in base64 or percent, cut or verbose" {
	local secret b64 pct
	secret=$(<token)
	b64=$(printf '%s' "$secret" | base64)
	pct=sesame-Open%2F12345%2B67
	answer "{\"error\":{\"message\":\"you sent $secret and $b64 and $pct \\\\u001b[31m\\\\nforged: line\"}}" \
		'400 X' "X-Echo: $secret" | raw
	run -65 get --bearer token --verbose \
		"$URL/x?access_token=abc123def456&z=1"
	refute_output --partial "$secret"
	refute_output --partial "${b64:0:12}"
	refute_output --partial "$pct"
	refute_output --partial abc123def456
	refute_output --partial $'\e'
	refute_line --regexp '^forged'
	assert_output --partial '[secret]'
	printf 'read\nsend HTTP/1.1 400 X\\r\\nConnection: close\\r\\n\\r\\n{"error":{"message":"\necho Authorization\nsend "}}\n' | raw
	run -65 get --bearer token "$URL/x"
	refute_output --partial sesame
}

@test "a header with a line break in it is not sent" {
	answer '{}' | raw
	run get --header $'X-A: b\nX-C: d' "$URL/x"
	assert_failure
	assert_equal "$(count)" 0
}

@test "what must not be repeated is not, once it was sent" {
	answer '' '500 X' | raw
	run -75 get --once --post '{}' "$URL/x"
	assert_equal "$(count)" 1
	printf 'read\nreset\n' | raw
	run -75 get --once --post '{}' "$URL/x"
	assert_equal "$(count)" 1
}

@test "a repeated request is the same, body and all" {
	{ answer '' '500 X'; good; } | raw
	run -0 get --post '{"q":"é"}' --header 'Content-Type: application/json' \
		"$URL/x"
	run bash -c "awk -v RS='\n====\n' '{print}' '$LOG.full' | sort | uniq -c | grep -c '^ *1 '"
	assert_output 0
	run grep -c '"q":"é"' "$LOG.full"
	assert_output 2
}

@test "parallel answers come in the order they were asked for" {
	printf 'read\nwait 300\nsend HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\n1\\n\n--\nread\nsend HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\n2\\n\n' | raw
	run -0 --separate-stderr get --parallel 2 "$URL/1" "$URL/2" "$URL/3" "$URL/4"
	[[ $output == *1* ]]
	assert_equal "${#lines[@]}" 4
	assert_equal "$(count)" 4
}

@test "requests keep the pace" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}\nloop\n' | raw
	run -0 "$GET" --allow-http --pace 200 --repeat 4 "$URL/x"
	run awk 'NR==1{a=$1} END{print ($1-a >= 450)}' "$LOG"
	assert_output 1
}

@test "SIGTERM ends it within two seconds by that signal" {
	printf 'read\nwait 20000\n' | raw
	"$GET" --allow-http "$URL/x" 3>&- 2>err &
	local pid=$! from=$SECONDS status=0
	while (($(count) == 0)); do sleep 0.02; done
	kill -TERM $pid
	wait $pid || status=$?
	assert_equal "$status" 143
	((SECONDS - from < 3))
}

@test "a full disk under the spool is 74 and leaves nothing" {
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 33554432\\r\\n\\r\\n\nrepeat 33554432 x\n' | raw
	skip_if_san
	run -74 --separate-stderr env TMPDIR=/nonexistent "$GET" --allow-http \
		"$URL/x"
	assert_output ''
	assert_equal "$(count)" 1
}

@test "a disk that fills under the spool after it was opened is 74" {
	skip_if_san
	local n out=0
	printf 'read\nsend HTTP/1.1 200 OK\\r\\nContent-Length: 33554432\\r\\n\\r\\n\nrepeat 33554432 x\n' | raw
	for n in 1 2 5 20; do
		FAULT_PATH='(deleted)' FAULT="write:$n:ENOSPC" \
			LD_PRELOAD=$(fault_so) run -74 --separate-stderr \
			"$GET" --allow-http --backoff 0 "$URL/x"
		assert_output ''
		[[ $stderr == *'No space left'* ]]
		out=$((out + 1))
		assert_equal "$(count)" $out
	done
	[[ -z $(find "$T" -name '.tmp-*') ]]
}

@test "a recording replays offline, byte for byte, without secrets" {
	{ answer '{"data":[{"a":1}],"paging":{"next":"https://x/y?access_token=abc123def456\\u0026after=Z"}}' '200 OK' 'X-Kept: yes' 'Set-Cookie: s=1'
	then_; answer '' '503 X'
	then_; answer '{"data":[{"a":2}]}'; } | raw
	get --bearer token --record rec --parallel 1 --array data \
		"$URL/1?access_token=abc123def456" "$URL/2" >one 2>err
	assert_equal "$(cat one)" $'{"a":1}\n{"a":2}'
	run grep -rlE 'abc123def456|sesame|s=1' rec
	assert_output ''
	kill "${RAW_PIDS##* }"
	wait "${RAW_PIDS##* }" || :
	"$GET" --allow-http --replay rec --parallel 1 --array data \
		"$URL/1?access_token=other" "$URL/2" >two 2>err
	cmp one two
	run -65 "$GET" --allow-http --replay rec "$URL/3"
	run -64 get --replay rec --record rec2 "$URL/3"
	assert_equal "$(stat -c %a rec rec/*.body | sort -u | xargs)" '600 700'
}

@test "pages over memory and gzip are recorded as they are read" {
	{ printf '{"data":['; for i in {1..30}; do printf '{"x":"%s"},' \
		"$(head -c 40000 /dev/zero | tr '\0' a)"; done
	printf '{"x":1}]}'; } | gzip -n >big.gz
	packed "$T/big.gz" | raw
	get --record rec --array data "$URL/1" >one 2>err
	"$GET" --allow-http --replay rec --array data "$URL/1" >two 2>err
	cmp one two
	assert_equal "$(wc -l <two)" 31
}

@test "no leak, no wrong step under memory checks" {
	[[ -n ${SAN:-} ]] || command -v valgrind >/dev/null || skip 'no valgrind'
	skip_if_san
	printf '{"data":[{"a":1}]}' | gzip >none.gz
	{ answer '' '500 X'; then_; answer '' '401 X'
	then_; packed "$T/none.gz"; good; } | raw
	run -0 valgrind -q --error-exitcode=99 --leak-check=full "$GET" \
		--allow-http --backoff 0 --bearer token --array data "$URL/x"
}

@test "counts of requests, retries and bytes go to WEIR_STATS" {
	{ answer '' '500 X'; good; } | raw
	WEIR_STATS=$T/stats get "$URL/x" >/dev/null 2>&1
	run jq -r 'select(.event=="end") | .counts | "\(.requests) \(.retries) \(.bytes_in)"' stats
	assert_output '2 1 8'
}
