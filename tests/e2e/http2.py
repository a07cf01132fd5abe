"""An HTTP/2 client for tests, over python3-h2: what it hears is kept a stream at a time. Frames that a library would not
send go out as bytes."""
import collections
import socket
import ssl
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events
import hpack

from waiting import LIMIT_S

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def fields(method="GET", path="/", *more, authority="example.test", scheme="http"):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *more]


def block(*pairs):
    """A field block without the tables: whatever it is given."""
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(name, value) for name, value in pairs], huffman=False)


class Stream:
    def __init__(self):
        self.interim, self.headers, self.trailers = [], None, None
        self.body = bytearray()
        self.has_ended = False
        self.reset = None  # the error code

    @property
    def status(self):
        return int(self.headers[":status"]) if self.headers else None


class Http2:
    """`takes`: windows are opened as bytes come; else only by credit()."""

    def __init__(self, address, context=None, name=None, takes=True, initial_window=None, receive_buffer=None):
        sock = socket.socket()
        sock.settimeout(LIMIT_S)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname=name)
            assert sock.selected_alpn_protocol() == "h2"
        self.sock = sock
        self.takes = takes
        self.scheme = "https" if context else "http"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8",
                                                                       validate_outbound_headers=False,
                                                                       normalize_outbound_headers=False))
        self.streams = collections.defaultdict(Stream)
        self.goaways = []  # (last stream, error code)
        self.pings = 0
        self.is_closed = False
        if initial_window is not None:
            self.h2.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = initial_window
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.sock.close()

    def fill(self):
        """Takes what comes next; False at the end."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.is_closed = True
            return False
        for event in self.h2.receive_data(data):
            self.note(event)
        if not self.goaways:
            self.flush()
        return True

    def note(self, event):
        stream = self.streams[event.stream_id] if getattr(event, "stream_id", None) else None
        if isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(dict(event.headers))
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.takes and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.has_ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, event.error_code))
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1

    def until(self, condition, what):
        while not condition():
            assert self.fill(), f"closed before {what}: {self.goaways}"

    def request(self, method="GET", path="/", *more, body=None, ends=True, trailers=None, **options):
        """Sends a request, as far as the windows allow; its stream's number."""
        number = self.h2.get_next_available_stream_id()
        head = fields(method, path, *more, scheme=self.scheme, **options)
        self.h2.send_headers(number, head, end_stream=body is None and trailers is None and ends)
        self.flush()
        if body is not None:
            self.send_body(number, body, ends and trailers is None)
        if trailers is not None:
            self.h2.send_headers(number, trailers, end_stream=True)
            self.flush()
        return number

    def send_body(self, number, body, ends=True):
        at = 0
        while at < len(body) and not self.streams[number].has_ended and self.streams[number].reset is None:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(body) - at)
            if room <= 0:
                assert self.fill(), "closed while sending"
                continue
            self.h2.send_data(number, body[at:at + room])
            self.flush()
            at += room
        if ends and self.streams[number].reset is None:
            self.h2.end_stream(number)
            self.flush()

    def read(self, number):
        """The whole response."""
        stream = self.streams[number]
        self.until(lambda: stream.has_ended or stream.reset is not None, f"the end of stream {number}")
        return stream

    def ask(self, *arguments, **options):
        return self.read(self.request(*arguments, **options))

    def wait_goaway(self, code):
        """The connection ends for this reason."""
        self.until(lambda: self.goaways, "a GOAWAY")
        assert self.goaways[-1][1] == code, self.goaways
        while self.fill():
            pass

    def credit(self, count, number=None):
        self.h2.increment_flow_control_window(count, number)
        self.flush()
