"""Servers and clients of datagrams."""
import contextlib
import socket
import threading

from ports import reserve_port
from waiting import LIMIT_S, eventually


class UdpServer:
    """Answers each datagram with its name, a colon and what came; `answer` says otherwise: a function of what came, to a list.
    It waits before that while `held` is set."""

    def __init__(self, name, answer=None, port=None, host="127.0.0.1"):
        self.name = name
        self.faults = []
        self.port = port or reserve_port()
        self.address = f"{host}:{self.port}"
        self.answer = answer or (lambda data: [name.encode() + b":" + data])
        self.received = []
        self.held = threading.Event()
        self.changed = threading.Condition()
        self.socket = None
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.port))
        self.thread = threading.Thread(target=self.run, args=(self.socket,), daemon=True)
        self.thread.start()

    def run(self, sock):
        waiting = []
        sock.settimeout(0.02)
        while True:
            with contextlib.suppress(TimeoutError):
                data, peer = sock.recvfrom(65536)
                if data == b"end of the test's server":
                    sock.close()
                    return
                with self.changed:
                    self.received.append(data)
                    self.changed.notify_all()
                waiting.append((data, peer))
            if self.held.is_set():
                continue
            for data, peer in waiting:
                for answer in self.answer(data):
                    with contextlib.suppress(OSError):
                        sock.sendto(answer, peer)
            waiting.clear()

    def wait_received(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count, LIMIT_S), f"{self.name}: {self.received}"

    def close(self):
        """Its port is closed after that: who sends to it is told so by ICMP."""
        if self.thread.is_alive():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as voice:
                voice.sendto(b"end of the test's server", ("127.0.0.1", self.port))
            self.thread.join(LIMIT_S)


class UdpClient:
    """A port of its own."""

    def __init__(self, address, seconds=LIMIT_S):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(seconds)
        self.socket.connect(address)

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        return self.socket.recv(65536)

    def ask(self, data):
        self.send(data)
        return self.receive()

    def is_silent(self, seconds=0.2):
        """Nothing has come, or comes within a moment: for what must never come."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(LIMIT_S)
        return False

    def close(self):
        self.socket.close()


class DatagramLoad:
    """Questions from ever new ports, and from ports that are kept, without a pause; every one must be answered, to who asked."""

    def __init__(self, address, new=2, kept=2):
        self.address = address
        self.faults = []
        self.count = 0
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(number, number < kept)) for number in range(new + kept)]

    def run(self, number, is_kept):
        client, count = None, 0
        try:
            while not self.ended.is_set():
                client = client if client and is_kept else UdpClient(self.address)
                question = b"%d of %d" % (count, number)
                answer = client.ask(question)
                assert answer.endswith(b":" + question), f"{question} was answered by {answer}"
                count += 1
                if not is_kept:
                    client.close()
                with self.lock:
                    self.count += 1
        except Exception as error:
            self.faults.append(f"{number}, after {count}: {error!r}")
        if client:
            client.close()

    def wait_more(self, count=100):
        wanted = self.count + count
        eventually(lambda: self.count >= wanted or self.faults, f"{count} answers more")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
