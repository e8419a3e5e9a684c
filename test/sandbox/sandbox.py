"""What an executor is to the program flowforge-sandbox, for tests: starts its zygote, has it make children, and reads what they answer."""
import array
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import time

START, KILL = 1, 2
READY, ENDED, UNBORN = 1, 2, 3
REQUEST, CONSOLE, ANSWER = 1, 2, 3
MB = 1 << 20


class Zygote:
    def __init__(self, program, memory=128 * MB, stderr=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.memory = memory

        def become():
            os.dup2(theirs.fileno(), 3)
            os.closerange(4, 100)

        began = time.perf_counter()
        version = subprocess.check_output([program, "--version"], text=True).split()[1]
        self.process = subprocess.Popen([program, str(memory), version], preexec_fn=become, close_fds=False, env={}, stderr=stderr)
        theirs.close()
        self.control = ours
        self.control.settimeout(10)
        self.count = 0
        self.ended = {}
        kind, _, _, _, _ = self.notice()
        assert kind == READY, kind
        self.start_ms = (time.perf_counter() - began) * 1000

    def notice(self):
        data = self.control.recv(100)
        if not data:
            raise EOFError('the zygote is gone')
        return struct.unpack('=IiQQQ', data)

    def wait_ended(self, number):
        while number not in self.ended:
            kind, status, who, peak, cpu = self.notice()
            if kind in (ENDED, UNBORN):
                self.ended[who] = (kind, status, peak, cpu)
        return self.ended.pop(number)

    def start(self, seconds=6, output=4 * MB, memory=None):
        """A child: its number and our end of its stream."""
        self.count += 1
        ours, theirs = socket.socketpair()
        order = struct.pack('=IIQQQ', START, seconds, self.count, memory or self.memory, output)
        self.control.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [theirs.fileno()]))])
        theirs.close()
        return self.count, ours

    def kill(self, number):
        self.control.send(struct.pack('=IIQQQ', KILL, 0, number, 0, 0))

    def call(self, code, context=None, input=None, timeout=5.0, request=None, **limits):
        """The answer {result | error, console, status, peak, ms}; after `timeout` the child is killed."""
        began = time.perf_counter()
        number, stream = self.start(**limits)
        body = request if request is not None else json.dumps(
            {'code': code, 'context': context if context is not None else {}, 'input': input}, ensure_ascii=False).encode('utf-8', 'surrogatepass')
        console, answer = [], {}
        stream.settimeout(timeout)
        try:
            stream.sendall(struct.pack('=II', len(body), REQUEST) + body)
            while not answer:
                kind, data = self.frame(stream)
                if kind == CONSOLE:
                    console.append(json.loads(data))
                else:
                    answer = json.loads(data)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass
        except TimeoutError:
            self.kill(number)
            answer = {'error': {'name': 'TimeoutError', 'message': 'killed'}}
        ms = (time.perf_counter() - began) * 1000
        stream.close()
        kind, status, peak, cpu = self.wait_ended(number)
        return {**answer, 'console': console, 'status': status, 'unborn': kind == UNBORN, 'peak': peak, 'cpu_us': cpu, 'ms': ms}

    @staticmethod
    def frame(stream):
        head = Zygote.read(stream, 8)
        length, kind = struct.unpack('=II', head)
        return kind, Zygote.read(stream, length)

    @staticmethod
    def read(stream, length):
        data = bytearray()
        while len(data) < length:
            more = stream.recv(min(length - len(data), MB))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def children(self):
        with open(f'/proc/{self.process.pid}/task/{self.process.pid}/children') as file:
            return [int(pid) for pid in file.read().split()]

    def close(self):
        self.control.close()
        return self.process.wait(5)
