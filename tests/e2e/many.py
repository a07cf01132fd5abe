"""Many connections at once, as a program of its own: many.py HOST PORT COUNT

On stdin it takes a line each: `connect` opens COUNT connections, `ask` sends a request on each and reads the answers,
`send TEXT` (escapes allowed) sends on each, `hear_end` waits until the other side has closed each, `close` closes all. After each it prints one JSON object: how many
connections are open, how many answers were right, and what went wrong."""
import collections
import json
import resource
import selectors
import socket
import sys
import time

LIMIT_S = 60
REQUEST = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"


class Crowd:
    def __init__(self, address, count):
        self.address = address
        self.count = count
        self.selector = selectors.EpollSelector()
        self.sockets = set()
        self.faults = collections.Counter()

    def connect(self):
        opening = set()
        for number in range(self.count):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            sock.connect_ex(self.address)
            self.selector.register(sock, selectors.EVENT_WRITE)
            opening.add(sock)
            if number % 200 == 199:
                self.finish_opening(opening, time.monotonic() + LIMIT_S)  # not more than a backlog at a time
        self.finish_opening(opening, time.monotonic() + LIMIT_S)
        return {}

    def finish_opening(self, opening, deadline):
        while opening and time.monotonic() < deadline:
            for key, _ in self.selector.select(1):
                sock = key.fileobj
                self.selector.unregister(sock)
                opening.discard(sock)
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    self.faults[f"connect: {error}"] += 1
                    sock.close()
                else:
                    self.sockets.add(sock)

    def send(self, data):
        for sock in list(self.sockets):
            try:
                sock.send(data)
            except OSError as error:
                self.drop(sock, f"send: {error.errno}")
        return {}

    def drop(self, sock, fault):
        self.faults[fault] += 1
        self.sockets.discard(sock)
        sock.close()

    def ask(self):
        answers = {sock: b"" for sock in self.sockets}
        self.send(REQUEST)
        waiting = set(self.sockets)
        for sock in waiting:
            self.selector.register(sock, selectors.EVENT_READ)
        deadline, right = time.monotonic() + LIMIT_S, 0
        while waiting and time.monotonic() < deadline:
            for key, _ in self.selector.select(1):
                sock = key.fileobj
                try:
                    data = sock.recv(65536)
                except OSError as error:
                    data, fault = b"", f"receive: {error.errno}"
                else:
                    fault = "closed"
                answers[sock] += data
                if data and not is_whole(answers[sock]):
                    continue
                self.selector.unregister(sock)
                waiting.discard(sock)
                if not data:
                    self.drop(sock, fault)
                elif answers[sock].startswith(b"HTTP/1.1 200 "):
                    right += 1
                else:
                    self.faults[answers[sock][:12].decode()] += 1
        for sock in waiting:
            self.selector.unregister(sock)
            self.faults["no answer"] += 1
        return {"right": right}

    def hear_end(self):
        """Until the other side has closed each, having said nothing more."""
        for sock in self.sockets:
            self.selector.register(sock, selectors.EVENT_READ)
        deadline, right = time.monotonic() + LIMIT_S, 0
        while self.sockets and time.monotonic() < deadline:
            for key, _ in self.selector.select(1):
                sock = key.fileobj
                self.selector.unregister(sock)
                try:
                    is_end = not sock.recv(65536)
                except OSError as error:
                    self.drop(sock, f"receive: {error.errno}")
                    continue
                if is_end:
                    right += 1
                    self.sockets.discard(sock)
                    sock.close()
                else:
                    self.drop(sock, "bytes")
        for sock in self.sockets:
            self.selector.unregister(sock)
        return {"right": right}

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        return {}


def is_whole(answer):
    head, mark, body = answer.partition(b"\r\n\r\n")
    if not mark:
        return False
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    crowd = Crowd((sys.argv[1], int(sys.argv[2])), int(sys.argv[3]))
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        if command == "send":
            result = crowd.send(argument.encode().decode("unicode_escape").encode("latin-1"))
        else:
            result = getattr(crowd, command)()
        print(json.dumps({"open": len(crowd.sockets), "faults": dict(crowd.faults), **result}), flush=True)


if __name__ == "__main__":
    main()
