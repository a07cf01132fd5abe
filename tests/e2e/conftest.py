import faulthandler
import os
import signal
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from scene import Relay, Scene  # noqa: E402

# A shell starts what it runs in the background with SIGINT ignored, and so it would stay in all that the tests start and end
# by it. With a handler here it is what it is by default there. pytest-xdist's workers are started by a process that has been here,
# and on a busy machine may run the tests on a thread that is not the main one, which may not set handlers.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.has_failed = report.failed


@pytest.fixture
def scene(request, tmp_path):
    """Clients, servers and weir; taken down and checked at the end."""
    faulthandler.enable()
    scene = Scene(tmp_path)
    try:
        yield scene
    except BaseException:
        scene.kill()
        raise
    if getattr(request.node, "has_failed", False):
        scene.kill()  # what is left over would only hide the failure
    else:
        scene.finish()


@pytest.fixture(params=["new", "reused"])
def relay(request, scene):
    """A way through weir: on a new connection to the server, and on one that has carried a request before."""
    return Relay(scene, request.param == "reused")
