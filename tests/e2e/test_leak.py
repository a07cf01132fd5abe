"""A long run leaves nothing behind: memory, descriptors and live objects are as after its first part."""
import re
import subprocess

import pytest

from waiting import eventually

MIB = 1 << 20


def load(weir, requests, connections, keep_alive):
    """ab's requests, none of which may fail."""
    address = "http://%s:%d/" % weir.address
    done = subprocess.run(["ab", "-q", "-l", *(["-k"] if keep_alive else []), "-n", str(requests), "-c", str(connections),
                           address], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr + done.stdout
    found = dict(re.findall(r"^(Complete|Failed|Write|Keep-Alive|Non-2xx) (?:requests|errors|responses):\s+(\d+)",
                            done.stdout, re.MULTILINE))
    assert found["Complete"] == str(requests)
    assert found["Failed"] == "0", done.stdout
    assert "Non-2xx" not in found and found.get("Write", "0") == "0", done.stdout
    assert "Keep-Alive" not in found or int(found["Keep-Alive"]) >= requests * 0.9


def check_rest(weir):
    weir.wait_live(exchanges=0, tunnels=0, client_connections=0)
    live = weir.live()
    assert live["server_connections"] == live["idle_server_connections"]
    assert live["blocks"] == 0


@pytest.mark.serial
def test_150000_requests_at_1000_connections_leak_nothing(scene):
    nginx = scene.nginx(logs=False, connections=8192)
    # One worker has every connection each time; among several the kernel spreads them otherwise at every peak.
    weir = scene.proxy(nginx, build="release", workers=1)
    rss = []
    for requests in (20000, 55000, 75000):
        half = requests // 2
        load(weir, half, 1000, keep_alive=True)
        load(weir, requests - half, 1000, keep_alive=False)
        check_rest(weir)
        rss.append(weir.rss_bytes())
    eventually(lambda: weir.metric("weir_exchanges_total", end="ok") == 150000, "all requests counted")
    print("resident after 20,000, 75,000 and 150,000 requests: "
          + ", ".join(f"{size / MIB:.2f} MiB" for size in rss))
    assert weir.is_sanitized or rss[-1] <= rss[0] + MIB


@pytest.mark.serial
def test_10000_requests_under_the_sanitizers_leak_nothing(scene):
    nginx = scene.nginx(logs=False, connections=2048)
    weir = scene.proxy(nginx, workers=2)
    load(weir, 6000, 200, keep_alive=True)
    load(weir, 4000, 200, keep_alive=False)
    check_rest(weir)


@pytest.mark.serial
def test_tunnels_leak_nothing(scene):
    nginx = scene.nginx(logs=False, connections=2048)
    weir = scene.proxy(nginx, protocol="tcp", workers=2, build="release")
    rss = []
    for requests in (10000, 20000):
        load(weir, requests, 200, keep_alive=False)
        weir.wait_live(tunnels=0, client_connections=0, server_connections=0)
        rss.append(weir.rss_bytes())
    assert weir.is_sanitized or rss[-1] <= rss[0] + MIB
