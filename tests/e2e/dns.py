"""A name server that answers what a test tells it, over UDP and TCP."""
import contextlib
import socket
import struct
import threading

from ports import reserve_port
from waiting import LIMIT_S

A, AAAA, SRV = 1, 28, 33
UDP_BYTES = 512  # more than that goes over TCP alone (RFC 1035 4.2.1)


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class NameServer:
    """names: {name: [address, …]}; an empty list answers NXDOMAIN, a number is an answer of that code (2: SERVFAIL), None
    nothing at all. Questions of the kinds in `ignored` are never answered, as by name servers that drop AAAA.
    services: {name: [(priority, weight, port, target), …]}."""

    def __init__(self, names, ttl=60, ignored=()):
        self.names = names
        self.services = {}
        self.ttl = ttl
        self.ignored = ignored
        self.questions = []
        self.faults = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port = reserve_port()
        self.socket.bind(("127.0.0.1", port))
        self.address = f"127.0.0.1:{port}"
        self.by_tcp = 0
        self.listener = socket.create_server(("127.0.0.1", port))
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.run, self.run_tcp)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            answer = self.answer(data)
            if answer and len(answer) > UDP_BYTES:
                answer = data[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + data[12:]  # cut, and says so
            if answer:
                self.socket.sendto(answer, peer)

    def run_tcp(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock, sock.makefile("rwb") as file:
                sock.settimeout(LIMIT_S)
                while len(size := file.read(2)) == 2:
                    answer = self.answer(file.read(*struct.unpack("!H", size)))
                    self.by_tcp += 1
                    if not answer:
                        break
                    file.write(struct.pack("!H", len(answer)) + answer)
                    file.flush()

    def answer(self, data):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        kind, = struct.unpack("!H", data[at + 1:at + 3])
        question = data[12:at + 5]
        name = ".".join(labels)
        self.questions.append((name, kind))
        addresses = self.names.get(name.lower(), [])
        targets = self.services.get(name.lower(), []) if kind == SRV else []
        if addresses is None or kind in self.ignored:
            return None
        code = 0
        if isinstance(addresses, int):
            code, addresses = addresses, []
        elif not addresses and not targets:
            code = 3
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        records = [socket.inet_pton(family, address) for address in addresses
                   if (":" in address) == (kind == AAAA)] if family else []
        records += [struct.pack("!HHH", *numbers) + encode_name(target) for *numbers, target in targets]
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        body = b"".join(encode_name(name) + struct.pack("!HHIH", kind, 1, self.ttl, len(record)) + record
                        for record in records)
        return head + question + body

    def close(self):
        if self.socket.fileno() < 0:
            return
        self.socket.sendto(b"", self.socket.getsockname())
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(LIMIT_S)
        self.listener.close()
        self.socket.close()
