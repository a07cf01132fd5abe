"""Keys of tokens that somebody publishes by HTTPS: who serves tokens of them, and what becomes of answers that are none."""
import base64
import http.server
import json
import threading

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import echo
from test_auth import bearer, claims
from tls import Pki
from waiting import eventually


def number(value):
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode().rstrip("=")


class Key:
    def __init__(self, name):
        self.name = name
        self.private = ec.generate_private_key(ec.SECP256R1())
        public = self.private.public_key().public_numbers()
        self.public = {"kty": "EC", "crv": "P-256", "kid": name, "x": number(public.x), "y": number(public.y)}

    def sign(self, **more):
        return bearer(jwt.encode(claims(**more), self.private, "ES256", headers={"kid": self.name}))


def keys_of(*keys):
    return json.dumps({"keys": [key.public for key in keys]}).encode()


class Publisher:
    """Answers each path with what `answers` has for it: (status, fields, body), or what writes to the socket by itself."""

    def __init__(self, context):
        self.answers, self.asked = {}, []
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.asked.append(self.path)
                answer = publisher.answers[self.path]
                if callable(answer):
                    answer(self)
                    return
                status, fields, body = answer
                self.send_response(status)
                for name, value in fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = super().get_request()
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, *_):
                pass  # whoever is asked too much goes away
        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def url(self, path):
        return f"https://127.0.0.1:{self.server.server_address[1]}{path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pki(tmp_path):
    pki = Pki(tmp_path)
    pki.make("keys", "IP:127.0.0.1")
    return pki


@pytest.fixture
def publisher(pki):
    publisher = Publisher(pki.server_context("keys"))
    yield publisher
    publisher.close()


def rows(weir):
    return {row["url"].rsplit("/", 1)[1]: row for row in weir.get("/api/v1/keys")["keys"]}


def test_tokens_are_verified_by_keys_that_are_fetched(scene, pki, publisher):
    old, new = Key("old"), Key("new")
    publisher.answers["/keys"] = 503, [], b""
    weir = scene.proxy(echo.echo_server(scene, "s"), workers=2,
                       listener={"auth": {"jwt": {"keys": publisher.url("/keys"), "ca": pki.ca}}})
    client = scene.client(weir)
    # Nobody passes before there are any.
    assert "it answers with 503" in weir.wait_event("keys_not_fetched")["error"]
    answer = client.ask("GET", "/", old.sign())
    assert answer.status == 503 and not answer.has("WWW-Authenticate")
    assert weir.wait_records(1, status=503)[0]["end"] == "auth_unavailable"
    assert (rows(weir)["keys"]["age_ms"], rows(weir)["keys"]["keys"]) == (None, 0)
    weir.wait_metric(1, "weir_auth_key_sources_failing")
    # They come when they are asked for again.
    publisher.answers["/keys"] = 200, [("Cache-Control", "max-age=3600")], keys_of(old)
    eventually(lambda: client.ask("GET", "/", old.sign()).status == 200, "a token of the key that was fetched")
    # Workers have them a moment before whoever fetched them has let go of the connection.
    row = eventually(lambda: next((row for row in rows(weir).values() if row["next_ms"] is not None), None), "the fetch is over")
    assert (row["keys"], row["failures"], row["error"]) == (1, 0, None) and 600000 < row["next_ms"] <= 3600000
    weir.wait_metric(0, "weir_auth_key_sources_failing")
    weir.wait_metric(1, "weir_auth_key_fetches_total", result="fetched")
    # Another configuration has them at once, on each of its workers.
    publisher.answers["/keys"] = 500, [], b""
    asked = len(publisher.asked)
    weir.reload({**weir.config, "timeouts": {"drain": "20s"}})
    for _ in range(4):
        assert scene.client(weir).ask("GET", "/", old.sign()).status == 200
    assert len(publisher.asked) == asked
    # A key that is not known has them fetched; what fails leaves what there was.
    failed = len(weir.events("keys_not_fetched"))
    assert client.ask("GET", "/", new.sign()).status == 401
    assert weir.wait_event("keys_not_fetched", failed + 1)["kept"] == "1"
    assert client.ask("GET", "/", old.sign()).status == 200
    publisher.answers["/keys"] = 200, [], keys_of(new, old)
    eventually(lambda: client.ask("GET", "/", new.sign()).status == 200, "a token of the key that is new")
    assert client.ask("GET", "/", old.sign()).status == 200
    # A signature that is wrong is nothing to ask about.
    asked = len(publisher.asked)
    other = Key("old")
    assert client.ask("GET", "/", other.sign()).status == 401
    assert len(publisher.asked) == asked


def stall(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    handler.wfile.flush()
    handler.connection.recv(1)


def flood(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{")
    while True:
        handler.wfile.write(b" " * 65536)


def test_what_is_no_set_of_keys_is_said_and_nobody_passes_by_it(scene, pki, publisher):
    key = Key("k")
    good = keys_of(key)
    publisher.answers = {
        "/huge": (200, [], b" " * (256 << 10) + good), "/flood": flood, "/html": (200, [("Content-Type", "text/html")], b"<html>"),
        "/moved": (302, [("Location", publisher.url("/good"))], good), "/empty": (200, [], b'{"keys": []}'),
        "/none": (200, [], b""), "/gone": (404, [], good), "/cut": (200, [], good[:-9]), "/good": (200, [], good), "/stall": stall}
    says = {"huge": "over 256 KiB", "flood": "over 256 KiB", "html": "not correct JSON", "moved": "leads elsewhere (302)",
            "empty": "no key", "none": "", "gone": "answers with 404", "cut": "not correct JSON", "strange": "certificate"}
    auth = {path[1:]: {"jwt": {"keys": publisher.url(path), "ca": pki.ca}} for path in publisher.answers}
    auth["strange"] = {"jwt": publisher.url("/strange")}  # the host does not trust who answers
    stalls = auth.pop("stall")
    weir = scene.proxy(echo.echo_server(scene, "s"), listener={"routes": [
        {"name": name, "path": "/" + name, "pool": "web", "auth": how} for name, how in {**auth, "stall": stalls}.items()]})
    for name, words in says.items():
        row = eventually(lambda name=name: rows(weir)[name]["failures"] and rows(weir)[name], f"{name} refused")
        assert words in row["error"] and row["age_ms"] is None, row
    client = scene.client(weir)
    eventually(lambda: client.ask("GET", "/good", key.sign()).status == 200, "the good one beside them")
    for name in says:
        assert client.ask("GET", "/" + name, key.sign()).status == 503
    assert "/strange" not in publisher.asked
    # One that does not end is not waited for without end, nor when weir stops.
    assert eventually(lambda: rows(weir)["stall"]["error"], "the one that stalls given up")
