"""python3 client.py PORT 1.1|1.2: what a client of stomp.py does. It reports what
it sees, and does the next thing when the test says so on a line of its own."""
import json
import sys

import stomp

FEED = "/qapi/twins/did:iotics:f/interests/twins/did:iotics:a/feeds/temp"


def report(**seen):
    print(json.dumps(seen), flush=True)


class Listener(stomp.ConnectionListener):
    def __init__(self, version, connection):
        self.version, self.connection = version, connection

    def on_connected(self, frame):
        report(event="connected", version=frame.headers["version"], beats=frame.headers["heart-beat"])

    def on_receipt(self, frame):
        report(event="receipt", id=frame.headers["receipt-id"])

    def on_message(self, frame):
        report(event="message", subscription=frame.headers["subscription"], destination=frame.headers["destination"], body=frame.body)
        if frame.headers["subscription"] != "2":
            return
        again = frame.headers.get("redelivered") == "true"
        do = self.connection.ack if again else self.connection.nack
        if self.version == "1.2":
            do(frame.headers["ack"])
        else:
            do(frame.headers["message-id"], frame.headers["subscription"])

    def on_error(self, frame):
        report(event="error", message=frame.headers["message"], body=json.loads(frame.body))

    def on_disconnected(self):
        report(event="disconnected")


def main():
    port, version = int(sys.argv[1]), sys.argv[2]
    kind = {"1.1": stomp.Connection11, "1.2": stomp.Connection12}[version]
    connection = kind([("127.0.0.1", port)], heartbeats=(10000, 10000), reconnect_attempts_max=1)
    connection.set_listener("", Listener(version, connection))
    connection.connect("ann", "key", wait=True)
    connection.subscribe(FEED, id="1", receipt="feed")
    sys.stdin.readline()
    connection.subscribe("/topic/stickers/>", id="2", ack="client-individual", receipt="stickers")
    sys.stdin.readline()
    connection.unsubscribe(id="1", receipt="gone")
    sys.stdin.readline()
    connection.subscribe("/nothing", id="3")
    sys.stdin.readline()


main()
