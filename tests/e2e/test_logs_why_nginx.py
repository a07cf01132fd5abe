"""weir logs why: what goes wrong with nginx itself, made in one nginx each: connections, descriptors, memory, configuration, a
worker that dies."""
import json
import os
import shutil
import signal
import socket
import tempfile

import pytest

from faulty import LOG_FORMAT
from nginx import start_nginx, stop_nginx
from ports import reserve_port
from waiting import LIMIT_S, eventually
from weir import run_command

CONFIG = """
daemon off;
user nobody nogroup;
worker_processes 1;
{main}
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections {connections}; }}
http {{
    log_format full '{format}';
    access_log {directory}/access.log full;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    limit_conn_zone $arg_key zone=keys:32k;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ return 200 x; }}
        {locations}
    }}
}}
"""


class Small:
    """An nginx of its own."""

    def __init__(self, directory, main="", connections=64, locations="", port=None):
        self.directory = str(directory)
        os.chmod(self.directory, 0o755)
        self.port = port or reserve_port()
        self.error_log = os.path.join(self.directory, "error.log")
        self.access_log = os.path.join(self.directory, "access.log")
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w") as file:
            file.write(CONFIG.format(directory=self.directory, format=LOG_FORMAT, port=self.port, main=main,
                                     connections=connections, locations=locations))
        self.process = start_nginx(path, self.error_log)
        self.connections = []

    def wait_listening(self):
        def is_listening():
            assert self.process.poll() is None, self.errors()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        eventually(is_listening, "nginx listens")
        return self

    def connect(self, data=b""):
        sock = socket.create_connection(("127.0.0.1", self.port), LIMIT_S)
        self.connections.append(sock)
        sock.sendall(data)
        return sock

    def errors(self):
        with open(self.error_log, errors="replace") as file:
            return file.read()

    def wait_error(self, words):
        eventually(lambda: words in self.errors(), lambda: f"{words}: {self.errors()[-3000:]}")

    def close(self):
        for sock in self.connections:
            sock.close()
        stop_nginx(self.process)


def connection_limit(directory):
    nginx = Small(directory, connections=8).wait_listening()
    for _ in range(12):
        nginx.connect()
    nginx.wait_error("worker_connections are not enough")
    return nginx


def no_descriptors(directory):
    nginx = Small(directory, main="worker_rlimit_nofile 16;").wait_listening()
    for _ in range(20):
        nginx.connect()
    nginx.wait_error("(24: ")
    return nginx


def no_memory(directory):
    """Each key that waits has a place in the zone, which is soon full."""
    nginx = Small(directory, connections=512, locations="location /held { limit_conn keys 1; limit_rate 1; root %s; }" % directory)
    os.mkdir(os.path.join(directory, "held"))
    with open(os.path.join(directory, "held", "file"), "w") as file:
        file.write("x" * 100000)
    nginx.wait_listening()
    for number in range(250):
        nginx.connect(b"GET /held/file?key=%s%04d HTTP/1.1\r\nHost: x\r\n\r\n" % (b"k" * 220, number))
    nginx.wait_error("no memory")
    return nginx


def config_fault(directory):
    nginx = Small(directory, main="no_such_directive on;")
    assert nginx.process.wait(LIMIT_S) != 0
    return nginx


def address_in_use(directory):
    first = Small(directory).wait_listening()
    second = os.path.join(directory, "second")
    os.mkdir(second)
    nginx = Small(second, port=first.port)
    assert nginx.process.wait(LIMIT_S) != 0
    first.close()
    return nginx


def worker_died(directory):
    nginx = Small(directory).wait_listening()

    def children():
        with open(f"/proc/{nginx.process.pid}/task/{nginx.process.pid}/children") as file:
            return file.read().split()
    worker, = eventually(children, "a worker")
    os.kill(int(worker), signal.SIGSEGV)
    nginx.wait_error("exited on signal 11")
    return nginx


def other(directory):
    """What nobody has given a name yet: here a command of server-side includes that there is not."""
    nginx = Small(directory, locations="location /ssi { ssi on; root %s; default_type text/html; }" % directory)
    os.mkdir(os.path.join(directory, "ssi"))
    with open(os.path.join(directory, "ssi", "page"), "w") as file:
        file.write('<!--# nonsense -->')
    nginx.wait_listening()
    nginx.connect(b"GET /ssi/page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").recv(1000)
    nginx.wait_error("invalid SSI command")
    return nginx


@pytest.fixture(name="directory")
def fixture_directory():
    """That nginx's worker, who is somebody else, may look into."""
    made = tempfile.mkdtemp(prefix="weir-nginx-")
    os.chmod(made, 0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("make, kind", [
    (connection_limit, "connection_limit"), (no_descriptors, "no_descriptors"), (no_memory, "no_memory"),
    (config_fault, "config_fault"), (address_in_use, "config_fault"), (worker_died, "worker_died"), (other, "other")])
def test_what_goes_wrong_with_nginx_itself_is_named(directory, make, kind):
    nginx = make(directory)
    nginx.close()
    files = [path for path in (nginx.access_log, nginx.error_log) if os.path.exists(path) and os.path.getsize(path)]
    done = run_command("logs", "why", "--json", "--log-format", LOG_FORMAT, "--slow", "60s", *files)
    assert done.returncode == 0, done.stderr
    found = {fault["fault"]: fault for fault in json.loads(done.stdout)["faults"]}
    assert kind in found, (found, nginx.errors()[-3000:])
    assert found[kind]["by_error_log"] and found[kind]["remedy"]
    # Nothing else is made of it, but that clients left.
    assert {name for name in found if not name.startswith("client_gone")} == {kind}, (found, nginx.errors()[-3000:])
