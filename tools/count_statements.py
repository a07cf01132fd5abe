#!/usr/bin/python3
"""Prints how many functions of the data path state what must hold (src/base/bug.h). Never fails.

Of the files that a request, a byte, a stream or a datagram passes through: not configuration, start-up, texts for people or pure
codecs, where a condition would say again what stands two lines above. Functions of fewer than three lines are not counted.
With a word as argument: which functions of the files whose name has it state nothing."""
import os
import re
import sys

DATA_PATH = {
    "balance": "alias balance hash hash_maglev hash_mod hash_rendezvous hash_ring least peak peak_ewma random round_robin shares",
    "pool": "concurrency peer_set pool_worker queue retry_budget slot upstream upstream_connect upstream_h1 upstream_h2 upstream_tls",
    "net": "acceptor loop mailbox timer transport udp_batch",
    "tls": "conn conn_connect conn_open memory sessions",
    "http": "h1_body h1_client h1_conn h1_in h1_out h1_pipeline h1_server h1_server_end h1_server_head h1_server_stream h2_body "
            "h2_bytes h2_client h2_frames h2_hpack h2_out h2_request h2_response h2_server h2_session h2_stream h2_tunnel h2_turn "
            "http_conn stream",
    "proxy": "accept attempt auth_call choose compression exchange exchange_attempt exchange_auth exchange_deadline "
             "exchange_egress exchange_file exchange_head exchange_hedge exchange_rate exchange_reply exchange_request "
             "exchange_response exchange_retry exchange_trace exchange_unpin file_answer forward headers introduction mirror "
             "overload rate record share split tcp tunnel udp_listener udp_session udp_table udp_worker upgrade",
}
# Of which some are counts and references that state it for themselves (base/count.h, base/refs.h).
STATEMENT = re.compile(r"\b(bug_if|count_less|count_less_shared|refs_get|refs_put)\(")


def functions_of(path):
    """Yields (heading, body); by the style, a function's braces stand in the first column."""
    with open(path, errors="replace") as file:
        lines = file.read().split("\n")
    for opening, line in enumerate(lines):
        if line != "{" or not lines[opening - 1].endswith(")"):
            continue
        closing = lines.index("}", opening)
        if closing - opening - 1 >= 3:
            yield lines[opening - 1], "\n".join(lines[opening:closing])


def count(path):
    functions = list(functions_of(path))
    silent = [heading for heading, body in functions if not STATEMENT.search(body)]
    return len(functions), silent


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    word = sys.argv[1] if len(sys.argv) > 1 else None
    total = stating = 0
    rooms = []
    for room, nouns in DATA_PATH.items():
        of_room = stating_here = 0
        for path in (f"src/{room}/{noun}.{ending}" for noun in nouns.split() for ending in ("h", "c")):
            if not os.path.exists(path):
                continue
            functions, silent = count(path)
            of_room += functions
            stating_here += functions - len(silent)
            if word and word in path and functions:
                print(f"{path}: {functions - len(silent)} of {functions}", *silent, sep="\n    ")
        rooms.append(f"{room} {stating_here} of {of_room}")
        total += of_room
        stating += stating_here
    print(f"{stating} of {total} functions of the data path state what must hold: {', '.join(rooms)}")


if __name__ == "__main__":
    main()
