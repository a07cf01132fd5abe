"""The table that a person reads, and the same figures as JSON."""

import json
import os

import chart
import workloads


def table(header, rows):
    return ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["--:"] * (len(header) - 1)) + "|",
            *("| " + " | ".join(row) + " |" for row in rows)]


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def machine(facts):
    return (f"{facts['cpu']}, {facts['cores']} cores, {facts['memory'] / 2**30:.0f} GiB, {facts['system']}, "
            f"Linux {facts['kernel']}")


def summary(all_results, names):
    rows = []
    for workload, results in all_results:
        measure = workload.measure
        values = [measure.show(workloads.median(results.get(name, []), measure.key)) for name in names]
        wanted, _, is_met = workloads.verdict(workload, results)
        rows.append([f"{workload.title}<br>{measure.title}", *values,
                     number(workloads.ratio(workload, results), 2), wanted,
                     {True: "yes", False: "**no**", None: "-"}[is_met]])
    return table(["workload, and what is compared", *names, "weir / better peer", "target", "reached"], rows)


def every_round(workload, rounds):
    words = []
    for figures in rounds:
        mark = ("*" * figures.get("thrown_away", 0)) + ("!" if figures.get("is_disturbed") else "")
        words.append(workload.measure.show(figures.get(workload.measure.key)) + mark.replace("*", r"\*"))
    return ", ".join(words)


def details(workload, results):
    """One workload's medians beside every round of its measure."""
    rows = []
    for name, rounds in results.items():
        per_second = [figures["requests"] / figures["seconds"] for figures in rounds if "requests" in figures]
        rate = number(workloads.statistics.median(per_second)) if per_second else "-"
        gbit = workloads.median(rounds, "gbit_per_s")
        busy = workloads.median(rounds, "busy")
        rows.append([name, workload.measure.show(workloads.median(rounds, workload.measure.key)),
                     every_round(workload, rounds), rate if gbit is None else f"{gbit:.1f} Gbit/s",
                     "-" if busy is None else f"{busy:.0%}", number(workloads.median(rounds, "p50_us")),
                     number(workloads.median(rounds, "p99_us")),
                     number(sum(figures.get("errors", 0) for figures in rounds))])
    return [f"### {workload.title}", "",
            *table(["proxy", workload.measure.title, "every round", "requests/s", "busy", "p50 µs",
                    "p99 µs", "errors"], rows), ""]


def markdown(run, all_results):
    names = run["proxies"]
    lines = ["# Benchmark", "", f"`{run['command']}`, {run['date']}, rounds: {run['rounds']} of "
             f"{run['seconds']} s, peers as {run['peers']}.", ""]
    lines += [f"* {role}: {machine(facts)}" for role, facts in run["machines"].items()]
    lines += [f"* {name}: {version}" for name, version in run["versions"].items()]
    lines += ["", "Less is better in every line. How this is measured, and what it is not: "
              "[docs/benchmarking.md](../../docs/benchmarking.md).", "", *summary(all_results, names), "",
              "## Every round", "",
              r"Medians, and each round of the compared figure. Each \* is a round before it that was thrown "
              "away because something else used the proxy's core, ! one that was kept although it did. Where "
              "the proxy was less than 95 % busy the load or the origin was the limit, and requests/s "
              "understates it.", ""]
    for workload, results in all_results:
        lines += details(workload, results)
    return "\n".join(lines).rstrip() + "\n"


def save(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write(run, all_results, directory, raw_path):
    """latest.md and latest.svg in `directory`, everything at `raw_path`; returns the paths."""
    paths = [os.path.join(directory, "latest.md"), os.path.join(directory, "latest.svg"), raw_path]
    proxy_facts = next(iter(run["machines"].values()))
    subtitle = (f"{run['date'][:10]} · {proxy_facts['cpu']}, {proxy_facts['cores']} cores · "
                f"one worker on one core · peers as {run['peers']}")
    raw = {**run, "workloads": {workload.name: results for workload, results in all_results}}
    save(paths[0], markdown(run, all_results))
    save(paths[1], chart.draw(all_results, subtitle))
    save(paths[2], json.dumps(raw, indent=1) + "\n")
    return paths
