"""Where a bench runs: the hosts of origin, proxy and load, each with its agent, address and core."""

import contextlib
import json
import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


class Trouble(Exception):
    """Ends the bench with a sentence."""


class Host:
    """Calls on a bench/agent.py: host.start(argv=..., cpu=...) and so on.

    `place` is "local", "netns:NAME" or what ssh takes.
    """

    def __init__(self, place, root):
        self.place = place
        self.root = root
        agent = ["/usr/bin/python3", os.path.join(root, "bench", "agent.py")]
        if place.startswith("netns:"):
            agent = ["ip", "netns", "exec", place[6:], *agent]
        elif place != "local":
            agent = ["ssh", "-o", "BatchMode=yes", place, *agent]
        # Its own session: Ctrl-C reaches this program alone, which then ends its agents in order.
        self.popen = subprocess.Popen(agent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      start_new_session=True)
        self.facts = self.call("facts")

    def __getattr__(self, op):
        return lambda **arguments: self.call(op, **arguments)

    def call(self, op, **arguments):
        try:
            self.popen.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self.popen.stdin.flush()
            line = self.popen.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Trouble(f"the agent on {self.place} ended; is {self.root}/bench/agent.py there?")
        answer = json.loads(line)
        if "error" in answer:
            raise Trouble(answer["error"])
        return answer["value"]

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()


class Role:
    """Origin, proxy or load: a host, the address under which the others reach it, and a core (None: any)."""

    def __init__(self, host, address, cpu):
        self.host = host
        self.address = address
        self.cpu = cpu


class Stage:
    def __init__(self, origin, proxy, load, kind):
        self.origin, self.proxy, self.load = origin, proxy, load
        self.kind = kind  # "local", "netns" or "hosts"

    @property
    def is_shared(self):
        return self.kind != "hosts"

    @property
    def hosts(self):
        unique = []
        for role in (self.origin, self.proxy, self.load):
            if role.host not in unique:
                unique.append(role.host)
        return unique


def core_numbers(options, is_shared):
    """Core 0 for the proxy, core 1 for the rest; on their own hosts, origin and load may use every core."""
    if is_shared and len(os.sched_getaffinity(0)) < 2:
        raise Trouble("this machine lets us use one core only; the proxy needs one for itself (see --hosts)")
    other = 1 if is_shared else None
    return [default if value is None else value for value, default in
            ((options.cpu_origin, other), (options.cpu_proxy, 0), (options.cpu_load, other))]


@contextlib.contextmanager
def open_stage(options):
    with contextlib.ExitStack() as stack:
        if options.netns:
            kind, places = "netns", stack.enter_context(namespaces())
        elif options.hosts:
            kind, places = "hosts", [split_place(text) for text in options.hosts]
        else:
            kind, places = "local", [("local", "127.0.0.1")] * 3
        hosts, roles = {}, []
        for (place, address), cpu in zip(places, core_numbers(options, kind != "hosts")):
            if place not in hosts:
                hosts[place] = Host(place, options.root)
                stack.callback(hosts[place].close)
            roles.append(Role(hosts[place], address, cpu))
        stage = Stage(*roles, kind)
        for role in roles:
            role.host.settle(cpu=stage.load.cpu if stage.is_shared else None)
        yield stage


def split_place(text):
    """[USER@]HOST[=ADDRESS]: whom to ask over ssh, and the IPv4 address at which the other hosts reach it."""
    place, _, address = text.partition("=")
    try:
        return place, address or socket.gethostbyname(place.rpartition("@")[2])
    except OSError as error:
        raise Trouble(f"{place} has no address ({error}); say {place}=ADDRESS") from error


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespaces():
    """Three network namespaces, load - proxy - origin, in 198.18.0.0/15, RFC 2544's addresses for benches."""
    if os.geteuid() != 0:
        raise Trouble("--netns makes network namespaces, which only root may")
    names = {role: f"weir-bench-{os.getpid()}-{role}" for role in ("origin", "proxy", "load")}
    made = []
    try:
        for name in names.values():
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        for role, subnet in (("load", "198.18.0"), ("origin", "198.18.1")):
            ip("link", "add", "proxy0", "netns", names[role], "type", "veth",
               "peer", "name", f"{role}0", "netns", names["proxy"])
            for name, link, host in ((names[role], "proxy0", 2), (names["proxy"], f"{role}0", 1)):
                ip("-n", name, "addr", "add", f"{subnet}.{host}/24", "dev", link)
                ip("-n", name, "link", "set", link, "up")
        # The proxy's namespace has two addresses; 198.18.0.1 is the one that the load sees.
        yield [(f"netns:{names['origin']}", "198.18.1.2"), (f"netns:{names['proxy']}", "198.18.0.1"),
               (f"netns:{names['load']}", "198.18.0.2")]
    finally:
        for name in made:
            try:
                ip("netns", "del", name)
            except Trouble as trouble:
                print(trouble, file=sys.stderr)
