"""Certificates that a CA issues by ACME: asked of a real one, proven by both challenges, renewed, and tried again."""
import contextlib
import datetime
import json
import os
import ssl
import stat
import threading

import pytest

from pebble import Pebble
from ports import reserve_port
from tls import Pki
from waiting import eventually
from weir import make_config, run_command


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path)


@pytest.fixture
def ca(pki):
    with contextlib.closing(Pebble(pki)) as pebble:
        yield pebble


def front(ca, *names):
    return {"bind": f"127.0.0.1:{ca.tls_port}", "tls": {"certificates": [{"acme": list(names) or ["a.example", "b.example"]}]}}


def config_of(scene, ca, server, state, names=(), plain=None, **acme):
    """A listener of TLS whose certificate is a CA's to issue, and a plain one that everything is redirected from."""
    return make_config([server], listener=front(ca, *names), state=str(state), acme=ca.acme(**acme),
                       listeners={"plain": {"bind": f"127.0.0.1:{plain or ca.http_port}", "redirect": "https"}})


def issued(weir, count=1):
    return weir.wait_event("acme_issued", count)


def serial(scene, weir, context, name="a.example"):
    client = scene.client(weir, context=context, name=name)
    number = client.sock.tls.getpeercert()["serialNumber"]
    assert client.ask().status == 200
    client.close()
    return number


def wait_served(scene, weir, context, name="a.example"):
    def served():
        with contextlib.suppress(ssl.SSLError, OSError):
            return serial(scene, weir, context, name)
    return eventually(served, f"the certificate of {name}")


def new_serial(scene, weir, context):
    """None: what is served is not the CA's yet."""
    try:
        return serial(scene, weir, context)
    except ssl.SSLCertVerificationError:
        return None


def rows(weir):
    return weir.get("/api/v1/acme")["certificates"]


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
@pytest.mark.parametrize("build, key, nonces", [("asan", "ecdsa", 50), ("release", "rsa", 5)])
def test_certificates_are_issued(scene, ca, tmp_path, build, key, nonces, challenge):
    ca.nonces = nonces
    ca.start()
    weir = scene.weir(config_of(scene, ca, scene.server(), tmp_path / "state", challenge=challenge, key=key), build=build)
    event = issued(weir)
    assert (event["name"], event["names"]) == ("a.example", "2")
    context = ca.context()
    assert wait_served(scene, weir, context) == wait_served(scene, weir, context, "b.example")
    row, = rows(weir)
    assert row["names"] == ["a.example", "b.example"] and row["state"] == "waiting" and row["error"] is None
    assert row["until"] > row["next"] and row["failures"] == 0
    assert row["file"] == str(tmp_path / "state" / "acme" / f"a.example.{key}.pem")
    listed, = weir.get("/api/v1/certificates")["certificates"]
    assert listed["source"] == "acme" and listed["cert"] == row["file"] and listed["kind"] == key
    weir.wait_metric(1, "weir_acme_orders_total", result="issued")
    assert weir.metric("weir_acme_orders_total", result="failed") == 0
    for folder, _, files in os.walk(tmp_path / "state" / "acme"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == 0o600, file


def test_a_name_without_a_certificate_is_refused_and_the_others_are_served(scene, ca, pki, tmp_path):
    config = config_of(scene, ca, scene.server(), tmp_path / "state")
    config["listeners"]["web"]["tls"]["certificates"].append(pki.make("own", "own.example"))
    weir = scene.weir(config)
    own = scene.client(weir, context=pki.context(), name="own.example")
    assert own.ask().status == 200
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME|unrecognized name"):
        scene.client(weir, context=pki.context(), name="a.example")


def test_what_is_no_question_of_the_ca_goes_its_ordinary_way(scene, ca, tmp_path):
    ca.start()
    weir = scene.weir(config_of(scene, ca, scene.server(), tmp_path / "state"))
    issued(weir)
    answer = scene.client(weir, "plain").ask(target="/.well-known/acme-challenge/xyz", host="a.example")
    assert answer.status == 301


def test_a_ca_that_is_down_is_asked_again(scene, ca, tmp_path):
    weir = scene.weir(config_of(scene, ca, scene.server(), tmp_path / "state"))
    failed = weir.wait_event("acme_failed", 2)
    assert "the CA's directory: the CA cannot be asked" in failed["error"] and failed["failures"] == "0"
    assert "cannot be asked" in eventually(lambda: rows(weir)[0]["error"], "the error in the API")
    ca.start()
    issued(weir)
    wait_served(scene, weir, ca.context())
    assert eventually(lambda: rows(weir)[0]["error"] is None, "no error any more")


def test_a_proof_that_cannot_be_found_says_so(scene, ca, tmp_path):
    ca.start()
    weir = scene.weir(config_of(scene, ca, scene.server(), tmp_path / "state", plain=reserve_port(), retry="1h"))
    failed = weir.wait_event("acme_failed")
    assert "the proof of" in failed["error"] and "by http-01" in failed["error"] and failed["failures"] == "1"
    row = eventually(lambda: next((r for r in rows(weir) if r["error"]), None), "the error in the API")
    assert row["failures"] == 1 and row["until"] is None
    weir.wait_metric(1, "weir_acme_orders_total", result="failed")
    doctor = run_command("doctor", "-c", weir.path, build="release")
    assert "not issued yet" in doctor.stdout and "by http-01" in doctor.stdout


def test_an_order_that_was_broken_off_is_made_again_after_a_while(scene, ca, tmp_path):
    server = scene.server()
    ca.dns.names["a.example"] = None  # the CA waits for it
    ca.start()
    config = config_of(scene, ca, server, tmp_path / "state")
    weir = scene.weir(config, is_checked=False)
    eventually(lambda: list((tmp_path / "state" / "acme").glob("challenges/*")), "the proofs are shown")
    weir.kill()
    attempts = (tmp_path / "state" / "acme" / "a.example.ecdsa.attempts").read_text()
    assert attempts.startswith("failures 1\n") and "it was broken off" in attempts
    ca.dns.names["a.example"] = ["127.0.0.1"]
    again = scene.weir(config)
    issued(again)
    wait_served(scene, again, ca.context())


def test_weirs_that_share_a_folder_answer_for_one_another(scene, ca, tmp_path):
    server = scene.server()
    ca.start()
    folder = str(tmp_path / "shared")
    answering = config_of(scene, ca, server, tmp_path / "one", names=["b.example"], folder=folder)
    other = config_of(scene, ca, server, tmp_path / "two", names=["a.example"], folder=folder, plain=reserve_port())
    other["listeners"]["web"]["bind"] = f"127.0.0.1:{reserve_port()}"
    one, two = scene.weir(answering), scene.weir(other)
    for weir, name in ((one, "b.example"), (two, "a.example")):
        assert issued(weir)["name"] == name
        wait_served(scene, weir, ca.context(), name)


def test_weirs_that_share_a_certificate_order_it_once(scene, ca, tmp_path):
    server = scene.server()
    ca.start()
    folder = str(tmp_path / "shared")
    first = config_of(scene, ca, server, tmp_path / "one", folder=folder)
    second = config_of(scene, ca, server, tmp_path / "two", folder=folder, plain=reserve_port())
    second["listeners"]["web"]["bind"] = f"127.0.0.1:{reserve_port()}"
    weirs = [scene.weir(first), scene.weir(second)]
    context = ca.context()
    serials = {wait_served(scene, weir, context) for weir in weirs}
    assert len(serials) == 1
    assert sum(len(weir.events("acme_ordering")) for weir in weirs) == 1


def test_what_is_due_is_renewed_while_it_is_served(scene, ca, pki, tmp_path):
    """One that is valid, and past two thirds of its life, is found at the start."""
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (f"{now + datetime.timedelta(days=days):%Y%m%d%H%M%SZ}" for days in (-9, 3))
    pki.make_between("old", "a.example", begin, end)
    state = tmp_path / "state"
    os.makedirs(state / "acme", mode=0o700)
    os.chmod(state, 0o700)
    pair = "".join(open(pki.path(name)).read() for name in ("old.key", "old.pem"))
    file = state / "acme" / "a.example.ecdsa.pem"
    file.write_text(pair)
    os.chmod(file, 0o600)
    weir = scene.weir(config_of(scene, ca, scene.server(), state, names=["a.example"]))
    old = serial(scene, weir, pki.context())
    stop = threading.Event()
    faults = []

    def load():
        context = ssl._create_unverified_context()
        try:
            while not stop.is_set():
                client = scene.client(weir, context=context, name="a.example")
                assert client.ask().status == 200
                client.close()
        except Exception as fault:
            faults.append(fault)
    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    try:
        ca.start()
        issued(weir)
        context = ca.context()
        eventually(lambda: new_serial(scene, weir, context) not in (None, old), "the new certificate is served")
    finally:
        stop.set()
        thread.join()
    assert not faults


def test_another_name_by_a_reload_is_another_order(scene, ca, tmp_path):
    ca.start()
    config = config_of(scene, ca, scene.server(), tmp_path / "state", names=["a.example"])
    weir = scene.weir(config)
    issued(weir)
    context = ca.context()
    first = wait_served(scene, weir, context)
    config["listeners"]["web"]["tls"]["certificates"] = [{"acme": ["a.example", "b.example"]}]
    weir.reload(config)
    assert serial(scene, weir, context) == first  # as long as there is no other
    issued(weir, 2)
    assert wait_served(scene, weir, context, "b.example") != first


def test_an_account_of_another_kind_is_bound(scene, pki, tmp_path):
    with contextlib.closing(Pebble(pki, binding=True)) as ca:
        ca.start()
        config = config_of(scene, ca, scene.server(), tmp_path / "state", retry="1h")
        weir = scene.weir(config)
        assert "externalAccountRequired" in weir.wait_event("acme_failed")["error"]
        config["acme"]["binding"] = {"kid": "kid-1", "hmac": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
        config["state"] = str(tmp_path / "other")
        other = scene.weir(dict(config, acme=dict(config["acme"]), listeners={
            "web": dict(config["listeners"]["web"], bind=f"127.0.0.1:{reserve_port()}"),
            "plain": {"bind": f"127.0.0.1:{reserve_port()}", "redirect": "https"}}, admin={"bind": f"127.0.0.1:{reserve_port()}"}))
        assert "by http-01" in other.wait_event("acme_failed")["error"]  # it has an account, and nobody answers for it


CHECKED = [
    ({"certificates": [{"acme": ["*.example.org"]}]}, {}, '"*.example.org" is proven by DNS alone (dns-01)'),
    ({"certificates": [{"acme": ["10.0.0.1"]}]}, {}, '"10.0.0.1" is no name of a host'),
    ({"certificates": [{"acme": "localhost"}]}, {}, '"localhost" is no name of a host'),
    ({"certificates": [{"acme": "a.example", "cert": "x.pem", "key": "x.key"}]}, {}, "a certificate that a CA issues has files"),
    ({"certificates": [{"acme": "a.example"}]}, {"acme": None}, "nothing says by which"),
    ({"certificates": [{"acme": "a.example"}]}, {"state": None}, "there is no folder to keep"),
    ({"certificates": [{"acme": "a.example"}]}, {"acme": {}}, "before its terms of service are agreed to"),
    ({"certificates": [{"acme": "a.example"}]}, {"acme": {"terms_agreed": True, "directory": "http://ca.example/"}},
     "no URL of https"),
    ({"certificates": [{"acme": "a.example"}]}, {"acme": {"terms_agreed": True, "email": "me.example"}}, "no address of mail"),
    ({"certificates": [{"acme": "a.example"}]}, {"acme": {"terms_agreed": True, "binding": {"kid": "k", "hmac": "!"}}},
     "the key is no base64"),
    ({"certificates": [{"acme": ["a.example", "b.example"]}, {"acme": ["a.example", "c.example"]}]}, {},
     "has another certificate whose first name is a.example"),
    ({"certificates": [{"cert": "x.pem"}]}, {}, 'lacks "key"'),
    ({"certificates": [{}]}, {}, 'lacks "cert"'),
]


@pytest.mark.parametrize("tls, change, words", CHECKED)
def test_check_says_what_is_wrong(tmp_path, tls, change, words):
    config = make_config(["127.0.0.1:1"], listener={"tls": tls}, state=str(tmp_path), acme={"terms_agreed": True})
    config = {key: value for key, value in {**config, **change}.items() if value is not None}
    done = check(config, tmp_path)
    assert done.returncode == 78 and words in done.stderr, done.stderr


@pytest.mark.parametrize("challenge, words", [("http-01", "the CA comes to port 80 (http-01)"),
                                              ("tls-alpn-01", "the CA comes to port 443 (tls-alpn-01)")])
def test_check_says_where_the_ca_comes(tmp_path, challenge, words):
    config = make_config(["127.0.0.1:1"], listener={"tls": {"certificates": [{"acme": "a.example"}]}}, state=str(tmp_path),
                         acme={"terms_agreed": True, "challenge": challenge})
    done = check(config, tmp_path)
    assert done.returncode == 0 and words in done.stderr, done.stderr
    config["listeners"]["plain"] = {"bind": ":80", "redirect": "https"}
    config["listeners"]["web"]["bind"] = ":443"
    assert words not in check(config, tmp_path).stderr


def check(config, folder):
    path = folder / "weir.yaml"
    path.write_text(json.dumps(config))
    return run_command("check", "-c", str(path), build="release")
