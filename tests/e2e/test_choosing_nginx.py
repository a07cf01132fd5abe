"""Choosing in front of real nginx servers, which say what they were sent and log it."""
import collections

from waiting import eventually

SERVER = """
        location / {{ add_header X-Server {name};
            return 200 "$request_method|$request_uri|$host|$http_weir_split|$http_x_client|$http_weir_pin"; }}
"""


def servers(scene, *names):
    return {name: scene.nginx(server=SERVER.format(name=name)) for name in names}


def pools_of(nginx):
    return {name: {"servers": [{"name": name, "address": server.address}]} for name, server in nginx.items()}


def lines_of(nginx):
    with open(nginx.access_log) as file:
        return file.read().splitlines()


def seen(response):
    method, target, host, split, client, pin = response.text.split("|")
    return {"server": response.get("X-Server"), "method": method, "target": target, "host": host, "split": split,
            "client": client, "pin": pin}


def test_routes_rewrite_and_set_fields_for_nginx(scene):
    nginx = servers(scene, "a", "b")
    weir = scene.proxy(nginx["a"], pools=pools_of(nginx), listener={"routes": [
        {"name": "beta", "path_prefix": "/v1/", "headers": {"X-Env": "beta"}, "pool": "b"},
        {"name": "v1", "path_prefix": "/v1/", "pool": "a", "rewrite": {"strip_prefix": "/v1"},
         "request_headers": {"set": {"X-Client": "{client}/{method}"}}},
        {"name": "rest", "pool": "a"}]})
    client = scene.client(weir)
    first = seen(client.ask("GET", "/v1/x?y=1", host="shop.test"))
    assert (first["server"], first["target"], first["host"], first["client"]) == ("a", "/x?y=1", "shop.test",
                                                                                  "127.0.0.1/GET")
    assert seen(client.ask("GET", "/v1/x", ("X-Env", "beta")))["server"] == "b"
    assert seen(client.ask("GET", "/else"))["client"] == ""


def test_a_split_divides_users_among_nginx_servers(scene):
    nginx = servers(scene, "a", "b")
    split = {"unit": "cookie:sid", "variants": {"a": {"weight": 50, "pool": "a"}, "b": {"weight": 50, "pool": "b"}}}
    weir = scene.proxy(nginx["a"], pools=pools_of(nginx), splits={"half": split},
                       listener={"routes": [{"name": "r", "split": "half"}]})
    client = scene.client(weir)
    chosen = collections.Counter()
    for user in range(200):
        found = seen(client.ask("GET", "/", ("Cookie", f"a=b; sid={user}"), ("Weir-Split", "half=x")))
        assert found["split"] == f"half={found['server']}"
        chosen[found["server"]] += 1
    assert 70 <= chosen["a"] <= 130
    for name in "ab":
        eventually(lambda name=name: len(lines_of(nginx[name])) == chosen[name], "nginx's own count")


def test_nginx_logs_the_copies(scene):
    nginx = servers(scene, "a", "b")
    weir = scene.proxy(nginx["a"], pools=pools_of(nginx),
                       listener={"routes": [{"name": "r", "pool": "a", "mirror": "b"}]})
    client = scene.client(weir)
    for number in range(20):
        assert seen(client.ask("GET", f"/{number}"))["server"] == "a"
    eventually(lambda: len(lines_of(nginx["b"])) == 20, "20 copies")
    weir.wait_metric(20, "weir_mirror_compared_total", status="same")


def test_a_sticky_client_stays_with_its_nginx_while_it_drains(scene):
    nginx = servers(scene, "a", "b")
    pool = {"servers": [{"name": name, "address": server.address} for name, server in nginx.items()],
            "balance": "round_robin", "sticky": {"secrets": ["0123456789abcdef"]}}
    weir = scene.proxy(nginx["a"], pools={"both": pool}, listener={"routes": [{"name": "r", "pool": "both"}]})
    client = scene.client(weir)
    first = client.ask("GET", "/")
    cookie = ("Cookie", first.get("Set-Cookie").split(";")[0])
    home = seen(first)["server"]
    weir.patch_server("both", home, admin="drain")
    assert {seen(client.ask("GET", "/", cookie))["server"] for _ in range(6)} == {home}
    assert {seen(client.ask("GET", "/"))["server"] for _ in range(6)} == {"ab".replace(home, "")}


def test_a_pin_reaches_its_nginx_and_is_not_seen_there(scene):
    nginx = servers(scene, "a", "b")
    weir = scene.proxy(nginx["a"], pools=pools_of(nginx),
                       listener={"routes": [{"name": "r", "pool": "a"}], "pin": {"from": ["127.0.0.0/8"]}})
    found = seen(scene.client(weir).ask("GET", "/", ("Weir-Pin", "b/b")))
    assert found["server"] == "b" and found["pin"] == ""
