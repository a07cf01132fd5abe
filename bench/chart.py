"""The picture in the README: per workload, each proxy's figure as a ratio to the better of weir's peers."""

from xml.sax.saxutils import escape

import proxies
import workloads

LEFT, PLOT, RIGHT = 236, 430, 74
BAR, GAP, GROUP_GAP = 13, 3, 16
TOP, BOTTOM = 74, 40
SCALE_MAX = 1.6

# The fall-back colours are legible on white and on black; a viewer that knows its scheme gets better ones.
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #5b6570 }
  .title { font-size: 16px; font-weight: 600 }
  .value { font-size: 12px; font-variant-numeric: tabular-nums }
  .small { font-size: 11px }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .weir { fill: #2a7fd4 } .haproxy { fill: #8f99a3 } .nginx { fill: #bcc4cb }
  .one { stroke: #5b6570; stroke-width: 1 } .grid { stroke: #8f99a3; stroke-opacity: .3 }
  .target { stroke: #d9480f; stroke-width: 2.5 } .mark { fill: #d9480f }
  @media (prefers-color-scheme: dark) {
    text { fill: #c3ccd5 } .weir { fill: #58a6ff } .haproxy { fill: #7d8894 } .nginx { fill: #525c66 }
    .one { stroke: #c3ccd5 } .target { stroke: #ff8a4c } .mark { fill: #ff8a4c }
  }
"""


def text(x, y, words, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def bar(x, y, width, kind, words):
    """Square at the axis, round at the end; the title is what a pointer shows."""
    r = min(3.0, width)
    return (f'<path class="{kind}" d="M{x} {y}h{width - r:.1f}a{r} {r} 0 0 1 {r} {r}v{BAR - 2 * r:.1f}'
            f'a{r} {r} 0 0 1 -{r} {r}h-{width - r:.1f}z"><title>{escape(words)}</title></path>')


def line(x, y1, y2, kind):
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def reference(medians):
    """What 1.00 stands for: the better peer, or without peers weir itself."""
    peers = [value for name, value in medians.items() if name != "weir" and value]
    return min(peers) if peers else medians.get("weir")


def group(workload, results, y):
    """One workload's bars from y down; (elements, height)."""
    medians = {name: workloads.median(rounds, workload.measure.key) for name, rounds in results.items()
               if name != "direct"}
    one = reference(medians)
    if not one:
        return [], 0
    parts, top = [], y
    for name, value in medians.items():
        if value is None:
            continue
        share = max(0.0, value / one)
        shown = workload.measure.show(value)
        width = PLOT * min(share, SCALE_MAX) / SCALE_MAX
        parts.append(bar(LEFT, y, max(width, 1), name, f"{name}: {shown} {workload.measure.title}"))
        beyond = " →" if share > SCALE_MAX else ""
        parts.append(text(LEFT + width + 6, y + BAR - 2.5, f"{share:.2f}{beyond}", "value"))
        y += BAR + GAP
    target = workload.target or (workload.limit / one if workload.limit else None)
    if target and target <= SCALE_MAX:
        parts.append(line(LEFT + PLOT * target / SCALE_MAX, top - 3, y, "target"))
    middle = (top + y - GAP) / 2
    parts.append(text(LEFT - 12, middle - 1, workload.label, "end"))
    parts.append(text(LEFT - 12, middle + 13, workload.measure.title, "end small"))
    return parts, y - top + GROUP_GAP


def key(names):
    parts, x, y = [], LEFT, 50
    for name in names:
        parts.append(f'<rect x="{x}" y="{y - 10}" width="11" height="11" rx="2" class="{name}"/>')
        parts.append(text(x + 17, y, name))
        x += 92
    parts.append(line(x + 5, y - 11, y + 2, "target"))
    parts.append(text(x + 14, y, "weir's target"))
    return parts


def draw(all_results, subtitle):
    """The SVG's text; `all_results` is [(workload, {name: rounds})]."""
    names = [name for name in proxies.NAMES if any(name in results for _, results in all_results)]
    y, groups = TOP + 12, []
    for workload, results in all_results:
        parts, height = group(workload, {name: results[name] for name in names if name in results}, y)
        groups += parts
        y += height
    bottom = y - GROUP_GAP + 6
    width, height = LEFT + PLOT + RIGHT, bottom + BOTTOM
    axis = []
    for tenths in range(0, int(SCALE_MAX * 10) + 1, 5):
        x = LEFT + PLOT * tenths / 10 / SCALE_MAX
        axis.append(line(x, TOP, bottom, "one" if tenths in (0, 10) else "grid"))
        axis.append(text(x, bottom + 16, f"{tenths / 10:.1f}", "middle small"))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" role="img" aria-label="Benchmark: cost relative to the better peer">',
        f"<style>{STYLE}</style>",
        text(16, 26, "Cost relative to the better of haproxy and nginx; less is better", "title"),
        *key(names), *axis, *groups, text(16, height - 8, subtitle, "small"), "</svg>", ""])
