"""HTTP/1 messages as strictly as RFC 9112 writes them: what weir sends is read here, by the clients and by the servers
of the tests alike, so that anything sloppy fails the test that caused it."""
import errno
import fcntl
import re
import socket
import time

from waiting import LIMIT_S

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/(1\.[01])\Z")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\Z")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*)?\Z")
HEAD_MAX = 1 << 20


class Malformed(Exception):
    """The other side sent something that is not correct HTTP/1."""


class Ended(Exception):
    """The other side closed where more had to come; `partial` is what came."""

    def __init__(self, where, partial=b""):
        super().__init__(f"closed {where} after {len(partial)} bytes: {partial[:200]!r}")
        self.partial = partial


class Wire:
    """A socket with a buffer; every wait is bounded."""

    def __init__(self, sock, limit_s=LIMIT_S):
        self.sock = sock
        self.buffer = bytearray()
        self.limit_s = limit_s
        self.has_ended = False
        sock.settimeout(limit_s)

    def fill(self):
        """False at the end of the stream."""
        if self.has_ended:
            return False
        data = self.sock.recv(262144)
        if not data:
            self.has_ended = True
            return False
        self.buffer += data
        return True

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_until(self, mark, limit, where):
        while (at := self.buffer.find(mark)) < 0:
            if len(self.buffer) > limit:
                raise Malformed(f"no end of {where} within {limit} bytes")
            if not self.fill():
                raise Ended(f"in {where}", bytes(self.buffer))
        return self.take(at + len(mark))

    def read_exactly(self, count, where="a body"):
        while len(self.buffer) < count:
            if not self.fill():
                raise Ended(f"in {where}", bytes(self.buffer))
        return self.take(count)

    def read_to_end(self):
        while self.fill():
            pass
        return self.take(len(self.buffer))

    def is_at_end(self):
        """True if nothing comes any more; waits for a byte or the end."""
        return not self.buffer and not self.fill()

    def send(self, data):
        self.sock.sendall(data)

    def send_pieces(self, data, size=1):
        """So that the other side sees it in pieces: the next goes only when the last was acknowledged."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), size):
            self.sock.sendall(data[at:at + size])
            wait_until_taken(self.sock)

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the peer has reset it already
                raise

    def close(self):
        self.sock.close()

    def reset(self):
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def unsent(sock):
    """Bytes that the peer's system has not taken yet."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), 0x5411, b"\0\0\0\0"), "little")  # SIOCOUTQ


def wait_until_taken(sock):
    """Until the peer's kernel has acknowledged all that was sent."""
    deadline = time.monotonic() + LIMIT_S
    while unsent(sock):
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\7":  # TCP_CLOSE: the peer has reset it
            raise ConnectionResetError
        assert time.monotonic() < deadline, "the peer does not take what was sent"
        time.sleep(0)


class Message:
    """A head with its fields; the body and trailers once they are read."""

    def __init__(self, raw_head):
        self.raw_head = raw_head
        self.fields = []  # (name as sent, value), in order
        self.body = b""
        self.trailers = []
        self.framing = "none"  # "none", "length", "chunked", "close"
        self.chunks = []
        lines = raw_head[:-4].split(b"\r\n")
        self.start = lines[0]
        for line in lines[1:]:
            self.fields.append(parse_field(line))
        self.check_framing()

    def all(self, name):
        return [value for known, value in self.fields if known.lower() == name.lower()]

    def get(self, name):
        """The value of a field that must not be there twice; None if absent."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} is there {len(values)} times: {values}")
        return values[0] if values else None

    def has(self, name):
        return bool(self.all(name))

    def options(self):
        """The options in Connection, in lower case."""
        return [option.strip().lower() for value in self.all("Connection") for option in value.split(",")]

    def check_framing(self):
        length, coding = self.get("Content-Length"), self.get("Transfer-Encoding")
        if length is not None and coding is not None:
            raise Malformed("Content-Length together with Transfer-Encoding")
        if length is not None and not re.fullmatch("[0-9]+", length):
            raise Malformed(f"Content-Length: {length}")
        if coding is not None and coding.lower() != "chunked":
            raise Malformed(f"Transfer-Encoding: {coding}")
        if coding is not None and self.start.endswith(b"HTTP/1.0"):
            raise Malformed("Transfer-Encoding in HTTP/1.0")

    def read_body(self, wire, to_end):
        """to_end: without framing the body goes to the end of the connection (responses)."""
        if self.has("Transfer-Encoding"):
            self.framing = "chunked"
            self.read_chunks(wire)
        elif self.has("Content-Length"):
            self.framing = "length"
            self.read_length(wire, int(self.get("Content-Length")))
        elif to_end:
            self.framing = "close"
            self.body = wire.read_to_end()

    def read_length(self, wire, length):
        try:
            self.body = wire.read_exactly(length)
        except Ended as ended:
            self.body = ended.partial
            raise

    def read_chunk_size(self, wire):
        line = wire.read_until(b"\r\n", 1024, "a chunk's size")[:-2]
        match = CHUNK_LINE.match(line)
        if not match:
            raise Malformed(f"chunk size {line!r}")
        return int(match[1], 16)

    def read_chunks(self, wire):
        pieces = []  # joined once: a long body has thousands of chunks
        try:
            while size := self.read_chunk_size(wire):
                self.chunks.append(size)
                pieces.append(wire.read_exactly(size))
                if wire.read_exactly(2, "a chunk's end") != b"\r\n":
                    raise Malformed("a chunk that does not end in CRLF")
        except Ended as ended:
            if len(pieces) < len(self.chunks):
                pieces.append(ended.partial)
            raise
        finally:
            self.body = b"".join(pieces)
        while line := wire.read_until(b"\r\n", 65536, "trailers")[:-2]:
            self.trailers.append(parse_field(line))


def parse_field(line):
    match = FIELD_LINE.match(line)
    if not match:
        raise Malformed(f"field line {line!r}")
    return match[1].decode("latin-1"), match[2].decode("latin-1")


class Request(Message):
    def __init__(self, raw_head):
        super().__init__(raw_head)
        match = REQUEST_LINE.match(self.start)
        if not match:
            raise Malformed(f"request line {self.start!r}")
        self.method, self.target, self.version = (part.decode("latin-1") for part in match.groups())


class Response(Message):
    def __init__(self, raw_head):
        super().__init__(raw_head)
        match = STATUS_LINE.match(self.start)
        if not match:
            raise Malformed(f"status line {self.start!r}")
        self.version, self.status, self.reason = match[1].decode(), int(match[2]), match[3].decode("latin-1")
        self.interim = []  # the 1xx before it

    @property
    def text(self):
        return self.body.decode()


def read_request_head(wire):
    """None if the other side closed before it began."""
    if wire.is_at_end():
        return None
    return Request(wire.read_until(b"\r\n\r\n", HEAD_MAX, "a request's head"))


def read_request(wire):
    request = read_request_head(wire)
    if request is not None:
        request.read_body(wire, to_end=False)
    return request


def read_response_head(wire, method="GET"):
    return Response(wire.read_until(b"\r\n\r\n", HEAD_MAX, f"the head of the response to {method}"))


def read_response(wire, method="GET", into=None):
    """The final response with the interim ones before it. `into` (a list) keeps its head if the body is cut off."""
    interim = []
    while True:
        response = read_response_head(wire, method)
        if response.status >= 200 or response.status == 101:
            break
        if response.has("Content-Length") or response.has("Transfer-Encoding"):
            raise Malformed(f"{response.status} with framing")
        interim.append(response)
    response.interim = interim
    if into is not None:
        into.append(response)
    is_bodiless = method == "HEAD" or response.status in (101, 204, 304)
    if response.status in (101, 204) and (response.has("Content-Length") or response.has("Transfer-Encoding")):
        raise Malformed(f"{response.status} with framing")
    if not is_bodiless:
        response.read_body(wire, to_end=True)
    return response


def render(start, fields, body=b""):
    lines = [start] + [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def request(method="GET", target="/", *fields, body=None, host="example.test", version="1.1"):
    """Bytes of a request; a body gets its Content-Length."""
    all_fields = ([("Host", host)] if host is not None else []) + list(fields)
    if body is not None:
        all_fields.append(("Content-Length", str(len(body))))
    return render(f"{method} {target} HTTP/{version}", all_fields, body or b"")


def response(status=200, *fields, body=b"ok", reason="OK", version="1.1"):
    """Bytes of a response with its Content-Length (none if body is None)."""
    all_fields = list(fields) + ([("Content-Length", str(len(body)))] if body is not None else [])
    return render(f"HTTP/{version} {status} {reason}", all_fields, body or b"")


def chunked(*pieces, trailers=()):
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return data + b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"
