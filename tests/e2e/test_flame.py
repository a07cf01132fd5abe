"""Pages of profiles in headless Chromium: flame graphs, differences, reports."""
import http.server
import os
import subprocess
import threading

import pytest

from chromium import ask, ask_address, with_script
from weir import ROOT, environment

FLAME_PAGE = os.path.join(ROOT, "build", "asan", "tests", "unit", "profile", "flame_page")

STACKS = """\
worker=0,pool=web|weir`main;weir`run;libc.so.6`read 30 100
worker=1,pool=web|weir`main;weir`run;libc.so.6`read 10 100
worker=0,pool=api|weir`main;weir`run;weir`parse 40 500
worker=1|weir`main;weir`timers 20 0
"""
BEFORE = """\
weir`main;weir`run;libc.so.6`read 10 0
weir`main;weir`run;weir`parse 40 0
weir`main;weir`gone 50 0
"""
AFTER = """\
weir`main;weir`run;libc.so.6`read 30 0
weir`main;weir`run;weir`parse 40 0
weir`main;weir`fresh 30 0
"""
# For scripts: a node by its name, a click on it, a key.
HELPERS = """
const graph = flame.graphs[0], tree = graph.tree;
const find = name => { for (let node = 0; node < tree.count; node++) if (tree.nameOf(node) === name) return node; return -1; };
const at = (kind, node) => {
  const [x, width] = graph.boxOf(node), box = graph.canvas.getBoundingClientRect();
  const y = graph.rowTop(node) - graph.scroll.scrollTop + 5;
  graph.canvas.dispatchEvent(new MouseEvent(kind, { clientX: box.left + x + width / 2, clientY: box.top + y, bubbles: true }));
};
const press = (key, target = graph.canvas) => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const pick = (list, text) => {
  list.value = [...list.options].find(option => option.textContent === text).value;
  list.dispatchEvent(new Event("change"));
};
const listOf = name => [...graph.element.querySelectorAll("label")].find(label => label.textContent.startsWith(name)).querySelector("select");
"""


class Pages:
    def __init__(self, directory):
        self.directory = directory

    def make(self, *texts, title="a profile"):
        paths = []
        for number, text in enumerate(texts):
            paths.append(self.directory / f"{number}.folded")
            paths[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run([FLAME_PAGE, title, *paths], capture_output=True, timeout=60, env=environment())
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.decode()

    def ask(self, page, script, **options):
        return ask(page, HELPERS + script, self.directory, **options)


@pytest.fixture
def pages(tmp_path):
    return Pages(tmp_path)


def test_stacks_become_one_tree_with_self_and_total(pages):
    nodes = pages.ask(pages.make(STACKS), """
      return [...Array(tree.count).keys()].map(node =>
        [tree.nameOf(node), tree.fileOf(node), tree.depth[node], tree.self[node], tree.total[node]]);""")
    assert nodes == [["all", "", 0, 0, 100], ["main", "weir", 1, 0, 100], ["run", "weir", 2, 0, 80],
                     ["parse", "weir", 3, 40, 40], ["read", "libc.so.6", 3, 40, 40], ["timers", "weir", 2, 20, 20]]


def test_every_frame_is_drawn_on_the_canvas(pages):
    drawn, pixels, colors = pages.ask(pages.make(STACKS), """
      const context = graph.canvas.getContext("2d");
      const pixel = node => [...context.getImageData(graph.boxOf(node)[0] + graph.boxOf(node)[1] - 5, graph.rowTop(node) + 3, 1, 1).data];
      return [graph.drawn, [...Array(tree.count).keys()].map(pixel), graph.canvas.width > 1000];""")
    assert drawn == 6 and colors
    assert all(pixel[3] == 255 for pixel in pixels)
    assert pixels[3] != pixels[4], "parse is of weir, read is of libc"


def test_another_value_is_chosen(pages):
    assert pages.ask(pages.make(STACKS), """
      pick(listOf("Value"), "alloc");
      return [tree.total[0], tree.total[find("parse")], graph.status.textContent];""") == [700, 500, "all  ·  700 B"]


def test_labels_filter(pages):
    assert pages.ask(pages.make(STACKS), """
      const totals = [];
      pick(listOf("worker"), "0");
      totals.push(tree.total[0]);
      pick(listOf("pool"), "web");
      totals.push(tree.total[0], tree.total[find("parse")]);
      pick(listOf("worker"), "any");
      totals.push(tree.total[0]);
      pick(listOf("pool"), "none");
      totals.push(tree.total[0], graph.drawn);
      return totals;""") == [70, 30, 0, 40, 20, 3]


@pytest.mark.parametrize("pattern, share", [
    ("read", "40.00 % matches, 1 frames"), ("^r", "80.00 % matches, 2 frames"), ("parse|timers", "60.00 % matches, 2 frames"),
    ("libc", "40.00 % matches, 1 frames"), ("READ", "0.00 % matches, 0 frames"), ("(", "not a regular expression"), ("", "")])
def test_search_says_how_much_matches(pages, pattern, share):
    assert pages.ask(pages.make(STACKS), f"""
      graph.input.value = {pattern!r};
      graph.input.dispatchEvent(new Event("input"));
      return graph.share.textContent;""") == share


def test_a_click_zooms_and_there_is_a_way_back(pages):
    assert pages.ask(pages.make(STACKS), """
      const seen = [], note = () => seen.push([tree.nameOf(graph.focus), Math.round(100 * graph.boxOf(find("parse"))[1] / graph.pixels)]);
      note();
      at("click", find("run")); note();
      at("click", find("parse")); note();
      graph.back.click(); note();
      at("click", find("main")); note();
      at("click", find("parse")); note();
      graph.reset.click(); note();
      return [seen, graph.back.disabled, graph.reset.disabled];""") == [[
          ["all", 40], ["run", 50], ["parse", 100], ["run", 50], ["main", 40], ["parse", 100], ["all", 40]], True, True]


def test_keys_do_what_the_mouse_does(pages):
    assert pages.ask(pages.make(STACKS), """
      const seen = [], note = key => { press(key); seen.push(`${tree.nameOf(graph.selected)} in ${tree.nameOf(graph.focus)}`); };
      graph.canvas.focus();
      for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp", "Enter", "Backspace", "ArrowLeft"]) note(key);
      press("ArrowDown"); press("ArrowDown"); press("ArrowRight"); press("ArrowRight"); note("Enter"); note("Escape");
      press("/", document.body);
      return [seen, graph.cursor.hidden, document.activeElement === graph.input];""") == [[
          "main in all", "run in all", "parse in all", "read in all", "run in all", "run in run", "all in all", "all in all",
          "timers in timers", "all in all"], True, True]


def test_the_tooltip_has_self_and_total(pages):
    assert pages.ask(pages.make(STACKS), """
      at("mousemove", find("read"));
      const shown = [graph.tooltip.hidden, graph.tooltip.querySelector("strong").textContent,
        [...graph.tooltip.querySelectorAll("td")].map(cell => cell.textContent)];
      graph.canvas.dispatchEvent(new MouseEvent("mouseleave"));
      return [...shown, graph.tooltip.hidden];""") == [
          False, "read", ["total", "40 ns", "40.00 %", "self", "40 ns", "40.00 %"], True]


def test_flames_burn_upwards_if_asked(pages):
    assert pages.ask(pages.make(STACKS), """
      const before = [graph.rowTop(0), graph.rowTop(find("read"))];
      graph.turn.click();
      at("click", find("read"));
      return [before, [graph.rowTop(0), graph.rowTop(find("read"))], tree.nameOf(graph.focus)];""") == [
          [0, 57], [57, 0], "read"]


def test_a_difference_shows_what_grew_and_what_shrank(pages):
    changes, gone, fresh, status = pages.ask(pages.make(AFTER, BEFORE), """
      const hue = node => { const [r, , b] = graph.canvas.getContext("2d").getImageData(graph.boxOf(node)[0] + 2, graph.rowTop(node) + 3, 1, 1).data; return r - b; };
      const changes = Object.fromEntries(["main", "run", "read", "parse", "gone", "fresh"].map(name => [name, tree.change(find(name))]));
      return [changes, hue(find("gone")), hue(find("fresh")), graph.status.textContent];""")
    assert changes == {"main": 0, "run": pytest.approx(20 / 70), "read": pytest.approx(20 / 30), "parse": 0,
                       "gone": -1, "fresh": 1}
    assert gone < -50 and fresh > 50, "blue and red"
    assert status.endswith("±0 ns")


def test_a_difference_has_the_widths_of_either(pages):
    assert pages.ask(pages.make(AFTER, BEFORE), """
      const widths = () => ["gone", "fresh", "run"].map(name => Math.round(100 * graph.boxOf(find(name))[1] / graph.pixels));
      const seen = [widths()];
      pick(listOf("Widths"), "after"); seen.push(widths());
      pick(listOf("Widths"), "before"); seen.push(widths());
      return seen;""") == [[25, 15, 60], [0, 30, 70], [50, 0, 50]]


def test_shares_are_compared_if_one_was_longer(pages):
    longer = "\n".join(line.rsplit(" ", 2)[0] + f" {3 * int(line.split()[1])} 0" for line in BEFORE.splitlines())
    assert pages.ask(pages.make(BEFORE, longer), """
      const before = tree.change(find("run"));
      graph.element.querySelector("input[type=checkbox]").click();
      return [before, tree.change(find("run"))];""") == [pytest.approx(-2 / 3), 0]


HOSTILE = [b"</script><script>window.isHurt=1</script>", b"<img/src=x/onerror=isHurt=1>", b"<!--<script>", b"\xe2\x80\xa8\xe2\x80\xa9",
           b"\xff\xfe\xc0\xaf", b"\xe2\x80\xaeevil", b"__proto__", b"constructor", b"a\x01b\x1b[31m", b"']]>\"\\u003c", b"{{data}}{{script}}",
           b"x" * 3000]


def test_hostile_names_stay_text(pages):
    text = b"\n".join(b"__proto__=constructor,</option><b>=<i>x|" + b";".join([name, b"leaf"]) + b" 5 1" for name in HOSTILE)
    page = pages.make(text + b"\n", title="</title><script>window.isHurt=1</script>{{data}}")
    names, is_hurt, images, scripts, title, worst = pages.ask(page, """
      at("mousemove", 1);
      graph.top.open = true; graph.fillTop();
      return [tree.names, window.isHurt, document.images.length, document.scripts.length, document.querySelector("h1").textContent,
        Math.max(...tree.names.map(name => name.length))];""")
    assert is_hurt is None and images == 0 and scripts == 4, "the data, the page's own, and the test's two"
    assert title == "</title><script>window.isHurt=1</script>{{data}}"
    assert {"</script><script>window.isHurt=1</script>", "__proto__", "constructor", "·evil", "··", "a·b·[31m",
            "{{data}}{{script}}", "(folded)", "leaf"} <= set(names)
    assert worst == 512


def test_a_page_refers_to_nothing_outside(pages):
    page = pages.make(STACKS)
    assert "default-src 'none'" in page
    assert "http:" not in page and "https:" not in page and "src=" not in page.replace("src=x", "")


def test_a_strict_server_can_send_it_and_is_asked_for_nothing_else(pages):
    page = with_script(pages.make(STACKS), HELPERS + "return graph.drawn;").encode()
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.send_header("Content-Security-Policy",
                             "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            assert ask_address(f"http://127.0.0.1:{server.server_port}/flame", pages.directory) == 6
        finally:
            server.shutdown()
    assert asked == ["/flame"]


def test_a_hundred_thousand_nodes_are_one_page(pages):
    """400 stacks of 250 frames, each three pixels wide, so that all are drawn."""
    text = "".join(";".join([f"c{column}"] + [f"f{(column * 31 + row) % 997}" for row in range(249)]) + " 1000 1\n"
                   for column in range(400))
    nodes, drawn, focus, share, figures = pages.ask(pages.make(text), """
      const drawn = graph.drawn;
      at("click", find("c17"));
      graph.setSearch("^c1");
      return [tree.count - 1, drawn, tree.nameOf(graph.focus), graph.share.textContent, JSON.parse(document.documentElement.dataset.figures)];""",
                                                    window="1900,5200")
    assert nodes == figures["nodes"][0] == 100000
    assert drawn == 100001
    assert focus == "c17" and share == "27.75 % matches, 111 frames"


def test_an_empty_profile_is_a_page_too(pages):
    assert pages.ask(pages.make(""), "return [tree.count, tree.total[0], graph.status.textContent];") == [1, 0, "all  ·  0 ns"]


def test_a_report_has_charts_tables_notes_and_graphs(pages):
    report = pages.ask(pages.make(STACKS, STACKS, title="-report"), """
      const texts = selector => [...document.querySelectorAll(selector)].map(found => found.textContent);
      const chart = flame.charts[0], box = chart.canvas.getBoundingClientRect();
      const before = chart.values.map(value => value.textContent);
      chart.canvas.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + chart.x(52), clientY: box.top + 50 }));
      return { charts: texts("h3"), headings: texts("h2"), cells: texts(".table-scroll td"), notes: texts(".notes li"), before,
        after: flame.charts.map(each => each.values.map(value => value.textContent)), clock: texts(".clock")[0],
        graphs: flame.graphs.map(each => each.tree.count), bold: document.querySelectorAll("td b").length };""")
    assert report["charts"] == ["CPU", "Memory", "Descriptors"]
    assert report["headings"] == ["Over time", "Threads", "On CPU", "Off CPU"]
    assert report["cells"] == ["worker-0", "61.2 %", "12034", "</td><b>worker-1", "58.9 %", ""] and report["bold"] == 0
    assert report["notes"] == ["Symbols of <libfoo.so> are missing: it was replaced while it ran."]
    assert report["before"] != report["after"][0]
    assert report["after"][0][1] == "–", "no value is no zero"
    assert report["after"][2] == ["205 open"] and report["clock"].endswith("13.00 s")
    assert report["graphs"] == [6, 6]


def test_charts_have_axes_of_round_numbers(pages):
    assert pages.ask(pages.make(STACKS, title="-report"), """
      return [flame.charts.map(chart => chart.ticks.map(tick => flame.Format.tick(tick, chart.unit))), flame.ticksBetween(0, 1, 4, false),
        flame.ticksBetween(0, 3e9, 3, true).map(tick => flame.Format.tick(tick, "bytes"))];""") == [
            [["0", "20 %", "40 %", "60 %", "80 %"], ["0", "200 MiB", "400 MiB", "600 MiB", "800 MiB"],
             ["200", "205", "210", "215"]], [0, 0.5, 1], ["0", "1 GiB", "2 GiB", "3 GiB"]]


def test_the_tables_of_functions_follow_the_graph(pages):
    rows = "graph.top.open = true; graph.fillTop(); return [...graph.top.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent));"
    recursive = "weir`main;weir`eat;weir`eat 10 0\nweir`main 30 0\n"
    assert pages.ask(pages.make(recursive), rows) == [
        ["30 ns", "75.00 %", "40 ns", "100 %", "main", "weir"], ["10 ns", "25.00 %", "10 ns", "25.00 %", "eat", "weir"]]
    changes = pages.ask(pages.make(AFTER, BEFORE), rows)
    assert changes[0] == ["−50 ns", "50 ns", "0 ns", "gone", "weir"]
    assert changes[-1] == ["±0 ns", "40 ns", "40 ns", "parse", "weir"]


def test_the_page_leaves_one_name_in_the_window(pages):
    assert pages.ask(pages.make(STACKS), """
      const frame = document.createElement("iframe");
      document.body.append(frame);
      const own = new Set(Object.getOwnPropertyNames(frame.contentWindow));
      frame.remove();
      return Object.getOwnPropertyNames(window).filter(name => !own.has(name)).sort();""") == ["complaints", "flame"]
