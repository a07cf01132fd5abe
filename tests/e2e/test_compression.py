"""Responses that are compressed on their way: negotiated, streamed, and true in what they say of themselves."""
import hashlib
import random
import subprocess
import threading
import zlib

import pytest

import broken
import http2
import message
from tls import Pki
from waiting import LIMIT_S, eventually

ALGORITHMS = ["gzip", "br", "zstd"]
TEXT = ("Content-Type", "text/plain; charset=utf-8")
ASKS = ("Accept-Encoding", "gzip")


def words(count, seed=7):
    """Text that is neither too easy nor too hard."""
    generator = random.Random(seed)
    known = [bytes(generator.choices(b"abcdefghijklmnopqrstuvwxyz ", k=generator.randrange(2, 12))) for _ in range(500)]
    return b" ".join(generator.choices(known, k=count // 7))[:count]


def unzip(body):
    """What a whole gzip body says."""
    decoder = zlib.decompressobj(31)
    text = decoder.decompress(body)
    assert decoder.eof and not decoder.unused_data, "the coding has no end"
    return text


def answer(*fields, body=None, status=200):
    return lambda request: message.response(status, *fields, body=body)


def proxy(scene, script, listener=None, **config):
    """weir, which compresses, before a server with that script or answer."""
    server = scene.server([broken.serve(script)] if callable(script) else script)
    return server, scene.proxy(server, listener={"compress": True, **(listener or {})}, **config)


# what real clients make of it


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("way", ["plain", "h2c", "tls", "h2"])
def test_clients_read_what_the_server_sent(scene, tmp_path, algorithm, way):
    long, short = words(3_000_000), words(12_000)
    pieces = [long[at:at + 7000] for at in range(0, len(long), 7000)]
    bodies = {
        "/length": (long, answer(TEXT, body=long)),
        "/short": (short, answer(TEXT, body=short)),
        "/chunked": (long, lambda _: message.response(200, TEXT, ("Transfer-Encoding", "chunked"), body=None)
                     + message.chunked(*pieces)),
    }
    tls = {}
    if way in ("tls", "h2"):
        pki = Pki(tmp_path)
        tls = {"tls": {"certificates": [pki.make("a", "a.example")]}}
    _, weir = proxy(scene, lambda request: bodies[request.target][1](request), tls)
    host, port = weir.address
    for path, (body, _) in bodies.items():
        head, out = tmp_path / "head", tmp_path / "out"
        options = ["--http2-prior-knowledge"] if way == "h2c" else ["--http2"] if way == "h2" else ["--http1.1"]
        url = f"http://{host}:{port}{path}"
        if tls:
            options += ["--cacert", pki.ca, "--resolve", f"a.example:{port}:{host}"]
            url = f"https://a.example:{port}{path}"
        subprocess.run(["curl", "-sS", "--max-time", "60", *options, "--compressed", "-H", f"Accept-Encoding: {algorithm}",
                        "-D", head, "-o", out, url], check=True)
        assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(body).digest()
        fields = head.read_text().lower().splitlines()
        assert f"content-encoding: {algorithm}" in fields, fields
        assert not [field for field in fields if field.startswith("content-length")]
    assert weir.metric("weir_compressed_responses_total", listener="web", algorithm=algorithm) == len(bodies)
    weir.wait_metric(2 * len(long) + len(short), "weir_compressed_bytes_in_total", algorithm=algorithm)
    assert 0 < weir.metric("weir_compressed_bytes_out_total", algorithm=algorithm) < len(long)


def test_the_head_says_what_became_of_it(scene):
    body = words(20_000)
    fields = [TEXT, ("ETag", '"a-1"'), ("Accept-Ranges", "bytes"), ("Content-MD5", "x"), ("Digest", "x"),
              ("Repr-Digest", "x"), ("Content-Digest", "x"), ("Last-Modified", "x"), ("Vary", "Origin")]
    _, weir = proxy(scene, answer(*fields, body=body))
    client = scene.client(weir)
    got = client.ask("GET", "/", ASKS)
    assert unzip(got.body) == body and len(got.body) < len(body) // 2
    assert got.framing == "chunked" and got.get("Content-Encoding") == "gzip"
    assert got.get("ETag") == 'W/"a-1"' and got.all("Vary") == ["Origin", "Accept-Encoding"]
    assert got.get("Last-Modified") == "x"
    for name in ("Accept-Ranges", "Content-MD5", "Digest", "Repr-Digest", "Content-Digest"):
        assert not got.has(name)
    # To another client it is the server's own, but for caches that must tell them apart.
    got = client.ask("GET", "/")
    assert got.body == body and got.framing == "length" and got.get("ETag") == '"a-1"' and got.has("Repr-Digest")
    assert got.all("Vary") == ["Origin", "Accept-Encoding"] and not got.has("Content-Encoding")
    # HEAD says what GET would.
    got = client.ask("HEAD", "/", ASKS)
    assert got.get("Content-Encoding") == "gzip" and got.get("ETag") == 'W/"a-1"' and not got.has("Content-Length")
    assert got.all("Vary") == ["Origin", "Accept-Encoding"]
    assert unzip(client.ask("GET", "/", ASKS).body) == body


LONG = words(20_000)


@pytest.mark.parametrize("request_fields, fields, status, body, reason", [
    ([], [TEXT], 200, LONG, "client"),
    ([("Accept-Encoding", "gzip;q=0, deflate")], [TEXT], 200, LONG, "client"),
    ([ASKS], [("Content-Type", "image/png")], 200, LONG, "type"),
    ([ASKS], [], 200, LONG, "type"),
    ([ASKS], [TEXT], 200, LONG[:1023], "small"),
    ([ASKS], [TEXT, ("Content-Encoding", "gzip")], 200, zlib.compress(LONG, wbits=31), "encoded"),
    ([ASKS], [TEXT, ("Cache-Control", "no-transform")], 200, LONG, "no_transform"),
    ([ASKS], [TEXT, ("Content-Range", "bytes 0-19999/30000")], 206, LONG, "status"),
    ([ASKS], [TEXT, ("Set-Cookie", "a=b")], 200, LONG, "secret"),
    ([ASKS], [TEXT, ("Cache-Control", "private")], 200, LONG, "secret"),
    ([ASKS, ("Cookie", "session=1")], [TEXT], 200, LONG, "secret"),
    ([ASKS, ("Authorization", "Bearer x")], [TEXT], 200, LONG, "secret"),
])
def test_what_is_not_to_be_compressed_passes_as_it_is(scene, request_fields, fields, status, body, reason):
    _, weir = proxy(scene, answer(*fields, ("ETag", '"x"'), ("Accept-Ranges", "bytes"), body=body, status=status))
    got = scene.client(weir).ask("GET", "/", *request_fields)
    assert got.status == status and got.body == body and got.framing == "length" and got.get("ETag") == '"x"'
    assert got.all("Content-Encoding") == [value for name, value in fields if name == "Content-Encoding"]
    assert got.all("Accept-Ranges") == ["bytes"]
    assert got.all("Vary") == (["Accept-Encoding"] if reason in ("client", "secret") else [])
    assert weir.metric("weir_uncompressed_responses_total", listener="web", reason=reason) == 1


def test_a_client_of_1_0_gets_it_as_it_is(scene):
    _, weir = proxy(scene, answer(TEXT, body=LONG))
    got = scene.client(weir).ask("GET", "/", ASKS, version="1.0")
    assert got.body == LONG and got.framing == "length" and not got.has("Content-Encoding")


def test_what_has_no_body_stays_without(scene):
    def script(request):
        if request.target == "/304":
            return message.response(304, ("ETag", '"x"'), body=None)
        return message.response(204, body=None)

    _, weir = proxy(scene, script)
    client = scene.client(weir)
    assert not client.ask("GET", "/204", ASKS).has("Content-Encoding")
    # Whoever has it from the server itself is told so, and whoever has it compressed likewise.
    assert client.ask("GET", "/304", ASKS, ("If-None-Match", '"x"')).get("ETag") == '"x"'
    got = client.ask("GET", "/304", ASKS, ("If-None-Match", 'W/"x"'))
    assert got.status == 304 and got.get("ETag") == 'W/"x"' and got.all("Vary") == ["Accept-Encoding"]


def test_a_real_server_knows_its_entity_tag_again(scene):
    nginx = scene.nginx()
    nginx.write("a.txt", LONG)
    weir = scene.proxy(nginx, listener={"compress": {"least": "1KiB"}})
    client = scene.client(weir)
    got = client.ask("GET", "/files/a.txt", ASKS)
    tag = got.get("ETag")
    assert unzip(got.body) == LONG and tag.startswith('W/"')
    again = client.ask("GET", "/files/a.txt", ASKS, ("If-None-Match", tag))
    assert again.status == 304 and again.get("ETag") == tag
    # A part of what it has would be another part of the server's: If-Range says no, and all of it comes.
    part = client.ask("GET", "/files/a.txt", ASKS, ("Range", "bytes=10-19"), ("If-Range", tag))
    assert part.status == 200 and unzip(part.body) == LONG
    plain = client.ask("GET", "/files/a.txt", ASKS, ("Range", "bytes=10-19"))
    assert plain.status == 206 and plain.body == LONG[10:20] and not plain.has("Content-Encoding")


def test_the_access_log_tells(scene, tmp_path):
    path = tmp_path / "access.log"
    _, weir = proxy(scene, answer(TEXT, body=LONG), access_log={
        "path": str(path), "format": "$body_bytes_sent $weir_compression $gzip_ratio"})
    client = scene.client(weir)
    sizes = [len(client.ask("GET", "/", *fields).body) for fields in ([ASKS], [])]
    weir.wait_records(2)
    lines = eventually(lambda: path.read_text().splitlines()[1:] and path.read_text().splitlines(), "two lines")
    assert lines == [f"{sizes[0]} gzip {len(LONG) / sizes[0]:.2f}", f"{sizes[1]} - -"]


def test_routes_say_otherwise(scene):
    routes = [{"name": "no", "path": "/no", "pool": "web", "compress": False},
              {"name": "all", "path": "/all", "pool": "web", "compress": {"secret": True, "algorithms": ["br", "gzip"]}},
              {"name": "rest", "pool": "web"}]
    _, weir = proxy(scene, answer(TEXT, ("Set-Cookie", "a=b"), body=LONG), {"routes": routes})
    client = scene.client(weir)
    got = client.ask("GET", "/no", ASKS)
    assert got.body == LONG and not got.has("Vary")
    assert unzip(client.ask("GET", "/all", ("Accept-Encoding", "zstd, gzip")).body) == LONG
    assert client.ask("GET", "/rest", ASKS).body == LONG


def test_the_server_need_not_know_what_the_client_takes(scene):
    """A rule that takes Accept-Encoding out keeps servers from compressing, and weir not."""
    routes = [{"pool": "web", "request_headers": {"remove": ["Accept-Encoding"]}}]
    server, weir = proxy(scene, answer(TEXT, body=LONG), {"routes": routes})
    assert unzip(scene.client(weir).ask("GET", "/", ASKS).body) == LONG
    assert not server.requests[0].has("Accept-Encoding")


def test_trailers_follow_but_for_what_is_not_true(scene):
    data = message.response(200, TEXT, ("Transfer-Encoding", "chunked"), body=None) + message.chunked(
        LONG[:9000], LONG[9000:], trailers=[("X-Sum", "1"), ("Repr-Digest", "x")])
    _, weir = proxy(scene, lambda _: data)
    client = scene.client(weir)
    for _ in range(2):
        got = client.ask("GET", "/", ASKS)
        assert unzip(got.body) == LONG and got.trailers == [("X-Sum", "1")]
    stream = scene_http2(scene, weir).ask("GET", "/", ("accept-encoding", "gzip"))
    assert unzip(bytes(stream.body)) == LONG and stream.trailers == {"x-sum": "1"}


def scene_http2(scene, weir, **options):
    client = http2.Http2(weir.address, **options)
    scene.clients.append(client)
    return client


# on its way


def read_until(client, decoder, wanted):
    """Chunks as they come, until they say that."""
    text = b""
    while wanted not in text:
        size = int(client.read_until(b"\r\n", 100, "a chunk's size"), 16)
        assert size, f"the end came before {wanted}"
        text += decoder.decompress(client.read_exactly(size + 2)[:-2])
    return text


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
def test_what_has_come_is_there_at_once(scene, kind):
    """The next event comes only when the client has read the one before."""
    seen = [threading.Event() for _ in range(4)]
    steps = [broken.receive, broken.send(message.response(200, ("Content-Type", kind), ("Transfer-Encoding", "chunked"),
                                                          body=None))]
    for number, event in enumerate(seen):
        data = b"data: %d\n\n" % number
        steps += [broken.send(b"%x\r\n%b\r\n" % (len(data), data)), broken.wait_for(event)]
    _, weir = proxy(scene, [*steps, broken.send(b"0\r\n\r\n"), broken.wait_end])
    client = scene.client(weir)
    client.send(message.request("GET", "/", ASKS))
    assert client.read_head().get("Content-Encoding") == "gzip"
    decoder = zlib.decompressobj(31)
    for number, event in enumerate(seen):
        read_until(client, decoder, b"data: %d\n\n" % number)
        event.set()
    rest = client.read_until(b"\r\n0\r\n\r\n", 1000, "the end")
    decoder.decompress(rest[rest.index(b"\r\n") + 2:-7])
    assert decoder.eof


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_events_are_live_for_curl(scene, algorithm, version):
    seen = threading.Event()
    event = b"data: " + b"x" * 50 + b"\n\n"
    script = [broken.receive,
              broken.send(message.response(200, ("Content-Type", "text/event-stream"), body=None) + event),
              broken.wait_for(seen), broken.send(event), broken.close]
    _, weir = proxy(scene, script)
    curl = subprocess.Popen(["curl", "-sSN", "--max-time", str(LIMIT_S), version, "--compressed",
                             "-H", f"Accept-Encoding: {algorithm}", "http://%s:%d/" % weir.address], stdout=subprocess.PIPE)
    assert curl.stdout.read(len(event)) == event
    seen.set()
    assert curl.stdout.read() == event
    assert curl.wait() == 0
    weir.wait_metric(2 * len(event), "weir_compressed_bytes_in_total", algorithm=algorithm)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("how", [broken.close, broken.reset])
def test_a_cut_is_seen_as_one(scene, how, is_chunked):
    framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(len(LONG)))
    part = b"%x\r\n%b" % (len(LONG), LONG[:9000]) if is_chunked else LONG[:9000]
    seen = threading.Event()
    head = message.response(200, TEXT, framing, body=None)
    _, weir = proxy(scene, [broken.receive, broken.send(head + part), broken.wait_for(seen), how])
    client = scene.client(weir)
    client.send(message.request("GET", "/", ASKS))
    decoder = zlib.decompressobj(31)
    client.read_head()
    assert read_until(client, decoder, LONG[8990:9000]) == LONG[:9000]  # the pause has brought all of it
    second = scene_http2(scene, weir)
    stream = second.request("GET", "/", ("accept-encoding", "gzip"))
    second.until(lambda: second.streams[stream].body, "the first bytes")
    seen.set()
    try:
        rest = client.read_to_end()
    except ConnectionResetError:
        rest = b""
    assert b"0\r\n\r\n" not in rest and not decoder.eof
    got = second.read(stream)
    assert got.reset is not None and not got.has_ended


def test_a_client_that_goes_away_leaves_nothing(scene):
    server, weir = proxy(scene, [broken.receive, broken.send(message.response(
        200, TEXT, ("Content-Length", "100000000"), body=None)), *[broken.send(words(100_000, seed)) for seed in range(20)],
        broken.wait_end])
    client = scene.client(weir)
    client.send(message.request("GET", "/", ASKS))
    client.read_head()
    client.reset()
    server.wait_end_of(0)
    weir.wait_live(exchanges=0)


@pytest.mark.parametrize("version", [1, 2])
def test_a_slow_client_holds_the_server_back(scene, version):
    body = random.Random(3).randbytes(20_000_000)  # as large as it was, once it is compressed
    has_stood = threading.Event()

    def note(connection):
        has_stood.set()

    def send_in_background(connection):
        thread = threading.Thread(target=lambda: connection.sock.sendall(body), daemon=True)
        thread.start()
        broken.wait_stuck(connection)
        note(connection)
        thread.join(LIMIT_S)

    server, weir = proxy(scene, [broken.receive, broken.send(message.response(
        200, TEXT, ("Content-Length", str(len(body))), body=None)), send_in_background, broken.wait_end])
    if version == 1:
        client = scene.client(weir, receive_buffer=65536)
        client.send(message.request("GET", "/", ASKS))
        assert has_stood.wait(LIMIT_S)
        assert unzip(client.read().body) == body
    else:
        client = scene_http2(scene, weir, initial_window=65535)
        number = client.request("GET", "/", ("accept-encoding", "gzip"))
        assert has_stood.wait(LIMIT_S)
        assert unzip(bytes(client.read(number).body)) == body


def test_beyond_its_memory_it_passes_as_it_is(scene):
    """An eighth of 4 MiB is enough for one of gzip, and for none of the others."""
    goes_on = threading.Event()
    script = [broken.receive, broken.send(message.response(200, TEXT, ("Content-Length", str(len(LONG))), body=None)
                                          + LONG[:10_000]), broken.wait_for(goes_on), broken.send(LONG[10_000:]),
              broken.serve(answer(TEXT, body=LONG))]
    _, weir = proxy(scene, script, limits={"memory": "4MiB"})
    first, second = scene.client(weir), scene.client(weir)
    wish = ("Accept-Encoding", "zstd, br, gzip")
    first.send(message.request("GET", "/", wish))
    assert first.read_head().get("Content-Encoding") == "gzip"
    second.send(message.request("GET", "/", wish))
    head = second.read_head()
    assert not head.has("Content-Encoding") and head.get("Vary") == "Accept-Encoding"
    assert weir.metric("weir_uncompressed_responses_total", listener="web", reason="memory") == 1
    goes_on.set()
    assert second.read_exactly(len(LONG)) == LONG
    text = read_until(first, zlib.decompressobj(31), LONG[-20:])
    assert text == LONG
    first.close()
    weir.wait_live(exchanges=0)
    assert unzip(scene.client(weir).ask("GET", "/", ASKS).body) == LONG


def test_a_reload_leaves_what_is_on_its_way(scene):
    seen = threading.Event()
    script = [broken.receive, broken.send(message.response(200, ("Content-Type", "text/event-stream"), body=None)
                                          + b"data: 1\n\n"), broken.wait_for(seen), broken.send(b"data: 2\n\n"), broken.close]
    _, weir = proxy(scene, script)
    client = scene.client(weir)
    client.send(message.request("GET", "/", ASKS))
    client.read_head()
    decoder = zlib.decompressobj(31)
    read_until(client, decoder, b"data: 1\n\n")
    config = {**weir.config, "listeners": {"web": {**weir.config["listeners"]["web"], "compress": False}}}
    weir.reload(config)
    seen.set()
    read_until(client, decoder, b"data: 2\n\n")
    weir.wait_live(exchanges=0)
