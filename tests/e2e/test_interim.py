"""1xx: 100-continue from both ends of the agreement, and 103 (Early Hints)."""
import threading

import pytest

import broken
import message

EXPECT = ("Expect", "100-continue")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


def expecting(body_size, *fields):
    return message.request("POST", "/", EXPECT, ("Content-Length", str(body_size)), *fields)


def test_a_server_that_agrees_gets_the_body(relay):
    client = relay.open(broken.receive_head, broken.send(CONTINUE), broken.receive_body, broken.ok, broken.serve())
    client.send(expecting(5))
    assert client.read_head().status == 100
    client.send(b"hello")
    assert client.read("POST").text == "ok"
    request = relay.wait_requests()[0]
    assert request.get("Expect").lower() == "100-continue"
    assert request.body == b"hello"
    assert client.ask().text == "ok"


def test_a_chunked_body_may_be_expected_too(relay):
    client = relay.open(broken.receive_head, broken.send(CONTINUE), broken.receive_body, broken.ok)
    client.send(message.request("POST", "/", EXPECT, ("Transfer-Encoding", "chunked")))
    assert client.read_head().status == 100
    client.send(message.chunked(b"hello"))
    assert client.read("POST").text == "ok"
    assert relay.wait_requests()[0].body == b"hello"


def test_a_server_that_refuses_gets_no_body(relay):
    client = relay.open(broken.receive_head, broken.send(message.response(417, ("Connection", "close"), body=b"no")),
                        broken.half_close, broken.wait_end)
    client.send(expecting(5))
    response = client.read("POST")
    assert (response.status, response.text) == (417, "no")
    assert not response.interim
    client.close()
    relay.server.wait_end_of(0)
    assert relay.connection.rest == b""


@pytest.mark.parametrize("status", [200, 401, 413])
def test_a_final_answer_at_once_takes_the_place_of_100(relay, status):
    client = relay.open(broken.receive_head, broken.send(message.response(status, body=b"final")), broken.wait_end)
    client.send(expecting(5))
    response = client.read("POST")
    assert (response.status, response.text) == (status, "final")
    assert not response.interim
    client.close()
    relay.server.wait_end_of(0)
    assert relay.connection.rest == b""


def test_after_a_final_answer_at_once_the_next_request_is_not_taken_for_the_body(relay):
    client = relay.open(broken.receive_head, broken.send(message.response(401, body=b"who?")), broken.wait_end,
                        then=[broken.serve()])
    client.send(expecting(500))
    response = client.read("POST")
    assert response.status == 401
    if "close" in response.options():
        client.check_closed()
    else:  # then it waits for the body that was announced
        client.send(b"x" * 500)
        assert client.ask("GET", "/next").text == "ok"
        assert relay.requests[-1].target == "/next"


def test_a_client_may_send_its_body_without_waiting(relay):
    client = relay.open(broken.receive, broken.ok)
    client.send(expecting(5) + b"hello")
    assert client.read("POST").text == "ok"
    assert relay.wait_requests()[0].body == b"hello"


def test_a_client_may_give_up_waiting(relay):
    client = relay.open(broken.receive_head, broken.receive_body, broken.ok)
    client.send(expecting(5))
    relay.wait_requests()
    client.send(b"hello")
    response = client.read("POST")
    assert response.text == "ok"
    assert not response.interim


def test_100_with_the_final_head_in_one_piece(relay):
    client = relay.open(broken.receive, broken.send(CONTINUE + message.response(body=b"final")), broken.serve())
    client.send(expecting(5) + b"hello")
    assert client.read("POST").text == "final"
    assert client.ask().text == "ok"


def test_a_client_of_http_1_0_gets_no_100(relay):
    client = relay.open(broken.receive, broken.send(CONTINUE + HINTS + message.response(body=b"final")))
    client.send(message.request("POST", "/", EXPECT, body=b"hello", version="1.0"))
    response = client.read("POST")
    assert (response.text, response.interim) == ("final", [])


def test_early_hints_are_passed_on_at_once(relay):
    go = threading.Event()
    client = relay.open(broken.receive, broken.send(HINTS), broken.wait_for(go), broken.ok, broken.serve())
    client.send(message.request())
    hints = client.read_head()
    assert (hints.status, hints.get("Link")) == (103, "</style.css>; rel=preload")
    client.check_open()
    go.set()
    assert client.read().text == "ok"
    assert client.ask().text == "ok"


def test_several_interim_responses_are_passed_on_in_order(relay):
    processing = b"HTTP/1.1 102 Processing\r\n\r\n"
    client = relay.open(broken.receive, broken.send(processing + HINTS + HINTS + message.response()), broken.serve())
    response = client.ask()
    assert [interim.status for interim in response.interim] == [102, 103, 103]
    assert response.text == "ok"


def test_interim_responses_byte_by_byte(relay):
    client = relay.open(broken.receive, broken.send_pieces(HINTS + message.response()))
    response = client.ask()
    assert [interim.status for interim in response.interim] == [103]
    assert response.text == "ok"


def test_a_client_of_http_1_0_gets_no_early_hints(relay):
    client = relay.open(broken.receive, broken.send(HINTS + message.response()))
    response = client.ask(version="1.0")
    assert (response.status, response.interim) == (200, [])


def test_what_connection_names_in_early_hints_is_dropped(relay):
    hints = b"HTTP/1.1 103 Early Hints\r\nConnection: X-Private\r\nX-Private: 1\r\nLink: <a>\r\n\r\n"
    client = relay.open(broken.receive, broken.send(hints + message.response()))
    interim = client.ask().interim[0]
    assert interim.get("Link") == "<a>"
    assert not interim.has("X-Private")


def test_hints_without_end_wait_for_a_client_that_is_slow(scene):
    """More than all buffers hold: the server waits, and nobody is blamed."""
    count = 20000
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </" + b"x" * 200 + b".css>; rel=preload\r\n\r\n"
    server = scene.server([broken.receive, broken.send(hints * count + message.response(body=b"ok")), broken.serve()])
    weir = scene.proxy(server)
    client = scene.client(weir, receive_buffer=4096)
    client.send(message.request())
    broken.wait_stuck(server.wait_connection())
    response = client.read()
    assert (response.status, response.text, len(response.interim)) == (200, "ok", count)
    assert client.ask().text == "ok"
    assert {record["end"] for record in weir.wait_records(2)} == {"ok"}


def test_after_early_hints_nothing_is_tried_again(scene):
    dying = scene.server([broken.receive, broken.send(HINTS), broken.close])
    good = scene.server()
    weir = scene.proxy(dying, good, pool={"balance": "round_robin"})
    client = scene.client(weir)
    statuses = []
    for _ in range(2):
        statuses.append(client.ask().status)
    assert sorted(statuses) == [200, 502]
    assert len(dying.requests) == 1 and len(good.requests) == 1


def test_expectations_of_another_kind_are_refused(scene):
    server = scene.server()
    weir = scene.proxy(server)
    client = scene.client(weir)
    client.send(message.request("POST", "/", ("Expect", "the-unexpected"), body=b"x"))
    assert client.read("POST").status == 417
    assert server.requests == []
    assert weir.exchange(status=417)["end"] == "expectation_failed"


def test_header_rules_take_out_of_an_interim_response_too(relay):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Secret: 1\r\nX-Set: server\r\n\r\n"
    rules = {"remove": ["X-Secret"], "set": {"X-Set": "weir"}}
    client = relay.open(broken.receive, broken.send(hints + message.response(200, ("X-Secret", "2"))),
                        listener={"routes": {"r": {"pool": "web", "response_headers": rules}}})
    client.send(message.request())
    interim = client.read_head()
    assert interim.status == 103 and interim.get("Link") == "</a>"
    assert not interim.has("X-Secret") and not interim.has("X-Set")
    response = client.read()
    assert response.status == 200 and response.get("X-Set") == "weir" and not response.has("X-Secret")
