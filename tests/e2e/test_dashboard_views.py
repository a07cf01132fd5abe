"""Views of the dashboard that read more than one list: what one configuration changed of another, and what a log says."""
import json
import time

import pytest

import broken
import message
from browser import Browser
from waiting import eventually
from weir import listen_at_free_port

HOSTILE = "<img src=x onerror=complaints.push(1)>"
READ = """
const rowsOf = caption => {
  const table = [...document.querySelectorAll("main table")].find(table => table.caption.textContent === caption && table.getClientRects().length);
  return table && [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.innerText.replaceAll("\\n", "; ")));
};
"""


@pytest.fixture
def browser(scene, tmp_path):  # closed before the scene is looked at
    opened = Browser(tmp_path)
    yield opened
    opened.close()


def open_view(browser, weir, view):
    browser.open("http://%s:%d/#%s" % (*weir.admin_address, view))
    browser.wait(f"window.dash && dash.hash === '#{view}' && dash.rounds > 0", f"the first figures of {view}")


def read(browser, caption):
    return browser.run(f"(() => {{ {READ} return rowsOf({json.dumps(caption)}); }})()")


def wait_rows(browser, caption, wanted):
    eventually(lambda: read(browser, caption) == wanted, lambda: f"{caption} to be {wanted}, not {read(browser, caption)}")


def edit(weir, method, path, body=None):
    response = weir.ask_admin(method, "/api/v1/config" + path, body=body)
    assert response.status in (200, 201), response.text


def test_what_a_configuration_changed_of_another_is_shown(scene, browser, tmp_path):
    server = scene.server([broken.serve(lambda request: message.response(200))])
    secret = "sticky-by-a-secret-of-many-bytes"
    weir = scene.proxy({"name": "one", "address": server.address}, pool={"sticky": {"cookie": "c", "secrets": [secret]}},
                       state=str(tmp_path / "state"))
    edit(weir, "PATCH", "/pools/web/servers/one", {"weight": 3, "max_connections": 7})
    edit(weir, "POST", "/pools", {"name": HOSTILE, "servers": ["127.0.0.1:1"]})
    edit(weir, "PATCH", "/pools/web", {"timeouts": {"connect": "2s"}, "sticky": {"secrets": ["another-" + secret]}})
    open_view(browser, weir, "configuration")
    # The latest against the one before it.
    wait_rows(browser, "What changed", [["pool web", "changed", "timeouts.connect: \"5s\" → \"2s\"; sticky: a secret, which is not shown"]])
    # Another pair, by a link in the list, and by the two choices.
    browser.run("[...document.querySelectorAll('main a')].find(link => link.textContent === 'of 2').click()")
    browser.wait("dash.hash === '#configuration?from=2&to=3' && dash.rounds > 0", "the third against the second")
    name = HOSTILE
    wait_rows(browser, "What changed", [[f"pool {name}", "added", ""], [f"server {name} / 127.0.0.1:1", "added", ""]])
    browser.run("""(() => {
      const [before, after] = document.querySelectorAll("main select");
      before.value = "1"; before.dispatchEvent(new Event("change"));
      after.value = "2"; after.dispatchEvent(new Event("change"));
    })()""")
    wait_rows(browser, "What changed", [["server web / one", "changed", "weight: 1 → 3; max_connections: 0 → 7"]])
    assert secret not in browser.run("document.documentElement.outerHTML")
    assert browser.run("document.querySelectorAll('main img').length") == 0
    # Rolled back, it is once more as it was.
    browser.run("""[...document.querySelectorAll("main button")].find(button => button.getAttribute("aria-label") === "Roll back to generation 1").click()""")
    eventually(lambda: weir.servers()["one"]["weight"] == 1, "the first one to be back")
    browser.check()


def test_a_variant_is_ramped_by_hand_from_the_page_and_undo_takes_it_back(scene, browser):
    server = scene.server([broken.serve(lambda request: message.response(200))]).address
    variants = {"old": {"pool": "web", "weight": 90}, HOSTILE: {"pool": "web", "weight": 10}}
    weir = scene.proxy({"name": "one", "address": server}, listener={"routes": [{"name": "a", "path_prefix": "/a", "split": "plain"}, {"name": "b", "split": "guarded"}]},
                       splits={"plain": {"unit": "client", "variants": variants},
                               "guarded": {"unit": "client", "variants": variants, "guard": {"errors": "5%"}}})

    def weights(split):
        found, = (one for one in weir.get("/api/v1/splits")["splits"] if one["name"] == split)
        return {variant["name"]: variant["weight"] for variant in found["variants"]}

    def set_weight(split, value):
        label = f"Weight of {split} / {HOSTILE}, in percent"
        browser.run(f"""(() => {{ const input = [...document.querySelectorAll("main input")].find(input => input.getAttribute("aria-label") === {json.dumps(label)});
            input.value = "{value}"; input.dispatchEvent(new Event("change")); }})()""")

    open_view(browser, weir, "splits")
    for split in ("plain", "guarded"):
        set_weight(split, 25)
        eventually(lambda: weights(split) == {"old": 75, HOSTILE: 25}, f"the weight of {split}")
        browser.wait("document.getElementById('message').textContent.includes('has 25 % of the units')", "that it is said")
        browser.run("document.querySelector('#message button').click()")
        eventually(lambda: weights(split) == {"old": 90, HOSTILE: 10}, f"{split} to be as it was")
    press = "[...document.querySelectorAll('main button')].find(button => button.getAttribute('aria-label') === %s).click()"
    browser.run(press % json.dumps(f"Take back: guarded / {HOSTILE}"))
    eventually(lambda: weights("guarded")[HOSTILE] == 0, "it to be taken back")
    browser.run(press % json.dumps(f"Resume: guarded / {HOSTILE}"))
    eventually(lambda: weights("guarded")[HOSTILE] == 10, "it to be resumed")
    visible = browser.run("[...document.querySelectorAll('main .actions button')].filter(button => button.getClientRects().length).length")
    assert visible == 3  # of the variant that has a guard
    set_weight("guarded", 101)  # which is none
    assert weights("guarded")[HOSTILE] == 10 and browser.run("document.querySelectorAll('main img').length") == 0
    browser.check()


def test_without_kept_generations_there_is_nothing_to_compare(scene, browser):
    weir = scene.proxy(scene.server())
    open_view(browser, weir, "configuration")
    text = browser.run("document.querySelector('main').innerText")
    assert "No earlier configurations are kept" in text and "Difference" not in text
    browser.check()


def test_a_log_shows_its_latency_its_errors_and_whom_rules_deny(scene, browser, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("")
    form = "$remote_addr [$time_local] \"$request\" $status $body_bytes_sent $request_time"
    weir = scene.proxy(scene.server(), listener={"bind": listen_at_free_port(), "pool": "web"}, logs={
        "sources": {"edge": {"path": str(log), "format": form}},
        "rules": [{"name": "acts", "when": "rate(status==401) by client > 2/h", "do": {"for": "1h"}, "dry": False},
                  {"name": HOSTILE, "when": "rate(status==403) by client > 2/h"}]})
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    lines = [("192.0.2.1", f"/{HOSTILE}", 200, "0.010")] * 8 + [("192.0.2.2", "/login", 401, "0.500")] * 3 + [("192.0.2.3", "/x", 403, "0.100")] * 4 + \
        [("192.0.2.4", "/y", 503, "2.000")] + [("192.0.2.5", f"/{HOSTILE}", 502, "0.010")] * 2
    with log.open("a") as file:
        for client, path, status, took in lines:
            file.write(f'{client} [{now}] "GET {path.replace(" ", "%20")} HTTP/1.1" {status} 5 {took}\n')
    weir.wait_metric(18, "weir_log_records_total", source="edge")
    eventually(lambda: len(weir.get("/api/v1/denials")["denials"]) == 1, "the denial")
    open_view(browser, weir, "logs")
    errors = [["403", "4", "22.2 %"], ["401", "3", "16.7 %"], ["502", "2", "11.1 %"], ["503", "1", "5.56 %"]]
    wait_rows(browser, "The most frequent errors", errors)
    wait_rows(browser, "The most 5xx by path", [["/" + HOSTILE.replace(" ", "%20"), "2"], ["/y", "1"]])
    figures = weir.get("/api/v1/logs/edge/summary?window=1h")["figures"]["request_ms"]
    (of, records, p50, p95, p99), = read(browser, "Latency")
    assert (of, records) == ("a request", "18")
    for shown, name in ((p50, "p50"), (p95, "p95"), (p99, "p99")):
        value = float(shown.split(" ")[0]) * (1000 if shown.endswith(" s") else 1)
        assert abs(value - figures[name]) <= 0.01 * figures[name] + 0.5, (shown, figures)
    assert read(browser, "The most frequent by client")[0] == ["192.0.2.1", "8"]
    rules = {row[0]: row[4:] for row in read(browser, "Rules")}
    assert rules["acts"] == ["yes", "192.0.2.2", "192.0.2.2 (denied)"]
    assert rules[HOSTILE] == ["no, only says", "–", "192.0.2.3 (would have been denied)"]
    assert read(browser, "Who is denied")[0][:4] == ["192.0.2.2", "acts", "edge", "3"]
    assert browser.run("document.querySelectorAll('main img').length") == 0
    browser.run("""[...document.querySelectorAll("main button")].find(button => button.getAttribute("aria-label") === "Let pass: 192.0.2.2").click()""")
    eventually(lambda: weir.get("/api/v1/denials")["denials"] == [], "it to pass again")
    wait_rows(browser, "Who is denied", [])
    browser.check()


def test_a_log_that_says_no_times_says_so(scene, browser, tmp_path):
    log = tmp_path / "access.log"
    log.write_text('192.0.2.1 - - [12/Oct/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"\n')
    weir = scene.proxy(scene.server(), logs={"sources": {"edge": {"path": str(log)}}})
    open_view(browser, weir, "logs")
    eventually(lambda: "The log says of no request how long it took." in browser.run("document.querySelector('main').innerText"), "that it says none")
    eventually(lambda: "No record has a 5xx." in browser.run("document.querySelector('main').innerText"), "that it says none")
    assert "Nobody is denied by a rule." in browser.run("document.querySelector('main').innerText")
    browser.check()
