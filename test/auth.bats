#!/usr/bin/env bats
# Credentials (lib/auth.c, lib/auth_google.c), driven by test/unit/http_get
# against a listener that answers as the token servers do. Keys are made here.

bats_require_minimum_version 1.5.0
load helper
load raw

setup() {
	raw_setup
	umask 077
}

answer() { # BODY [STATUS [HEADER]]
	printf 'read\nsend HTTP/1.1 %s\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n%s\\r\\n%s\n' \
		"${2:-200 OK}" "${#1}" "${3:+$3\\r\\n}" "$1"
}
then_() { printf -- '--\n'; }
count() { wc -l <"$LOG" | tr -d ' '; }

service_account() { # the file sa.json, the public key in sa.pub
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		-out sa.key 2>/dev/null
	openssl pkey -in sa.key -pubout -out sa.pub
	jq -n --rawfile k sa.key '{type:"service_account",project_id:"p",
		private_key_id:"kid-1",private_key:$k,
		client_email:"robot@p.example",token_uri:env.URL}' >sa.json
}

b64d() { # base64url to bytes
	local s
	s=$(tr -- '-_' '+/')
	while ((${#s} % 4)); do s+='='; done
	base64 -d <<<"$s"
}

@test "a service account's assertion is signed, claimed and exchanged" {
	{ answer '{"access_token":"ya29.tok-1","expires_in":3599,"token_type":"Bearer"}'
	then_; answer '{"ok":1}'; } | raw
	export URL
	service_account
	run -0 --separate-stderr get --google --credentials sa.json "$URL/x"
	assert_output '{"ok":1}'
	[[ $stderr == *'service account robot@p.example'* ]]
	run grep -c '^Authorization: Bearer ya29.tok-1' "$LOG.full"
	assert_output 1
	local body jwt claims
	body=$(grep '^grant_type=' "$LOG.full")
	[[ $body == 'grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion='* ]]
	jwt=${body#*assertion=}
	run -0 bash -c "$(declare -f b64d); printf %s '${jwt%%.*}' | b64d"
	assert_output '{"alg":"RS256","kid":"kid-1","typ":"JWT"}'
	claims=${jwt#*.}
	claims=$(printf %s "${claims%%.*}" | b64d)
	run -0 jq -r '[.iss, .scope, .aud, .exp - .iat] | map(tostring) | join(" ")' \
		<<<"$claims"
	assert_output 'robot@p.example scope-a scope-b https://oauth2.googleapis.com/token 3600'
	printf %s "${jwt##*.}" | b64d >sig
	printf %s "${jwt%.*}" >signed
	run -0 openssl dgst -sha256 -verify sa.pub -signature sig signed
}

@test "one token serves many requests; a 401 renews it once" {
	{ answer '{"access_token":"tok-1","expires_in":"3599"}'
	then_; answer '{"ok":1}'
	then_; answer '' '401 X'
	then_; answer '{"access_token":"tok-2","expires_in":3599}'
	then_; answer '{"ok":2}'; } | raw
	export URL
	service_account
	run -0 --separate-stderr get --google --credentials sa.json \
		--parallel 1 "$URL/1" "$URL/2"
	assert_output '{"ok":1}{"ok":2}'
	run grep -o 'Bearer tok-.' "$LOG.full"
	assert_output $'Bearer tok-1\nBearer tok-1\nBearer tok-2'
}

@test "a token near its end is renewed before it is used" {
	{ answer '{"access_token":"tok-1","expires_in":1}'
	then_; answer '{"access_token":"tok-2","expires_in":3600}'
	then_; answer '{"ok":1}'; } | raw
	export URL
	service_account
	# half of a second's life is none: the first try already asks again
	run get --google --credentials sa.json --parallel 1 "$URL/1"
	assert_equal "$(count)" 2
}

@test "refused tokens are 77, a busy token server 75, and nothing leaks" {
	export URL
	answer '{"error":"invalid_grant","error_description":"Invalid JWT Signature."}' '400 X' | raw
	service_account
	run -77 get --google --credentials sa.json "$URL/x"
	assert_output --partial "Invalid JWT Signature."
	assert_equal "$(count)" 1
	answer '{"error":"internal_failure"}' '400 X' | raw
	service_account
	run -75 get --google --credentials sa.json "$URL/x"
	assert_equal "$(count)" 5
	printf 'read\nsend HTTP/1.1 400 X\\r\\nConnection: close\\r\\n\\r\\n{"error":"%s"}\n' 'x' | raw
	service_account
	run -77 get --google --credentials sa.json "$URL/x"
}

@test "an authorized user's refresh token is exchanged" {
	{ answer '{"access_token":"tok-1","expires_in":3599}'
	then_; answer '{"ok":1}'; } | raw
	jq -n '{type:"authorized_user",client_id:"id 1",client_secret:"s&cret",
		refresh_token:"1//refresh",quota_project_id:"quota-1"}' >user.json
	run -0 --separate-stderr get --google --credentials user.json \
		--token-url "$URL/token" "$URL/x"
	assert_output '{"ok":1}'
	run grep '^grant_type=' "$LOG.full"
	assert_output 'grant_type=refresh_token&client_id=id%201&client_secret=s%26cret&refresh_token=1%2F%2Frefresh'
	run grep -c '^X-Goog-User-Project: quota-1' "$LOG.full"
	assert_output 1
}

@test "the metadata server is asked, and known by its header" {
	{ answer '{"access_token":"tok-m","expires_in":3599}' '200 OK' 'Metadata-Flavor: Google'
	then_; answer '{"ok":1}'; } | raw
	export GCE_METADATA_HOST=127.0.0.1:$PORT
	run -0 --separate-stderr get --google "$URL/x"
	assert_output '{"ok":1}'
	run head -1 "$LOG.full"
	assert_output --partial 'GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=scope-a%2Cscope-b'
	run grep -c '^Metadata-Flavor: Google' "$LOG.full"
	assert_output 1
	answer '{"access_token":"tok-m","expires_in":3599}' | raw
	export GCE_METADATA_HOST=127.0.0.1:$PORT
	run -78 get --google "$URL/x"
	assert_equal "$(count)" 1
}

@test "credentials are looked for in their order" {
	answer '{"access_token":"t","expires_in":3599}' | raw
	export URL
	service_account
	jq '.client_email="a@x"' sa.json >a.json
	jq '.client_email="b@x"' sa.json >b.json
	jq '.client_email="c@x"' sa.json >c.json
	mkdir dir home/.config home/.config/gcloud
	jq '.client_email="d@x"' sa.json >dir/google.json
	jq '.client_email="e@x"' sa.json \
		>home/.config/gcloud/application_default_credentials.json
	run get --google "$URL/x"
	assert_output --partial 'service account e@x'
	export CREDENTIALS_DIRECTORY=$T/dir
	run get --google "$URL/x"
	assert_output --partial 'service account d@x'
	export GOOGLE_APPLICATION_CREDENTIALS=$T/c.json
	run get --google "$URL/x"
	assert_output --partial 'service account c@x'
	BQ_SA_JSON=$(<b.json)
	export BQ_SA_JSON
	run get --google "$URL/x"
	assert_output --partial 'service account b@x'
	run get --google --credentials a.json "$URL/x"
	assert_output --partial 'service account a@x'
}

@test "wrong or open credentials are 78 before any request" {
	answer '{}' | raw
	export URL
	service_account
	export NO_GCE_CHECK=true
	run -78 get --google "$URL/x"
	assert_output --partial GOOGLE_APPLICATION_CREDENTIALS
	run -78 get --google --credentials none.json "$URL/x"
	GOOGLE_APPLICATION_CREDENTIALS=$T/none run -78 get --google "$URL/x"
	BQ_SA_JSON='{' run -78 get --google "$URL/x"
	local change
	for change in '.type="external_account"' 'del(.type)' \
		'del(.private_key)' 'del(.client_email)' '.private_key="x"' \
		'.token_uri="http://example.com/t"' '.token_uri="ftp://x/"'; do
		jq "$change" sa.json >bad.json
		run -78 get --google --credentials bad.json "$URL/x"
		refute_output --partial PRIVATE
	done
	chmod 644 sa.json
	run -78 get --google --credentials sa.json "$URL/x"
	assert_output --partial 'chmod 0600'
	assert_equal "$(count)" 0
}

@test "another account is impersonated with a token of our own" {
	{ answer '{"access_token":"tok-own","expires_in":3599}'
	then_; answer '{"accessToken":"tok-other","expireTime":"2099-01-01T00:00:00Z"}'
	then_; answer '{"ok":1}'; } | raw
	export URL CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS=$URL/iam/
	service_account
	run -0 --separate-stderr get --google --credentials sa.json \
		--impersonate other@p.example "$URL/x"
	assert_output '{"ok":1}'
	run cut -d' ' -f2,3 "$LOG"
	assert_line --index 1 'POST /iam/v1/projects/-/serviceAccounts/other%40p.example:generateAccessToken'
	run grep -o 'Bearer tok-.*' "$LOG.full"
	assert_output --regexp $'^Bearer tok-own\r\nBearer tok-other\r?$'
	run grep -o '{"scope".*' "$LOG.full"
	assert_output '{"scope":["scope-a","scope-b"],"lifetime":"3600s"}'
	run -0 bash -c "grep -o 'assertion=.*' '$LOG.full' | cut -d. -f2 | tr -- '-_' '+/' | base64 -d 2>/dev/null | grep -o 'auth/[a-z-]*'"
	assert_output 'auth/cloud-platform'
}

@test "an App Store Connect token is what Apple asks for" {
	openssl ecparam -name prime256v1 -genkey -noout 2>/dev/null |
		openssl pkcs8 -topk8 -nocrypt -out key.p8
	answer '{"ok":1}' | raw
	run -0 --separate-stderr get --asc key.p8 "$URL/x"
	local jwt
	jwt=$(sed -n 's/^Authorization: Bearer \([^ \r]*\).*/\1/p' "$LOG.full")
	run -0 bash -c "$(declare -f b64d); printf %s '${jwt%%.*}' | b64d"
	assert_output '{"alg":"ES256","kid":"KID","typ":"JWT"}'
	jwt=${jwt#*.}
	run -0 bash -c "$(declare -f b64d); printf %s '${jwt%%.*}' | b64d | jq -r '[.iss,.aud,(.exp-.iat<=1200)]|map(tostring)|join(\" \")'"
	assert_output 'ISS appstoreconnect-v1 true'
	printf 'not a key\n' >bad.p8
	run -78 get --asc bad.p8 "$URL/x"
	chmod 640 key.p8
	run -78 get --asc key.p8 "$URL/x"
}

@test "a replay needs no credentials" {
	{ answer '{"access_token":"tok-1","expires_in":3599}'
	then_; answer '{"ok":1}'; } | raw
	export URL
	service_account
	run -0 get --google --credentials sa.json --record rec "$URL/x"
	run grep -rl 'tok-1' rec
	assert_output ''
	export NO_GCE_CHECK=true
	run -0 --separate-stderr get --google --replay rec "$URL/x"
	assert_output '{"ok":1}'
}
