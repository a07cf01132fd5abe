"""Servers that do what a test tells them, byte by byte.

A server has a script for each connection that it accepts (the last one is for all that follow); a script is a list of
steps, each a function of the connection. What arrived is kept in `requests`. A request that is not correct HTTP/1, or
a step that failed, fails the test at its end."""
import random
import select
import socket
import ssl
import threading
import time

import message
from message import Wire
from tls import TlsSocket
from waiting import LIMIT_S, eventually


class Stop(Exception):
    """The script of this connection is over."""


class Connection(Wire):
    def __init__(self, server, sock, index):
        super().__init__(sock)
        self.server = server
        self.index = index
        self.request = None  # the latest
        self.count = 0  # requests received
        self.end = None  # "eof" or "reset": how the peer ended it, once a step saw it
        self.rest = b""  # what wait_end() read
        self.is_resumed = False
        self.tls_error = None  # what OpenSSL calls it

    def keep(self, request):
        request.connection = self.index
        request.number = self.count
        self.count += 1
        self.request = request
        with self.server.changed:
            self.server.requests.append(request)
            self.server.changed.notify_all()


# Steps


def receive(connection):
    """A whole request; the script ends if the peer closes instead."""
    request = message.read_request(connection)
    if request is None:
        connection.end = "eof"
        raise Stop
    connection.keep(request)


def receive_head(connection):
    request = message.read_request_head(connection)
    if request is None:
        connection.end = "eof"
        raise Stop
    connection.keep(request)


def receive_body(connection):
    """The body of the head received before."""
    connection.request.read_body(connection, to_end=False)


def receive_bytes(count):
    def step(connection):
        connection.rest += connection.read_exactly(count)
    return step


def send(data):
    def step(connection):
        connection.send(data)
    return step


def send_pieces(data, size=1):
    def step(connection):
        connection.send_pieces(data, size)
    return step


def ok(connection):
    connection.send(message.response())


def half_close(connection):
    connection.half_close()


def close(connection):
    connection.close()
    raise Stop


def reset(connection):
    connection.reset()
    raise Stop


def wait_end(connection):
    """Reads on until the peer ends it, which `end` and `rest` then tell of."""
    end = "eof"
    try:
        while connection.fill():
            pass
    except ConnectionResetError:
        end = "reset"
    connection.rest += connection.take(len(connection.buffer))
    connection.end = end  # last: who waits for it looks at the rest then


def wait_hangup(connection):
    """Behind the peer's end, until the connection is broken: no read shows that any more."""
    poll = select.poll()
    poll.register(connection.sock, 0)  # POLLERR and POLLHUP come in any case
    if not poll.poll(LIMIT_S * 1000):
        raise AssertionError("the peer did not break the connection")
    connection.end = "reset"


def wait_stuck(connection):
    """Until the peer takes no more of what this connection has to send, or all is sent."""
    seen = []

    def stands_still():
        seen.append(message.unsent(connection.sock))
        return len(seen) > 25 and len(set(seen[-25:])) == 1

    eventually(stands_still, lambda: f"nothing moves any more: {seen[-25:]}")


def wait_for(event):
    """Until the test sets the event; nothing is read meanwhile."""
    def step(connection):
        if not event.wait(LIMIT_S):
            raise AssertionError("the test did not set its event")
    return step


def stall(connection):
    """Neither reads nor writes until the test ends."""
    connection.server.stopping.wait(LIMIT_S * 4)
    raise Stop


def be_idle(connection):
    """Between two requests a connection may rest for as long as the test takes; close() ends it."""
    if connection.count and not connection.buffer:
        poll = select.poll()  # there may be more descriptors than select() knows
        poll.register(connection.sock, select.POLLIN)
        poll.poll(8 * LIMIT_S * 1000)


def serve(answer=None):
    """Request after request; answer(request) gives the response's bytes."""
    def step(connection):
        while True:
            be_idle(connection)
            receive(connection)
            connection.send(answer(connection.request) if answer else message.response())
    return step


def serve_and_close_at_random(seed, chance, answer=None):
    """As serve(), but an idle connection is closed at random, also in the very moment in which a request may come."""
    generator = random.Random(seed)
    lock = threading.Lock()

    def step(connection):
        while True:
            receive(connection)
            connection.send(answer(connection.request) if answer else message.response())
            with lock:
                closes = generator.random() < chance
                delay_s = generator.random() * 0.002
            if not closes:
                continue
            threading.Event().wait(delay_s)  # what a server's own idle timer would be
            connection.close()
            raise Stop
    return step


class Server:
    def __init__(self, *scripts, backlog=1024, port=0, path=None, receive_buffer=None, send_buffer=None, tls=None,
                 host="127.0.0.1"):
        """path: of a unix socket, in place of a port. tls: the context, if that is spoken."""
        self.scripts = scripts or ([serve()],)
        self.tls = tls
        self.requests = []
        self.connections = []
        self.faults = []
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.threads = []
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.listener.bind(path or (host, port))
        self.listener.listen(backlog)
        self.port = None if path else self.listener.getsockname()[1]
        self.address = f"unix:{path}" if path else f"{host}:{self.port}"
        self.start(self.accept)

    def start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.stopping.is_set():
                sock.close()
                return
            if self.port:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                connection = Connection(self, sock, len(self.connections))
                self.connections.append(connection)
                self.changed.notify_all()
            script = self.scripts[min(connection.index, len(self.scripts) - 1)]
            self.start(self.run, connection, script)

    def run(self, connection, script):
        try:
            if self.tls:
                connection.sock = TlsSocket(connection.sock, self.tls, server_side=True)
                connection.is_resumed = connection.sock.tls.session_reused
            for step in script:
                step(connection)
        except Stop:
            pass
        except ssl.SSLError as error:
            connection.tls_error = error.reason
        except ConnectionResetError:
            connection.end = "reset"
        except (BrokenPipeError, OSError) as error:
            if not self.stopping.is_set() and not isinstance(error, BrokenPipeError):
                self.faults.append(f"connection {connection.index}: {error!r}")
        except message.Ended as ended:
            connection.end = "eof"
            connection.rest += ended.partial
        except Exception as error:
            self.faults.append(f"connection {connection.index}: {error!r}")
        finally:
            connection.close()
            with self.changed:
                self.changed.notify_all()

    def wait_requests(self, count):
        with self.changed:
            enough = self.changed.wait_for(lambda: len(self.requests) >= count, LIMIT_S)
        assert enough, f"{len(self.requests)} of {count} requests have come"
        return self.requests

    def wait_connection(self, index=0):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.connections) > index, LIMIT_S), f"no connection {index}"
        return self.connections[index]

    def wait_end_of(self, index=0):
        """How the peer ended that connection: "eof" or "reset"."""
        connection = self.wait_connection(index)
        return eventually(lambda: connection.end, f"the end of connection {index}")

    def close(self):
        if self.stopping.is_set():
            return
        self.stopping.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            sock = connection.sock
            try:
                (sock.sock if self.tls and isinstance(sock, TlsSocket) else sock).shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        deadline = time.monotonic() + LIMIT_S
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))


class FullBacklog:
    """A port whose connections never open: its backlog is full and nobody accepts, before serve()."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.faults = []
        self.fillers = []
        self.stopping = threading.Event()
        self.server = None
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def serve(self):
        """From now on each is accepted, and its request answered."""
        def accept():
            while not self.stopping.is_set():
                try:
                    sock, _ = self.listener.accept()
                except OSError:
                    return
                with sock:
                    sock.settimeout(1)
                    try:
                        if sock.recv(65536):
                            sock.sendall(message.response())
                    except OSError:
                        pass
        for filler in self.fillers:
            filler.close()
        self.server = threading.Thread(target=accept)
        self.server.start()

    def close(self):
        self.stopping.set()
        for filler in self.fillers:
            filler.close()
        if self.server:
            self.listener.shutdown(socket.SHUT_RDWR)  # accept() returns
            self.server.join()
            self.server = None
        self.listener.close()
