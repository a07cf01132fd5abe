"""Configurations that are refused: each with one fault, at the place before which a « stands."""
import re

from test_check import check, place

BASE = """listeners:
  web:
    bind: 127.0.0.1:18999
    routes: [%s]
pools:
  web: {servers: ["127.0.0.1:18080"]}
  out: {kind: egress, servers: ["127.0.0.2"]}
splits:
  half: {unit: client, variants: {a: {weight: 50, pool: web}, b: {weight: 50, pool: web}}}
"""


def with_route(route):
    """A configuration with that route; pools web and out (for egress), a split half."""
    return BASE % route


def with_pool(options):
    return (BASE % "{pool: web}").replace('["127.0.0.1:18080"]}', '["127.0.0.1:18080"], %s}' % options)


def with_listener(line):
    return (BASE % "{pool: web}").replace("pools:", f"    {line}\npools:")


def with_split(split):
    return (BASE % "{pool: web}") + f"  other: {split}\n"


def check_refused(tmp_path, text, sentence):
    line, column = place(text)
    faults = check(tmp_path, text.replace("«", ""))
    assert len(faults) == 1, [fault.sentence for fault in faults]
    assert re.search(sentence, faults[0].sentence), faults[0].sentence
    assert (faults[0].line, faults[0].column) == (line, column), faults[0].sentence
