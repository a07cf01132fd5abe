"""An HTTP/2 server for tests, over python3-h2: what it hears is kept a stream at a time, and what it says is the test's.

`answer(connection, stream)` is called for each request once it is whole; `on_head(connection, stream)` as soon as its head
is there, `on_data(connection, stream, bytes)` as its body comes."""
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from tls import TlsSocket
from waiting import LIMIT_S, eventually


class Stream:
    def __init__(self, connection, number, headers):
        self.connection, self.number = connection, number
        self.pairs = headers
        self.headers = dict(headers)
        self.body = bytearray()
        self.trailers = None
        self.has_ended = False
        self.reset = connection.resets.get(number)  # the error code
        self.rest = memoryview(b"")  # of what is to be sent
        self.ends = None  # True, or trailers: behind the rest

    @property
    def path(self):
        return self.headers[":path"]


class Connection:
    def __init__(self, server, sock, index):
        self.server, self.sock, self.index = server, sock, index
        self.lock = threading.RLock()
        self.streams = {}
        self.resets = {}  # by number, of what has been read: python3-h2 has acted on all of it before the first event is noted
        self.goaways = []
        self.has_left = False
        self.last_taken = 0  # streams above are not acted on
        self.is_closed = False
        self.answered_pings = 0
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        if server.tunnels:
            codes = h2.settings.SettingCodes
            self.h2.local_settings = h2.settings.Settings(
                client=False, initial_values={codes.MAX_CONCURRENT_STREAMS: 100, codes.ENABLE_CONNECT_PROTOCOL: 1})

    def run(self):
        if self.server.tls:
            self.sock = TlsSocket(self.sock, self.server.tls, server_side=True)  # a test says what it likes meanwhile
        with self.lock:
            self.h2.initiate_connection()
            if self.server.settings:
                self.h2.update_settings(self.server.settings)
            self.flush()
        while True:
            data = self.sock.recv(65536)
            if not data:
                return
            with self.lock:
                events = self.h2.receive_data(data)
                self.note_resets(events)
                for event in events:
                    self.note(event)
                self.flush()

    def note_resets(self, events):
        """First: a busy machine reads a request, more window and the reset of that stream at once, and must not answer then."""
        self.resets = {event.stream_id: event.error_code for event in events if isinstance(event, h2.events.StreamReset)}
        for number, code in self.resets.items():
            if number in self.streams:
                self.streams[number].reset = code

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def note(self, event):
        server = self.server
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[number] = Stream(self, number, event.headers)
            if self.has_left and number > self.last_taken:
                return
            with server.changed:
                server.streams.append(stream)
                server.changed.notify_all()
            if server.on_head:
                server.on_head(self, stream)
        elif isinstance(event, h2.events.DataReceived):
            stream = self.streams[number]
            stream.body += event.data
            if server.takes and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
            if server.on_data:
                server.on_data(self, stream, event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[number].trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self.streams[number]
            stream.has_ended = True
            if self.has_left and number > self.last_taken:
                return
            if stream.reset is None and server.answer:
                server.answer(self, stream)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for stream in list(self.streams.values()):
                self.send_rest(stream)
        elif isinstance(event, h2.events.PingAckReceived):
            self.answered_pings += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(event.error_code)

    # what a test says

    def head(self, stream, status=200, *fields, ends=False):
        if stream.reset is not None:
            return
        self.h2.send_headers(stream.number, [(":status", str(status)), *fields], end_stream=ends)

    def send(self, stream, data, ends=False):
        """ends: True, or trailers."""
        stream.rest = memoryview(bytes(stream.rest) + data)  # large ones are not copied for every frame
        stream.ends = ends
        self.send_rest(stream)

    def send_rest(self, stream):
        if stream.reset is not None or stream.ends is None:
            return
        while stream.rest:
            room = min(self.h2.local_flow_control_window(stream.number), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            self.h2.send_data(stream.number, bytes(stream.rest[:room]))
            stream.rest = stream.rest[room:]
        ends, stream.ends = stream.ends, None
        if ends is True:
            self.h2.end_stream(stream.number)
        elif ends:
            self.h2.send_headers(stream.number, ends, end_stream=True)

    def respond(self, stream, body=b"ok", status=200, *fields, trailers=None):
        self.head(stream, status, *fields)
        self.send(stream, body, trailers or True)

    def refuse(self, stream, code=h2.errors.ErrorCodes.REFUSED_STREAM):
        if stream.reset is not None:
            return
        stream.reset = code
        self.h2.reset_stream(stream.number, code)

    def leave(self, last, code=0):
        """GOAWAY: what came behind `last` is not acted on. Below python3-h2, for which all would be over with it."""
        self.has_left, self.last_taken = True, last
        self.flush()
        self.raw(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + int(code).to_bytes(4, "big"))

    def raw(self, data):
        self.flush()
        self.sock.sendall(data)

    def close(self):
        self.is_closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def ok(connection, stream):
    connection.respond(stream)


class Http2Server:
    connection_type = Connection

    def __init__(self, answer=ok, on_head=None, on_data=None, settings=None, takes=True, tls=None, tolerant=False, tunnels=False):
        self.answer, self.on_head, self.on_data = answer, on_head, on_data
        self.settings, self.takes, self.tls = settings or {}, takes, tls
        self.tunnels = tunnels  # it says that it takes WebSockets (RFC 8441)
        self.tolerant = tolerant  # weir may be refused in the middle
        self.streams = []
        self.connections = []
        self.faults = []
        self.changed = threading.Condition()
        self.is_stopping = False
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.threads = []
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
            if self.is_stopping:
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                connection = self.connection_type(self, sock, len(self.connections))
                self.connections.append(connection)
                self.changed.notify_all()
            self.start(self.run, connection)

    def run(self, connection):
        try:
            connection.run()
        except (OSError, ssl.SSLError):
            pass
        except h2.exceptions.ProtocolError as error:
            if not self.tolerant and not connection.is_closed and not connection.has_left:
                self.faults.append(f"connection {connection.index}: {error!r}")
        except Exception as error:  # of the test's own
            self.faults.append(f"connection {connection.index}: {error!r}")
        finally:
            with self.changed:
                connection.is_closed = True
                self.changed.notify_all()
            connection.sock.close()

    def wait_streams(self, count):
        eventually(lambda: len(self.streams) >= count, lambda: f"{count} requests, of which came {len(self.streams)}")
        return self.streams

    @property
    def open_connections(self):
        return [c for c in self.connections if not c.is_closed]

    def close(self):
        if self.is_stopping:
            return
        self.is_stopping = True
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            pass
        self.listener.close()
        for connection in list(self.connections):
            connection.close()
        for thread in self.threads:
            thread.join(LIMIT_S)
