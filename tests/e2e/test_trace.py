"""/debug/trace: turns and exchanges as trace viewers read them."""
import json
import select
import threading

import message
from weir import make_config


def events_of(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def test_turns_and_exchanges_lie_where_they_were(scene):
    nginx = scene.nginx(logs=False)
    weir = scene.weir(make_config([nginx], workers=2))
    client = scene.client(weir)
    traced = []
    thread = threading.Thread(target=lambda: traced.append(weir.ask_admin("GET", "/debug/trace?seconds=1")))
    thread.start()
    sent = 0
    while thread.is_alive() and sent < 10000:
        client.send(message.request("GET", "/traced"))
        assert client.read().status == 200
        sent += 1
    thread.join()
    trace = events_of(traced[0])
    assert trace["otherData"]["turns_left_out"] == trace["otherData"]["exchanges_left_out"] == 0
    events = trace["traceEvents"]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"weir", "weir/0", "weir/1"}
    turns = [e for e in events if e["ph"] == "X"]
    assert turns and all(e["name"] == "turn" and 0 <= e["ts"] <= 3e6 and e["dur"] >= 0 for e in turns)
    # On one thread a turn begins when the one before has ended.
    for worker in (1, 2):
        own = sorted((e["ts"], e["dur"]) for e in turns if e["tid"] == worker)
        assert all(a + length <= b + 0.002 for (a, length), (b, _) in zip(own, own[1:]))
    begun = [e for e in events if e["ph"] == "b" and e["name"] == "GET /traced"]
    assert 1 <= len(begun) <= sent  # how many more come while it is written depends on the machine
    assert all(e["args"]["pool"] == "web" and e["args"]["server"] == nginx.address and e["args"]["status"] == 200
               and e["args"]["end"] == "ok" for e in begun)
    # Whatever begins ends, phases within their exchange.
    for exchange in begun[:50]:
        own = [e for e in events if e.get("id") == exchange["id"]]
        opened = []
        for e in own:
            if e["ph"] == "b":
                opened.append(e)
            else:
                assert any(o["name"] == e["name"] and o["ts"] <= e["ts"] for o in opened)
        assert sum(e["ph"] == "b" for e in own) == sum(e["ph"] == "e" for e in own)
        end = max(e["ts"] for e in own)
        assert own[-1]["ts"] == end and own[-1]["name"] == "GET /traced"
        assert {e["name"] for e in own} & {"wait", "body"}


def test_what_is_no_time_is_refused(scene):
    weir = scene.proxy(scene.nginx(logs=False))
    assert weir.ask_admin("GET", "/debug/trace?seconds=0").status == 400
    wrong = weir.ask_admin("GET", "/debug/trace?seconds=soon")
    assert wrong.status == 400 and 'seconds is \\"soon\\"' in wrong.text


def ask_twice(scene, weir, seconds):
    """Two ask at once: the one that is refused, and the one whose trace goes on."""
    clients = [scene.client(weir.admin_address) for _ in range(2)]
    for client in clients:
        client.send(message.request("GET", f"/debug/trace?seconds={seconds}", host="%s:%d" % weir.admin_address))
    poll = select.poll()
    for client in clients:
        poll.register(client.sock, select.POLLIN)
    (ready, _), = poll.poll(10000)
    return sorted(clients, key=lambda client: client.sock.fileno() != ready)


def test_one_trace_at_a_time(scene):
    weir = scene.proxy(scene.nginx(logs=False))
    refused, traced = ask_twice(scene, weir, 1)
    answer = refused.read()
    assert answer.status == 409 and b"Another trace is being taken" in answer.body
    assert traced.read().status == 200
    assert weir.ask_admin("GET", "/debug/trace?seconds=0.05").status == 200


def test_a_weir_that_stops_leaves_its_trace(scene):
    weir = scene.proxy(scene.nginx(logs=False))
    ask_twice(scene, weir, 30)
    weir.terminate()
    assert weir.wait_exit() == 0
