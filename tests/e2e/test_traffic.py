"""What is kept of traffic over time: per listener, route, pool and server, as /api/v1/traffic tells it."""
import broken
import message
from ports import reserve_port
from waiting import eventually


def rows(weir, query):
    return {row["name"]: row for row in weir.get(f"/api/v1/traffic?{query}")["rows"]}


def kept(weir, name, query, field="requests"):
    """All that the series has of it."""
    row = rows(weir, query).get(name)
    return sum(row["series"][field]) if row else 0


def everything(weir, kind, name, count, field="requests"):
    """It is kept once the second is over, in exact numbers."""
    eventually(lambda: kept(weir, name, f"kind={kind}&step=1&points=300", field) == count,
               lambda: (kind, name, count, rows(weir, f"kind={kind}&step=1&points=20")))


def test_each_request_is_kept_once_for_each_that_it_passed(scene):
    server = scene.server([broken.serve(lambda request: message.response(int(request.target[-3:])))])
    weir = scene.proxy({"name": "one", "address": server.address},
                       listener={"routes": [{"name": "api", "path_prefix": "/api/", "pool": "web"},
                                            {"name": "rest", "pool": "web"}]}, workers=2)
    client = scene.client(weir)
    for target in ("/api/200", "/api/500", "/404", "/503", "/200"):
        client.ask("GET", target)
    for kind, name, requests, errors in (("listener", "web", 5, 2), ("route", "api", 2, 1), ("route", "rest", 3, 1),
                                         ("pool", "web", 5, 2), ("server", "one", 5, 2)):
        everything(weir, kind, name, requests)
        everything(weir, kind, name, errors, "errors")
    row = rows(weir, "kind=server&of=web&step=1&points=300")["one"]
    server = weir.servers()["one"]
    assert row["of"] == "web" and row["server"].keys() == server.keys()
    assert (row["server"]["attempts"], row["server"]["state"]) == (server["attempts"], server["state"])
    known = [value for value in row["series"]["p99_ms"] if value is not None]
    assert known and 0 < min(known) <= max(known) < 30000
    assert len(row["series"]["requests"]) == 300
    assert rows(weir, "kind=route&of=web&name=api").keys() == {"api"}
    assert "series" not in rows(weir, "kind=pool")["web"]


def test_failed_attempts_and_unreachable_servers_are_errors(scene):
    weir = scene.proxy({"name": "gone", "address": "127.0.0.1:1"})
    scene.client(weir).ask()
    everything(weir, "listener", "web", 1, "errors")
    eventually(lambda: kept(weir, "gone", "kind=server&step=1&points=300", "errors") >= 1, "the failed attempt")


def test_rows_are_found_sorted_and_bounded(scene):
    server = scene.server()
    weir = scene.proxy(*({"name": f"server-{i:02}", "address": server.address if i == 7 else f"127.0.0.{i + 2}:1",
                          "weight": 1 if i == 7 else 0} for i in range(20)))
    client = scene.client(weir)
    for _ in range(3):
        client.ask()
    everything(weir, "server", "server-07", 3)
    answer = weir.get("/api/v1/traffic?kind=server&sort=requests&limit=5")
    assert answer["total"] == 20 and len(answer["rows"]) == 5
    assert answer["rows"][0]["name"] in ("server-07", "server-00")  # ten seconds may be over
    assert [row["name"] for row in weir.get("/api/v1/traffic?kind=server&sort=name&limit=2")["rows"]] == \
        ["server-00", "server-01"]
    assert rows(weir, "kind=server&search=R-1").keys() == {f"server-{i}" for i in range(10, 20)}
    weir.patch_server("web", "server-03", admin="drain")
    assert rows(weir, "kind=server&state=unwell").keys() == {"server-03"}
    assert rows(weir, "kind=server&state=draining").keys() == {"server-03"}
    assert weir.get("/api/v1/traffic?kind=server&sort=state")["rows"][0]["name"] == "server-03"


def test_a_question_with_a_mistake_is_told_so(scene):
    weir = scene.proxy(scene.server())
    for query, words in (("kind=servers", "write listener, route, pool or server"),
                         ("sort=age", "write name, requests"), ("sort=state", "add kind=server"),
                         ("limit=0", "from 1 to 1000"), ("step=7", "write 1, 10 or 60"),
                         ("step=1&points=301", "from 0 to 300"),
                         ("step=60&points=1440&limit=1000", "ask for fewer"), ("colour=red", "colour")):
        response = weir.ask_admin("GET", f"/api/v1/traffic?{query}")
        assert response.status == 400, query
        assert words in response.text, (query, response.text)


def test_a_weir_that_keeps_no_history_says_so(scene):
    weir = scene.proxy(scene.server(), admin={"bind": f"127.0.0.1:{reserve_port()}", "history": 0})
    response = weir.ask_admin("GET", "/api/v1/traffic")
    assert (response.status, "admin: {history}" in response.text) == (503, True)


def test_names_in_another_configuration_begin_anew_and_those_that_stay_go_on(scene):
    server = scene.server()
    config = {"name": "one", "address": server.address}
    weir = scene.proxy(config)
    client = scene.client(weir)
    client.ask()
    everything(weir, "server", "one", 1)
    more = {**weir.config, "pools": {**weir.config["pools"], "other": {"servers": [{"name": "two",
                                                                                 "address": server.address}]}}}
    weir.reload(more)
    client.ask()
    everything(weir, "server", "one", 2)
    eventually(lambda: rows(weir, "kind=server").keys() == {"one", "two"}, "the new server")
    weir.reload({**more, "pools": {"web": more["pools"]["web"]}})
    assert rows(weir, "kind=server").keys() == {"one"}
