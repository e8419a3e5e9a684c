"""A mail server that keeps what it is sent, byte for byte, and answers what a test says; with STARTTLS and AUTH if it has a certificate."""
import base64
import os
import socket
import socketserver
import ssl
import subprocess
import threading


def certificate(directory):
    """A self-signed certificate for localhost; gives (certificate file, key file)."""
    files = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    for name in files:
        os.chmod(name, 0o644)
    return files


class Mail:
    def __init__(self):
        self.sender, self.recipients, self.data, self.tls, self.user = None, [], b"", False, None


class Postbox:
    """`answers` maps the beginning of a command ("RCPT TO:<a@b>", "DATA", ".") to a list of replies, given one after another; then it is 250."""

    def __init__(self, files=None, implicit=False, silent_quit=False, host="127.0.0.1"):
        self.mails, self.answers, self.said = [], {}, []
        self.context = None
        if files:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*files)
        self.implicit, self.silent_quit = implicit, silent_quit
        box = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    box.talk(self.request)
                except (OSError, ssl.SSLError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Server((host, 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"smtp{'s' if implicit else ''}://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def reply_to(self, line, usual):
        for beginning, replies in self.answers.items():
            if line.upper().startswith(beginning.upper()) and replies:
                return replies.pop(0)
        return usual

    def talk(self, sock):
        if self.implicit:
            sock = self.context.wrap_socket(sock, server_side=True)
        mail, stream = Mail(), sock.makefile("rwb", buffering=0)
        mail.tls = self.implicit

        def say(text):
            stream.write(text.encode() + b"\r\n")

        say(self.reply_to("CONNECT", "220 box ESMTP"))
        while line := stream.readline().decode("latin-1").strip():
            self.said.append(line)
            verb = line.split()[0].upper()
            if verb == "EHLO":
                more = ["250-box", "250-SIZE 10000000"]
                if self.context and not mail.tls:
                    more.append("250-STARTTLS")
                say("\r\n".join(more + ["250 AUTH PLAIN"]))
            elif verb == "STARTTLS":
                say("220 go")
                sock = self.context.wrap_socket(sock, server_side=True)
                stream = sock.makefile("rwb", buffering=0)
                mail.tls = True
            elif verb == "AUTH":
                words = line.split()
                if len(words) < 3:
                    say("334 ")
                    words.append(stream.readline().decode().strip())
                mail.user = base64.b64decode(words[2]).decode().split("\0")[1:]
                say(self.reply_to("AUTH", "235 welcome"))
            elif verb == "MAIL":
                mail.sender = line[line.index("<") + 1:line.index(">")]
                say(self.reply_to(line, "250 ok"))
            elif verb == "RCPT":
                reply = self.reply_to(line, "250 ok")
                if reply.startswith("250"):
                    mail.recipients.append(line[line.index("<") + 1:line.index(">")])
                say(reply)
            elif verb == "DATA":
                reply = self.reply_to("DATA", "354 go on")
                say(reply)
                if reply.startswith("354"):
                    while (data := stream.readline()) not in (b".\r\n", b""):
                        mail.data += data[1:] if data.startswith(b"..") else data
                    reply = self.reply_to(".", "250 queued as 7")
                    if reply is None:
                        return
                    if callable(reply):
                        reply = reply()
                    if reply.startswith("250"):
                        self.mails.append(mail)
                    say(reply)
            elif verb == "QUIT":
                if self.silent_quit:
                    threading.Event().wait(20)
                say("221 bye")
                return
            else:
                say("502 what?")
