"""Routes that answer from a folder: what of it is served and what is not, in which pieces, on which conditions, and what becomes of an
answer whose file changes under it."""
import gzip
import json
import os
import socket
import time

import pytest

import message
from http2 import Http2
from waiting import eventually
from weir import listen_at_free_port, run_command

PAGE = b"<h1>weir</h1>\n"
OLD = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
OLD_DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def write(path, data=PAGE, at=OLD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "www"
    write(folder / "index.html")
    write(folder / "sub" / "index.html", b"sub")
    write(folder / "empty.txt", b"")
    write(folder / "a b.txt", b"with a space")
    write(folder / "data.bin", bytes(range(256)) * 4)
    write(folder / ".env", b"secret")
    write(folder / ".well-known" / "security.txt", b"contact")
    (folder / "bare").mkdir()
    write(tmp_path / "outside.txt", b"outside")
    return folder


def serve(scene, root, listener=None, build="asan", **files):
    files = {"root": str(root), **files}
    return scene.weir({"listeners": {"web": {"bind": listen_at_free_port(), **(listener or {"files": files})}},
                       "admin": {"bind": listen_at_free_port()}, "workers": 1}, build=build)


def test_files_are_answered(scene, root):
    weir = serve(scene, root)
    client = scene.client(weir)
    page = client.ask("GET", "/")
    assert (page.status, page.body, page.get("Content-Type")) == (200, PAGE, "text/html; charset=utf-8")
    assert (page.get("Last-Modified"), page.get("Accept-Ranges")) == (OLD_DATE, "bytes")
    assert page.get("ETag").startswith('"') and page.has("Date")
    assert client.ask("GET", "/index.html?x=1").body == PAGE
    assert client.ask("GET", "/a%20b.txt").body == b"with a space"
    assert client.ask("GET", "/sub/").body == b"sub"
    empty = client.ask("GET", "/empty.txt")
    assert (empty.status, empty.body, empty.get("Content-Length")) == (200, b"", "0")
    head = client.ask("HEAD", "/data.bin")
    assert (head.status, head.body, head.get("Content-Length")) == (200, b"", "1024")
    assert head.get("Content-Type") == "application/octet-stream"
    moved = client.ask("GET", "/sub?x=1")
    assert (moved.status, moved.get("Location")) == (301, "/sub/?x=1")
    assert client.ask("GET", "/.well-known/security.txt").body == b"contact"
    refused = client.ask("POST", "/", body=b"x")
    assert (refused.status, refused.get("Allow")) == (405, "GET, HEAD")


def test_what_is_not_served_is_told_apart(scene, root, tmp_path):
    (root / "out.txt").symlink_to("../outside.txt")
    (root / "absolute.txt").symlink_to(tmp_path / "outside.txt")
    (root / "in.txt").symlink_to("sub/index.html")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    weir = serve(scene, root)
    client = scene.client(weir)
    assert client.ask("GET", "/in.txt").body == b"sub"
    for target, status, end in [
            ("/none", 404, "file_not_found"), ("/bare/", 404, "file_not_found"), ("/.env", 404, "file_not_found"),
            ("/index.html/", 404, "file_not_found"), ("/sub/.hidden/x", 404, "file_not_found"),
            ("/" + 300 * "x", 404, "file_not_found"), ("/out.txt", 403, "file_denied"), ("/absolute.txt", 403, "file_denied"),
            ("/loop", 403, "file_denied"), ("/pipe", 403, "file_denied"), ("/..%2foutside.txt", 400, "bad_path"),
            ("/../outside.txt", 400, "bad_path"), ("/x%00", 400, "bad_path")]:
        answer = client.ask("GET", target)
        assert answer.status == status, target
        assert end in answer.text and "outside" not in answer.text.replace("outside.txt", ""), target


def test_slashes_that_are_let_through_name_no_file_outside(scene, root):
    weir = serve(scene, root, listener={"files": str(root), "paths": {"encoded_slash": "keep", "keep_empty_segments": True}})
    client = scene.client(weir)
    for target in ("/..%2foutside.txt", "/sub%2findex.html", "//etc/passwd", "//sub", "/sub//index.html"):
        answer = client.ask("GET", target)
        assert answer.status in (400, 404) and not answer.has("Location"), target


def test_parts_of_a_file(scene, root):
    data = bytes(range(256)) * 4
    client = scene.client(serve(scene, root))
    for asked, begin, end in [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=1000-", 1000, 1024), ("bytes=-24", 1000, 1024),
                              ("BYTES=0-5000", 0, 1024), ("bytes=-5000", 0, 1024)]:
        part = client.ask("GET", "/data.bin", ("Range", asked))
        assert (part.status, part.body) == (206, data[begin:end]), asked
        assert part.get("Content-Range") == f"bytes {begin}-{end - 1}/1024"
    for asked in ("bytes=1024-", "bytes=-0"):
        outside = client.ask("GET", "/data.bin", ("Range", asked))
        assert (outside.status, outside.get("Content-Range")) == (416, "bytes */1024"), asked
        assert "range_outside" in outside.text
    for asked in ("bytes=0-1,5-6", "bytes=5-4", "bytes=x-", "lines=1-2", "bytes=", "bytes=1-2x", "bytes=--1"):
        whole = client.ask("GET", "/data.bin", ("Range", asked))
        assert (whole.status, whole.body) == (200, data), asked
    head = client.ask("HEAD", "/data.bin", ("Range", "bytes=0-1"))
    assert (head.status, head.get("Content-Length")) == (200, "1024")
    etag = client.ask("GET", "/data.bin").get("ETag")
    for condition, status in [(etag, 206), (OLD_DATE, 206), ('"other"', 200), (f"W/{etag}", 200),
                              ("Tue, 14 Nov 2023 22:13:19 GMT", 200), ("nonsense", 200)]:
        assert client.ask("GET", "/data.bin", ("Range", "bytes=0-0"), ("If-Range", condition)).status == status, condition


def test_conditions(scene, root):
    client = scene.client(serve(scene, root))
    etag = client.ask("GET", "/data.bin").get("ETag")
    later, earlier = "Tue, 14 Nov 2023 22:13:21 GMT", "Tue, 14 Nov 2023 22:13:19 GMT"
    for fields, status in [
            ([("If-None-Match", etag)], 304), ([("If-None-Match", f'"x", W/{etag}')], 304), ([("If-None-Match", "*")], 304),
            ([("If-None-Match", '"x"')], 200), ([("If-None-Match", '"x"'), ("If-None-Match", etag)], 304),
            ([("If-Modified-Since", OLD_DATE)], 304), ([("If-Modified-Since", later)], 304),
            ([("If-Modified-Since", earlier)], 200), ([("If-Modified-Since", "Tuesday, 14-Nov-23 22:13:20 GMT")], 304),
            ([("If-Modified-Since", "Tue Nov 14 22:13:20 2023")], 304), ([("If-Modified-Since", "soon")], 200),
            ([("If-None-Match", '"x"'), ("If-Modified-Since", OLD_DATE)], 200),
            ([("If-Match", etag)], 200), ([("If-Match", '"x"')], 412), ([("If-Match", "*")], 200),
            ([("If-Unmodified-Since", OLD_DATE)], 200), ([("If-Unmodified-Since", earlier)], 412),
            ([("If-Match", '"x"'), ("If-None-Match", etag)], 412)]:
        answer = client.ask("GET", "/data.bin", *fields)
        assert answer.status == status, fields
        if status == 304:
            assert (answer.body, answer.get("ETag"), answer.has("Content-Length")) == (b"", etag, False)
    write(root / "data.bin", b"another")
    changed = client.ask("GET", "/data.bin", ("If-None-Match", etag))
    assert (changed.status, changed.body) == (200, b"another")


def test_what_was_just_written_has_a_weak_tag(scene, root):
    write(root / "new.txt", b"new", time.time() + 3600)  # so that it is new however long this takes
    answer = scene.client(serve(scene, root)).ask("GET", "/new.txt")
    assert answer.get("ETag").startswith('W/"')


def test_siblings_that_were_compressed_beforehand(scene, root):
    write(root / "app.js", b"var weir;" * 50)
    write(root / "app.js.gz", gzip.compress(b"var weir;" * 50))
    write(root / "app.js.br", b"brotli", OLD - 1)  # of an older state
    client = scene.client(serve(scene, root, precompressed=["br", "gzip"]))
    packed = client.ask("GET", "/app.js", ("Accept-Encoding", "br, gzip"))
    assert (packed.get("Content-Encoding"), gzip.decompress(packed.body)) == ("gzip", b"var weir;" * 50)
    assert (packed.get("Content-Type"), packed.get("Vary")) == ("text/javascript; charset=utf-8", "Accept-Encoding")
    plain = client.ask("GET", "/app.js")
    assert (plain.has("Content-Encoding"), plain.body, plain.get("Vary")) == (False, b"var weir;" * 50, "Accept-Encoding")
    assert plain.get("ETag") != packed.get("ETag")
    again = client.ask("GET", "/app.js", ("Accept-Encoding", "gzip"), ("If-None-Match", packed.get("ETag")))
    assert (again.status, again.get("Vary")) == (304, "Accept-Encoding")
    os.utime(root / "app.js.br", (OLD, OLD))
    assert client.ask("GET", "/app.js", ("Accept-Encoding", "br, gzip")).body == b"brotli"
    write(root / "ancient.js", b"var weir;", -OLD)  # no date can be said of it
    ancient = client.ask("GET", "/ancient.js")
    assert (ancient.has("Last-Modified"), ancient.get("Vary")) == (False, "Accept-Encoding")


def test_settings_of_a_route(scene, root):
    write(root / "app.html", b"application")
    write(root / "model.glb", b"glTF")
    routes = [{"name": "static", "path_prefix": "/static/", "rewrite": {"strip_prefix": "/static"},
               "files": {"root": str(root), "index": ["none.html", "index.html"], "types": {"glb": "model/gltf-binary"}},
               "response_headers": {"set": {"Cache-Control": "max-age=60"}}, "compress": {"types": ["text/*"], "least": "1"}},
              {"name": "dots", "path_prefix": "/dots/", "rewrite": {"strip_prefix": "/dots"},
               "files": {"root": str(root), "hidden": True}},
              {"name": "gone", "path_prefix": "/gone/", "files": str(root / "none")},
              {"name": "app", "path_prefix": "/", "files": {"root": str(root), "fallback": "app.html"}}]
    weir = serve(scene, root, listener={"routes": routes, "faults": "full"})
    client = scene.client(weir)
    page = client.ask("GET", "/static/")
    assert (page.body, page.get("Cache-Control")) == (PAGE, "max-age=60")
    assert client.ask("GET", "/static/sub").get("Location") == "/static/sub/"
    assert client.ask("GET", "/static/model.glb").get("Content-Type") == "model/gltf-binary"
    packed = client.ask("GET", "/static/", ("Accept-Encoding", "gzip"))
    assert (packed.get("Content-Encoding"), gzip.decompress(packed.body)) == ("gzip", PAGE)
    assert packed.get("ETag").startswith("W/")
    assert client.ask("GET", "/dots/.env").body == b"secret"
    gone = client.ask("GET", "/gone/x")
    assert gone.status == 500 and "file_no_root" in gone.text and "the root is not there" in gone.text
    fallback = client.ask("GET", "/any/where")
    assert (fallback.status, fallback.body) == (200, b"application")


def explain(weir, **asked):
    return json.loads(weir.ask_admin("POST", "/api/v1/explain", body=asked).body)["answer"]


def test_it_is_told_where_an_answer_comes_from(scene, root):
    routes = [{"name": "static", "path_prefix": "/static/", "rewrite": {"strip_prefix": "/static"}, "files": str(root)}]
    weir = serve(scene, root, listener={"routes": routes})
    answer = explain(weir, url="/static/sub/x%20y")
    assert answer["status"] == 200 and f"file {root}/sub/x y" in answer["why"]
    assert explain(weir, url="/static/.env")["end"] == "file_not_found"
    assert explain(weir, url="/static/x", method="PUT")["status"] == 405
    assert scene.client(weir).ask("GET", "/static/").status == 200
    eventually(lambda: weir.exchanges(), "the record")
    record = weir.exchanges()[0]
    assert (record["route"], record["end"], record["status"]) == ("static", "ok", 200)
    told = json.loads(weir.ask_admin("GET", f"/api/v1/exchanges/{record['id']}").body)
    assert f"It asked for a file below {root}." in json.dumps(told)
    metrics = weir.ask_admin("GET", "/metrics").text
    assert 'weir_file_lookups_total{from="' in metrics


BIG = 12 << 20  # more than the kernel holds for a client that does not read


def big(root, data=b"x"):
    return write(root / "big.bin", data * BIG)


def ask_for_big(scene, weir):
    """What begins to be sent, to a client that reads nothing of it."""
    client = scene.client(weir, receive_buffer=8192)
    client.send(message.request("GET", "/big.bin"))
    answer = client.read_head()
    assert answer.status == 200
    return client, answer


@pytest.mark.parametrize("change, end", [("shrink", "file_changed"), ("rewrite", "file_changed"), ("grow", "ok"), ("remove", "ok"),
                                         ("replace", "ok")])
def test_a_file_that_changes_under_its_answer(scene, root, change, end):
    path = big(root)
    weir = serve(scene, root)
    client, answer = ask_for_big(scene, weir)
    if change == "shrink":
        os.truncate(path, 1 << 20)
    elif change == "rewrite":
        with open(path, "r+b") as file:
            file.write(b"y")
    elif change == "grow":
        with open(path, "ab") as file:
            file.write(b"y" * 1000)
    elif change == "remove":
        path.unlink()
    else:
        write(root / "next.bin", b"z" * 10).rename(path)
    if end == "ok":
        answer.read_body(client, to_end=False)
        assert answer.body == b"x" * BIG
    else:
        with pytest.raises((message.Ended, ConnectionResetError)):
            answer.read_body(client, to_end=False)
    eventually(lambda: [e["end"] for e in weir.exchanges()] == [end], "its end")


def test_a_client_that_reads_slowly_holds_nobody_up(scene, root):
    big(root)
    weir = serve(scene, root)
    slow, answer = ask_for_big(scene, weir)
    assert [scene.client(weir).ask("GET", "/sub/").body for _ in range(3)] == [b"sub"] * 3
    answer.read_body(slow, to_end=False)
    assert answer.body == b"x" * BIG


def test_by_http2_too(scene, root):
    big(root)
    client = Http2(serve(scene, root).address)
    scene.clients.append(client)
    assert client.ask("GET", "/").body == PAGE
    part = client.ask("GET", "/data.bin", ("range", "bytes=1-3"))
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"\1\2\3", "bytes 1-3/1024")
    assert client.ask("GET", "/big.bin").body == b"x" * BIG
    assert client.ask("HEAD", "/big.bin").headers["content-length"] == str(BIG)
    assert client.ask("GET", "/none").status == 404


def test_clients_that_go_away_leave_nothing(scene, root):
    big(root)
    weir = serve(scene, root)
    for _ in range(3):
        client, _ = ask_for_big(scene, weir)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    eventually(lambda: [e["end"] for e in weir.exchanges()] == ["client_abort"] * 3, "they have ended")

    def is_open():
        folder = f"/proc/{weir.pid}/fd"
        return [name for name in os.listdir(folder) if os.path.exists(f"{folder}/{name}") and
                os.readlink(f"{folder}/{name}").endswith("big.bin")]
    eventually(lambda: not is_open(), "no descriptor of it is left")


def test_a_configuration_goes_while_its_file_is_sent(scene, root):
    big(root)
    weir = serve(scene, root)
    client, answer = ask_for_big(scene, weir)
    config = json.loads(json.dumps(weir.config))
    config["listeners"]["web"]["files"] = str(root / "sub")
    assert weir.put_config(config).status == 200
    assert scene.client(weir).ask("GET", "/").body == b"sub"
    answer.read_body(client, to_end=False)
    assert answer.body == b"x" * BIG
    weir.wait_retired()


@pytest.mark.parametrize("files, fault", [
    ({"root": "www"}, "write the whole path"), ({"root": "/www", "index": ["a/b"]}, "write a name alone"),
    ({"root": "/www", "fallback": "../x"}, "leads out of the root"), ({"root": "/www", "types": {".glb": "x/y"}}, "without its dot"),
    ({"root": "/www", "precompressed": ["zip"]}, "zip"), ({}, "root"), ({"root": "/www", "idnex": []}, 'did you mean "index"?'),
])
def test_mistakes_are_named(tmp_path, files, fault):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "files": files}}}))
    done = run_command("check", str(path))
    assert done.returncode == 78 and fault in done.stderr, done.stderr


def test_a_route_leads_to_one_place(tmp_path):
    path = tmp_path / "weir.json"
    route = {"name": "r", "files": "/www", "respond": "x"}
    path.write_text(json.dumps({"listeners": {"web": {"bind": "127.0.0.1:1", "routes": [route]}}}))
    done = run_command("check", str(path))
    assert done.returncode == 78 and "keep one of pool, split, redirect, respond, files and egress" in done.stderr
