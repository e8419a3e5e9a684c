"""Stands in for a model, to try the example without a key: speaks OpenAI's format and knows a handful of words."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def read(text):
    """What a model would find in a ticket."""
    amount = re.search(r"[0-9]+(\.[0-9]+)?", text)
    wants_money = "money back" in text or "refund" in text
    return {
        "kind": "refund" if wants_money else "praise" if "thank" in text.lower() else "question",
        "summary": text.split(". ")[0],
        "refund": float(amount[0]) if wants_money and amount else 0,
    }


def answer(request):
    asked = request["messages"][-1]["content"]
    if "response_format" in request:
        return json.dumps(read(asked))
    return f"Dear customer, thank you for writing. {asked.rsplit('Outcome: ', 1)[-1].capitalize()}."


class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = answer(request)
        usage = {"prompt_tokens": len(str(request["messages"])) // 4, "completion_tokens": len(content) // 4}
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        body = json.dumps({"object": "chat.completion", "model": request["model"], "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("MODEL_PORT", "9010"))), Model)
    print(f"a model that only pretends: http://127.0.0.1:{server.server_port}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
