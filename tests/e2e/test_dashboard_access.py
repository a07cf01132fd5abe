"""Who uses the dashboard without a mouse, with a reader, or in the dark: axe-core has nothing to say of any of its views, nor of
the other pages of the admin address."""

import pytest

import broken
import message
from browser import Browser
from npm import read_script
from tls import Pki
from weir import listen_at_free_port

VIEWS = ["now", "river", "servers", "failures", "events", "splits", "logs", "certificates", "configuration", "profiles"]
SCHEMES = ["light", "dark"]


@pytest.fixture
def browser(scene, tmp_path):  # closed before the scene is looked at
    opened = Browser(tmp_path)
    yield opened
    opened.close()


def check(browser, what):
    """Nothing on this page stands in anybody's way."""
    if not browser.run("typeof axe === 'object'"):
        browser.run(read_script("axe-core/axe.min.js") + ";0")
    found = browser.run("""axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.map(
        ({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 4).map(node => `${node.target} ${node.html.slice(0, 160)} ${node.failureSummary}`).join("; ")}`))""")
    assert found == [], f"{what}:\n" + "\n".join(found)


@pytest.fixture
def weir(scene, tmp_path):
    """Something to be seen in each view: servers in several states, failures, a split, a log, a certificate, generations, events."""
    log = tmp_path / "access.log"
    log.write_text('127.0.0.1 - - [12/Oct/2026:10:00:00 +0000] "GET /a HTTP/1.1" 404 5 "-" "x"\n' * 3)
    pki = Pki(tmp_path)
    pki.make("s", "s.example")
    good = scene.server()
    bad = scene.server([broken.serve(lambda request: message.response(500))])
    weir = scene.proxy(
        *({"name": name, "address": good.address} for name in ("one", "two", "three")), {"name": "ill", "address": bad.address},
        pool={"balance": "round_robin"},
        listener={"routes": [{"name": "half", "path_prefix": "/half", "split": "half"}, {"name": "rest", "pool": "web"}]},
        listeners={"secure": {"bind": listen_at_free_port(), "pool": "other", "tls": {"certificates": [
            {"cert": pki.path("s.pem"), "key": pki.path("s.key")}]}}},
        pools={"other": {"servers": [good.address]}},
        splits={"half": {"unit": "client", "variants": {"old": {"pool": "web", "weight": 50}, "new": {"pool": "other", "weight": 50}}}},
        logs={"sources": {"edge": {"path": str(log), "format": "combined"}},
              "rules": [{"name": "much", "when": "rate(status==404) by client > 1000/s", "do": {"gate": "deny", "for": "10m"}}]},
        state=str(tmp_path / "state"), profile={"continuous": True})
    client = scene.client(weir)
    for number in range(40):
        client.ask("GET", "/half" if number % 2 else "/")
    weir.wait_records(5, status=500)
    for server, state in (("two", "drain"), ("three", "maintenance")):
        weir.ask_admin("PATCH", f"/api/v1/pools/web/servers/{server}", body={"admin": state})
    weir.ask_admin("POST", "/api/v1/events", body={"name": "deploy v42"})
    return weir


def look_at(browser, weir, view, scheme, *window):
    browser.set_window(*window, scheme)
    browser.open("about:blank")  # a page of its own, for its complaints
    browser.open("http://%s:%d/#%s" % (*weir.admin_address, view))
    browser.wait(f"window.dash && dash.hash === '#{view}' && dash.rounds > 0", f"the figures of {view}")
    check(browser, f"{view}, {scheme}, {window}")
    browser.check()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_view_stands_in_anybodys_way(browser, weir, scheme):
    for view in VIEWS:
        look_at(browser, weir, view, scheme, 1300, 900)
    look_at(browser, weir, "servers", scheme, 390, 800)
    browser.open("http://%s:%d/debug/flame?seconds=1" % weir.admin_address)
    check(browser, f"a flame graph, {scheme}")


def test_nor_does_the_page_that_asks_who_one_is(scene, browser):
    weir = scene.proxy(scene.server(), admin={"bind": listen_at_free_port(), "token": "the-single-one"})
    for scheme in SCHEMES:
        browser.set_window(390, 800, scheme)
        browser.open("http://%s:%d/" % weir.admin_address)
        browser.wait("document.querySelector('main input[type=password]') !== null", "the form")
        check(browser, f"sign in, {scheme}")
