"""weir in front of Debian's nginx, and asked by curl."""
import random
import re
import subprocess

import pytest

from waiting import eventually


def curl(*arguments, input=None):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], input=input, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def url(weir, path="/"):
    return "http://%s:%d%s" % (*weir.address, path)


def test_files_of_all_sizes_arrive_whole(scene):
    nginx = scene.nginx()
    weir = scene.proxy(nginx)
    client = scene.client(weir)
    for size in (0, 1, 1000, 65536, 1000000, 10 << 20):
        data = random.Random(size).randbytes(size)
        nginx.write(f"{size}.bin", data)
        response = client.ask("GET", f"/files/{size}.bin")
        assert response.status == 200
        assert response.body == data


def test_uploads_of_all_sizes_arrive_whole(scene):
    nginx = scene.nginx()
    weir = scene.proxy(nginx)
    client = scene.client(weir)
    for size in (1, 1000, 65536, 1000000, 5 << 20):
        data = random.Random(size).randbytes(size)
        assert client.ask("PUT", f"/upload/{size}.bin", body=data).status in (201, 204)
        assert nginx.read(f"upload/{size}.bin") == data


def test_requests_share_nginx_connections(scene):
    nginx = scene.nginx()
    client = scene.client(scene.proxy(nginx))
    for number in range(20):
        assert client.ask("GET", f"/echo/{number}").text == f"GET /echo/{number}\n"
    lines = nginx.log_lines(20)
    assert len({line[0] for line in lines}) == 1
    assert [line[1] for line in lines] == [str(number) for number in range(1, 21)]


def test_nginx_may_close_after_some_requests(scene):
    nginx = scene.nginx(keepalive_requests=5)
    client = scene.client(scene.proxy(nginx))
    for _ in range(23):
        assert client.ask().status == 200
    assert len({line[0] for line in nginx.log_lines(23)}) == 5


def test_ranges_conditions_and_head_pass(scene):
    nginx = scene.nginx()
    nginx.write("file", b"0123456789")
    client = scene.client(scene.proxy(nginx))
    response = client.ask("GET", "/files/file", ("Range", "bytes=2-4"))
    assert (response.status, response.body) == (206, b"234")
    etag = response.get("ETag")
    assert client.ask("GET", "/files/file", ("If-None-Match", etag)).status == 304
    assert client.ask("HEAD", "/files/file").get("Content-Length") == "10"
    assert client.ask("GET", "/empty").status == 204
    assert client.ask("GET", "/files/absent").status == 404


def test_the_host_reaches_nginx(scene):
    nginx = scene.nginx()
    client = scene.client(scene.proxy(nginx))
    assert client.ask("GET", "/echo", host="shop.test").get("X-Echo-Host") == "shop.test"


def test_a_restart_of_nginx_is_survived(scene):
    nginx = scene.nginx()
    weir = scene.proxy(nginx)
    client = scene.client(weir)
    assert client.ask().status == 200
    nginx.close()
    assert client.ask().status == 502
    scene.nginx(port=nginx.port)
    eventually(lambda: client.ask().status == 200, "nginx's answer after its restart")


def test_several_nginx_share_the_load(scene):
    servers = [scene.nginx() for _ in range(3)]
    weir = scene.proxy(*servers, pool={"balance": "round_robin"}, workers=2)
    for _ in range(60):
        client = scene.client(weir)
        assert client.ask().status == 200
        client.close()
    # A line is written when its answer is out already.
    eventually(lambda: sum(len(server.log_lines(10)) for server in servers) == 60, "a line of each request")


def test_curl_is_content(scene):
    nginx = scene.nginx()
    nginx.write("file", b"from nginx\n")
    weir = scene.proxy(nginx)
    assert curl(url(weir, "/files/file")) == b"from nginx\n"
    assert curl("--http1.0", url(weir, "/files/file")) == b"from nginx\n"
    assert curl(url(weir, "/echo/a"), url(weir, "/echo/b")) == b"GET /echo/a\nGET /echo/b\n"


def test_curl_uploads_with_continue(scene):
    nginx = scene.nginx()
    weir = scene.proxy(nginx)
    data = random.Random(9).randbytes(2 << 20)
    for expect in ("Expect: 100-continue", "Expect:"):
        for framing in ((), ("-H", "Transfer-Encoding: chunked")):
            curl("-H", expect, *framing, "-T", "-", url(weir, "/upload/file"), input=data)
            assert nginx.read("upload/file") == data


def test_h2c_of_curl_falls_back(scene):
    weir = scene.proxy(scene.nginx())
    assert curl("--http2", url(weir, "/echo")) == b"GET /echo\n"


def test_a_proxy_request_of_curl_is_understood(scene):
    nginx = scene.nginx()
    weir = scene.proxy(nginx)
    headers = curl("-D", "-", "--proxy", url(weir), "http://shop.test/echo").decode()
    assert re.search(r"X-Echo-Host: shop\.test", headers)


@pytest.mark.parametrize("workers", [1, 2])
def test_ab_has_no_failures(scene, workers):
    weir = scene.proxy(scene.nginx(), workers=workers)
    for keep_alive in (["-k"], []):
        done = subprocess.run(["ab", "-q", *keep_alive, "-n", "2000", "-c", "50", url(weir)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.search(r"Complete requests:\s+2000\n", done.stdout)
        assert re.search(r"Failed requests:\s+0\n", done.stdout)
        assert "Non-2xx" not in done.stdout
