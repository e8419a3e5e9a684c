#!/usr/bin/python3
"""Stands in for flowforge-sandbox and lies to the executor, as its code says; a helper of test/tap/code.py."""
import array
import os
import signal
import socket
import struct
import sys
import time

READY, ENDED = 1, 2
CONSOLE, ANSWER = 2, 3
FINE = b'{"result": {"fine": 1}}'


def frame(kind, data, length=None):
    return struct.pack("=II", len(data) if length is None else length, kind) + data


LIES = {
    "console": frame(CONSOLE, b"{]") + frame(ANSWER, FINE),
    "console of NULs": frame(CONSOLE, b"\0\0") + frame(ANSWER, FINE),
    "answer": frame(ANSWER, b"{]"),
    "nothing": frame(ANSWER, b""),
    "no UTF-8": frame(ANSWER, b'{"result": {"a": "\xff\xfe"}}'),
    "NUL": frame(ANSWER, b'{"result": {"a": "\\u0000"}}'),
    "deep": frame(ANSWER, b'{"result": ' + b"[" * 100000 + b"]" * 100000 + b"}"),
    "no object": frame(ANSWER, b'{"result": 5}'),
    "null": frame(ANSWER, b"null"),
    "list": frame(ANSWER, b"[1]"),
    "large error": frame(ANSWER, b'{"error": {"name": "E", "message": "' + b"x" * 1000000 + b'"}}'),
    "error of a kind": frame(ANSWER, b'{"error": {"name": {"a": 1}, "message": [1]}}'),
    "large frame": frame(ANSWER, b"x", 0xffffffff),
    "kind": frame(77, FINE),
    "half": frame(ANSWER, FINE, 100),
    "flood": frame(CONSOLE, b'{"level": "log", "text": "x"}') * 5000 + frame(ANSWER, FINE),
    "two answers": frame(ANSWER, FINE) * 2,
}


def serve(control, order, stream):
    """False when the zygote is to stop."""
    number = struct.unpack("=IIQQQ", order)[2]
    length, _ = struct.unpack("=II", stream.recv(8, socket.MSG_WAITALL))
    code = stream.recv(length, socket.MSG_WAITALL).split(b'"code":"')[1].split(b'"')[0].decode()
    status = 0
    if code in LIES:
        try:
            stream.sendall(LIES[code])
        except OSError:
            pass  # whoever was lied to has noticed
    elif code == "killed":
        status = signal.SIGSYS
    elif code == "silence":
        stream.close()
        time.sleep(30)
    elif code == "death":
        return False
    stream.close()
    control.send(struct.pack("=IiQQQ", ENDED, status, number, 0, 0))
    return True


def main():
    control = socket.socket(fileno=3)
    control.send(struct.pack("=IiQQQ", READY, 0, 0, 0, 0))
    while True:
        order, ancillary, _, _ = control.recvmsg(100, socket.CMSG_SPACE(4))
        if not order:
            return
        if ancillary:
            descriptors = array.array("i", ancillary[0][2][:4])
            if not serve(control, order, socket.socket(fileno=descriptors[0])):
                os._exit(1)


sys.exit(main())
