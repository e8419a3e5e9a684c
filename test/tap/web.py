"""A web server that answers what a test says, byte for byte, and a name server that answers what a test says."""
import socket
import socketserver
import struct
import threading


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body


class Web:
    """Answers are callables (connection file, request) -> None by path; every request is remembered, and every connection counted."""

    def __init__(self, host="127.0.0.1", port=0):
        self.asked, self.connections, self.answers = [], 0, {}
        web = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                web.connections += 1
                try:
                    while web.one(self.rfile, self.wfile):
                        pass
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server((host, port), Handler)
        self.host, self.port = host, self.server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def one(self, rfile, wfile):
        line = rfile.readline().decode("latin-1").split()
        if len(line) < 2:
            return False
        headers = {}
        while (header := rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        request = Request(line[0], line[1], headers, rfile.read(int(headers.get("content-length", 0))))
        self.asked.append(request)
        answer = self.answers.get(request.path.split("?")[0], reply(200, "fine"))
        return answer(wfile, request) is not False

    def on(self, path, *answers):
        """What a path answers, one after another; the last one from then on."""
        left = list(answers)

        def next_answer(wfile, request):
            return (left.pop(0) if len(left) > 1 else left[0])(wfile, request)

        self.answers[path] = next_answer
        return self.url + path

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def reply(status, body="", **headers):
    """A plain answer; a header's _ is a -."""
    data = body.encode() if isinstance(body, str) else body

    def write(wfile, request):
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        if status not in (204, 304) and "content_length" not in headers:
            lines.append(f"content-length: {len(data)}")
        wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if request.method == "HEAD" else data))
        return True

    return write


def raw(*pieces, pause=0):
    """Bytes as they stand, then the connection is closed."""
    def write(wfile, request):
        for piece in pieces:
            wfile.write(piece)
            wfile.flush()
            if pause:
                threading.Event().wait(pause)
        return False

    return write


def redirect(to, status=302):
    return reply(status, "", location=to)


class Names:
    """A name server on a loopback address: `answers[name]` is a list of lists of IPv4 addresses, given one after another, the last for ever."""

    def __init__(self, host="127.77.0.53"):
        self.answers, self.asked = {}, []
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                sock.sendto(names.answer(data), self.client_address)

        class Server(socketserver.ThreadingUDPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.host = host
        self.server = Server((host, 53), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, kind = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
        addresses = []
        if kind == 1 and name in self.answers:
            left = self.answers[name]
            addresses = left.pop(0) if len(left) > 1 else left[0]
            self.asked.append((name, addresses))
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if name in self.answers else 0x8183, 1, len(addresses), 0, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(a) for a in addresses)
        return head + query[12:at + 5] + records

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
