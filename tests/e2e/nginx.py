"""Debian's nginx as a real server behind weir."""
import os
import shutil
import signal
import socket
import subprocess

from ports import reserve_port
from waiting import LIMIT_S, eventually

CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
worker_rlimit_nofile {nofile};
events {{ worker_connections {connections}; }}
http {{
    log_format plain '$connection $connection_requests $request_method $request_uri $status $request_length';
    access_log {access_log};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    keepalive_timeout {keepalive_timeout};
    keepalive_requests {keepalive_requests};
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port}{tls}{introduced} backlog=4096;
        server_name _;
        root {directory}/files;
        {server}
    }}
}}
"""

DEFAULT_SERVER = """
        location / { return 200 "nginx\\n"; }
        location /files/ { alias %(directory)s/files/; }
        location /upload/ { dav_methods PUT DELETE; create_full_put_path on; alias %(directory)s/files/upload/; }
        location /echo { add_header X-Echo-Host $host; return 200 "$request_method $request_uri\\n"; }
        location = /empty { return 204; }
"""


def start_nginx(config, error_log):
    """A process by a configuration that says daemon off; what it has to say is in its error log."""
    binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return subprocess.Popen([binary, "-e", error_log, "-c", config], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop_nginx(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait()


class Nginx:
    def __init__(self, directory, server=None, logs=True, keepalive_timeout="75s", keepalive_requests=1000000,
                 connections=1024, port=None, log_format="plain", is_tls=False, is_introduced=False):
        self.directory = str(directory)
        os.makedirs(os.path.join(self.directory, "files"), exist_ok=True)
        self.port = port or reserve_port()
        self.address = f"127.0.0.1:{self.port}"
        self.faults = []
        self.access_log = os.path.join(self.directory, "access.log")
        config = os.path.join(self.directory, "nginx.conf")
        with open(config, "w") as file:
            file.write(CONFIG.format(directory=self.directory, port=self.port, tls=" ssl" if is_tls else "",
                                     introduced=" proxy_protocol" if is_introduced else "", connections=connections,
                                     nofile=connections + 100, keepalive_timeout=keepalive_timeout,
                                     keepalive_requests=keepalive_requests,
                                     access_log=f"{self.access_log} {log_format}" if logs else "off",
                                     server=server or DEFAULT_SERVER % {"directory": self.directory}))
        self.process = start_nginx(config, os.path.join(self.directory, "error.log"))
        eventually(self.is_listening, lambda: f"nginx listens: {self.errors()}")

    def is_listening(self):
        assert self.process.poll() is None, f"nginx ended: {self.errors()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def errors(self):
        with open(os.path.join(self.directory, "error.log")) as file:
            return file.read()[-2000:]

    def write(self, name, data):
        with open(os.path.join(self.directory, "files", name), "wb") as file:
            file.write(data)

    def read(self, name):
        with open(os.path.join(self.directory, "files", name), "rb") as file:
            return file.read()

    def log_lines(self, count):
        """At least `count` lines, each split: connection, its request number, method, target, status, bytes."""
        def lines():
            with open(self.access_log) as file:
                found = [line.split() for line in file.read().splitlines()]
            return found if len(found) >= count else None
        return eventually(lines, f"{count} lines in nginx's access log")

    def close(self):
        stop_nginx(self.process)
