"""WebSockets over HTTP/2 (RFC 8441): who asks weir for one, and how a server grants it."""
import base64
import hashlib

import broken
import message
from http2 import Http2


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def grant(connection):
    """101, as RFC 6455 has it."""
    key = connection.request.get("Sec-WebSocket-Key")
    connection.send(message.response(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("X-Own", "1"),
                                     ("Sec-WebSocket-Accept", accept_of(key)), body=None, reason="Switching Protocols"))


class Site:
    """weir in front of one server, over TLS or without, and clients of HTTP/2."""

    def __init__(self, scene, pki):
        self.scene, self.pki = scene, pki

    def serve(self, *steps, listener=None, server=None, **config):
        tls = {"tls": {"certificates": [self.pki.make("a", "a.example")]}} if self.pki else {}
        self.server = server or self.scene.server([broken.receive, *steps], [broken.serve()])
        self.weir = self.scene.proxy(self.server, listener={**tls, **(listener or {})}, **config)
        self.http2 = Http2(self.weir.address, context=self.pki.context() if self.pki else None, name="a.example")
        self.scene.clients.append(self.http2)
        self.http2.until(lambda: self.settings, "the first settings")
        return self.http2

    @property
    def settings(self):
        return self.http2.h2.remote_settings.max_header_list_size

    def begin(self, *more, protocol="websocket", path="/chat", client=None):
        """Asks for a tunnel; its stream."""
        client = client or self.http2
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", client.scheme),
                                        (":path", path), (":authority", "a.example"), ("sec-websocket-version", "13"), *more])
        client.flush()
        stream = client.streams[number]
        stream.number = number
        return stream

    def ask(self, *more, **options):
        """The same, with an answer; its number and stream."""
        stream = self.begin(*more, **options)
        self.http2.until(lambda: stream.headers or stream.reset is not None, "an answer")
        return stream.number, stream

    def open(self, *steps, **config):
        self.serve(grant, *steps, **config)
        number, stream = self.ask()
        assert stream.status == 200
        return number, stream

    def say(self, number, data):
        self.http2.send_body(number, data, ends=False)

    def hear(self, stream, count):
        self.http2.until(lambda: len(stream.body) >= count, f"{count} bytes")
        return bytes(stream.body)

    def end_of(self, stream):
        self.http2.until(lambda: stream.has_ended or stream.reset is not None, "the end")
        return stream.reset
