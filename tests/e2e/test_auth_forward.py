"""Who may pass because a service says so, which is asked about each request."""
import json
import threading

import pytest

import broken
import echo
import message
from http2 import Http2
from ports import reserve_port
from test_auth import basic, guarded
from test_upgrade import ASK, SWITCH, echo as tunnel_echo


class Service:
    """Lets pass who has the cookie; keeps what it was asked."""

    def __init__(self, scene):
        self.asked = []
        self.server = scene.server([broken.serve(self.decide)], [broken.serve(self.decide)], [broken.serve(self.decide)])

    def decide(self, request):
        self.asked.append(request)
        if request.get("Cookie") == "id=7":
            return message.response(200, ("Remote-User", "bob"), ("X-Role", "admin"), ("X-Secret", "inner"))
        if request.get("Cookie") == "id=8":
            return message.response(403)
        return message.response(302, ("Location", "https://login.test/?back=1"), ("Set-Cookie", "state=x"), ("X-Secret", "inner"))


@pytest.fixture
def service(scene):
    return Service(scene)


def forwarding(scene, service, **conf):
    return guarded(scene, {"forward": {"pool": "authn", "path": "/verify", "user": "Remote-User", "copy": ["X-Role"], **conf}},
                   pools={"authn": {"servers": [service.server.address]}})


def test_a_service_decides_who_passes_and_what_servers_are_told(scene, service):
    weir = forwarding(scene, service)
    client = scene.client(weir)
    forged = [(name, "root") for name in ("X-Role", "X_Role", "X-User", "Remote-User", "remote-user", "Remote_User")]
    seen = echo.ask(client, "/a?b=c", ("Cookie", "id=7"), *forged, ("Connection", "Remote-User"), ("Content-Type", "text/x"),
                    method="POST", body=b"payload")
    assert (seen.get("X-User"), seen.get("X-Role"), seen.body) == ("bob", "admin", "payload")
    assert not seen.all("X_Role") and not seen.all("X-Secret")
    assert "root" not in [value for _, value in seen.fields] and seen.get("Content-Type") == "text/x"
    asked = service.asked[0]
    assert "root" not in [value for _, value in asked.fields] and not asked.has("Content-Type")
    assert (asked.method, asked.target, asked.get("Cookie")) == ("GET", "/verify", "id=7")
    assert (asked.get("X-Forwarded-Method"), asked.get("X-Forwarded-Uri")) == ("POST", "/a?b=c")
    assert (asked.get("X-Forwarded-For"), asked.get("X-Forwarded-Host")) == ("127.0.0.1", "example.test")
    assert not asked.has("Content-Length") and not asked.has("X-Role") and asked.body == b""
    refused = client.ask("GET", "/")
    assert (refused.status, refused.get("Location"), refused.get("Set-Cookie")) == (302, "https://login.test/?back=1", "state=x")
    assert not refused.has("X-Secret")
    assert client.ask("GET", "/", ("Cookie", "id=8")).status == 403
    h2_client = Http2(weir.address)
    scene.clients.append(h2_client)
    answer = h2_client.ask("GET", "/", ("cookie", "id=7"), ("x-role", "root"))
    assert answer.status == 200 and b"admin" in answer.body and b"root" not in answer.body
    for outcome, count in {"passed": 2, "required": 1, "denied": 1}.items():
        weir.wait_metric(count, "weir_auth_requests_total", outcome=outcome)


def test_a_service_sees_no_credentials_that_came_twice(scene, service):
    weir = forwarding(scene, service)
    assert scene.client(weir).ask("GET", "/", ("Cookie", "id=7"), basic("alice"), basic("bob")).status == 400
    assert service.asked == []


def test_a_refusal_has_where_to_go_before_any_cookies(scene):
    cookies = [("Set-Cookie", f"c{n}=x") for n in range(20)]
    says = message.response(302, *cookies, ("Location", "/login"), ("WWW-Authenticate", "Own x=y"))
    service = scene.server([broken.serve(lambda request: says)])
    weir = guarded(scene, {"forward": "authn"}, pools={"authn": {"servers": [service.address]}})
    answer = scene.client(weir).ask()
    assert (answer.status, answer.get("Location"), answer.get("WWW-Authenticate")) == (302, "/login", "Own x=y")
    assert answer.all("Set-Cookie") == [f"c{n}=x" for n in range(len(answer.all("Set-Cookie")))]
    assert answer.has("Set-Cookie")


def test_a_service_behind_a_weir_that_asks_it_again_is_asked_so_many_times(scene):
    address = f"127.0.0.1:{reserve_port()}"
    weir = scene.proxy(scene.server(), listener={"bind": address, "auth": {"forward": {"pool": "authn", "timeout": "30s"}}},
                       pools={"authn": {"servers": [address], "timeouts": {"keep_alive": "300ms"}}})  # its own idle client
    assert scene.client(weir).ask().status == 503
    weir.wait_records(17)
    ends = [record["end"] for record in weir.exchanges()]
    assert (ends.count("loop_detected"), ends.count("auth_unavailable"), len(ends)) == (1, 16, 17)


def test_a_websocket_asks_the_service_too(scene, service):
    server = scene.server([broken.receive, broken.send(SWITCH), tunnel_echo])
    weir = scene.proxy(server, listener={"auth": {"forward": "authn"}}, pools={"authn": {"servers": [service.server.address]}})
    assert scene.client(weir).ask("GET", "/chat", *ASK).status == 302
    client = scene.client(weir)
    assert client.ask("GET", "/chat", *ASK, ("Cookie", "id=7")).status == 101
    client.send(b"hello")
    assert client.read_exactly(5) == b"hello"
    assert not service.asked[0].has("Upgrade")
    client.close()


def test_where_the_service_cannot_be_asked_nobody_passes(scene, service):
    weir = forwarding(scene, service)
    service.server.close()
    client = scene.client(weir)
    answer = client.ask("GET", "/", ("Cookie", "id=7"))
    assert answer.status == 503
    assert weir.wait_records(1, status=503)[0]["end"] == "auth_unavailable"


def test_a_service_that_takes_too_long_lets_nobody_pass(scene):
    slow_service = scene.server([broken.receive, broken.wait_end])
    weir = guarded(scene, {"forward": {"pool": "authn", "timeout": "200ms"}},
                   pools={"authn": {"servers": [slow_service.address]}})
    assert scene.client(weir).ask().status == 503
    assert weir.wait_records(1, status=503)[0]["end"] == "auth_timeout"


def test_who_is_being_asked_about_is_decided_by_the_configuration_that_it_came_under(scene):
    asked, may_answer = threading.Event(), threading.Event()

    def decide(request):
        asked.set()
        may_answer.wait(60)
        return message.response(200, ("Remote-User", "bob"), ("X-Role", "admin"))
    service = scene.server([broken.serve(decide)])
    weir = guarded(scene, {"forward": {"pool": "authn", "user": "Remote-User", "copy": ["X-Role"]}},
                   pools={"authn": {"servers": [service.address]}}, workers=2)
    client = scene.client(weir)
    client.send(message.request("GET", "/", ("X-Role", "root"), ("Authorization", "x")))
    assert asked.wait(60)
    # The service's pool is gone, and with it the fields that are weir's word.
    web = {name: value for name, value in weir.config["listeners"]["web"].items() if name != "auth"}
    weir.reload({**weir.config, "listeners": {"web": web}, "pools": {"web": weir.config["pools"]["web"]}})
    assert echo.ask(scene.client(weir), "/", ("X-Role", "any")).get("X-Role") == "any"
    may_answer.set()
    answer = client.read()
    assert answer.status == 200 and '["X-Role", "admin"]' in answer.text and '["X-User", "bob"]' in answer.text
    assert "root" not in answer.text and "Authorization" not in answer.text
    client.close()
    weir.wait_retired()


def test_the_body_says_the_services_status_too(scene, service):
    weir = forwarding(scene, service)
    client = scene.client(weir)
    refused = client.ask("GET", "/")
    assert refused.status == 302 and refused.text.startswith("302 Found\n") and "Reason: auth_required" in refused.text
    refused = client.ask("GET", "/", ("Accept", "application/json"))
    told = json.loads(refused.body)
    assert (refused.status, told["status"], told["title"], told["end"]) == (302, 302, "Found", "auth_required")
    grpc_client = Http2(weir.address)
    scene.clients.append(grpc_client)
    answer = grpc_client.ask("POST", "/a.B/C", ("content-type", "application/grpc"), ("te", "trailers"), body=b"")
    assert (answer.status, answer.headers["grpc-status"]) == (200, "16")


def test_a_page_says_the_services_status_too(scene, service):
    weir = guarded(scene, {"forward": {"pool": "authn", "path": "/verify"}}, listener={"errors": {"default": "{status} {title}"}},
                   pools={"authn": {"servers": [service.server.address]}})
    assert scene.client(weir).ask("GET", "/").text == "302 Found"
