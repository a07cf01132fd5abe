"""Names in pools, asked of a real name server: Debian's dnsmasq, which is told of changes as its users do it, by SIGHUP."""
import contextlib

import pytest

import broken
from dnsmasq import Dnsmasq
from echo import ask, describe
from test_discovery import Found, Load, names_of, servers_of, source, wait_names
from waiting import eventually
from weir import make_config

SERVICE = "_http._tcp.app.internal"


@pytest.fixture
def found(scene):
    return Found(scene)


@pytest.fixture
def dnsmasq(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda *services, **names: stack.enter_context(
            contextlib.closing(Dnsmasq(tmp_path, services, **names)))


def start(scene, dns, *entries, min_ttl="100ms", **pool):
    config = make_config(list(entries), pool=pool, workers=2)
    config["resolver"] = {"servers": [dns.address], "min_ttl": min_ttl}
    return scene.weir(config)


def hosts(*numbers):
    return " ".join(f"127.0.0.{number}" for number in numbers)


def test_a_set_of_addresses_changes_under_load_without_a_failed_request(scene, found, dnsmasq):
    found.start(2, 3, 4, 5)
    dns = dnsmasq(app=hosts(2, 3))
    weir = start(scene, dns, found.entry)
    wait_names(weir, found.names(2, 3))
    load = Load(weir)
    for numbers in ([2, 3, 4, 5], [5], [2, 4], [3, 5]):
        load.wait_more()
        dns.say(app=hosts(*numbers))
        wait_names(weir, found.names(*numbers))
    load.wait_more()
    load.finish()
    dns.close()
    eventually(lambda: source(weir)["stale_ms"] is not None, "nobody can be asked")
    assert ask(scene.client(weir)).server in ("127.0.0.3", "127.0.0.5") and names_of(weir) == found.names(3, 5)
    weir.wait_retired()


def test_a_name_of_ipv6_alone_and_one_of_both_families(scene, found, dnsmasq):
    found.start(2)
    six = scene.server([broken.serve(lambda request: describe("six", request))], port=found.port, host="::1")
    assert six.port == found.port
    dns = dnsmasq(six="::1", both="::1 127.0.0.2")
    weir = start(scene, dns, f"six.internal:{found.port}", f"both.internal:{found.port}", balance="round_robin")
    wait_names(weir, [f"six.internal:{found.port}@::1", f"both.internal:{found.port}@127.0.0.2"])
    client = scene.client(weir)
    assert {ask(client).server for _ in range(8)} == {"six", "127.0.0.2"}
    dns.say(six=hosts(2), both="::1")
    wait_names(weir, [f"six.internal:{found.port}@127.0.0.2", f"both.internal:{found.port}@::1"])


def test_a_service_has_tiers_and_weights_and_its_targets_move(scene, found, dnsmasq):
    found.start(2, 3, 4)
    dns = dnsmasq((SERVICE, "one.internal", found.port, 10, 5), (SERVICE, "two.internal", found.port, 20, 1),
                  one=hosts(2), two=hosts(3))
    entry = f"srv:{SERVICE}"
    weir = start(scene, dns, entry)

    def known():
        return {server["address"].split(":")[0]: (server["weight"], server["tier"]) for server in servers_of(weir)}
    eventually(lambda: known() == {"127.0.0.2": (5, 1), "127.0.0.3": (1, 2)}, lambda: f"both are there: {known()}")
    client = scene.client(weir)
    assert {ask(client).server for _ in range(8)} == {"127.0.0.2"}
    load = Load(weir)
    load.wait_more()
    dns.say(one=hosts(4))
    eventually(lambda: known() == {"127.0.0.4": (5, 1), "127.0.0.3": (1, 2)}, lambda: f"it has moved: {known()}")
    assert ask(client).server == "127.0.0.4"
    load.wait_more()
    load.finish()


def test_a_service_with_hundreds_of_targets_has_them_all_each_time(scene, found, dnsmasq):
    count = 300
    services = [(SERVICE, f"t{n}.internal", found.port, 1, 1) for n in range(count)]
    dns = dnsmasq(*services, **{f"t{n}": f"127.1.{n // 200}.{1 + n % 200}" for n in range(count)})
    weir = start(scene, dns, f"srv:{SERVICE}")
    eventually(lambda: len(servers_of(weir)) == count, lambda: f"all are there: {len(servers_of(weir))}")
    labels = {"source": f"srv:{SERVICE}", "kind": "srv", "result": "found"}
    before = weir.metric("weir_source_answers_total", **labels)
    changes = len(weir.events("servers_changed"))
    eventually(lambda: weir.metric("weir_source_answers_total", **labels) >= before + 3, "it is asked again")
    assert len(weir.events("servers_changed")) == changes and len(servers_of(weir)) == count
