"""The partner: takes messages by Standard Webhooks, believes only what is signed, and is busy when a message comes the first time."""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ.get("HOOK_SECRET", "whsec_cHJpY2VzIG9mIHRoZSBleGFtcGxl")[len("whsec_") :])
TOLERANCE = 300  # seconds
seen = set()
taken = set()


def is_genuine(headers, body):
    """Whether the sender knows the secret, and has sent it just now."""
    number, sent = headers["webhook-id"], headers["webhook-timestamp"]
    digest = hmac.digest(SECRET, f"{number}.{sent}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    fresh = sent.isdigit() and abs(time.time() - int(sent)) < TOLERANCE
    return fresh and any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split())


def receive(headers, body):
    """What is answered: a status."""
    if not all(headers.get(name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")) or not is_genuine(headers, body):
        return 401
    number = headers["webhook-id"]
    if number not in seen:
        seen.add(number)
        print("busy", flush=True)
        return 503
    if number not in taken:  # what comes twice counts once
        taken.add(number)
        price = json.loads(body)
        print(f"{price['article']}: {price['before']} -> {price['amount']}", flush=True)
    return 204


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(receive(self.headers, body))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("RECEIVER_PORT", "9009"))), Receiver)
    print(f"a partner listens: http://127.0.0.1:{server.server_port}/prices", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
