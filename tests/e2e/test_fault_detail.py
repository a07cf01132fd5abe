"""What those outside see when something fails inside: what kind of fault and the request's id, and no names, unless the
listener says `faults: full`."""
import json

import pytest

from ports import reserve_port

HIDDEN = ("secret-server", "secret-pool", "/nowhere", "127.0.0.1", " ms")


def proxy(scene, address, **listener):
    return scene.proxy({"name": "secret-server", "address": "127.0.0.1:1"},
                       listener={"pool": "secret-pool", "faults": {"detail": "id"}, **listener},
                       pools={"secret-pool": {"servers": [{"name": "secret-server", "address": address}]}})


def addresses():
    return [f"127.0.0.1:{reserve_port()}", "unix:/nowhere/secret.sock"]


@pytest.mark.parametrize("accept", ["text/plain", "application/json"])
@pytest.mark.parametrize("address", addresses(), ids=["refused", "no socket"])
def test_a_stranger_sees_an_id_and_no_names(scene, address, accept):
    weir = proxy(scene, address)
    response = scene.client(weir).ask("GET", "/", ("Accept", accept), ("X-Request-Id", "of-the-stranger"))
    assert response.status == 502
    assert not [name for name in HIDDEN if name in response.text], response.text
    assert "of-the-stranger" in response.text and "connect_" in response.text
    if accept == "application/json":
        problem = json.loads(response.body)
        assert "pool" not in problem and "server" not in problem and problem["origin"] == "server"
    story = json.dumps(weir.get(f"/api/v1/exchanges/{weir.exchange(request_id='of-the-stranger')['id']}"))
    assert "secret-server" in story and "secret-pool" in story


def test_that_is_so_without_being_asked_for(scene):
    weir = proxy(scene, addresses()[0])
    shown = weir.get("/api/v1/config")["listeners"]
    assert shown[0]["faults"] == {"detail": "id"}
    config = dict(weir.config)
    del config["listeners"]["web"]["faults"]
    answer = weir.ask_admin("PUT", "/api/v1/config", body=json.dumps(config).encode())
    assert answer.status == 200, answer.body
    assert "secret" not in scene.client(weir).ask("GET", "/").text


def test_who_is_told_all_sees_the_names(scene):
    weir = proxy(scene, addresses()[0], faults="full")
    response = scene.client(weir).ask("GET", "/")
    assert "secret-server" in response.text and "secret-pool" in response.text


def test_what_is_wrong_with_a_request_is_told(scene):
    weir = proxy(scene, addresses()[0], limits={"body": "3B"})
    client = scene.client(weir)
    response = client.ask("POST", "/", body=b"four")
    assert response.status == 413 and "(3 bytes are allowed)" in response.text
