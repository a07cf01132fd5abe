"""Servers of Debian's that say in their logs how they have read each request: a line of quoted values, in the order of VALUES. What
weir takes it for stands in fields that weir sets (X-Weir-*), so that one line has both."""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from ports import reserve_port  # noqa: E402
from waiting import LIMIT_S, eventually  # noqa: E402
import socket  # noqa: E402

# What weir says of it, and what the server says itself: `path` as it understands it, `field` is X-One.
VALUES = ("id", "weir_path", "weir_host", "weir_field", "method", "target", "path", "host", "field", "status")
SET = {"X-Weir-Id": "{request_id}", "X-Weir-Path": "{path}", "X-Weir-Host": "{host}", "X-Weir-One": "{header:X-One}"}
READY = b"ready"  # the id of a request that only asks whether there is a log
QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.S)
LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f", b"b": b"\b", b"a": b"\a"}


def unescape(value):
    return ESCAPE.sub(lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" and len(m[1]) == 3 else LETTERS.get(m[1], m[1]), value)


class Peer:
    name = program = None
    decodes = False  # `path` is without escapes

    def __init__(self, directory):
        self.directory = os.path.join(directory, self.name)
        os.makedirs(self.directory)
        self.port = reserve_port()
        self.log = os.path.join(self.directory, "requests.log")
        self.processes = []

    @classmethod
    def find(cls):
        return shutil.which(cls.program, path=os.environ.get("PATH", "") + ":/usr/sbin")

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run(self, *arguments, stdout=None):
        errors = open(os.path.join(self.directory, "errors.log"), "ab")
        self.processes.append(subprocess.Popen(arguments, cwd=self.directory, stdout=stdout or errors, stderr=errors))

    def wait_ready(self):
        def answers():
            assert self.processes[0].poll() is None, f"{self.name} has ended: {self.errors()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                return False
        eventually(answers, lambda: f"{self.name} on its port: {self.errors()}")

    def errors(self):
        with open(os.path.join(self.directory, "errors.log"), errors="replace") as file:
            return file.read()[-2000:]

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def lines(self):
        """What it has read, a dict a request; those without all values are not ours."""
        with open(self.log, "rb") as file:
            for line in file.read().split(b"\n"):
                values = [unescape(value) for value in QUOTED.findall(line)]
                if len(values) == len(VALUES) and values[0] != READY:
                    yield {name: b"" if value == b"-" else value for name, value in zip(VALUES, values)}


class Nginx(Peer):
    name = program = "nginx"
    decodes = True

    def start(self):
        values = " ".join(f'"{v}"' for v in ("$http_x_weir_id", "$http_x_weir_path", "$http_x_weir_host", "$http_x_weir_one", "$request_method",
                                             "$request_uri", "$uri", "$host", "$http_x_one", "$status"))
        conf = self.write("nginx.conf", f"""
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    log_format all '{values}';
    access_log {self.log} all;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_max_body_size 0; merge_slashes off; keepalive_requests 100000;
    server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 "ok"; }} }}
}}
""")
        self.run(self.find(), "-p", self.directory, "-c", conf, "-e", "stderr")


class Apache(Peer):
    name, program = "apache", "apache2"
    decodes = True

    def start(self):
        values = " ".join(f'\\"{v}\\"' for v in ("%{X-Weir-Id}i", "%{X-Weir-Path}i", "%{X-Weir-Host}i", "%{X-Weir-One}i", "%m", "%r", "%U", "%{Host}i",
                                                 "%{X-One}i", "%>s"))
        conf = self.write("apache.conf", f"""
ServerRoot {self.directory}
DefaultRuntimeDir {self.directory}
PidFile {self.directory}/apache.pid
ServerName differential
Listen 127.0.0.1:{self.port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
User www-data
Group www-data
ErrorLog /dev/stderr
LogLevel crit
LogFormat "{values}" all
CustomLog {self.log} all
KeepAlive On
MaxKeepAliveRequests 0
MergeSlashes Off
AllowEncodedSlashes NoDecode
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
<Directory />
    Require all granted
</Directory>
RewriteEngine On
RewriteRule ".*" "-" [R=204,L]
""")
        self.run(self.find(), "-d", self.directory, "-f", conf, "-DFOREGROUND")


class Haproxy(Peer):
    name = program = "haproxy"

    def start(self):
        kept = {"id": "req.fhdr(x-weir-id)", "wpath": "req.fhdr(x-weir-path)", "whost": "req.fhdr(x-weir-host)", "wone": "req.fhdr(x-weir-one)", "method": "method",
                "url": "url", "path": "path", "host": "req.fhdr(host)", "one": "req.fhdr(x-one)"}
        rules = "\n".join(f"    http-request set-var(txn.{name}) {fetch}" for name, fetch in kept.items())
        values = " ".join(f"%{{+Q,+E}}[var(txn.{name})]" for name in kept) + ' \\"%ST\\"'
        conf = self.write("haproxy.cfg", f"""
global
    nbthread 1
    log stdout len 8192 format raw local0
defaults
    mode http
    timeout client 30s
    timeout http-keep-alive 30s
frontend all
    bind 127.0.0.1:{self.port}
    log global
    option http-buffer-request
    log-format "{values}"
{rules}
    http-request return status 200 content-type text/plain string ok
""")
        self.run(self.find(), "-db", "-f", conf, stdout=open(self.log, "ab"))

    def lines(self):
        """Of `*`, which is all of the server, HAProxy says that it has no path."""
        for line in super().lines():
            yield {**line, "path": b"*"} if (line["target"], line["path"]) == (b"*", b"") else line


class Lighttpd(Peer):
    name = program = "lighttpd"

    def start(self):
        values = " ".join(f'\\"{v}\\"' for v in ("%{X-Weir-Id}i", "%{X-Weir-Path}i", "%{X-Weir-Host}i", "%{X-Weir-One}i", "%m", "%r", "%U", "%{Host}i",
                                                 "%{X-One}i", "%s"))
        conf = self.write("lighttpd.conf", f"""
server.modules = ( "mod_redirect", "mod_accesslog" )
server.document-root = "{self.directory}"
server.bind = "127.0.0.1"
server.port = {self.port}
server.errorlog = "{self.directory}/lighttpd.err"
server.max-keep-alive-requests = 100000
accesslog.filename = "{self.log}"
accesslog.format = "{values}"
url.redirect = ( "" => "/" )
""")
        self.run(self.find(), "-D", "-f", conf)


class Varnish(Peer):
    name, program = "varnish", "varnishd"

    def start(self):
        vcl = self.write("all.vcl", "vcl 4.1;\nbackend none none;\nsub vcl_recv { return (synth(200)); }\n")
        place = os.path.join(self.directory, "varnish")
        self.run(self.find(), "-F", "-j", "none", "-n", place, "-a", f"127.0.0.1:{self.port}", "-f", vcl, "-T", "none", "-p", "thread_pools=1",
                 "-p", "thread_pool_min=8", "-p", "vsl_space=64M", "-p", "vsl_reclen=4k")
        self.place = place

    def wait_ready(self):
        super().wait_ready()
        values = " ".join(f'"{v}"' for v in ("%{X-Weir-Id}i", "%{X-Weir-Path}i", "%{X-Weir-Host}i", "%{X-Weir-One}i", "%m", "%r", "%U", "%{Host}i", "%{X-One}i",
                                             "%s"))
        self.run("varnishncsa", "-n", self.place, "-F", values, "-w", self.log, "-t", "30")
        eventually(self.is_logged, lambda: f"a line of varnishncsa: {self.errors()}")  # what comes before it listens is not written down

    def is_logged(self):
        with socket.create_connection(("127.0.0.1", self.port), LIMIT_S) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h.test\r\nX-Weir-Id: %b\r\nConnection: close\r\n\r\n" % READY)
            while sock.recv(65536):
                pass
        return os.path.exists(self.log) and os.path.getsize(self.log) > 0


PEERS = (Nginx, Apache, Haproxy, Lighttpd, Varnish)
