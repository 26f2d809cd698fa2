"""A webhook that prints what it is told, and checks the hash of each message.

    python3 hook.py SERVER_SECRET

SERVER_SECRET is what the answer to the subscription has shown.
"""
import hashlib, http.server, json, sys, urllib.request
from decimal import Decimal

CLIENT = "MDEyMzQ1Njc4OWFi"
SERVER = sys.argv[1] if len(sys.argv) > 1 else ""

def text(v):
    """A value as it stands in the message: compact, names in order, numbers as written."""
    if isinstance(v, dict):
        return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + text(v[k]) for k in sorted(v)) + "}"
    if isinstance(v, list):
        return "[" + ",".join(map(text, v)) + "]"
    return str(v) if isinstance(v, Decimal) else json.dumps(v, ensure_ascii=False)

def genuine(m):
    names = ["type", "message", "sent_ts", "confirmation_url", "subscription"]
    if m["type"] == "Notification":
        names = ["type", "trigger", "message", "twin", "event", "sent_ts", "subscription"]
    h = hashlib.blake2b(digest_size=32, key=(CLIENT + SERVER).encode())
    for name in names:
        h.update((m[name] if isinstance(m[name], str) else text(m[name])).encode())
    return h.hexdigest() == m["hash"]

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])), parse_float=Decimal, parse_int=Decimal)
        self.send_response(200)
        self.end_headers()
        if m["type"] != "Notification":
            print("confirm:", m["confirmation_url"], flush=True)
        else:
            print(m["trigger"], text(m["event"]), "genuine" if genuine(m) else "FORGED", flush=True)
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Hook).serve_forever()
