"""The dashboard in headless Chromium, in front of a real weir with real traffic."""
import gzip
import json
import re

import pytest

import broken
import message
from browser import Browser
from waiting import eventually

HOSTILE = ["<img src=x onerror=alert(1)>", "\"><script>complaints.push('ran')</script>", "javascript:alert(1)"]
HELPERS = """
const tables = () => [...document.querySelectorAll("main table")];
const table = caption => tables().find(table => table.caption.textContent === caption);
const cell = (caption, name, title) => {
  const found = table(caption);
  const column = [...found.tHead.rows[0].cells].findIndex(cell => cell.textContent === title);
  const row = [...found.tBodies[0].rows].find(row => row.cells[0].textContent === name);
  return row?.cells[column]?.textContent;
};
"""


@pytest.fixture
def browser(tmp_path):
    opened = Browser(tmp_path)
    yield opened
    opened.close()


def ask(browser, script):
    return browser.run(f"(() => {{ {HELPERS} return {script}; }})()")


def open_view(browser, weir, view):
    browser.open("http://%s:%d/#%s" % (*weir.admin_address, view))
    browser.wait(f"window.dash && dash.hash === '#{view}' && dash.rounds > 0", f"the first figures of {view}")


def wait_text(browser, script, wanted):
    eventually(lambda: ask(browser, script) == wanted,
               lambda: f"{script} to be {wanted!r}, not {ask(browser, script)!r}; {browser.run('document.body.innerText')}")


def page(weir, path="/", *fields):
    return weir.ask_admin("GET", path, ("Accept", "text/html,*/*"), *fields)


def test_browsers_get_the_page_and_others_the_list(scene):
    weir = scene.proxy(scene.server())
    response = page(weir)
    assert response.get("Content-Type") == "text/html; charset=utf-8" and "<title>weir</title>" in response.text
    policy = response.get("Content-Security-Policy")
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'",
                 "require-trusted-types-for 'script'"):
        assert part in policy
    assert "unsafe" not in policy and response.get("Cache-Control") == "no-cache"
    plain = weir.ask_admin("GET", "/")
    assert plain.text.startswith("weir's admin API") and "/api/v1/traffic" in plain.text
    assert weir.ask_admin("GET", "/", ("Accept", "text/html;q=0")).text.startswith("weir's admin API")


def test_files_are_packed_named_and_small(scene):
    weir = scene.proxy(scene.server())
    size = 0
    for path in ("/", "/ui/dash.css", "/ui/dash.js"):
        packed = page(weir, path, ("Accept-Encoding", "br, gzip"))
        plain = page(weir, path)
        assert packed.get("Content-Encoding") == "gzip" and plain.get("Content-Encoding") is None
        assert gzip.decompress(packed.body) == plain.body
        assert packed.get("ETag") != plain.get("ETag") and "Accept-Encoding" in packed.get("Vary")
        known = page(weir, path, ("Accept-Encoding", "gzip"), ("If-None-Match", f'"other", W/{packed.get("ETag")}'))
        assert (known.status, known.body) == (304, b"")
        assert page(weir, path, ("If-None-Match", '"other"')).status == 200
        size += len(packed.body)
    assert size < 24000  # docs/dashboard.md
    assert page(weir, "/ui/nothing.js").status == 404
    assert re.search(r"https?://(?!www\.w3\.org/2000/svg)", page(weir, "/ui/dash.js").text) is None


def test_figures_are_those_of_the_api(scene, browser):
    server = scene.server([broken.serve(lambda request: message.response(int(request.target[1:])))])
    weir = scene.proxy({"name": "one", "address": server.address})
    client = scene.client(weir)
    for target in ("/200", "/200", "/500"):
        client.ask("GET", target)
    open_view(browser, weir, "servers")
    attempts = weir.servers()["one"]["attempts"]
    assert attempts == 3
    wait_text(browser, "cell('Servers', 'web / one', 'Attempts')", str(attempts))
    open_view(browser, weir, "now")
    for target in ("/200",) * 7 + ("/500",):
        client.ask("GET", target)
    eventually(lambda: browser.run("""dash.answer.server.rows[0].series.requests.reduce((a, b) => a + b) >= 8"""), "the requests")
    # What the page shows is what it was told.
    browser.wait(f"""(() => {{ {HELPERS}
      return [["Listeners", "listener"], ["Pools", "pool"], ["Servers", "server"]].every(([caption, kind]) => {{
        const {{ rows, seconds }} = dash.answer[kind], row = rows[0];
        const name = row.of === null ? row.name : row.of + " / " + row.name;
        return cell(caption, name, "Requests/s") === (row.requests / seconds).toFixed(1);
      }}); }})()""", "what it was told")
    browser.wait("[...document.querySelectorAll('.spark .requests')].every(path => path.getAttribute('d')?.startsWith('M'))", "the lines")
    browser.check()


def test_failures_say_why_in_sentences(scene, browser):
    weir = scene.proxy({"name": "gone", "address": "127.0.0.1:1"})
    scene.client(weir).ask("GET", "/where")
    open_view(browser, weir, "failures")
    browser.wait("document.querySelector('tbody tr') && document.querySelector('tbody').innerText.includes('/where')", "the failure")
    text = browser.run("document.querySelector('tbody tr').innerText")
    record = weir.exchanges()[0]
    assert "weir answered 50" in text and record["means"] in text and "at gone" in text
    # A filter that finds nothing by that name is told so.
    browser.open("http://%s:%d/#failures?server=nobody" % weir.admin_address)
    browser.wait("document.getElementById('status').textContent.includes('There is no server \"nobody\"')", "what is wrong")
    browser.check()


def test_a_server_is_drained_from_the_page_its_traffic_ends_and_undo_brings_it_back(scene, browser):
    servers = [{"name": name, "address": scene.server([broken.serve(lambda request: message.response(200))]).address}
               for name in ("one", "two")]
    weir = scene.proxy(*servers)
    client = scene.client(weir)
    open_view(browser, weir, "servers")
    browser.wait("document.querySelectorAll('tbody tr').length === 2", "two servers")
    press = "[...document.querySelectorAll('button')].find(button => button.getAttribute('aria-label') === %r).click()"
    browser.run(press % "Drain: one")
    eventually(lambda: weir.servers()["one"]["state"] == "draining", "the drain")
    before = weir.servers()["one"]["attempts"]
    for _ in range(20):
        client.ask()
    after = weir.servers()
    assert after["one"]["attempts"] == before and after["two"]["attempts"] >= 20
    wait_text(browser, "cell('Servers', 'web / one', 'State')", "draining")
    browser.run("[...document.querySelectorAll('#message button')].find(button => button.textContent === 'Undo').click()")
    eventually(lambda: weir.servers()["one"]["state"] == "up", "the server to be back")
    for _ in range(20):
        client.ask()
    assert weir.servers()["one"]["attempts"] > before
    browser.check()


def test_hostile_texts_do_not_run(scene, browser):
    server = scene.server([broken.serve(lambda request: message.response(500))])
    names = [{"name": text, "address": server.address} for text in HOSTILE[:1]]
    weir = scene.proxy(*names, listener={"routes": [{"name": HOSTILE[1], "path_prefix": "/r", "pool": "web"},
                                                    {"name": HOSTILE[2], "pool": "web"}]})
    client = scene.client(weir)
    client.ask("GET", "/r%3Cscript%3Ecomplaints.push(1)%3C/script%3E", ("X-Request-Id", "<script>complaints.push(2)</script>"))
    client.ask("GET", "/<b>\"'&amp;", ("X-Request-Id", "<img/src=x>"))
    weir.wait_records(1)
    for view in ("now", "river", "servers", "failures", "configuration", "logs", "splits", "certificates"):
        open_view(browser, weir, view)
        browser.wait("document.querySelector('main').innerText.length > 20", f"the view {view}")
        assert browser.run("document.querySelectorAll('main img, main script, main b').length") == 0
        assert browser.run("[...document.querySelectorAll('a')].every(link => (link.getAttribute('href') ?? '').startsWith('#'))")
        browser.wait("document.getElementById('status').textContent === 'Live'", "that it is live")
        browser.check()
    open_view(browser, weir, "servers")
    assert HOSTILE[0] in browser.run("document.querySelector('main').innerText")


def test_the_page_comes_back_by_itself_after_a_restart(scene, browser, tmp_path):
    server = scene.server()
    weir = scene.proxy({"name": "one", "address": server.address})
    open_view(browser, weir, "servers")
    config = weir.config
    weir.terminate()
    weir.wait_exit()
    browser.wait("document.getElementById('status').textContent.includes('does not answer')", "the page to say so")
    again = scene.weir(config)
    again.wait_ready()
    rounds = browser.run("dash.rounds")
    browser.wait(f"dash.rounds > {rounds} && document.getElementById('status').textContent === 'Live'", "the page to come back")
    assert browser.run("document.querySelectorAll('tbody tr').length") == 1
    browser.check()


def test_what_happened_is_listed_noted_and_drawn_into_the_charts(scene, browser):
    weir = scene.proxy({"name": "one", "address": scene.server().address})
    weir.ask_admin("POST", "/api/v1/events", body={"name": HOSTILE[0]})
    open_view(browser, weir, "events")
    browser.run("""(() => {
      const form = document.querySelector("main form"), input = form.querySelector("input[maxlength]");
      input.value = "deploy v42";
      form.requestSubmit();
    })()""")
    noted = "[...table('Events').tBodies[0].rows].filter(row => row.cells[1].textContent === 'marker').map(row => row.cells[2].textContent)"
    wait_text(browser, f"JSON.stringify({noted})", '["name: deploy v42","name: ' + HOSTILE[0] + '"]')
    assert weir.get("/api/v1/events?name=marker")["events"][0]["fields"] == {"name": "deploy v42"}
    open_view(browser, weir, "now")
    # A mark stands where it belongs once the chart's time has come so far.
    eventually(lambda: browser.run("[...document.querySelectorAll('.spark .happened')].some(path => path.getAttribute('d')?.startsWith('M'))"),
               "a line in the charts")
    browser.check()


def test_it_is_used_by_keyboard_and_named_for_readers(scene, browser):
    weir = scene.proxy(scene.server())
    open_view(browser, weir, "servers")
    browser.wait("document.querySelectorAll('tbody tr').length === 1", "the server")
    assert browser.run("""[...document.querySelectorAll('button, input, select, a')].every(one =>
        one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label'))""")
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("document.querySelectorAll('h1').length") == 1
    assert browser.run("[...document.querySelectorAll('th')].every(cell => cell.scope)")
    assert browser.run("document.querySelectorAll('nav a[aria-current=page]').length") == 1
    # Focus and what is typed stay while figures change.
    browser.run("document.querySelector('input[type=number]').focus()")
    rounds = browser.run("dash.rounds")
    browser.wait(f"dash.rounds > {rounds + 1}", "two more rounds")
    assert browser.run("document.activeElement.type") == "number"
    browser.set_window(390, 800)
    assert browser.run("document.documentElement.scrollWidth <= 390")
    browser.check()


# How many rows come into the page from one frame to the next, at most.
COUNT_ROWS = """
window.rows = { now: 0, most: 0 };
new MutationObserver(changes => {
  for (const { target, addedNodes } of changes) if (target.nodeName === "TBODY") rows.now += addedNodes.length;
  rows.most = Math.max(rows.most, rows.now);
}).observe(document, { childList: true, subtree: true });
const turn = () => { rows.now = 0; requestAnimationFrame(turn); };
requestAnimationFrame(turn);
"""
DRAWN = "document.querySelectorAll('.spark .requests[d]').length"


def check_work(browser):
    """What makes it fast: long tables come over several frames, and charts are drawn that somebody sees."""
    count = browser.run("document.querySelectorAll('tbody tr').length")
    assert count > 150
    assert browser.run("rows.most") <= 60, "two frames' worth, should a frame have begun in between"
    assert 0 < browser.wait(DRAWN, "charts") < 60
    last = "[...document.querySelectorAll('.spark .requests')].at(-1)"
    assert browser.run(f"{last}.getAttribute('d')") is None
    browser.run(f"{last}.scrollIntoView()")
    browser.wait(f"{last}.getAttribute('d')", "the last one, once it is seen")


def test_thousands_of_servers_and_routes_stay_usable(scene, browser):
    pools = {f"p{number}": {"servers": {f"s{number}-{i:04}": f"127.{number + 1}.{i // 250}.{i % 250 + 1}:9" for i in range(2500)}}
             for number in range(4)}
    routes = [{"name": f"r{i}", "path_prefix": f"/r{i}/", "pool": f"p{i % 4}"} for i in range(1000)]
    weir = scene.proxy(scene.server(), listener={"routes": routes}, pools=pools, build="release")
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=COUNT_ROWS)
    for view in ("now", "river", "servers"):
        open_view(browser, weir, view)
        if view == "now":
            check_work(browser)
        # What is on the page is bounded, however many there are; the longest turn is told, not judged: it is the machine's.
        assert browser.run("document.querySelectorAll('main *').length") < 12000
    assert "of 10,001" in browser.run("document.querySelector('main').innerText")
    browser.run("""(() => { const search = document.querySelector('main input[type=search]'); search.value = "s3-2499";
        search.dispatchEvent(new Event("input")); })()""")
    browser.wait("document.querySelectorAll('tbody tr').length === 1", "the one that is searched for")
    browser.check()


def test_what_an_event_has_changed_stands_below_the_events(scene, browser):
    is_broken = []
    server = scene.server([broken.serve(lambda request: message.response(500 if is_broken else 200, body=b"x"))])
    weir = scene.proxy({"name": HOSTILE[0], "address": server.address})
    client = scene.client(weir)

    def visit(count):
        before = weir.metric("weir_route_exchanges_total")
        for _ in range(count):
            client.ask()
        weir.wait_metric(before + count, "weir_route_exchanges_total")

    def note(name):
        answer = weir.ask_admin("POST", "/api/v1/events", ("X-Request-Id", "ci-7"), body={"name": name})
        return json.loads(answer.body)["events"][0]["id"]

    open_view(browser, weir, "events")
    assert "note a deploy" in browser.run("document.querySelector('main').innerText")
    visit(200)
    fine = note("deploy v41")
    visit(200)
    is_broken.append(True)
    bad = note("deploy v42")
    visit(200)
    # The latest is shown by itself, and its figures are the API's.
    wait_text(browser, "/[Mm]ore errors/.test(cell('What it changed', 'route web / default', 'What is certain'))", True)
    report = weir.get(f"/api/v1/events/{bad}/report")
    route = next(row for row in report["rows"] if row["kind"] == "route")
    assert "more errors" in route["changes"]
    wait_text(browser, "cell('What it changed', 'route web / default', 'Errors (points)').split(/[+−]/)[0]", "0 % → 100.0 %")
    assert ask(browser, "cell('What it changed', 'server web / " + HOSTILE[0] + "', 'What is certain')") is not None
    shown = browser.run("document.querySelector('main select option:checked') && [...document.querySelectorAll('main select')].at(-1).selectedOptions[0].textContent")
    assert shown.endswith("marker: deploy v42")
    # Another one by the link in its row, with the keyboard; the address can be handed on.
    browser.run("""(() => {
      const link = [...document.querySelectorAll("main tbody a")].find(link => link.getAttribute("href").endsWith("report=%d"));
      link.focus();
    })()""" % fine)
    assert browser.run("document.activeElement.getAttribute('aria-label').startsWith('What it changed: marker, ')")
    browser.press("Enter")
    browser.wait(f"dash.hash === '#events?report={fine}' && dash.rounds > 0", "the other event")
    wait_text(browser, "cell('What it changed', 'route web / default', 'Errors (points)')?.startsWith('0 % → ')", True)
    # And by the choice, which keeps its focus while figures change.
    browser.run("""(() => {
      const choice = [...document.querySelectorAll("main select")].at(-1);
      choice.focus();
      choice.value = "%d";
      choice.dispatchEvent(new Event("change"));
    })()""" % bad)
    rounds = browser.run("dash.rounds")
    browser.wait(f"dash.rounds > {rounds + 1}", "two more rounds")
    assert browser.run("document.activeElement.tagName") == "SELECT"
    wait_text(browser, "cell('What it changed', 'route web / default', 'Errors (points)').split(/[+−]/)[0]", "0 % → 100.0 %")
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0
    browser.check()


def test_flame_graphs_and_leaks_are_led_to(scene, browser):
    weir = scene.proxy(scene.server())
    open_view(browser, weir, "profiles")
    links = browser.run("[...document.querySelectorAll('main a')].map(link => link.getAttribute('href'))")
    assert "/debug/pprof/" in links and weir.ask_admin("GET", "/debug/flame?seconds=0.1").status == 200
    assert all(link.startswith("/debug/") for link in links)
    kinds = [row["kind"].replace("_", " ") for row in weir.get("/api/v1/stats/leaks")["kinds"]]
    assert browser.run("[...document.querySelectorAll('tbody th')].map(cell => cell.textContent)") == kinds
    browser.check()
