"""gRPC through weir with gRPC's own library on both ends: every kind of call, deadlines, cancelled calls, answers of trailers
alone, and what weir itself has to say."""
import concurrent.futures
import os
import random
import threading

import pytest

from ports import reserve_port
from waiting import LIMIT_S, eventually
from weir import make_config

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # weir is started beside its threads
import grpc  # noqa: E402

NO_RETRIES = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 16 << 20)]


class Peer(grpc.GenericRpcHandler):
    """A server of the service "t.T" whose messages are bytes."""

    def __init__(self):
        self.asked = []  # (method, metadata, seconds that were left)
        self.cancelled, self.go_on = threading.Event(), threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=NO_RETRIES)
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"
        self.faults = []
        self.server.start()

    def close(self):
        self.go_on.set()
        assert self.server.stop(None).wait(LIMIT_S)

    def service(self, call):
        kinds = {"Say": grpc.unary_unary_rpc_method_handler(self.say), "Big": grpc.unary_unary_rpc_method_handler(self.say),
                 "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
                 "Add": grpc.stream_unary_rpc_method_handler(self.add),
                 "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
                 "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
                 "Refuse": grpc.unary_unary_rpc_method_handler(self.refuse)}
        return kinds.get(call.method.rsplit("/", 1)[1])

    def note(self, method, context):
        self.asked.append((method, dict(context.invocation_metadata()), context.time_remaining()))

    def say(self, message, context):
        self.note("Say", context)
        context.send_initial_metadata((("x-first", "1"),))
        context.set_trailing_metadata((("x-last", "2"), ("x-bytes-bin", b"\0\xff")))
        return message

    def watch(self, message, context):
        yield message + b" 1"
        assert self.go_on.wait(LIMIT_S)
        yield message + b" 2"

    def add(self, messages, context):
        return b"+".join(messages)

    def talk(self, messages, context):
        for message in messages:
            yield b"re: " + message

    def wait(self, message, context):
        self.note("Wait", context)
        context.add_callback(self.cancelled.set)
        assert self.cancelled.wait(LIMIT_S)
        return b""

    def refuse(self, message, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not that: 100 % wröng")


class Site:
    def __init__(self, scene):
        self.scene = scene
        self.peer = Peer()
        scene.servers.append(self.peer)
        self.weir = scene.proxy(self.peer, pool={"protocol": "h2c"},
                                listener={"routes": {"t": {"path_prefix": "/t.T/", "pool": "web"}}})
        self.channel = grpc.insecure_channel("%s:%d" % self.weir.address, options=NO_RETRIES)
        scene.clients.append(self.channel)

    def one(self, method, service="t.T"):
        return self.channel.unary_unary(f"/{service}/{method}")

    def told(self, status):
        """In the record, and in the metric."""
        assert self.weir.wait_records(1)[0]["grpc_status"] == status
        assert self.weir.metric("weir_grpc_responses_total", listener="web", status=str(status)) == 1


@pytest.fixture
def site(scene):
    return Site(scene)


def fails(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, timeout=options.pop("timeout", LIMIT_S), **options)
    return caught.value


def test_a_unary_call_with_metadata_in_both_directions(site):
    answer, call = site.one("Say").with_call(b"hello", timeout=20, metadata=(("x-own", "a"), ("x-own-bin", b"\1\2")))
    assert answer == b"hello"
    assert dict(call.initial_metadata())["x-first"] == "1"
    trailing = dict(call.trailing_metadata())
    assert (trailing["x-last"], trailing["x-bytes-bin"]) == ("2", b"\0\xff")
    method, metadata, left = site.peer.asked[0]
    assert (metadata["x-own"], metadata["x-own-bin"]) == ("a", b"\1\2")
    assert 0 < left <= 20  # the deadline has come through
    site.told(0)


def test_a_large_message_is_the_same_in_both_directions(site):
    message = random.Random(3).randbytes(3 << 20)
    assert site.one("Big")(message, timeout=LIMIT_S) == message


def test_messages_of_a_server_come_as_it_says_them(site):
    answers = site.channel.unary_stream("/t.T/Watch")(b"look", timeout=LIMIT_S)
    assert next(answers) == b"look 1"  # before the second is said
    site.peer.go_on.set()
    assert list(answers) == [b"look 2"]
    site.told(0)


def test_messages_of_a_client_are_one_answer(site):
    assert site.channel.stream_unary("/t.T/Add")(iter([b"a", b"b", b"c"]), timeout=LIMIT_S) == b"a+b+c"
    site.told(0)


def test_both_speak_in_turn(site):
    heard, turn = [], threading.Semaphore(1)

    def messages():
        for at in range(20):
            assert turn.acquire(timeout=LIMIT_S)
            yield str(at).encode()

    for answer in site.channel.stream_stream("/t.T/Talk")(messages(), timeout=LIMIT_S):
        heard.append(answer)
        turn.release()
    assert heard == [f"re: {at}".encode() for at in range(20)]
    site.told(0)


def test_a_deadline_ends_a_call_on_both_ends(site):
    error = fails(site.one("Wait"), b"", timeout=1)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert site.peer.cancelled.wait(LIMIT_S)
    assert 0 < site.peer.asked[0][2] < 2  # gRPC rounds up


def test_a_cancelled_call_is_cancelled_at_the_server(site):
    call = site.one("Wait").future(b"", timeout=LIMIT_S)
    eventually(lambda: site.peer.asked, "the call at the server")
    call.cancel()
    assert site.peer.cancelled.wait(LIMIT_S)
    assert site.weir.wait_records(1)[0]["end"] == "client_abort"


def test_an_answer_of_trailers_alone_says_what_was_wrong(site):
    error = fails(site.one("Refuse"), b"")
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "not that: 100 % wröng")
    site.told(3)


def test_what_nobody_serves_is_unimplemented(site):
    error = fails(site.one("Say", service="other.Other"), b"")
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED and "no route" in error.details().lower()
    site.told(12)


def test_a_server_that_is_gone_is_unavailable(scene):
    weir = scene.weir(make_config([f"127.0.0.1:{reserve_port()}"], pool={"protocol": "h2c"}))
    with grpc.insecure_channel("%s:%d" % weir.address, options=NO_RETRIES) as channel:
        error = fails(channel.unary_unary("/t.T/Say"), b"")
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "refused" in error.details().lower()
