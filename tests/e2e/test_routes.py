"""Routes by host and path: the most specific wins, whatever its place in the file."""
import pytest

import broken
import message
from scene import Scene
from weir import listen_at_free_port


def proxy_with_routes(scene, *routes):
    """Each route leads to a server that answers with the route's name."""
    server = {}
    for route in routes:
        name = route["name"]
        server[name] = scene.server([broken.serve(lambda request, name=name: message.response(body=name.encode()))])
    pools = {name: {"servers": [server[name].address]} for name in server}
    return scene.proxy(scene.server(), listener={"routes": [{"pool": route["name"], **route} for route in routes]},
                       pools=pools)


ROUTES = [
    {"name": "rest"},
    {"name": "wild", "host": "*.example.com"},
    {"name": "deep-wild", "host": "*.deep.example.com"},
    {"name": "host", "host": "api.example.com"},
    {"name": "prefix", "host": "api.example.com", "path_prefix": "/v1/"},
    {"name": "long-prefix", "host": "api.example.com", "path_prefix": "/v1/users/"},
    {"name": "exact", "host": "api.example.com", "path": "/v1/users/me"},
    {"name": "any-host-exact", "path": "/exact"},
    {"name": "any-host-prefix", "path_prefix": "/static/"},
]
CASES = [
    ("other.test", "/", "rest"),
    ("example.com", "/", "rest"),
    ("www.example.com", "/", "wild"),
    ("a.b.example.com", "/", "wild"),
    ("x.deep.example.com", "/", "deep-wild"),
    ("deep.example.com", "/", "wild"),
    ("api.example.com", "/", "host"),
    ("API.Example.COM", "/", "host"),
    ("api.example.com:8080", "/", "host"),
    ("api.example.com", "/v1/", "prefix"),
    ("api.example.com", "/v1/x", "prefix"),
    ("api.example.com", "/v1", "host"),
    ("api.example.com", "/v12/", "host"),
    ("api.example.com", "/v1/users/you", "long-prefix"),
    ("api.example.com", "/v1/users/me", "exact"),
    ("api.example.com", "/v1/users/me?query", "exact"),
    ("api.example.com", "/v1/users/me/more", "long-prefix"),
    ("api.example.com", "/V1/", "host"),
    ("other.test", "/exact", "any-host-exact"),
    ("other.test", "/exact?a=/static/", "any-host-exact"),
    ("other.test", "/static/x.css", "any-host-prefix"),
    ("api.example.com", "/exact", "host"),
    ("api.example.com", "/static/x.css", "host"),
    ("notapi.example.com", "/", "wild"),
    ("example.com.evil.test", "/", "rest"),
    ("api.example.com.", "/", "host"),
]


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("routes"))
    yield [(scene, proxy_with_routes(scene, *routes)) for routes in (ROUTES, ROUTES[::-1])]
    scene.finish()


@pytest.mark.parametrize("order", [0, 1], ids=["in order", "reversed"])
@pytest.mark.parametrize("host, target, name", CASES)
def test_the_most_specific_route_wins(routed, host, target, name, order):
    scene, weir = routed[order]
    client = scene.client(weir)
    assert client.ask("GET", target, host=host).text == name
    client.close()


def test_a_target_in_absolute_form_is_routed_by_its_own_host(routed):
    scene, weir = routed[0]
    assert scene.client(weir).ask("GET", "http://api.example.com/v1/", host="other.test").text == "prefix"


def test_the_record_and_the_metrics_name_the_route(scene):
    weir = proxy_with_routes(scene, {"name": "one", "path": "/1"}, {"name": "rest"})
    client = scene.client(weir)
    for target in ("/1", "/1", "/2"):
        client.ask("GET", target)
    records = weir.wait_records(3)
    assert [(record["route"], record["pool"]) for record in records] == [("rest", "rest"), ("one", "one"), ("one", "one")]
    weir.wait_metric(2, "weir_route_exchanges_total", route="one")


def test_of_equal_routes_the_first_wins(scene):
    weir = proxy_with_routes(scene, {"name": "first", "path_prefix": "/a/"}, {"name": "second", "path_prefix": "/a/"})
    assert scene.client(weir).ask("GET", "/a/b").text == "first"


def test_without_a_route_there_is_a_404(scene):
    weir = proxy_with_routes(scene, {"name": "only", "host": "only.test"})
    client = scene.client(weir)
    assert client.ask("GET", "/", host="other.test").status == 404
    assert client.ask("GET", "/", host="only.test").text == "only"
    assert weir.exchange(status=404)["end"] == "no_route"


def test_options_of_the_server_as_a_whole_goes_to_the_route_for_everything(scene):
    weir = proxy_with_routes(scene, {"name": "one", "path_prefix": "/x/"}, {"name": "rest"})
    assert scene.client(weir).ask("OPTIONS", "*").text == "rest"


def test_several_listeners_are_told_apart(scene):
    servers = {name: scene.server([broken.serve(lambda request, name=name: message.response(body=name.encode()))])
               for name in ("web", "other")}
    weir = scene.proxy(servers["web"], listeners={"other": {"bind": listen_at_free_port(), "pool": "other"}},
                       pools={"other": {"servers": [servers["other"].address]}})
    for name in servers:
        assert scene.client(weir, listener=name).ask().text == name
