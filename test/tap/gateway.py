"""The gateway in front of a test's cluster, and requests to it over one connection that is kept."""
import http.client
import json
import os
import subprocess

from harness import free_port, wait_for

PROGRAM = os.environ.get("FLOWFORGE_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "gateway", "flowforge"))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        return self.headers.get("content-type", "").split(";")[0]


class Gateway:
    def __init__(self, cluster):
        self.port = free_port()
        self.connection = None
        database = f"postgresql://flowforge_gateway@127.0.0.1:{cluster.port}/{cluster.database}"
        self.process = subprocess.Popen([PROGRAM, "serve", "--db", database, "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.ready, 20, "the gateway is ready")

    def ready(self):
        try:
            return self.ask("GET", "/ready").status == 200
        except (OSError, http.client.HTTPException):
            self.connection = None
            return False

    def ask(self, method, path, body=None, headers=None, first=None):
        """One request. The body is sent as it is when it is bytes, else as JSON; of a stream that begins only `first` bytes are read."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = ({"content-type": "application/json"} if data is not None else {}) | (headers or {})
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.connection.request(method, path, body=data, headers=given)
        response = self.connection.getresponse()
        content = response.read(first if response.status == 200 else None)
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
        if first or response.will_close:
            self.connection.close()
            self.connection = None
        return answer

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
