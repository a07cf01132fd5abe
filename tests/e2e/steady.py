"""A load at a steady rate, from a process of its own: `python3 steady.py HOST PORT NAME RATE SECONDS`. One of ten requests is a
POST; each has a target of its own. At the end it prints how many it made in which time, and those that were not answered with 200."""
import json
import socket
import subprocess
import sys
import time

SOCKETS = 8


def start(address, name, rate, seconds):
    host, port = address
    return subprocess.Popen([sys.executable, __file__, host, str(port), name, str(rate), str(seconds)], stdout=subprocess.PIPE)


def result(process):
    """{"count", "seconds", "failed": [[method, target, status]]}"""
    out, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(out)


def connect(address):
    sock = socket.create_connection(address, timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_status(sock):
    """Of an answer with a Content-Length; 0 if it broke off."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return 0
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            return 0
        body += piece
    return int(head[9:12])


def main(address, name, rate, seconds):
    sockets = [connect(address) for _ in range(SOCKETS)]
    failed, count = [], 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        asked = []
        for sock in sockets:
            method = "POST" if count % 10 == 9 else "GET"
            target = f"/{name}/{count}"
            body = "Content-Length: 1\r\n\r\nx" if method == "POST" else "\r\n"
            sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: steady\r\n{body}".encode())
            asked.append((method, target))
            count += 1
        for at, (method, target) in enumerate(asked):
            try:
                status = read_status(sockets[at])
            except OSError:
                status = 0
            if status != 200:
                failed.append((method, target, status))
            if not status:
                sockets[at] = connect(address)
        ahead = count / rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    print(json.dumps({"count": count, "seconds": time.monotonic() - began, "failed": failed}))


if __name__ == "__main__":
    main((sys.argv[1], int(sys.argv[2])), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
