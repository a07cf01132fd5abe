"""Certificates whose files change while weir runs: what is new is served, what has a mistake is said and changes nothing."""
import datetime
import json
import os
import shutil
import threading

import pytest

from tls import Pki
from waiting import eventually


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path)


def front(*pairs, **more):
    return {"tls": {"certificates": list(pairs), **more}}


def connect(scene, weir, pki, name="a.example", **options):
    return scene.client(weir, context=pki.context(), name=name, **options)


def served(scene, weir, pki, name="a.example"):
    client = connect(scene, weir, pki, name=name)
    serial = client.sock.tls.getpeercert()["serialNumber"]
    client.close()
    return serial


def wait_served(scene, weir, pki, serial, name="a.example"):
    eventually(lambda: served(scene, weir, pki, name) == serial, "the new certificate is served")


def replace(source, target):
    """As who cares does it: beside it, then by rename."""
    shutil.copy(source, target + ".new")
    os.rename(target + ".new", target)


def row(weir, cert):
    rows = weir.get("/api/v1/certificates")["certificates"]
    return next(r for r in rows if r["cert"] == cert)


@pytest.mark.parametrize("build", ["asan", "release"])
def test_a_pair_that_is_renamed_in_is_served(scene, pki, build):
    pair, new = pki.make("a", "a.example"), pki.make("n", "a.example")
    weir = scene.proxy(scene.server(), build=build, listener=front(pair))
    before = connect(scene, weir, pki)
    assert before.ask().status == 200
    old = pki.serial("a")
    replace(new["key"], pair["key"])
    replace(new["cert"], pair["cert"])
    wait_served(scene, weir, pki, pki.serial("n"))
    event = weir.wait_event("certificate_changed")
    assert (event["before"].upper(), event["serial"].upper()) == (old, pki.serial("n"))
    assert event["name"] == "a.example" and event["listener"] == "web"
    assert before.ask().status == 200
    weir.wait_metric(1, "weir_tls_certificate_changes_total", result="applied")


def test_a_pair_in_two_steps_ends_right_and_is_refused_meanwhile(scene, pki):
    pair, new = pki.make("a", "a.example"), pki.make("n", "a.example")
    old = pki.serial("a")
    weir = scene.proxy(scene.server(), listener=front(pair))
    shutil.copy(new["cert"], pair["cert"])
    eventually(lambda: "does not belong" in (row(weir, pair["cert"])["refusal"] or ""), "the refusal of the half that came")
    # It may have been looked at while it was being copied, and refused for that before.
    said = eventually(lambda: [e for e in weir.events("certificate_refused")
                               if "does not belong to the certificate" in e["error"]], "what is said of it")
    assert said[-1]["file"] == pair["cert"]
    assert served(scene, weir, pki) == old
    shown = row(weir, pair["cert"])
    assert shown["serial"].upper() == old and "does not belong" in shown["refusal"] and shown["refused_at"]
    shutil.copy(new["key"], pair["key"])
    wait_served(scene, weir, pki, pki.serial("n"))
    assert row(weir, pair["cert"])["refusal"] is None


def test_one_whose_time_is_still_to_come_is_served_once_it_has(scene, pki):
    pair = pki.make("a", "a.example")
    weir = scene.proxy(scene.server(), listener=front(pair))
    assert served(scene, weir, pki) == pki.serial("a")
    begin = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    new = pki.make_between("n", "a.example", begin.strftime("%Y%m%d%H%M%SZ"), "20990101000000Z")
    for kind in pair:
        shutil.copy(new[kind], pair[kind])
    # Nothing happens to the files any more.
    wait_served(scene, weir, pki, pki.serial("n"))
    assert datetime.datetime.now(datetime.timezone.utc) >= begin.replace(microsecond=0)
    assert row(weir, pair["cert"])["refusal"] is None


def live(pki, number, name="a.example"):
    """As certbot has them: a folder of links, and one of what they point to."""
    archive, links = pki.path("archive"), pki.path("live")
    os.makedirs(archive, exist_ok=True)
    os.makedirs(links, exist_ok=True)
    pair = pki.make(f"n{number}", name)
    targets = {kind: os.path.join(archive, f"{kind}{number}.pem") for kind in pair}
    for kind, file in pair.items():
        os.rename(file, targets[kind])
    return {kind: os.path.join(links, kind + ".pem") for kind in pair}, targets


def serial_of(cert, pki):
    shutil.copy(cert, pki.path("look.pem"))
    return pki.serial("look")


def link(target, place):
    if os.path.lexists(place):
        os.unlink(place)
    os.symlink(os.path.relpath(target, os.path.dirname(place)), place)


def test_links_that_are_set_anew_are_followed(scene, pki):
    pair, targets = live(pki, 1)
    for kind in pair:
        link(targets[kind], pair[kind])
    weir = scene.proxy(scene.server(), listener=front(pair))
    assert served(scene, weir, pki) == serial_of(targets["cert"], pki)
    _, targets = live(pki, 2)
    for kind in pair:
        link(targets[kind], pair[kind])
    wait_served(scene, weir, pki, serial_of(targets["cert"], pki))
    # What the new links point to is watched as well.
    _, others = live(pki, 3)
    for kind in pair:
        shutil.copy(others[kind], targets[kind])
    wait_served(scene, weir, pki, serial_of(others["cert"], pki))


def test_a_link_to_a_folder_on_the_way_is_followed(scene, pki):
    """As Kubernetes mounts secrets: the files are links into a folder that is itself a link, and only that changes."""
    base = pki.path("mount")
    os.makedirs(base)

    def fill(number):
        folder = os.path.join(base, f"..{number}")
        os.makedirs(folder)
        pair = pki.make(f"n{number}", "a.example")
        for kind, file in pair.items():
            shutil.copy(file, os.path.join(folder, f"tls.{kind}"))
        os.symlink(f"..{number}", os.path.join(base, "..tmp"))
        os.rename(os.path.join(base, "..tmp"), os.path.join(base, "..data"))
        return pki.serial(f"n{number}")

    fill(1)
    pair = {kind: os.path.join(base, f"tls.{kind}") for kind in ("cert", "key")}
    for kind, place in pair.items():
        os.symlink(f"..data/tls.{kind}", place)
    weir = scene.proxy(scene.server(), listener=front(pair))
    for number in (2, 3):
        wait_served(scene, weir, pki, fill(number))


def test_a_folder_that_is_replaced_is_found_again(scene, pki):
    folder = pki.path("certs")
    os.makedirs(folder)
    first, second = pki.make("n1", "a.example"), pki.make("n2", "a.example")
    pair = {kind: os.path.join(folder, kind) for kind in first}
    for kind in pair:
        shutil.copy(first[kind], pair[kind])
    weir = scene.proxy(scene.server(), listener=front(pair))
    assert served(scene, weir, pki) == pki.serial("n1")
    os.rename(folder, folder + ".old")
    refused = weir.wait_event("certificate_refused")
    assert "No such file" in refused["error"]
    assert served(scene, weir, pki) == pki.serial("n1")
    os.makedirs(folder)
    for kind in pair:
        shutil.copy(second[kind], pair[kind])
    wait_served(scene, weir, pki, pki.serial("n2"))


def test_one_mistake_does_not_hold_up_the_others(scene, pki):
    a, b = pki.make("a", "a.example"), pki.make("b", "b.example")
    new = pki.make("n", "b.example")
    old = pki.serial("a")
    weir = scene.proxy(scene.server(), listener=front(a, b))
    with open(a["cert"], "w") as file:
        file.write("-----BEGIN CERTIFICATE-----\n")
    replace(new["key"], b["key"])
    replace(new["cert"], b["cert"])
    wait_served(scene, weir, pki, pki.serial("n"), name="b.example")
    weir.wait_event("certificate_refused")
    assert served(scene, weir, pki) == old


def test_an_expired_one_takes_the_place_of_none_that_is_good(scene, pki):
    pair, new = pki.make("a", "a.example"), pki.make("n", "a.example", days=-1)
    old = pki.serial("a")
    weir = scene.proxy(scene.server(), listener=front(pair))
    replace(new["key"], pair["key"])
    replace(new["cert"], pair["cert"])
    eventually(lambda: any("expired on" in e["error"] for e in weir.events("certificate_refused")), "it is refused")
    assert served(scene, weir, pki) == old


def test_the_api_reads_all_again_and_says_what_is_wrong(scene, pki):
    pair, new = pki.make("a", "a.example"), pki.make("n", "a.example")
    weir = scene.proxy(scene.server(), listener=front(pair))
    answer = weir.ask_admin("POST", "/api/v1/certificates/reload")
    assert (answer.status, json.loads(answer.body)) == (200, {"certificates": 1, "changed": 0})
    shutil.copy(new["cert"], pair["cert"])
    answer = weir.ask_admin("POST", "/api/v1/certificates/reload")
    assert answer.status == 400 and 'listener "web": the key in' in json.loads(answer.body)["detail"]
    assert answer.get("Content-Type") == "application/problem+json"
    shutil.copy(new["key"], pair["key"])
    answer = weir.ask_admin("POST", "/api/v1/certificates/reload")
    assert answer.status == 200
    assert served(scene, weir, pki) == pki.serial("n")


def test_the_list_has_each_once_with_its_listeners(scene, pki):
    a, b = pki.make("a", "a.example", "www.a.example", days=30), pki.make("b", "b.example", key="rsa", days=300)
    config = {"listeners": {"web": {"bind": "127.0.0.1:0", "pool": "web", **front(a, b)},
                            "two": {"bind": "127.0.0.1:0", "pool": "web", **front(a)}}}
    weir = scene.proxy(scene.server(), **config)
    shown = row(weir, a["cert"])
    assert shown["names"] == ["a.example", "www.a.example"] and shown["listeners"] == ["two", "web"]
    assert shown["serial"].upper() == pki.serial("a") and shown["issuer"] == "CN=ca.example"
    assert shown["days"] in (29, 30) and shown["kind"] == "ecdsa" and shown["refusal"] is None
    other = row(weir, b["cert"])
    assert other["listeners"] == ["web"] and other["kind"] == "rsa" and other["days"] in (299, 300)
    assert len(weir.get("/api/v1/certificates")["certificates"]) == 2


def test_keys_of_tickets_and_cas_are_watched_too(scene, pki, tmp_path):
    keys = tmp_path / "ticket.keys"
    keys.write_bytes(os.urandom(80))
    ca = pki.path("clients.pem")
    shutil.copy(pki.ca, ca)
    pki.make("me", "me.example")
    weir = scene.proxy(scene.server(), listener=front(pki.make("a", "a.example"), ticket_keys=str(keys), client=ca))

    def is_let_in():
        try:
            client = scene.client(weir, context=pki.context("me"), name="a.example")
            return client.ask().status == 200
        except OSError:
            return False

    assert is_let_in()
    keys.write_bytes(b"short")
    assert "does not have 1 to 8 keys" in weir.wait_event("certificate_refused")["error"]
    assert is_let_in()
    other = Pki(tmp_path / "other")
    shutil.copy(other.ca, ca)
    eventually(lambda: not is_let_in(), "who was signed by the other CA stays out")


def test_nothing_fails_while_certificates_change_under_load(scene, pki):
    """New connections all the time, each with a request; every one is answered, with one certificate or the next."""
    pair = pki.make("a", "a.example")
    others = [pki.make(f"n{i}", "a.example") for i in range(6)]
    known = {pki.serial("a")} | {pki.serial(f"n{i}") for i in range(6)}
    weir = scene.proxy(scene.server(), build="release", workers=2, listener=front(pair))
    faults, counts, stop = [], [0, 0, 0], threading.Event()

    def load(number):
        context = pki.context()
        while not stop.is_set():
            try:
                client = scene.client(weir, context=context, name="a.example")
                assert client.sock.tls.getpeercert()["serialNumber"] in known
                assert client.ask().status == 200
                client.close()
                counts[number] += 1
            except (OSError, AssertionError) as fault:
                faults.append(repr(fault))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i, new in enumerate(others):
            replace(new["key"], pair["key"])
            replace(new["cert"], pair["cert"])
            wait_served(scene, weir, pki, pki.serial(f"n{i}"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults and all(counts), (faults[:5], counts)
    assert all(event["serial"] != event["before"] for event in weir.events("certificate_changed"))


def test_a_reload_of_the_configuration_watches_the_new_files(scene, pki):
    a, b, new = pki.make("a", "a.example"), pki.make("b", "a.example"), pki.make("n", "a.example")
    weir = scene.proxy(scene.server(), listener=front(a))
    weir.config["listeners"]["web"].update(front(b))
    weir.reload(weir.config)
    assert served(scene, weir, pki) == pki.serial("b")
    serial = pki.serial("n")
    replace(new["key"], b["key"])
    replace(new["cert"], b["cert"])
    wait_served(scene, weir, pki, serial)

