#!/usr/bin/python3
"""make bench: weir, haproxy and nginx side by side in one run. See docs/benchmarking.md."""

import argparse
import datetime
import os
import re
import shlex
import signal
import sys

import proxies
import report
import stage as stages
import workloads

Trouble = stages.Trouble


def parse_options(argv):
    names = [workload.name for workload in workloads.WORKLOADS]
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Compares weir with haproxy and nginx; docs/benchmarking.md says how.",
        epilog=f"workloads: {' '.join(names)}. Only a full run is written to bench/results/; any other, "
               "to build/bench/.")
    parser.add_argument("--quick", action="store_true", help="one round of one second: does it work at all?")
    parser.add_argument("--workload", nargs="+", metavar="NAME", choices=names, default=names,
                        help="only these")
    parser.add_argument("--proxy", nargs="+", metavar="NAME", choices=proxies.NAMES, default=proxies.NAMES,
                        help="only these of weir, haproxy, nginx")
    parser.add_argument("--without", nargs="+", metavar="NAME", choices=proxies.NAMES, default=[],
                        help="not these")
    parser.add_argument("--rounds", type=int, help="per proxy and workload (3)")
    parser.add_argument("--seconds", type=int, help="per round (3)")
    parser.add_argument("--peers", choices=list(proxies.SETTINGS), default="advised",
                        help="the peers' settings: as their manuals advise, or with large buffers (advised)")
    parser.add_argument("--max-foreign", type=float, metavar="SECONDS",
                        help="throw a round away if the proxy's core did other work for longer "
                             "(0.1; with --hosts, where interrupts are such work, no limit)")
    parser.add_argument("--weir", metavar="PATH", help="the program (build/release/weir)")
    parser.add_argument("--tools", metavar="DIR",
                        help="where bench-origin and its siblings are (build/release/bench)")
    for role, core in (("origin", 1), ("proxy", 0), ("load", 1)):
        parser.add_argument(f"--cpu-{role}", type=int, metavar="CORE", help=f"the {role}'s core ({core})")
    parser.add_argument("--load-threads", type=int, default=1, metavar="N", help="threads of wrk (1)")
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--hosts", nargs=3, metavar=("ORIGIN", "PROXY", "LOAD"),
                        help="three hosts, each as [USER@]HOST[=ADDRESS]: reached by ssh, serving at ADDRESS")
    places.add_argument("--netns", action="store_true",
                        help="the same in three network namespaces of this machine")
    parser.add_argument("--root", metavar="DIR", default=stages.ROOT,
                        help="where weir's tree is on the hosts")
    options = parser.parse_args(argv)
    preset = 1 if options.quick else 3
    options.rounds = preset if options.rounds is None else options.rounds
    options.seconds = preset if options.seconds is None else options.seconds
    bounds = ((options.rounds, 99), (options.seconds, 600), (options.load_threads, 64))
    if any(not 1 <= value <= most for value, most in bounds):
        parser.error("--rounds is from 1 to 99, --seconds from 1 to 600, --load-threads from 1 to 64")
    if options.max_foreign is None:
        options.max_foreign = float("inf") if options.hosts else 0.1
    options.names = [name for name in proxies.NAMES if name in options.proxy and name not in options.without]
    if not options.names:
        parser.error("no proxy is left to measure")
    options.weir = options.weir or os.path.join(options.root, "build/release/weir")
    options.tools = options.tools or os.path.join(options.root, "build/release/bench")
    options.chosen = [workload for workload in workloads.WORKLOADS if workload.name in options.workload]
    return options


def check_programs(stage, tools, proxy_list):
    """Everything that will be called, before anything is."""
    needs = [(stage.proxy, [proxy.program for proxy in proxy_list]),
             (stage.origin, [tools.origin, tools.datagrams, tools.iperf3]),
             (stage.load, [tools.probe, tools.pingpong, tools.datagrams, tools.idle, tools.wrk, tools.iperf3, tools.h2load, tools.openssl])]
    for role, programs in needs:
        for path in role.host.missing(paths=programs):
            name = os.path.basename(path)
            if name == "weir":
                remedy = "build it with `make`, or leave it out with `--without weir`"
            elif name.startswith("bench-"):
                remedy = "build it with `make`"
            else:
                package = {"h2load": "nghttp2-client"}.get(name, name)
                remedy = f"install it with `apt-get install {package}`"
            raise Trouble(f"there is no {path} (on {role.host.place}); {remedy}")


def version(stage, proxy):
    got = stage.proxy.host.run(argv=proxy.version_argv, cpu=None, timeout_s=10)
    line = (got["out"] or got["err"]).strip().splitlines()[0]
    return re.sub(r" \d{4}/\d\d/\d\d.*|^nginx version: ", "", line)


def describe(options, stage, proxy_list):
    machines = {}
    for role_name, role in (("proxy", stage.proxy), ("origin", stage.origin), ("load", stage.load)):
        machines[role_name if stage.kind == "hosts" else "machine"] = role.host.facts
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "command": shlex.join(["bench/run.py", *sys.argv[1:]]), "rounds": options.rounds,
            "seconds": options.seconds, "peers": options.peers, "proxies": options.names,
            "machines": machines, "versions": {proxy.name: version(stage, proxy) for proxy in proxy_list}}


def is_full(options):
    """Whether the figures may stand in the repository."""
    return (len(options.names) == len(proxies.NAMES) and len(options.chosen) == len(workloads.WORKLOADS)
            and not options.hosts and not options.netns and options.peers == "advised"
            and options.rounds >= 3 and options.seconds >= 3)


def say(line):
    print(line, flush=True)


def say_verdict(workload, results):
    ratio = workloads.ratio(workload, results)
    wanted, value, is_met = workloads.verdict(workload, results)
    medians = ", ".join(f"{name} {workload.measure.show(workloads.median(rounds, workload.measure.key))}"
                        for name, rounds in results.items())
    line = f"    median   {medians}"
    if ratio is not None:
        line += f"; weir / better peer {ratio:.2f}"
    if value is not None:
        line += f", target {wanted}: {'reached' if is_met else 'NOT reached'}"
    say(line + "\n")


def run(options):
    tools = workloads.Tools(options.tools)
    proxy_list = [proxies.make(name, options.weir) for name in options.names]
    with stages.open_stage(options) as stage:
        check_programs(stage, tools, proxy_list)
        about = describe(options, stage, proxy_list)
        for words in (*map(report.machine, about["machines"].values()), *about["versions"].values()):
            say(words)
        bench, all_results = workloads.Bench(stage, tools, proxy_list, options, say), []
        for workload in options.chosen:
            say(f"\n{workload.name}: {workload.title}")
            all_results.append((workload, bench.run(workload)))
            say_verdict(*all_results[-1])
    # Results belong to the tree from which the bench was started, wherever the proxies ran.
    stamp = about["date"][:16].replace(" ", "T").replace(":", "")
    raw = os.path.join(stages.ROOT, "build/bench", f"{stamp}.json")
    directory = os.path.join(stages.ROOT, "bench/results" if is_full(options) else "build/bench")
    for path in report.write(about, all_results, directory, raw):
        say(f"wrote {os.path.relpath(path)}")
    return 1 if any(figures.get("errors") for _, results in all_results for rounds in results.values()
                    for figures in rounds) else 0


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in order, as on Ctrl-C
    try:
        return run(parse_options(sys.argv[1:]))
    except Trouble as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted; everything that it started is ended", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
