"""Servers that are killed (SIGKILL) when they have a request, with a journal that outlives them: a process for each connection, so
that thousands die while the port goes on. `python3 dying.py PORT JOURNAL` is the one that forks them."""
import os
import signal
import socket
import subprocess
import sys

from ports import reserve_port
from waiting import LIMIT_S, eventually

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Dying:
    def __init__(self, directory):
        self.port = reserve_port()
        self.address = f"127.0.0.1:{self.port}"
        self.faults = []
        self.journal = os.path.join(str(directory), f"journal-{self.port}")
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(self.port), self.journal])
        eventually(lambda: os.path.exists(self.journal), "it listens")

    def seen(self):
        """(method, target, body) of each request that came whole, in the order in which they came."""
        with open(self.journal) as file:
            return [tuple(line.rstrip("\n").split(" ")) for line in file]

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(LIMIT_S)


def read_request(sock, rest):
    """A request with what comes behind it; None at the end."""
    while b"\r\n\r\n" not in rest:
        data = sock.recv(65536)
        if not data:
            return None
        rest += data
    head, rest = rest.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    length = 0
    for line in lines[1:]:
        name, value = line.split(":", 1)
        if name.lower() == "content-length":
            length = int(value)
    while len(rest) < length:
        data = sock.recv(65536)
        if not data:
            return None
        rest += data
    method, target, _ = lines[0].split(" ")
    return method, target, rest[:length].decode(), rest[length:]


def serve(sock, journal):
    rest = b""
    while (request := read_request(sock, rest)):
        method, target, body, rest = request
        os.write(journal, f"{method} {target} {body or '-'}\n".encode())
        if target.startswith("/die/half"):
            sock.sendall(ANSWER[:20])  # of its head
        if target.startswith("/die"):
            os.kill(os.getpid(), signal.SIGKILL)
        sock.sendall(ANSWER)


def main(port, path):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        sock, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                serve(sock, journal)
            except OSError:
                pass
            os._exit(0)
        sock.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
