#!/usr/bin/env bash
# A meter company has its meters repaired by a contractor: the workflow of Trusted
# Twin's tutorial on stickers and notifications, with curl and a callback server.
#
#   go run ./cmd/engine run -c examples/stickers/engine.json     # in one terminal
#   bash examples/stickers/tutorial.sh                           # in another
#
# ENGINE is where the engine is, ADMIN the secret of an administrator ("" where the
# engine asks nobody), CALLBACK the port of the callback server.
set -euo pipefail
ENGINE=${ENGINE:-http://127.0.0.1:8080}
ADMIN=${ADMIN:-}
CALLBACK=${CALLBACK:-8099}

work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }
fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# call SECRET STATUS METHOD PATH [BODY] asks the engine, wants the status, and keeps
# the answer in $answer.
call() {
	local secret=$1 want=$2 method=$3 path=$4 body=${5:-} args=()
	[ -z "$secret" ] || args+=(-H "Authorization: $secret")
	[ -z "$body" ] || args+=(-H 'Content-Type: application/json' -d "$body")
	local got
	got=$(curl -sS -o "$work/answer" -w '%{http_code}' -X "$method" "${args[@]}" "$ENGINE$path") || fail "$method $path"
	answer=$(cat "$work/answer")
	printf '%s %s -> %s\n%s\n' "$method" "$path" "$got" "$answer"
	[ "$got" = "$want" ] || fail "$method $path: got $got, want $want"
}

# of JSON EXPRESSION is a part of a JSON text, by a Python expression of it.
of() { python3 -c 'import json, sys; it = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$1" "$2"; }

# expect JSON EXPRESSION VALUE wants a part of a JSON text to be so.
expect() {
	local got
	got=$(of "$1" "$2")
	[ "$got" = "$3" ] || fail "$2 is $got, want $3, in $1"
}

# The callback server keeps what is posted to /NAME as NAME.1, NAME.2, …
cat >"$work/callback.py" <<'PYTHON'
import collections, http.server, os, sys

count = collections.Counter()

class Callback(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        name = self.path.strip("/")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        count[name] += 1
        path = os.path.join(sys.argv[2], f"{name}.{count[name]}")
        with open(path + "~", "wb") as f:
            f.write(body)
        os.rename(path + "~", path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Callback).serve_forever()
PYTHON
python3 "$work/callback.py" "$CALLBACK" "$work" &
server=$!

# await FILE waits for what the callback server gets, into $message.
await() {
	local i
	for i in $(seq 600); do
		[ ! -f "$work/$1" ] || break
		sleep 0.1
	done
	[ -f "$work/$1" ] || fail "$1 did not come"
	message=$(cat "$work/$1")
	printf '%s: %s\n' "$1" "$message"
}

# tokenOf URL is the token in a URL.
tokenOf() { of "$(python3 -c 'import json, sys, urllib.parse as u; print(json.dumps(u.parse_qs(u.urlsplit(sys.argv[1]).query)["token"]))' "$1")" 'it[0]'; }

say "Who am I"
call "$ADMIN" 200 GET /whoami
account=$(of "$answer" 'it["account"]')
call "$ADMIN" 200 GET "/roles/$(of "$answer" 'it["role"]')"

# person NAME ACTIONS makes a role with these actions, a user with the role, and a
# secret of the user by way of a PIN: $user, $secret.
person() {
	local role pin
	call "$ADMIN" 201 POST /roles '{"name":"'"$1"'","statement":{"effect":"allow","actions":'"$2"'},"rules":{}}'
	role=$(of "$answer" 'it["uuid"]')
	call "$ADMIN" 201 POST /users '{"name":"'"$1"'","role":"'"$role"'"}'
	user=$(of "$answer" 'it["uuid"]')
	call "$ADMIN" 201 POST "/users/$user/secrets"
	pin=$(of "$answer" 'it["pin"]')
	call "" 201 POST "/secrets/$account/$pin"
	secret=$(of "$answer" 'it["secret"]')
	call "" 404 POST "/secrets/$account/$pin" # it can be used once
}

say "The meter company: role, user, PIN, secret"
person "meter company" '["who_am_i","get_user_role","get_user","create_twin","get_twin","update_twin","add_twin_ledger_entry","get_twin_ledger","update_twin_ledger_entry",
	"put_sticker","get_sticker","get_stickers","list_stickers","remove_sticker","webhook_subscribe","webhook_confirm_subscription","webhook_refresh_subscription","webhook_unsubscribe"]'
COMPANY=$secret COMPANY_USER=$user

say "A meter: twin and ledger"
call "$COMPANY" 201 POST /twins '{"description":{"application":"metering","type":"water-meter","serial":"12345","website":"https://example.com"}}'
METER=$(of "$answer" 'it["creation_certificate"]["uuid"]')
call "$COMPANY" 201 POST "/twins/$METER/ledgers/personal" '{"entries":{"reading":{"value":1250,"visibility":null,"history":"1M"},"battery":{"value":87},"log":{"value":[]},"location":{"value":{"lat":51.1,"lon":17.03}}}}'
call "$COMPANY" 200 GET "/twins/$METER/ledgers/personal"
expect "$answer" 'it["entries"]["battery"]["value"]' 87

say "The contractor: role, user, PIN, secret"
person contractor '["who_am_i","get_user","get_user_role","get_sticker","get_stickers","list_stickers","remove_sticker",
	"webhook_subscribe","webhook_confirm_subscription","webhook_refresh_subscription","webhook_unsubscribe"]'
CONTRACTOR=$secret CONTRACTOR_USER=$user
call "$CONTRACTOR" 403 POST /twins '{"description":{}}'

# sticker COLOR NOTE SECONDS puts one on the meter.
sticker() {
	local until
	until=$(python3 -c 'import sys, time; print("%.3f" % (time.time() + float(sys.argv[1])))' "$3")
	call "$COMPANY" 201 POST "/twins/$METER/stickers" '{"stickers":{"'"$1"'":{"note":"'"$2"'","recipients":["'"$CONTRACTOR_USER"'","'"$COMPANY_USER"'"],"validity_ts":'"$until"',
		"publish":{"on_put":"'"$1"'","on_remove":["task-completed"],"on_expire":"request-expired"}}}}'
}

say "No sticker yet; then a repair and a review"
call "$COMPANY" 200 GET "/twins/$METER/stickers/"
sticker red "repair now" 86400
sticker yellow "technical review" 86400
call "$COMPANY" 200 GET "/twins/$METER/stickers/"

say "The contractor's list; the repair is done"
call "$CONTRACTOR" 200 GET /stickers
expect "$answer" 'len(it["stickers"])' 2
call "$CONTRACTOR" 200 DELETE "/twins/$METER/stickers/red"
call "$CONTRACTOR" 404 DELETE "/twins/$METER/stickers/red"
call "$CONTRACTOR" 200 GET /stickers
expect "$answer" 'len(it["stickers"])' 1
call "$COMPANY" 404 GET "/twins/$METER/stickers/red"

# subscribe SECRET TOPIC NAME subscribes a topic to /NAME and confirms it.
subscribe() {
	call "$1" 200 POST /notifications/webhooks '{"callback_url":"http://127.0.0.1:'"$CALLBACK/$3"'","topic":"'"$2"'","client_secret":"MDEyMzQ1Njc4OWFi","expires":3600}'
	await "$3.1"
	call "" 200 GET "/notifications/webhooks/?token=$(tokenOf "$(of "$message" 'it["confirmation_url"]')")"
}

say "Webhooks: the contractor hears of requests, the company of what is done and what expires"
subscribe "$CONTRACTOR" red contractor
sticker red "repair again" 86400
await contractor.2
expect "$message" 'it["trigger"]' sticker.put
expect "$message" 'it["event"]["note"]' "repair again"
subscribe "$COMPANY" task-completed completed
call "$CONTRACTOR" 200 DELETE "/twins/$METER/stickers/red"
await completed.2
expect "$message" 'it["trigger"]' sticker.removed

say "A request that nobody takes expires"
subscribe "$COMPANY" request-expired expired
sticker blue "read the meter" 6
await expired.2
expect "$message" 'it["trigger"]' sticker.expired
call "$CONTRACTOR" 404 GET "/twins/$METER/stickers/blue"

say "The company hears no more"
unsubscribe=$(of "$message" 'it["subscription"]["unsubscribe_url"]')
call "" 200 DELETE "/notifications/webhooks/?token=$(tokenOf "$unsubscribe")"
for name in contractor.3 completed.3 expired.3; do
	[ ! -f "$work/$name" ] || fail "$name came: something was told twice"
done
say "Done"
