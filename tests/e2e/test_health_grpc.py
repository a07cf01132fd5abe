"""Health checks by gRPC's own protocol, of servers that gRPC's own library makes."""
import concurrent.futures
import os

import pytest

import broken
from echo import ask, describe
from tls import Pki
from waiting import LIMIT_S, eventually
from weir import make_config

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # weir is started beside its threads
import grpc  # noqa: E402

SERVICE = "orders.v1.Orders"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


class Health(grpc.GenericRpcHandler):
    """grpc.health.v1.Health whose state is what the test says: a number, bytes, or a code that the call fails with."""

    def __init__(self, has_service=True, pair=None):
        self.state = SERVING
        self.has_service = has_service
        self.asked = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_secure_port("127.0.0.1:0", credentials_of(pair)) if pair else \
            self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def close(self):
        assert self.server.stop(None).wait(LIMIT_S)

    def service(self, call):
        if self.has_service and call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        return None

    def check(self, message, context):
        self.asked.append(message)
        if isinstance(self.state, grpc.StatusCode):
            context.abort(self.state, "no")
        return self.state if isinstance(self.state, bytes) else bytes([8, self.state])


def credentials_of(pair):
    with open(pair["key"], "rb") as key, open(pair["cert"], "rb") as certificate:
        return grpc.ssl_server_credentials([(key.read(), certificate.read())])


@pytest.fixture
def healths():
    made = []

    def make(**options):
        made.append(Health(**options))
        return made[-1]
    yield make
    for health in made:
        health.close()


CHECK = {"grpc": {"service": SERVICE}, "interval": "1s", "changing_interval": "100ms", "timeout": "1s", "fall": 1, "rise": 1}


def start(scene, health, **check):
    """Its server answers in HTTP/1; checks go to the other's port."""
    server = scene.server([broken.serve(lambda request: describe("app", request))])
    conf = {"name": "app", "address": server.address, "health_address": f"127.0.0.1:{health.port}"}
    return scene.weir(make_config([conf], pool={"health": {**CHECK, **check}}))


def wait_state(weir, state, detail=""):
    def reached():
        server = weir.servers()["app"]
        return server["health"] == state and detail in (server["health_detail"] or "")
    eventually(reached, lambda: f"{state} for {detail!r}: {weir.servers()['app']}")


def test_what_the_service_says_is_how_the_server_is(scene, healths):
    health = healths()
    weir = start(scene, health)
    wait_state(weir, "up")
    assert ask(scene.client(weir)).server == "app"
    assert health.asked[0] == b"\n" + bytes([len(SERVICE)]) + SERVICE.encode()
    for state, words in ((NOT_SERVING, "the service's state is NOT_SERVING"),
                         (SERVICE_UNKNOWN, "the service's state is SERVICE_UNKNOWN"),
                         (grpc.StatusCode.NOT_FOUND, "does not know the service"),
                         (grpc.StatusCode.UNAVAILABLE, "gRPC status UNAVAILABLE"),
                         (b"\x08\xff", "no HealthCheckResponse"), (b"x" * 600, "is over 512 bytes")):
        health.state = state
        wait_state(weir, "down", words)
        health.state = SERVING
        wait_state(weir, "up")


def test_a_server_without_that_service_is_down_and_the_reason_says_so(scene, healths):
    weir = start(scene, healths(has_service=False))
    wait_state(weir, "down", "the server has no grpc.health.v1.Health (gRPC status UNIMPLEMENTED)")


def test_the_server_as_a_whole_is_asked_over_tls_where_the_pool_speaks_it(scene, healths, tmp_path):
    pki = Pki(tmp_path)
    pair = pki.make("server", "app.example")
    health = healths(pair=pair)
    conf = {"name": "app", "address": f"127.0.0.1:{health.port}"}
    weir = scene.weir(make_config([conf], pool={"protocol": "h2", "tls": {"ca": pki.ca, "name": "app.example"},
                                                "health": {**CHECK, "grpc": {}}}))
    wait_state(weir, "up")
    assert health.asked[0] == b""
    health.state = NOT_SERVING
    wait_state(weir, "down", "NOT_SERVING")
