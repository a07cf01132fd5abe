#!/usr/bin/python3
"""Draws the way of a request through the rooms of src/ as an SVG on stdout, out of the includes that are really there.

The stations and their order are told here; which of them know each other is read from the source: one knows another if it
reads the other's header, itself or by another header, and names a function that is declared there. A station that is no
longer there is an error: say where a request goes now.
"""
import glob
import os
import re
import sys
from html import escape

from print_includes import all_read, read_includes

ROOMS = ["net", "http", "balance", "route", "pool", "record", "proxy"]  # each includes only what stands left of it

# In the order in which a request comes by.
STATIONS = [
    ("net/acceptor", "takes a connection off the socket"),
    ("proxy/accept", "asks the gate, counts the client"),
    ("net/loop", "wakes whoever has bytes or time"),
    ("http/http_conn", "the client's: opens, then speaks"),
    ("http/h1_server", "reads heads, one after the other"),
    ("http/h1_parse", "checks a head, in place"),
    ("proxy/exchange", "a table of states: one request"),
    ("proxy/choose", "what does this request lead to?"),
    ("route/route", "which route, and why"),
    ("route/split", "which variant of an A/B test"),
    ("pool/pool_worker", "connections to servers, who waits"),
    ("balance/balance", "which server, by the method"),
    ("http/h1_client", "speaks with the server"),
    ("net/transport", "moves the bytes, both ways"),
    ("proxy/record", "it has ended: sums it up"),
    ("record/flight", "256 bytes that stay to be asked"),
    ("record/access_log", "a line, written by another thread"),
]

COLUMN, ROW, WIDTH, HEIGHT, TOP, LEFT = 176, 66, 158, 46, 62, 20

STYLE = """
text{font:11px system-ui,sans-serif;fill:#333}
.room{font-size:14px;font-weight:600}
.name{font-weight:600}
.lane{fill:#8881;stroke:none}
.box{fill:#fff;stroke:#555}
.way{fill:none;stroke:#d60;stroke-width:3;opacity:.55}
.knows{fill:none;stroke:#27c;stroke-width:1.2;opacity:.8}
#tip path{fill:#27c}
@media(prefers-color-scheme:dark){text{fill:#ddd}.box{fill:#222;stroke:#aaa}svg{background:#111}
.knows{stroke:#7af}#tip path{fill:#7af}}
"""


DECLARED = re.compile(r"^(?!\s|static |typedef |#|/|extern const)[^;={]*?\b([a-z]\w*)\(", re.MULTILINE)


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def files_of(noun, root):
    """x.h, x.c, and x_part.c where that has no header of its own."""
    own = [f"{noun}.h", f"{noun}.c"] if os.path.exists(os.path.join(root, f"{noun}.c")) else [f"{noun}.h"]
    parts = [os.path.relpath(path, root) for path in sorted(glob.glob(os.path.join(root, f"{noun}_*.c")))]
    return own + [part for part in parts if not os.path.exists(os.path.join(root, part[:-1] + "h"))]


def find_edges(root):
    """Pairs of numbers of stations: the first knows the second."""
    includes = read_includes(root)
    missing = [noun for noun, _ in STATIONS if f"{noun}.h" not in includes]
    if missing:
        sys.exit(f"tools/draw_request.py: there is no {missing[0]} any more; say in STATIONS where a request goes now")
    files = [files_of(noun, root) for noun, _ in STATIONS]
    texts = ["".join(read(os.path.join(root, name)) for name in names) for names in files]
    known = [set().union(*(all_read(includes, name) for name in names)) for names in files]
    declared = [set(DECLARED.findall(read(os.path.join(root, f"{noun}.h")))) for noun, _ in STATIONS]
    return [(number, other) for number, text in enumerate(texts) for other, (noun, _) in enumerate(STATIONS)
            if number != other and f"{noun}.h" in known[number]
            and any(re.search(rf"\b{name}\b", text) for name in declared[other])]


def place_of(number):
    """The upper left corner of a station's box."""
    return LEFT + ROOMS.index(STATIONS[number][0].split("/")[0]) * COLUMN, TOP + number * ROW


def draw_way():
    """From each station to the next."""
    points = [(x + WIDTH / 2, y + HEIGHT / 2) for x, y in map(place_of, range(len(STATIONS)))]
    parts = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for (_, y), (next_x, next_y) in zip(points, points[1:]):
        parts.append(f"V{(y + next_y) / 2:g}H{next_x:g}V{next_y:g}")
    return f'<path class="way" d="{"".join(parts)}"/>'


def draw_edge(number, other):
    """An arrow to what is known: leftwards to another room, or along the lane's edge within one."""
    (x, y), (other_x, other_y) = place_of(number), place_of(other)
    middle, other_middle = y + HEIGHT / 2 + 8, other_y + HEIGHT / 2 - 8
    if x == other_x:
        bend = x - 10
        return f'<path class="knows" marker-end="url(#tip)" d="M{x} {middle:g}C{bend} {middle:g} {bend} {other_middle:g} {x} {other_middle:g}"/>'
    end = other_x + WIDTH
    bend = (x + end) / 2
    return f'<path class="knows" marker-end="url(#tip)" d="M{x} {middle:g}C{bend:g} {middle:g} {bend:g} {other_middle:g} {end} {other_middle:g}"/>'


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    edges = find_edges("src")
    width, height = LEFT + len(ROOMS) * COLUMN, TOP + len(STATIONS) * ROW + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
           f"<style>{STYLE}</style>",
           '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
           '<path d="M0 0L8 4L0 8z"/></marker></defs>']
    for number, room in enumerate(ROOMS):
        x = LEFT + number * COLUMN
        out.append(f'<rect class="lane" x="{x - 9}" y="10" width="{COLUMN - 4}" height="{height - 50}" rx="8"/>')
        out.append(f'<text class="room" x="{x + WIDTH / 2:g}" y="34" text-anchor="middle">{room}/</text>')
    out.append(draw_way())
    out += [draw_edge(number, other) for number, other in edges]
    for number, (noun, words) in enumerate(STATIONS):
        x, y = place_of(number)
        out.append(f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>')
        out.append(f'<text class="name" x="{x + 8}" y="{y + 18}">{number + 1}. {escape(noun.split("/")[1])}</text>')
        out.append(f'<text x="{x + 8}" y="{y + 35}" textLength="{min(WIDTH - 14, 5 * len(words))}" '
                   f'lengthAdjust="spacingAndGlyphs">{escape(words)}</text>')
    out.append(f'<text x="{LEFT}" y="{height - 14}">The wide line is the way of a request. A thin arrow: includes the header '
               'and names a function of it. A room knows itself and those on its left, never one on its right. Made by tools/draw_request.py.</text>')
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main()
