#!/usr/bin/python3
"""docs/balancing.md's tables and docs/balancing/*.svg from what bench-study printed: balance_plots.py STUDY.json

The page is written by hand; only what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced.
"""

import json
import math
import os
import re
import sys

import chart

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "balancing.md")
PICTURES = os.path.join(ROOT, "docs", "balancing")

LEFT, TOP, WIDTH, HEIGHT = 64, 52, 470, 250
KEY, BOTTOM = 200, 54
COLOURS = ["#2a7fd4", "#d9480f", "#2b8a3e", "#9c36b5", "#b8860b", "#8f99a3"]
STYLE = chart.STYLE + "".join(
    f"\n  .line{i} {{ stroke: {c}; fill: none; stroke-width: 2 }} .dot{i} {{ fill: {c} }}"
    for i, c in enumerate(COLOURS)) + "\n"


# pictures

class Axis:
    """Values to pixels, linearly or by logarithm."""

    def __init__(self, values, pixels, is_log, from_zero=False):
        self.is_log, self.pixels = is_log, pixels
        self.low, self.high = min(values), max(values)
        if from_zero:
            self.low = 0
        if self.is_log:
            self.low = 10 ** math.floor(math.log10(self.low) + 1e-9)
            self.high = 10 ** math.ceil(math.log10(self.high) - 1e-9)
        elif from_zero:
            self.high *= 1.05

    def at(self, value):
        low, high = self.pixels
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return low + share * (high - low)

    def ticks(self):
        if self.is_log:
            return [10 ** i for i in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(m for m in (1, 2, 5) if (self.high - self.low) / (step * m) <= 6)
        first = math.ceil(self.low / step)
        return [round(i * step, 9) for i in range(first, math.floor(self.high / step) + 1)]


def short(value):
    """1024 as 1,024; 65536 as 66k; 0.00001 as 1e-05."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size * 10 or value == size:
            return f"{value / size:.0f}{unit}"
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def grid(x_axis, y_axis, x_title, y_title):
    parts, right, bottom = [], LEFT + WIDTH, TOP + HEIGHT
    for value in y_axis.ticks():
        y = y_axis.at(value)
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(chart.text(LEFT - 8, y + 4, short(value), "end small"))
    for value in x_axis.ticks():
        x = x_axis.at(value)
        parts.append(chart.line(x, bottom, bottom + 5, "one"))
        parts.append(chart.text(x, bottom + 18, short(value), "middle small"))
    parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" class="one"/>')
    parts.append(chart.text(LEFT + WIDTH / 2, bottom + 40, x_title, "middle"))
    parts.append(chart.text(16, TOP - 10, y_title, "small"))
    return parts


def curve(index, name, points, x_axis, y_axis):
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in points]
    parts = [f'<polyline class="line{index}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>']
    for (x, y), (value, result) in zip(places, points):
        words = chart.escape(f"{name}: {value:,g} → {result:g}")
        parts.append(f'<circle class="dot{index}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{words}</title></circle>')
    y = TOP + 14 + index * 20
    parts.append(f'<circle class="dot{index}" cx="{LEFT + WIDTH + 22}" cy="{y - 4}" r="5"/>')
    parts.append(chart.text(LEFT + WIDTH + 34, y, name))
    return parts


def draw(name, title, series, x_title, y_title, log_y=False, x_from_zero=False):
    """`series`: [(name, [(x, y)])]; x is by logarithm unless it begins at zero."""
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    x_axis = Axis(xs, (LEFT, LEFT + WIDTH), not x_from_zero, x_from_zero)
    y_axis = Axis(ys, (TOP + HEIGHT, TOP), log_y, not log_y)
    width, height = LEFT + WIDTH + KEY, TOP + HEIGHT + BOTTOM
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'height="{height}" role="img" aria-label="{chart.escape(title)}">',
             f"<style>{STYLE}</style>", chart.text(16, 22, title, "title"),
             *grid(x_axis, y_axis, x_title, y_title)]
    for index, (label, points) in enumerate(series):
        parts += curve(index, label, points, x_axis, y_axis)
    with open(os.path.join(PICTURES, name + ".svg"), "w") as file:
        file.write("\n".join([*parts, "</svg>", ""]))


def series_of(rows, by, x, y):
    """One curve for each value of `by`, in the order of their appearance."""
    names = list(dict.fromkeys(row[by] for row in rows))
    return [(str(name), [(row[x], row[y]) for row in rows if row[by] == name]) for name in names]


def draw_all(study):
    os.makedirs(PICTURES, exist_ok=True)
    shown = ["round_robin", "random", "least_request", "peak_ewma", "hash, maglev", "hash, rendezvous"]
    picks = [row for name in shown for row in study["picks"] if row["method"] == name]
    draw("picks", "What a pick costs", series_of(picks, "method", "servers", "ns"), "servers", "ns a pick", True)
    leaving = [row for row in study["remap"] if row["change"] == "leaves"]
    draw("remap", "Keys that move when one server leaves", series_of(leaving, "table", "servers", "moved"),
         "servers", "share of all keys", True)
    uneven = [{**row, "over": row["max_over_mean"] - 1} for row in study["evenness"]]
    draw("evenness", "How much more the fullest of 100 servers has, by memory",
         series_of(uneven, "table", "bytes", "over"), "bytes", "maximum over mean, less 1", True)
    draw("maglev", "What a maglev table's size costs", [("ns a pick", [(row["bytes"], row["ns"])
                                                                       for row in study["maglev"]])],
         "bytes", "ns a pick")
    lengths = [{**row, "label": f"{row['empty'] * 100:.0f} % empty"} for row in study["lookup"]
               if row["empty"] in (0.1, 0.5, 0.95)]
    draw("lookup-length", "A lookup, by the length of the hash table",
         series_of(lengths, "label", "bytes", "hit_ns"), "bytes (16 a slot)", "ns a lookup that finds", True)
    empties = [{**row, "label": f"{row['length']:,} slots", "percent": row["empty"] * 100}
               for row in study["lookup"] if row["length"] in (1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 24)]
    draw("lookup-empty", "A lookup, by how much of the table is empty",
         series_of(empties, "label", "percent", "miss_ns"), "% of the slots that are empty",
         "ns a lookup that does not find", True, True)
    balls = [{**row, "label": f"{row['choices']} drawn"} for row in study["balls"]]
    draw("balls", "n requests to n servers: the fullest", series_of(balls, "label", "bins", "fullest"), "servers",
         "requests at the fullest")


# tables

def table(header, rows):
    return "\n".join(["| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|",
                      *("| " + " | ".join(row) + " |" for row in rows)])


def size(count):
    return f"{count} B" if count < 1024 else f"{count / 1024:,.1f} KiB" if count < 1 << 20 else f"{count / 2**20:,.1f} MiB"


def percent(share):
    return f"{share * 100:.2f} %"


def shares_table(study):
    rows = [[f"`{row['method']}`", *(f"{p:.3f} ({percent(off)})" for p, off in zip(row["p"], row["off"]))]
            for row in study["shares"]]
    return table(["method", "10 equal", "10 weights of 1..9", "100 weights of 1..9"], rows)


def loads_table(study):
    rates = sorted({row["rps"] for row in study["loads"]})
    rows = []
    for name in dict.fromkeys(row["method"] for row in study["loads"]):
        of = {row["rps"]: row["share"] for row in study["loads"] if row["method"] == name}
        rows.append([f"`{name}`", *(percent(of[rate]) for rate in rates)])
    return table(["method", *(f"{rate:,}/s" for rate in rates)], rows)


def remap_table(study):
    rows = []
    for name in dict.fromkeys(row["table"] for row in study["remap"]):
        for change in ("leaves", "joins"):
            cells = [f"{percent(row['moved'])} ({percent(row['needless'])})" for row in study["remap"]
                     if row["table"] == name and row["change"] == change]
            rows.append([f"`{name}`, one {change}", *cells])
    return table(["table", "of 10", "of 50", "of 100"], rows)


def evenness_table(study):
    rows = [[f"`{row['table']}`, {row['size']:,} {'places' if row['table'] == 'maglev' else 'replicas'}",
             f"{row['max_over_mean']:.4f}", size(row["bytes"]), f"{row['build_ms']:.1f} ms"]
            for row in study["evenness"]]
    return table(["table for 100 servers", "max / mean", "memory", "to build"], rows)


def picks_table(study):
    rows, counts = [], (2, 10, 64, 1000)
    for name in dict.fromkeys(row["method"] for row in study["picks"]):
        of = {row["servers"]: row for row in study["picks"] if row["method"] == name}
        memory = [size(of[n]["bytes"]) + (f" + {size(of[n]['worker_bytes'])}" if of[n]["worker_bytes"] else "")
                  for n in (10, 1000)]
        rows.append([f"`{name}`", *(f"{of[n]['ns']:,.0f}" for n in counts), *memory])
    return table(["method", *(f"{n:,} servers" for n in counts), "table of 10", "table of 1,000"], rows)


def maglev_table(study):
    rows = [[f"{row['size']:,}", f"{row['ns']:.1f}", size(row["bytes"]), f"{row['build_ms']:.1f} ms"]
            for row in study["maglev"]]
    return table(["places", "ns a pick", "memory", "to build"], rows)


def lookup_table(study):
    empties = sorted({row["empty"] for row in study["lookup"]})
    rows = []
    for length in sorted({row["length"] for row in study["lookup"]}):
        cells = [f"{row['hit_ns']:.0f} / {row['miss_ns']:.0f}" for empty in empties for row in study["lookup"]
                 if row["length"] == length and row["empty"] == empty]
        rows.append([f"{length:,} ({size(length * 16)})", *cells])
    return table(["slots", *(f"{empty * 100:.0f} % empty" for empty in empties)], rows)


def balls_table(study):
    bins = sorted({row["bins"] for row in study["balls"]})
    rows = [[f"{n:,}", *(f"{row['fullest']:.2f}" for row in study["balls"] if row["bins"] == n)] for n in bins]
    return table(["servers", "1 drawn", "2 drawn", "3 drawn"], rows)


def modulo_table(study):
    rows = [[f"{row['bound']:,}", percent(row["excess"]), f"{row['remainder_p']:.4f}", f"{row['lemire_p']:.4f}"]
            for row in study["modulo"]]
    return table(["one of", "too often by", "p of `rand() % n`", "p of weir's draw"], rows)


TABLES = {"shares": shares_table, "loads": loads_table, "remap": remap_table, "evenness": evenness_table, "picks": picks_table,
          "maglev": maglev_table, "lookup": lookup_table, "balls": balls_table, "modulo": modulo_table}


def write_tables(study):
    with open(PAGE) as file:
        page = file.read()
    for name, make in TABLES.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in page or end not in page:
            sys.exit(f"{PAGE} lacks {begin} or {end}")
        page = re.sub(re.escape(begin) + ".*?" + re.escape(end),
                      lambda _: f"{begin}\n{make(study)}\n{end}", page, flags=re.S)
    with open(PAGE, "w") as file:
        file.write(page)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    with open(sys.argv[1]) as file:
        study = json.load(file)
    draw_all(study)
    write_tables(study)


if __name__ == "__main__":
    main()
