"""A client on a raw socket: it sends exactly the bytes that a test wants, and reads strictly."""
import socket

import message
from message import Wire
from tls import TlsSocket
from waiting import LIMIT_S


class Client(Wire):
    def __init__(self, address, receive_buffer=None, limit_s=LIMIT_S, source=None, context=None, name=None,
                 session=None):
        """address: host and port, or the path of a unix socket. context: it speaks TLS, and asks for that name."""
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(limit_s)
        if source:
            sock.bind((source, 0))
        self.was_reset = False
        try:
            sock.connect(address)
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except ConnectionResetError:  # accepted and reset before connect() had returned
            self.was_reset = True
        if context:
            sock = TlsSocket(sock, context, name, session)
        super().__init__(sock, limit_s)
        self.port = sock.getsockname()[1] if not isinstance(address, str) else None

    def fill(self):
        if self.was_reset:
            raise ConnectionResetError
        return super().fill()

    def read(self, method="GET"):
        return message.read_response(self, method)

    def read_head(self):
        return message.read_response_head(self)

    def ask(self, method="GET", target="/", *fields, **options):
        """One request, one response."""
        self.send(message.request(method, target, *fields, **options))
        return self.read(method)

    def read_cut(self, method="GET"):
        """A response that must break off visibly: its head with what came of its body."""
        heads = []
        try:
            whole = message.read_response(self, method, into=heads)
        except (message.Ended, ConnectionResetError):
            return heads[0] if heads else None
        raise AssertionError(f"the response looks whole: {whole.raw_head!r} {whole.body[:200]!r}")

    def check_open(self):
        """Nothing has come, and the connection is still there."""
        self.sock.setblocking(False)
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
            raise AssertionError("closed" if not data else f"something came: {self.sock.recv(1000)!r}")
        except BlockingIOError:
            pass
        finally:
            self.sock.settimeout(self.limit_s)

    def check_closed(self):
        """The end comes (FIN), and nothing before it."""
        rest = self.read_to_end()
        assert rest == b"", f"bytes before the end: {rest[:300]!r}"

    def check_reset(self):
        """A reset comes, whatever else comes before it."""
        try:
            rest = self.read_to_end()
        except ConnectionResetError:
            return
        raise AssertionError(f"a FIN instead of a reset, after {rest[:300]!r}")

    def check_gone(self):
        """FIN or RST, whatever comes before it."""
        try:
            self.read_to_end()
        except ConnectionResetError:
            pass
