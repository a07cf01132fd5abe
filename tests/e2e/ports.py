"""Ports on 127.0.0.1 that nobody else has: for programs that must be told theirs.

They lie below the kernel's ephemeral range, so that no outgoing connection takes one, and are reserved by an abstract
unix socket of that name, so that test processes side by side never choose the same."""
import random
import socket

FIRST, LAST = 11000, 31999
reserved = []


def reserve_port():
    generator = random.SystemRandom()
    for _ in range(10000):
        port = generator.randint(FIRST, LAST)
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0weir-e2e-port-{port}")
        except OSError:
            lock.close()
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                lock.close()
                continue
        reserved.append(lock)  # until this process ends
        return port
    raise AssertionError("no free port")
