"""The access log: a line for each exchange, in the format asked for."""
import json
import os
import re
import signal
import subprocess
import threading

import broken
import message
from ports import reserve_port
from waiting import eventually
from weir import make_config

COMBINED = re.compile(r'(\S+) - (\S+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" '
                      r'"([^"]*)"')


def proxy(scene, *servers, format=None, **config):
    path = os.path.join(str(scene.directory), "access.log")
    log = {"path": path, **({"format": format} if format else {})}
    return scene.proxy(*servers, access_log=log, **config), path


def read_lines(path, count):
    """The log's lines, once there are so many."""
    def lines():
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            text = file.read()
        found = text.splitlines()
        return found if len(found) >= count and text.endswith("\n") else None
    return eventually(lines, f"{count} lines in the access log")


def test_combined_lines_are_as_nginx_writes_them(scene):
    weir, path = proxy(scene, scene.server([broken.serve(lambda request: message.response(404, body=b"x" * 123))]))
    scene.client(weir).ask("GET", "/path?q=1", ("Referer", "http://a.test/"), ("User-Agent", "Tester/1.0"))
    line, = read_lines(path, 1)
    match = COMBINED.fullmatch(line)
    assert match, line
    assert match.group(1, 2, 4, 5, 6, 7, 8) == ("127.0.0.1", "-", "GET /path?q=1 HTTP/1.1", "404", "123",
                                                "http://a.test/", "Tester/1.0")


def test_json_lines_are_json(scene):
    weir, path = proxy(scene, scene.server(), format="json")
    scene.client(weir).ask("GET", '/path?q="1"', ("User-Agent", 'quo"ted\\ \xe9'), ("X-Request-Id", "json-1"))
    line, = read_lines(path, 1)
    entry = json.loads(line)
    assert (entry["status"], entry["method"], entry["end"], entry["request_id"]) == (200, "GET", "ok", "json-1")
    assert entry["target"] == '/path?q="1"'
    assert entry["user_agent"].startswith('quo"ted\\ ')
    assert entry["pool"] == "web"
    assert entry["id"] == weir.exchange()["id"]


def test_a_template_is_filled_in(scene):
    server = scene.server()
    weir, path = proxy(scene, server, format="$remote_addr|$request_method|$uri|$args|$status|$body_bytes_sent|"
                                             "$http_x_test|$upstream_addr|$upstream_status|${weir_end}|$host|$scheme|$sent_http_content_length")
    scene.client(weir).ask("POST", "/a/b?c=d", ("X-Test", "yes"), body=b"x", host="Example.Test:80")
    line, = read_lines(path, 1)
    assert line == f"127.0.0.1|POST|/a/b|c=d|200|2|yes|{server.address}|200|ok|example.test|http|2"


def test_what_is_missing_is_a_dash_and_retries_are_listed(scene):
    server = scene.server()
    dead = f"127.0.0.1:{reserve_port()}"
    weir, path = proxy(scene, dead, server, format="$http_x_absent|$args|$upstream_addr|$upstream_status",
                       pool={"balance": "round_robin"})
    client = scene.client(weir)
    for _ in range(2):
        client.ask()
    assert f"-|-|{dead}, {server.address}|502, 200" in read_lines(path, 2)


def test_a_client_cannot_write_lines_of_its_own(scene):
    for format in ("combined", "json", "$http_user_agent"):
        weir, path = proxy(scene, scene.server(), format=format)
        client = scene.client(weir)
        client.ask("GET", "/%0a%22", ("User-Agent", 'a" 200 0 "-" "\xff\t\\x0a'))
        for line in read_lines(path, 1):
            assert not re.search(r"[\x00-\x1f\x7f]", line)
            if format == "json":
                json.loads(line)
            if format == "combined":
                assert COMBINED.fullmatch(line), line
        os.remove(path)


def test_there_are_as_many_lines_as_exchanges(scene):
    weir, path = proxy(scene, scene.nginx(), workers=2, build="release")
    host, port = weir.address
    subprocess.run(["ab", "-q", "-k", "-n", "20000", "-c", "50", f"http://{host}:{port}/"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = read_lines(path, 20000)
    assert len(lines) == 20000
    assert all(COMBINED.fullmatch(line) for line in lines)
    assert weir.metric("weir_access_log_dropped_total") == 0


def test_faults_and_unreadable_requests_are_logged_as_well(scene):
    weir, path = proxy(scene, f"127.0.0.1:{reserve_port()}", format="$status $weir_end")
    scene.client(weir).ask()
    client = scene.client(weir)
    client.send(b"nonsense\r\n\r\n")
    client.read()
    assert sorted(read_lines(path, 2)) == ["400 bad_request", "502 connect_refused"]


def test_a_bad_request_has_a_whole_line(scene):
    weir, path = proxy(scene, scene.server())
    for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", b"\x16\x03\x01\0\0\0\0\r\n\r\n"):
        client = scene.client(weir)
        client.send(data)
        client.read()
    assert all(COMBINED.fullmatch(line) for line in read_lines(path, 3))


def test_tunnels_are_logged_at_their_end(scene):
    weir, path = proxy(scene, scene.server([broken.receive_bytes(5), broken.send(b"y" * 7), broken.wait_end]),
                       protocol="tcp", format="$weir_end $body_bytes_sent $request_length $weir_pool")
    client = scene.client(weir)
    client.send(b"x" * 5)
    client.read_exactly(7)
    assert not os.path.exists(path) or os.path.getsize(path) == 0
    client.close()
    assert read_lines(path, 1) == ["ok 7 5 web"]


def test_stdout_is_a_place_for_lines(scene):
    reader, writer = os.pipe()
    config = make_config([scene.server()], access_log={"path": "-", "format": "$status $request_uri"})
    weir = scene.weir(config, stdout=writer)
    os.close(writer)
    scene.client(weir).ask("GET", "/stdout")
    with os.fdopen(reader) as lines:
        assert lines.readline() == "200 /stdout\n"


def test_a_rotated_log_is_opened_anew(scene):
    weir, path = proxy(scene, scene.server(), format="$request_uri")
    client = scene.client(weir)
    client.ask("GET", "/before")
    read_lines(path, 1)
    os.rename(path, path + ".1")
    client.ask("GET", "/between")
    assert read_lines(path + ".1", 2) == ["/before", "/between"]
    weir.process.send_signal(signal.SIGUSR1)
    weir.wait_event("logs_reopened")
    client.ask("GET", "/after")
    assert read_lines(path, 1) == ["/after"]


def test_all_lines_are_on_disk_when_weir_has_ended(scene):
    weir, path = proxy(scene, scene.server(), format="$request_uri")
    client = scene.client(weir)
    for number in range(100):
        client.ask("GET", f"/{number}")
    weir.terminate()
    assert weir.wait_exit() == 0
    with open(path) as file:
        assert file.read().split() == [f"/{number}" for number in range(100)]


def test_a_log_that_blocks_holds_up_no_request(scene):
    path = os.path.join(str(scene.directory), "access.log")
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # never read: the pipe fills up
    try:
        weir, _ = proxy(scene, scene.nginx(), build="release")
        host, port = weir.address
        subprocess.run(["ab", "-q", "-k", "-n", "30000", "-c", "20", f"http://{host}:{port}/"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: weir.metric("weir_access_log_dropped_total") > 0, "lines dropped and counted")
        reader = threading.Thread(target=drain, args=(keeper,), daemon=True)
        reader.start()
        weir.terminate()
        assert weir.wait_exit() == 0
    finally:
        os.close(keeper)


def drain(fd):
    """Lets the log go on, so that weir can end."""
    while True:
        try:
            if not os.read(fd, 65536):
                return
        except BlockingIOError:
            threading.Event().wait(0.01)
        except OSError:
            return
