"""Mistakes in the configuration: each is named with its place, the line, a caret under it, and a remedy.

In the texts below a « stands before the place that the message must name."""
import json
import re

import pytest

from weir import run_command

CONFIG = 78
GOOD = """listeners:
  web:
    bind: 127.0.0.1:18999
    pool: web
pools:
  web:
    servers: ["127.0.0.1:18080"]
"""


class Fault:
    def __init__(self, line, column, sentence, shown, caret):
        self.line, self.column, self.sentence, self.shown, self.caret = line, column, sentence, shown, caret


def check(tmp_path, text, name="weir.yaml", command="check"):
    """The faults that weir finds in a text."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run_command(command, "-c", str(path))
    assert done.returncode == CONFIG, done.stderr
    assert done.stdout == ""
    faults, lines = [], done.stderr.splitlines()
    head = re.compile(re.escape(str(path)) + r":(\d+):(\d+): (.+)")
    for at, line in enumerate(lines):
        match = head.fullmatch(line)
        if not match:
            continue
        following = lines[at + 1:at + 3]
        shown, caret = following if len(following) == 2 and "^" in following[1] else (None, None)
        faults.append(Fault(int(match[1]), int(match[2]), match[3], shown, caret))
    assert faults, done.stderr
    return faults


def place(text):
    before = text[:text.index("«")]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def pool(line):
    """The good configuration with one more line in the pool."""
    return GOOD + f"    {line}\n"


def listener(line):
    return GOOD.replace("    pool: web\n", f"    pool: web\n    {line}\n")


def servers(value):
    return GOOD.replace('["127.0.0.1:18080"]', value)


LOG_RULES = "logs:\n  sources: {a: /var/log/a.log, b: /var/log/b.log}\n  rules:\n"

CASES = {
    "unknown key": (pool("«balanse: random"), r'"balanse".*"balance"'),
    "unknown key in a server": (servers('[{address: "127.0.0.1:18080", «wieght: 3}]'), r'"wieght" in server.*"weight"'),
    "unknown key at the top": (GOOD + "«listener: {}\n", r'"listener".*"listeners"'),
    "duplicate key": (pool("balance: random\n    «balance: random"), r'"balance"'),
    "duplicate pool": (GOOD + "  «web: {servers: [\"127.0.0.1:1\"]}\n", r'"web"'),
    "bad duration": (pool("timeouts: {connect: «5 bananas}"), r"5 bananas"),
    "a duration without unit": (pool("timeouts: {connect: «5}"), r"5"),
    "duration out of range": (pool("timeouts: {connect: «2h}"), r"2h|10m|600"),
    "number out of range": (pool("max_requests: «-1"), r"-1"),
    "a number that is none": (pool("max_requests: «many"), r"many"),
    "a quoted number": (pool('max_requests: «"5"'), r"quotes|number"),
    "weight over its bound": (servers('[{address: "127.0.0.1:18080", weight: «10001}]'), r"weight|10001"),
    "bad size": (pool("retry: {buffer: «16 parsecs}"), r"16 parsecs"),
    "bad address": (servers('[«"127.0.0.1:http"]'), r'"http" is not a port'),
    "address without port": (servers('[«"127.0.0.1"]'), r"127\.0\.0\.1"),
    "bad port": (servers('[«"127.0.0.1:70000"]'), r"70000"),
    "no servers": (servers("«[]"), r"servers"),
    "same server twice": (servers('["127.0.0.1:18080", «"127.0.0.1:18080"]'), r"127\.0\.0\.1:18080"),
    "unknown method": (pool("balance: «least_requests"), r'"least_requests".*"least_request"'),
    "unknown protocol": (listener("protocol: «htpp"), r'"htpp".*"http"'),
    "a protocol that is near another": (pool("protocol: «http2"), r'"http2" is not a value.*; known here: http1, h2, h2c, auto$'),
    "HTTP/2 of bytes": (listener("protocol: tcp\n    «http2: {streams: 10}"), r'passes bytes.*"http2".*take it out'),
    "believed fields of bytes": (listener("protocol: tcp\n    «trust: [127.0.0.1]"), r'passes bytes.*"trust"'),
    "requests of datagrams": (listener("protocol: udp\n    «http2: {streams: 10}"), r'passes datagrams.*"http2" could be for; take it out'),
    "routes of datagrams": (GOOD.replace("pool: web", "protocol: udp\n    «routes: [{name: a, pool: web}]"),
                            r"nothing that a udp listener's routes could go by; write `pool:`"),
    "a PROXY header of datagrams": (listener("protocol: udp\n    «proxy_protocol: {from: [127.0.0.1]}"), r"PROXY header.*has none"),
    "time-outs of datagrams": (listener("protocol: udp\n    «timeouts: {header: 1s}"), r"write `udp: \{idle: …\}`"),
    "datagrams at a path": (GOOD.replace("bind: 127.0.0.1:18999", "«bind: unix:/tmp/x\n    protocol: udp"), r"datagrams over IP, not at a path"),
    "datagrams at any port": (GOOD.replace("bind: 127.0.0.1:18999", "«bind: 127.0.0.1:0\n    protocol: udp"), r"several ports"),
    "a rate of datagrams by a header": (listener('protocol: udp\n    rate: {requests: 1/s, «key: "header:X"}'), r"write `client` or `all`"),
    "a delay of datagrams": (listener("protocol: udp\n    rate: {requests: 1/s, «delay: 1s}"), r"no datagram is held back"),
    "a udp listener without a pool": (GOOD.replace("  web:\n    bind: 127.0.0.1:18999\n    pool: web", "  web:\n    «bind: 127.0.0.1:18999\n    protocol: udp"),
                                      r"a udp listener needs a pool"),
    "what is for datagrams alone": (listener("«udp: {responses: 1}"), r'write `protocol: udp`, or take it out'),
    "answers to datagrams that are no number": (listener("protocol: udp\n    udp: {responses: «off}"), r"whole number"),
    "datagrams to a pool that speaks TLS": (GOOD.replace("    pool: web", "    protocol: udp\n    «pool: web").replace('["127.0.0.1:18080"]', '["127.0.0.1:18080"]\n    tls: {verify: off}'),
                                            r'pool "web" speaks TLS, which needs a connection'),
    "datagrams to a server at a path": (GOOD.replace("    pool: web", "    protocol: udp\n    «pool: web").replace('["127.0.0.1:18080"]', '["unix:/tmp/x"]'),
                                        r'pool "web" has a server at a path'),
    "a gate that is no map": (listener("gate: «192.0.2.0/24"), r"must be a map.*; known here: allow, deny"),
    "a time-out beyond its interval": (pool("health: {tcp: {}, interval: 500ms, «timeout: 1s}"), r"let timeout be at most"),
    "unknown pool": (GOOD.replace("pool: web", "pool: «wbe"), r'"wbe".*"web"'),
    "bad CIDR": (listener("trust: [«10.0.0.0/33]"), r"10\.0\.0\.0/33"),
    "host bits in a CIDR": (listener("gate: {deny: [«10.0.0.1/8]}"), r"10\.0\.0\.[01]/8"),
    "list instead of a map": (GOOD.replace("  web:\n    servers", "  web: «[]\n  other:\n    servers"), r"map"),
    "scalar instead of a map": (listener("timeouts: «5s"), r"timeouts"),
    "no value": (listener("«timeouts:"), r"timeouts"),
    "a variable that is not set": (pool("host: «${WEIR_TEST_NOTHING}"), r"no variable WEIR_TEST_NOTHING; set it where"),
    "a variable that is not closed": (pool("host: «'${WEIR_TEST_NOTHING'"), r"is not closed by a brace; close it"),
    "a variable of another shell": (pool("host: «'${WEIR_TEST_NOTHING:?x}'"), r"neither \} nor :-"),
    "a variable in a map": (pool("timeouts: {connect: $«{WEIR_TEST_NOTHING}}"), r'put a value with a variable, "\$\{NAME\}", in quotes'),
    "a variable of the wrong kind": (pool("timeouts: {connect: «'${WEIR_TEST_NOTHING:-soon}'}"), r"soon"),
    "a secret in no file": (GOOD + "admin: {token: «'file:/nowhere/token'}\n", r"cannot open /nowhere/token: No such file"),
    "a secret in a file of no place": (GOOD + "admin: {token: «'file:token'}\n", r"from the root on"),
    "anchor": (pool("host: «&name example.test"), r"[Aa]nchor"),
    "alias": (pool("host: «*name"), r"[Aa]lias"),
    "tag": (pool("max_requests: «!!int 5"), r"[Tt]ag"),
    "merge key": (pool("«<<: {balance: random}"), r"[Mm]erge"),
    "two documents": (GOOD + "«---\nlisteners: {}\n", r"document"),
    "variable in a log format": (GOOD + "access_log: {path: x, format: «'$statsu'}\n", r"\$statsu.*\$status"),
    "two log rules of one condition": (GOOD + LOG_RULES + "    - {when: 'rate(status==401) by client > 3/m', source: a, dry: false}\n"
                                       "    - {«when: 'rate(status==401) by client > 3/m', source: b}\n",
                                       r'"rate\(status==401\) by client > 3/m" too, at line 11; give one of them a `name:`'),
    "two log rules of one name": (GOOD + LOG_RULES + "    - {name: x, when: 'rate(status==401) by client > 3/m'}\n"
                                  "    - {«name: x, when: 'rate(status==403) by client > 3/m'}\n",
                                  r'another log rule is called "x" too, at line 11; rename'),
    "a log rule that is called as another's condition": (
        GOOD + LOG_RULES + "    - {when: 'rate(status==401) by client > 3/m'}\n"
        "    - {«name: 'rate(status==401) by client > 3/m', when: 'rate(status==403) by client > 3/m'}\n", r"called.*at line 11; rename"),
    "one address for two logs": (GOOD + "logs:\n  sources:\n    a: {syslog: '127.0.0.1:5514'}\n    b: {«syslog: '127.0.0.1:5514'}\n",
                                 r'log source "b" listens on 127\.0\.0\.1:5514, where log source "a" does already \(line 10\)'),
    "one path for two logs": (GOOD + "logs:\n  sources:\n    a: {syslog: 'unix:/tmp/log'}\n    b: {«syslog: 'unix:/tmp/log'}\n",
                              r'where log source "a" does already \(line 10\); give each its own address'),
    "a log at every address and at one": (GOOD + "logs:\n  sources:\n    a: {syslog: ':5514'}\n    b: {«syslog: '127.0.0.1:5514'}\n",
                                          r'log source "a" on .*:5514 \(line 10\): one takes'),
    "a log where datagrams are balanced": (GOOD.replace("    pool: web\n", "    pool: web\n    protocol: udp\n")
                                           + "logs:\n  sources:\n    a: {«syslog: '127.0.0.1:18999'}\n", r'where listener "web" does already \(line 2\)'),
    "name of a log format": (GOOD + "access_log: {path: x, format: «combine}\n", r'"combine".*"combined"'),
    "a name without a port": (servers('[«"app.internal"]'), r'"app\.internal" has no port'),
    "a name for whom checks ask": (servers('[{address: "10.0.0.1:80", health_address: «"app.internal:8080"}]'),
                                   r"which only a pool's servers may have"),
    "a URL for a server": (servers('[«"http://10.0.0.1:80/"]'), r'is a URL; write the address alone, like 10\.0\.0\.1:80$'),
    "a URL for a route's host": (GOOD.replace("pool: web", "routes: [{name: a, «host: 'https://api.example.com/v1', pool: web}]"),
                                 r"more than a host; write the name alone"),
    "a URL for a pool's host": (pool("«host: https://api.example.com"), r"more than a Host"),
    "no file of that name": (listener("tls: {certificates: [«{cert: /nowhere.pem, key: /nowhere.key}]}"), r"cannot open /nowhere.pem"),
    "compression that nobody knows": (listener("compress: [«brotli]"), r'"brotli" is not a value of "algorithms"; known here: gzip, br, zstd'),
    "a word of nginx's for a listener": (listener("«client_max_body_size: 8m"), r"here that is `limits: \{body: …\}`$"),
    "a word of nginx's for a server": (servers('[{address: "127.0.0.1:18080", «backup: true}]'), r'"backup" in server; here that is `tier: 2`$'),
    "a word of HAProxy's for a method": (pool("balance: «leastconn"), r"here that is `least_connections`$"),
    "a word of HAProxy's for a pool": (pool("«retries: 3"), r"here that is `retry`$"),
    "a health check's word": (pool("health: {«path: /healthz}"), r"here that is `http: \{path: …\}`$"),
    "a word in capitals": (listener("protocol: «TCP"), r'did you mean "tcp"\?$'),
    "a number for an address": (GOOD.replace("bind: 127.0.0.1:18999", "bind: «8080"), r'write ":8080" for every address'),
    "a server with nginx's options": (servers('[«"127.0.0.1:18080 weight=3"]'), r'has more than an address; write what follows "127.0.0.1:18080" as keys'),
    "true for what has presets": (pool("retry: {hedge: «true}"), r"must be text or a map, not true; write \{\} to have it with its presets$"),
    "true for what needs more": (pool("sticky: «true"), r'must be a map, not true; known here: cookie'),
    "a source for a pool's host": (pool("«host: '{host}'"), r"more than a Host can be; write what servers know themselves by"),
    "no rates": (listener("gate: {«rate: 10}"), r'unknown key "rate" in gate'),
    "typographic quotes": (servers("[«“127.0.0.1:18080”]"), r"; at 7:15 is a typographic quote: write \"$"),
    "a no-break space for a blank": (GOOD.replace("    pool: web", "    pool:\u00a0web").replace("pools:", "«pools:"),
                                     r"; at 4:10 is a no-break space: write a usual one$"),
    "a no-break space that indents": (pool("«\u00a0balance: random"), r"; at 8:5 is a no-break space"),
    "too little memory": (GOOD + "limits: {«memory: 1KiB}\n", r"1024 bytes.*1MiB"),
    "two listeners on one port": (GOOD.replace("pools:", "  again:\n    «bind: :18999\n    pool: web\npools:"),
                                  r'"again" listens on \[::\]:18999.*"web" on 127\.0\.0\.1:18999'),
    "a pool that learns from answers before a listener that has none": (
        GOOD.replace("pool: web", "protocol: tcp\n    «pool: web") + "    concurrency: {adaptive: {}}\n",
        r'passes bytes.*`concurrency: adaptive` of pool "web".*`max_requests`'),
    "admin among the listeners": (GOOD + "admin: {«bind: 127.0.0.1:18999}\n", r'admin.*127\.0\.0\.1:18999.*"web"'),
    "open admin": (GOOD + "admin: {«bind: 0.0.0.0:9091}\n", r"token"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_named_with_its_place(name, tmp_path):
    text, sentence = CASES[name]
    line, column = place(text)
    text = text.replace("«", "")
    faults = check(tmp_path, text)
    assert len(faults) == 1, [fault.sentence for fault in faults]
    fault = faults[0]
    assert (fault.line, fault.column) == (line, column), fault.sentence
    assert re.search(sentence, fault.sentence)
    offending = text.splitlines()[line - 1]
    assert fault.shown.endswith(offending)
    assert fault.caret.index("^") - fault.shown.index(offending) == column - 1


MISSING = {
    "listeners": ("pools:\n  web:\n    servers: ['127.0.0.1:18080']\n", "listeners"),
    "pools": ("listeners:\n  web: {bind: ':18999', pool: web}\n", "pools"),
    "bind": (GOOD.replace("    bind: 127.0.0.1:18999\n", ""), "bind"),
    "servers": (GOOD.replace('    servers: ["127.0.0.1:18080"]\n', "    balance: random\n"), "servers"),
    "address": (servers("[{weight: 3}]"), "address"),
    "pool or routes": (GOOD.replace("    pool: web\n", ""), "pool"),
    "pool of a route": (GOOD.replace("pool: web", "routes: [{name: all}]"), "pool"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(name, tmp_path):
    text, word = MISSING[name]
    faults = check(tmp_path, text)
    assert any(word in fault.sentence for fault in faults), [fault.sentence for fault in faults]


CONFLICTS = {
    "pool and routes": listener("routes: [{name: all, pool: web}]"),
    "routes by path on tcp": GOOD.replace("pool: web", "protocol: tcp\n    routes: [{name: all, path: /a, pool: web}]"),
    "same address twice": GOOD.replace("pools:", "  again: {bind: 127.0.0.1:18999, pool: web}\npools:"),
    "same route name twice": GOOD.replace("pool: web", "routes: [{name: a, path: /a, pool: web}, "
                                                       "{name: a, path: /b, pool: web}]"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_cannot_be_together_is_named(name, tmp_path):
    assert len(check(tmp_path, CONFLICTS[name])) == 1


def test_all_mistakes_are_reported_at_once_and_in_order(tmp_path):
    text = GOOD.replace("pool: web", "pool: wbe").replace("servers", "balance: rundom\n    servers") + "extra: 1\n"
    faults = check(tmp_path, text)
    assert [fault.line for fault in faults] == [4, 7, 9]


def test_mistakes_of_later_passes_come_with_the_first(tmp_path):
    """A key that occurs twice, an unknown one, an address taken twice and a name that is not there."""
    text = (GOOD + "    balance: random\n    balance: random\n    wieght: 1\n"
            ).replace("pools:", "  again:\n    bind: :18999\n    pool: wbe\npools:")
    assert [fault.line for fault in check(tmp_path, text)] == [6, 7, 12, 13]


def test_a_file_that_is_too_large_is_told_the_limit(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_bytes(b"#" * ((4 << 20) + 1))
    done = run_command("check", "-c", str(path))
    assert done.returncode == CONFIG and "more than 4 MiB" in done.stderr


@pytest.mark.parametrize("change, sentence", [
    ("pools.web.servers[0].weight=99999", '"weight" is 99999'),
    ("pools.web.balance=rundom", '"rundom" is not a value'),
    ("pools.web.wieght=1", 'unknown key "wieght"'),
    ("pools.web.servers=[{address: '10.0.0.1:80', weight: many}]", '"weight" must be'),
    ("listeners.web.pool=wbe", 'no "wbe"'),
])
def test_what_a_change_did_is_not_said_of_a_line_of_the_file(tmp_path, change, sentence):
    path = tmp_path / "weir.yaml"
    path.write_text(GOOD)
    done = run_command("simulate", "-c", str(path), "--rps", "10", "--change", change)
    assert done.returncode == CONFIG
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{path} with {change}: ") and sentence in lines[0], done.stderr


def test_every_fault_says_what_to_do(tmp_path):
    for text, _ in CASES.values():
        for fault in check(tmp_path, text.replace("«", "")):
            assert len(fault.sentence) > 20, fault.sentence


def test_run_refuses_with_the_same_words(tmp_path):
    text = pool("balanse: random")
    assert [vars(fault) for fault in check(tmp_path, text, command="run")] == \
        [vars(fault) for fault in check(tmp_path, text)]


@pytest.mark.parametrize("text", [
    b"", b"\n", b"# nothing\n", b"- a\n- list\n", b"just a word\n", b"\xff\xfe\x00\x00", b"a: [1, 2\n", b"\ta: 1\n",
    b"listeners: {web: {bind: 'unclosed\n", b"a: \x00\n", b"{" * 5000, b"[" * 5000 + b"]" * 5000, b"a: " + b"x" * 70000,
    b"? complex\n: key\n", b"%YAML 9.9\n---\na: 1\n", b"listeners: {\xc3\x28: 1}\n",
], ids=range(16))
def test_what_is_no_configuration_is_refused_with_a_place(text, tmp_path):
    assert check(tmp_path, text)


def test_control_bytes_of_the_file_do_not_reach_the_terminal(tmp_path):
    path = tmp_path / "weir.json"
    path.write_bytes(b'{"listeners\x1b[2J": 1}')
    done = run_command("check", "-c", str(path))
    assert done.returncode == CONFIG
    assert "\x1b" not in done.stderr


JSON_GOOD = ('{"listeners": {"web": {"bind": "127.0.0.1:18999", "pool": "web"}},\n'
             ' "pools": {"web": {"servers": ["127.0.0.1:18080"]}}}')
JSON_CASES = {
    "duplicate key": (JSON_GOOD[:-1] + ',\n «"pools": {}}', r'"pools"'),
    "trailing comma": (JSON_GOOD[:-1] + ",«}", r"comma|key|string"),
    "comment": (JSON_GOOD + " «// note", r"after|end|more"),
    "single quotes": (JSON_GOOD[:-1] + ", «'a': 1}", r"quote|key|string"),
    "unknown key": (JSON_GOOD[:-1] + ',\n «"lstn": {}}', r'"lstn"'),
    "bad escape": (JSON_GOOD.replace('"pool": "web"', '"pool": "we«\\xb"'), r"escape"),
    "lone surrogate": (JSON_GOOD.replace('"pool": "web"', '"pool": "we«\\ud800"'), r"surrogate|escape"),
}


@pytest.mark.parametrize("name", JSON_CASES)
def test_a_mistake_in_json_is_named_with_its_place(name, tmp_path):
    text, sentence = JSON_CASES[name]
    wanted = place(text)
    faults = check(tmp_path, text.replace("«", ""), name="weir.json")
    assert (faults[0].line, faults[0].column) == wanted, faults[0].sentence
    assert re.search(sentence, faults[0].sentence)


def test_json_with_surrogate_pairs_and_long_keys_is_read(tmp_path):
    path = tmp_path / "weir.json"
    name = "\\ud83d\\ude00" + "k" * 40
    path.write_text(JSON_GOOD.replace('"web"', f'"{name}"'))
    done = run_command("check", "-c", str(path))
    assert done.returncode == 0, done.stderr


def test_what_nginx_conf_says_of_a_log_is_looked_at(tmp_path):
    """check finds what a start would find."""
    nginx = tmp_path / "nginx.conf"
    log = tmp_path / "access.log"
    path = tmp_path / "weir.yaml"
    path.write_text(GOOD + f"logs: {{sources: {{edge: {{path: {log}, format: {{nginx_conf: {nginx}}}}}}}}}\n")
    done = run_command("check", "-c", str(path))
    assert done.returncode == CONFIG and f'log source "edge": cannot open {nginx}' in done.stderr
    nginx.write_text(f"http {{ access_log {log} odd; }}")
    done = run_command("check", "-c", str(path))
    assert done.returncode == CONFIG and "give the format itself" in done.stderr
    nginx.write_text(f"http {{ log_format odd '$status $remote_addr'; access_log {log} odd; }}")
    assert run_command("check", "-c", str(path)).returncode == 0


def warnings(tmp_path, text, name="weir.yaml", command="check"):
    """(line, column, sentence) of each, from a check that finds nothing wrong."""
    path = tmp_path / name
    path.write_text(text)
    done = run_command(command, "-c", str(path))
    assert done.returncode == 0, done.stderr
    head = re.compile(re.escape(str(path)) + r":(\d+):(\d+): warning: (.+)")
    found = [head.fullmatch(line) for line in done.stderr.splitlines()]
    return [(int(match[1]), int(match[2]), match[3]) for match in found if match]


def route(text):
    return GOOD.replace("pool: web", "routes: [" + text + ", {name: rest, pool: web}]")


DOUBTFUL = {
    "a pool that nothing leads to": (GOOD + "  «spare: {servers: ['127.0.0.1:18081']}\n", r'nothing leads to pool "spare"'),
    "a split that nothing leads to": (GOOD + "splits: {«test: {unit: '{client}', variants: "
                                      "{a: {weight: 50, pool: web}, b: {weight: 50, pool: web}}}}\n",
                                      r'nothing leads to split "test"'),
    "a route that is never taken": (GOOD.replace("pool: web", "routes: [{name: a, path: /a, pool: web},\n      "
                                                 "«{name: b, path: /a, pool: web}]"),
                                    r'"b" can never be taken: "a"'),
    "a star at the end": (route("{name: a, «path_prefix: /a*, pool: web}"), r"literally.*path_prefix: /a "),
    "a star within": (route("{name: a, «path: /a*/b, pool: web}"), r"literally.*path_regex"),
    "trust in everybody": (listener("trust: [10.0.0.0/8, «0.0.0.0/0]"), r"0\.0\.0\.0/0: almost everybody may say"),
    "trust in all of IPv6": (listener("trust: [fc00::/7, «'::/0']"), r"::/0: almost everybody may say"),
    "pins of everybody": (listener("pin: {from: [«0.0.0.0/0]}"), r"almost everybody may choose"),
    "a server that is weir": (GOOD.replace("[\"127.0.0.1:18080\"]", "[«127.0.0.1:18999]"), r'is listener "web" of this weir'),
    "a server that is weir on every address": (GOOD.replace("bind: 127.0.0.1:18999", "bind: :18999")
                                               .replace("[\"127.0.0.1:18080\"]", "[«127.0.0.1:18999]"),
                                               r'is listener "web" of this weir'),
    "a server that is the admin API": (GOOD.replace("[\"127.0.0.1:18080\"]", "[{«address: 127.0.0.1:9091}]")
                                       + "admin: 127.0.0.1:9091\n", r"is the admin API of this weir"),
    "a log without a directory": (GOOD + "access_log: {«path: /nowhere/weir/access.log}\n", r"no directory /nowhere/weir;"),
    "a socket without a directory": (GOOD.replace("bind: 127.0.0.1:18999", "«bind: unix:/nowhere/weir.sock"),
                                     r"no directory /nowhere;"),
    "a state without a directory": (GOOD + "logs: {«state: /nowhere/state, sources: {a: {path: /var/log/a, format: combined}}}\n",
                                    r"no directory /nowhere/state;"),
    "a state that is a file": (GOOD + "«state: /etc/passwd\n", r"/etc/passwd is a file, not a folder; name a folder$"),
    "a query in what a path becomes": (route("{name: a, path_prefix: /a, rewrite: {regex: '^/a', «to: '/b?c=1'}, pool: web}"),
                                       r"a \? in `to` is a character of the path.*begins no query"),
    "files of a folder that is not there": (route("{name: a, path_prefix: /a, «files: /nowhere/www}"),
                                            r"folder /nowhere/www is not there.*file_no_root"),
    "files of what is no folder": (route("{name: a, path_prefix: /a, «files: {root: /etc/passwd}}"), r"/etc/passwd is no folder"),
    "a fallback that is not there": (route("{name: a, path_prefix: /a, «files: {root: /usr, fallback: nowhere.html}}"),
                                     r"fallback /usr/nowhere\.html cannot be read"),
    "a rate of what has no requests": (GOOD.replace("  web:\n    bind", "  «web:\n    protocol: tcp\n    bind")
                                       + "    rate: 100/s\n", r'passes bytes.*`rate` of pool "web".*connections_per_client'),
    "an answer that is waited for where there are none": (
        GOOD.replace("  web:\n    bind", "  «web:\n    protocol: tcp\n    bind") + "    retry: {hedge: {}}\n",
        r'passes bytes.*`hedge` of pool "web"'),
    "a variable for a secret": (GOOD + "admin: {bind: 127.0.0.1:9091, token: «'$WEIR_TOKEN'}\n", r'"token" is taken as it is'),
    "a variable in a list of secrets": (pool("sticky: {secrets: [«'${secret_number_one}']}"), r'"secrets" is taken as it is'),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_hardly_meant_is_a_warning_with_its_place(name, tmp_path):
    text, sentence = DOUBTFUL[name]
    found = warnings(tmp_path, text.replace("«", ""))
    assert [(line, column) for line, column, _ in found] == [place(text)], found
    assert re.search(sentence, found[0][2])


def test_a_user_that_this_host_does_not_have_is_a_warning(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(GOOD + "user: weir-nobody-has\n")
    done = run_command("check", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{path}: warning: user: weir-nobody-has cannot be found: there is no such user")


@pytest.mark.parametrize("text", [
    GOOD, pool("health: {tcp: {}, interval: 500ms}"), listener("trust: [10.0.0.0/8, 'fc00::/7', 192.0.2.7]"), route("{name: a, path: /a, method: [GET], pool: web}"),
    GOOD + "admin: {bind: 127.0.0.1:9091, token: 'pa$$word'}\n",
    GOOD.replace("pools:", "  other: {bind: '127.0.0.2:18999', pool: web}\n  v6: {bind: '[::1]:18999', pool: web}\npools:"),
    GOOD.replace("pools:", "  one: {bind: '127.0.0.1:0', pool: web}\n  two: {bind: '127.0.0.1:0', pool: web}\npools:"),
], ids=range(7))
def test_what_is_usual_is_no_warning(text, tmp_path):
    assert warnings(tmp_path, text) == []


def test_a_start_says_what_is_hardly_meant(scene):
    weir = scene.proxy(scene.server(), listener={"trust": ["0.0.0.0/0"]})
    events = weir.events("config_doubtful")
    assert [event["level"] for event in events] == ["warn"] and "0.0.0.0/0" in events[0]["note"]


def check_json(path):
    done = run_command("check", "--json", str(path))
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_programs_are_told_every_mistake_with_its_key(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(GOOD + "    wieght: 3\nworkers: many\n")
    code, said = check_json(path)
    assert code == CONFIG and not said["is_correct"] and said["warnings"] == [] and said["omitted"] == 0 and "pools" not in said
    first, second = said["mistakes"]
    assert (first["file"], first["line"], first["column"], first["key"]) == (str(path), 8, 5, "/pools/web/wieght")
    assert first["detail"].startswith('unknown key "wieght"') and "remedy" in first
    assert (second["line"], second["key"]) == (9, "/workers")


def test_programs_are_told_that_all_is_right_and_what_is_hardly_meant(tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(GOOD)
    code, said = check_json(path)
    assert code == 0 and said == {"file": str(path), "is_correct": True, "mistakes": [], "warnings": [], "omitted": 0, "listeners": 1, "pools": 1}
    path.write_text(GOOD + "  spare: {servers: [\"127.0.0.1:1\"]}\nuser: nobody-of-that-name\n")
    code, said = check_json(path)
    assert code == 0 and said["is_correct"] and said["pools"] == 2
    by_key = {warning["key"]: warning for warning in said["warnings"]}
    assert by_key["/pools/spare"]["line"] == 8 and "nobody-of-that-name" in by_key["/user"]["detail"]


def test_programs_are_told_of_files_that_are_missing_included_or_led_to(tmp_path):
    code, said = check_json(tmp_path / "none.yaml")
    mistake, = said["mistakes"]
    assert code == CONFIG and "No such file" in mistake["detail"] and "line" not in mistake
    path, part = tmp_path / "weir.yaml", tmp_path / "part.yaml"
    path.write_text("include: part.yaml\n" + GOOD)
    part.write_text("pools:\n  more: {servers: [\"127.0.0.1:1\"], idle: 3}\n")
    code, said = check_json(path)
    mistake, = said["mistakes"]
    assert code == CONFIG and mistake["file"].endswith("part.yaml") and (mistake["line"], mistake["key"]) == (2, "/pools/more/idle")
    path.write_text(GOOD + f"logs: {{sources: {{edge: {{path: /var/log/x.log, format: {{nginx_conf: {tmp_path}/none.conf}}}}}}}}\n")
    code, said = check_json(path)
    assert code == CONFIG and not said["is_correct"] and said["mistakes"][0]["key"] == "/logs/sources/edge"
    assert run_command("check", "--json", "--against-running", str(path)).returncode == 64
