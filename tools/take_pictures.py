#!/usr/bin/python3
"""Takes the pictures of the dashboard: tools/take_pictures.py WEIR OUTDIR

Runs WEIR's demo until there is something to see, and writes OUTDIR/NAME.png of each of PICTURES by headless Chromium, and the river
as it is drawn, OUTDIR/river.svg. docs/pictures has them. It takes up to three minutes: a server of the demo has to fall ill first.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))
from browser import Browser  # noqa: E402
from png_palette import shrink  # noqa: E402
from waiting import eventually  # noqa: E402

ADMIN = "http://127.0.0.1:9091/"
TRAFFIC_S = 240
# Name, view, scheme, size; what is to be seen of it, besides figures.
PICTURES = [
    ("servers", "servers", "light", (1500, 378), "document.querySelector('.state-ejected, .state-down')"),
    ("now", "now?charts=5+minutes", "light", (1200, 760), None),
    ("now-dark", "now?charts=5+minutes", "dark", (1200, 760), None),
    ("failures", "failures", "light", (1200, 480), "document.querySelectorAll('tbody tr').length > 4"),
    ("split", "splits", "light", (1500, 230), "document.querySelectorAll('tbody tr').length > 1"),
]


def take(browser, picture, directory):
    name, view, scheme, size, wanted = picture
    browser.set_window(*size, scheme)
    browser.open(f"{ADMIN}#{view}")
    eventually(lambda: browser.run(f"window.dash && dash.hash === '#{view}' && dash.rounds > 1 && Boolean({wanted or 'true'})"),
               f"the view {view}", TRAFFIC_S)
    (directory / f"{name}.png").write_bytes(shrink(browser.picture()))


# The drawing by itself, with the colours that the page's style gives it.
DRAWING = """(() => {
  const from = document.querySelector("svg.river"), copy = from.cloneNode(true);
  const all = [...from.querySelectorAll("*")], copies = [...copy.querySelectorAll("*")];
  all.forEach((node, number) => {
    const style = getComputedStyle(node), to = copies[number];
    for (const name of ["fill", "stroke", "opacity", "font-size"])
      if (style.getPropertyValue(name)) to.setAttribute(name, style.getPropertyValue(name));
    to.removeAttribute("class");
    to.removeAttribute("href");
  });
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  paper.setAttribute("width", "100%");
  paper.setAttribute("height", "100%");
  paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  copy.prepend(paper);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", "sans-serif");
  copy.removeAttribute("class");
  return copy.outerHTML.replace(/></g, ">\\n<") + "\\n";
})()"""


def main():
    weir, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    demo = subprocess.Popen([weir, "demo"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with tempfile.TemporaryDirectory() as place:
            browser = Browser(pathlib.Path(place))
            try:
                eventually(lambda: demo.poll() is None and can_open(browser), "the demo")
                # A chart of some minutes, in which something has failed.
                eventually(lambda: browser.run("dash.answer?.listener.rows[0].series.requests.filter(value => value > 0).length >= 4"),
                           "traffic", TRAFFIC_S)
                for picture in PICTURES:
                    take(browser, picture, directory)
                browser.open(f"{ADMIN}#river")
                browser.wait("document.querySelectorAll('svg.river rect').length > 8", "the river")
                (directory / "river.svg").write_text(browser.run(DRAWING))
            finally:
                browser.close()
    finally:
        demo.terminate()
        demo.wait()


def can_open(browser):
    browser.open(ADMIN)
    return browser.run("Boolean(window.dash)")


if __name__ == "__main__":
    main()
