"""A real nginx, and what can go wrong with it: scenes, each with a client of its own address and the truth about it."""
import os
import shutil
import signal
import socket
import ssl
import struct
import tempfile
import threading

import broken
import message
from nginx import start_nginx, stop_nginx
from ports import reserve_port
from standstill import standing_still
from tls import Pki
from waiting import LIMIT_S, eventually

LOG_FORMAT = ("$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
              "\"$http_user_agent\" $request_length $request_time [$upstream_addr] [$upstream_status] "
              "[$upstream_connect_time] [$upstream_header_time] [$upstream_response_time] \"$request_completion\" "
              "$limit_req_status $limit_conn_status $connection")

CONFIG = """
daemon off;
user nobody nogroup;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections 512; }}
http {{
    log_format full '{format}';
    access_log {directory}/access.log full;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 64m;
    limit_req_zone $server_name zone=once:64k rate=1r/m;
    limit_req_zone $server_name zone=often:64k rate=20r/m;
    limit_conn_zone $server_name zone=one:64k;
    proxy_http_version 1.1;
    upstream dead {{ zone dead 64k; server {refused} max_fails=1; server {refused_too} max_fails=1; }}
    upstream tries {{ server {seeks} max_fails=0; server {good} backup; }}
    upstream half {{ server {refused} max_fails=0; server {good} backup; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        server_name plain;
        root {directory}/files;
        {locations}
        location /half {{ proxy_pass http://half; }}
        location /dead {{ proxy_pass http://dead; }}
        location /tries {{ proxy_next_upstream http_404; proxy_pass http://tries; }}
        location /no_socket {{ proxy_pass http://unix:{directory}/none; }}
        location /name {{ resolver 127.0.0.1:{nowhere}; resolver_timeout 1s; set $where nosuch.example;
                          proxy_pass http://$where; }}
        location /nobody {{ set $where nosuch.example; proxy_pass http://$where; }}
        location /good {{ proxy_pass http://{good}; }}
        location /small {{ client_max_body_size 10; proxy_pass http://{good}; }}
        location /denied {{ deny all; }}
        location /secret {{ auth_basic x; auth_basic_user_file {directory}/users; }}
        location /once {{ limit_req zone=once; proxy_pass http://{good}; }}
        location /often {{ limit_req zone=often burst=5; proxy_pass http://{good}; }}
        location /alone {{ limit_conn one 1; proxy_pass http://{stall}; }}
        location /loop {{ rewrite ^ /loop last; }}
        location /full {{ access_log {directory}/access.log full; access_log /dev/full full; return 200 x; }}
        location /files/ {{ alias {directory}/files/; }}
    }}
    server {{
        listen 127.0.0.1:{hasty} backlog=1024 deferred;
        client_header_timeout 1s; client_body_timeout 1s; send_timeout 1s;
        location / {{ proxy_buffering off; proxy_pass http://{large}; }}
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;
        location / {{ return 200 x; }}
    }}
    server {{
        listen 127.0.0.1:{mutual} ssl;
        ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;
        ssl_client_certificate {pki}/ca.pem; ssl_verify_client on;
        location / {{ return 200 x; }}
    }}
}}
"""


def answer(data):
    return [broken.receive, broken.send(data), broken.close]


def head(*fields, status="200 OK"):
    return ("\r\n".join([f"HTTP/1.1 {status}", *fields]) + "\r\n\r\n").encode()


def wait(seconds):
    return lambda connection: connection.server.stopping.wait(seconds)


# What servers do, and what nginx is told besides.
SERVERS = {
    "stall": ([broken.receive, broken.stall], ""),
    "late": ([broken.receive, broken.stall], "proxy_read_timeout 1s;"),
    "paused": ([broken.receive, broken.send(head("Content-Length: 100") + b"0123456789"), broken.stall],
               "proxy_read_timeout 4s;"),
    "unread": ([broken.stall], "proxy_send_timeout 1s;"),
    "closes": ([broken.receive, broken.close], ""),
    "resets": ([broken.receive, broken.reset], ""),
    "cuts": (answer(head("Content-Length: 100") + b"0123456789"), ""),
    "cuts_chunks": (answer(head("Transfer-Encoding: chunked") + b"10\r\n01234"), ""),
    "breaks": (None, "proxy_request_buffering off;"),  # see break_while_sending()
    "nonsense": (answer(b"NONSENSE\r\n\r\n"), ""),
    "control": (answer(b"HTTP/1.1 200 OK\r\nX\x01Y: z\r\n\r\n"), ""),
    "fat": (answer(head("X: " + "a" * 100000)), ""),
    "chunks": (answer(head("Transfer-Encoding: chunked") + b"zz\r\n"), ""),
    "app500": (answer(head("Content-Length: 0", status="500 Internal Server Error")), ""),
    "app502": (answer(head("Content-Length: 0", status="502 Bad Gateway")), ""),
    "app503": (answer(head("Content-Length: 0", status="503 Service Unavailable")), ""),
    "app504": (answer(head("Content-Length: 0", status="504 Gateway Timeout")), ""),
    "thinks": ([broken.receive, wait(3), broken.ok, broken.close], ""),
    "writes": ([broken.receive, broken.send(head("Content-Length: 2") + b"a"), wait(3), broken.send(b"b"),
                broken.close], ""),
    "seeks": ([broken.receive, wait(3), broken.send(head("Content-Length: 0", status="404 Not Found")), broken.close], ""),
    "medium": ([broken.receive, broken.send(head("Content-Length: 30000000") + b"x" * 30000000), broken.close], ""),
    "large": ([broken.receive, broken.send(head("Content-Length: 60000000") + b"x" * 60000000), broken.close], ""),
    "not_tls": ([broken.send(head("Content-Length: 0", status="400 Bad Request")), broken.close], "https"),
    "tls_closes": ([broken.receive_bytes(5), broken.close], "https"),
    "tls_stalls": ([broken.stall], "https proxy_connect_timeout 1s;"),
}


class Servers:
    """Good and bad ones, and the way of scenes to what stands in front of them."""

    def __init__(self, scene, directory):
        self.directory = directory
        self.connections = []
        self.ports = {}
        self.pki = Pki(self.directory)
        self.pki.make("server", "localhost")
        self.pki.make("other", "other.example", issuer=None, names=(), is_ca=True)
        self.may_break, self.has_broken = threading.Event(), threading.Event()
        breaks = [broken.receive_head, broken.wait_for(self.may_break), self.break_off]
        self.servers = {name: scene.server(steps or breaks) for name, (steps, _) in SERVERS.items()}
        self.addresses = {name: server.address for name, server in self.servers.items()}
        self.addresses["good"] = scene.server().address
        self.addresses["backlog"] = scene.full_backlog().address
        self.late = scene.full_backlog()  # until somebody has waited for it
        self.addresses["slow_connect"] = self.late.address
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pki.path("server.pem"), self.pki.path("server.key"))
        self.addresses["untrusted"] = scene.server(tls=context).address
        for name in ["refused", "refused_too"]:
            self.addresses[name] = f"127.0.0.1:{reserve_port()}"

    def break_off(self, connection):
        connection.reset()
        self.has_broken.set()

    def connect(self, number, port="plain"):
        """From an address of the scene's own."""
        sock = socket.socket()
        sock.settimeout(LIMIT_S)
        sock.bind((address_of(number), 0))
        sock.connect(("127.0.0.1", self.ports[port]))
        self.connections.append(sock)
        return sock

    def close_connections(self):
        for sock in self.connections:
            sock.close()

    def wait_target(self, target):
        """Until a server was asked for that."""
        def is_there():
            return any(request.target == target for server in self.servers.values() for request in server.requests)
        eventually(is_there, f"a server is asked for {target}")


class Faulty(Servers):
    """nginx in front."""

    def __init__(self, scene):
        super().__init__(scene, tempfile.mkdtemp(prefix="weir-faulty-"))
        os.chmod(self.directory, 0o755)  # nginx's worker is somebody else
        self.ports = {name: reserve_port() for name in ["plain", "hasty", "tls", "mutual"]}
        self.write_files()
        self.process = start_nginx(self.write_config(), self.error_log)
        eventually(self.is_listening, "nginx listens")

    @property
    def access_log(self):
        return os.path.join(self.directory, "access.log")

    @property
    def error_log(self):
        return os.path.join(self.directory, "error.log")

    @property
    def traffic_pid(self):
        """The worker's, of which there is one."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            worker, = file.read().split()
        return int(worker)

    def write_files(self):
        files = os.path.join(self.directory, "files")
        os.makedirs(os.path.join(files, "empty"))
        for name in ["closed", "page"]:
            with open(os.path.join(files, name), "w") as file:
                file.write("x")
        os.chmod(os.path.join(files, "closed"), 0)
        with open(os.path.join(self.directory, "users"), "w") as file:
            file.write("ann:{PLAIN}right\n")

    def write_config(self):
        places = [(name, more) for name, (_, more) in SERVERS.items()]
        places += [("refused", ""), ("backlog", "proxy_connect_timeout 1s;"), ("slow_connect", ""),
                   ("untrusted", "https proxy_ssl_verify on; proxy_ssl_trusted_certificate " + self.pki.path("other.pem")
                    + ";")]
        locations = [f"location /{name} {{ proxy_pass {'https' if more.startswith('https') else 'http'}://"
                     f"{self.addresses[name]}; {more.removeprefix('https')} }}" for name, more in places]
        path = os.path.join(self.directory, "nginx.conf")
        names = {name: address for name, address in self.addresses.items()
                 if name in ["refused", "refused_too", "good", "stall", "large", "seeks"]}
        with open(path, "w") as file:
            file.write(CONFIG.format(directory=self.directory, format=LOG_FORMAT, pki=self.pki.directory,
                                     port=self.ports["plain"], hasty=self.ports["hasty"], tls=self.ports["tls"],
                                     mutual=self.ports["mutual"], nowhere=reserve_port(),
                                     locations="\n        ".join(locations), **names))
        return path

    def is_listening(self):
        assert self.process.poll() is None, open(self.error_log).read()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports["mutual"])) == 0

    def wait_given_up(self, number):
        eventually(lambda: "client timed out" in self.lines_of(number), "nginx gives up")

    def lines_of(self, number):
        with open(self.error_log, errors="replace") as file:
            return "".join(line for line in file if f"client: {address_of(number)}," in line)

    def finish(self):
        """Nothing is under way any more, and all is in the logs."""
        self.close_connections()
        stop_nginx(self.process, signal.SIGQUIT)

    def close(self):
        self.finish()
        shutil.rmtree(self.directory, ignore_errors=True)


def address_of(number):
    return f"127.0.1.{number + 1}"


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock):
    data = b""
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


# Scenes: each is called with nginx and its number, and returns when its client has seen what there was to see.

def request_bytes(path, method="GET", *fields, body=b""):
    lines = [f"{method} /{path} HTTP/1.1", "Host: plain", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def say(data, port="plain"):
    def scene(nginx, number):
        sock = nginx.connect(number, port)
        try:
            sock.sendall(data)
        except OSError:
            pass  # it may be over already
        read_all(sock)
    return scene


def get(path, *fields):
    return say(request_bytes(path, "GET", *fields))


def twice(path):
    def scene(nginx, number):
        get(path)(nginx, number)
        get(path)(nginx, number)
    return scene


def leave_while_waiting(nginx, number):
    sock = nginx.connect(number)
    sock.sendall(request_bytes("stall/leave"))
    nginx.wait_target("/stall/leave")
    reset(sock)


def leave_while_taking(nginx, number):
    sock = nginx.connect(number)
    sock.sendall(request_bytes("large/leave"))
    sock.recv(1000)
    reset(sock)


def leave_while_sending(nginx, number):
    sock = nginx.connect(number)
    sock.sendall(request_bytes("stall/sending", "POST", "Content-Length: 1000", body=b"0123456789"))
    sock.shutdown(socket.SHUT_WR)
    read_all(sock)


def break_while_sending(front, number):
    """Whoever is in front learns of the body and of the broken connection in one turn, of the body first."""
    sock = front.connect(number)
    sock.sendall(request_bytes("breaks/x", "POST", "Content-Length: 10"))
    front.wait_target("/breaks/x")
    with standing_still(front.traffic_pid):
        sock.sendall(b"0123456789")
        front.may_break.set()
        assert front.has_broken.wait(LIMIT_S)
    read_all(sock)


def take_nothing(nginx, number):
    sock = nginx.connect(number, "hasty")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(request_bytes("take"))
    nginx.wait_given_up(number)


def connect_late(nginx, number):
    """A SYN is sent again after one second and after three: the server takes connections in between."""
    sock = nginx.connect(number)
    sock.sendall(request_bytes("slow_connect"))
    nginx.late.stopping.wait(1.7)
    nginx.late.serve()
    read_all(sock)


def take_slowly(nginx, number):
    """nginx has the whole answer of the server long before its client has."""
    sock = nginx.connect(number)
    sock.sendall(request_bytes("medium"))
    sock.recv(1000)
    nginx.late.stopping.wait(6)
    read_all(sock)


def two_at_once(nginx, number):
    first = nginx.connect(250)
    first.sendall(request_bytes("alone/first"))
    nginx.wait_target("/alone/first")
    get("alone/second")(nginx, number)


def shake_hands(context, port, expect=ssl.SSLError):
    def scene(nginx, number):
        sock = nginx.connect(number, port)
        try:
            with context().wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(request_bytes(""))
                tls.recv(1000)
        except (expect, OSError):
            pass
    return scene


def distrustful():
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def careless():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# name: (what is done, the kinds that are to be named; "" for a record in which nothing is wrong)
SCENES = {
    "refused": (get("refused"), "connect_refused"),
    "backlog": (get("backlog"), "connect_timeout"),
    "late": (get("late"), "first_byte_timeout"),
    "paused": (get("paused"), "response_timeout"),
    "unread": (say(request_bytes("unread", "POST", "Content-Length: 30000000", body=b"x" * 30000000)), "send_timeout"),
    "closes": (get("closes"), "server_closed"),
    "resets": (get("resets"), "server_reset"),
    "breaks": (break_while_sending, "send_failed"),
    "cuts": (get("cuts"), "response_cut"),
    "cuts_chunks": (get("cuts_chunks"), "response_cut"),
    "nonsense": (get("nonsense"), "bad_response"),
    "control": (get("control"), "bad_response"),
    "fat": (get("fat"), "response_head_too_large"),
    "chunks": (get("chunks"), "bad_response_body"),
    "app500": (get("app500"), "upstream_5xx"),
    "app502": (get("app502"), "upstream_5xx"),
    "app503": (get("app503"), "upstream_5xx"),
    "app504": (get("app504"), "upstream_5xx"),
    "dead": (twice("dead"), "connect_refused no_server"),
    "half": (get("half"), "mended"),
    "name": (get("name"), "name_unresolved"),
    "nobody": (get("nobody"), "name_unresolved"),
    "not_tls": (get("not_tls"), "server_not_tls"),
    "tls_closes": (get("tls_closes"), "server_tls_failed"),
    "tls_stalls": (get("tls_stalls"), "server_tls_timeout"),
    "untrusted": (get("untrusted"), "server_certificate"),
    "leave_while_waiting": (leave_while_waiting, "client_gone_waiting"),
    "leave_while_taking": (leave_while_taking, "client_gone_taking"),
    "leave_while_sending": (leave_while_sending, "client_gone_sending"),
    "slow_head": (say(b"GET / HTTP/1.1\r\nHo", "hasty"), "header_timeout"),
    "slow_body": (say(request_bytes("", "POST", "Content-Length: 100", body=b"x"), "hasty"), "body_timeout"),
    "take_nothing": (take_nothing, "write_timeout"),
    "large_body": (say(request_bytes("small", "POST", "Content-Length: 100", body=b"x" * 100)), "body_too_large"),
    "long_uri": (get("good/" + "a" * 70000), "target_too_long"),
    "large_head": (get("good", "X: " + "a" * 70000), "head_too_large"),
    "bad_request": (say(b"G\x01T / HTTP/1.1\r\n\r\n"), "bad_request"),
    "plain_on_tls": (say(request_bytes(""), "tls"), "plain_on_tls"),
    "tls_on_plain": (shake_hands(careless, "plain"), "tls_on_plain"),
    "distrust": (shake_hands(distrustful, "tls"), "tls_failed"),
    "no_certificate": (shake_hands(careless, "mutual"), "client_certificate"),
    "denied": (get("denied"), "gate_denied"),
    "no_password": (get("secret"), "auth_required"),
    "wrong_password": (get("secret", "Authorization: Basic YW5uOndyb25n"), "auth_failed"),
    "limited": (twice("once"), "rate_limited"),
    "delayed": (twice("often"), "rate_delayed"),
    "two_at_once": (two_at_once, "client_connections"),
    "loop": (get("loop"), "redirect_loop"),
    "full": (get("full"), "disk_full"),
    "closed_file": (get("files/closed"), "permission_denied"),
    "no_file": (get("files/none"), "file_not_found"),
    "folder": (get("files/empty/"), "directory_forbidden"),
    "method": (say(request_bytes("files/page", "POST", "Content-Length: 0")), "method_not_allowed"),
    "no_socket": (get("no_socket"), "connect_failed"),
    "slow_connect": (connect_late, "slow_connect"),
    "tries": (get("tries"), "slow_retries"),
    "take_slowly": (take_slowly, "slow_client"),
    "thinks": (get("thinks"), "slow_answer"),
    "writes": (get("writes"), "slow_body"),
    "good": (get("good"), ""),
}


def play(front, names=None):
    """All scenes at a time, or these, in front of whatever it is; their connections are closed when this returns."""
    faults = []

    def run(number, name):
        try:
            SCENES[name][0](front, number)
        except Exception as error:
            faults.append(f"{name}: {error!r}")
    threads = [threading.Thread(target=run, args=(number, name)) for number, name in enumerate(SCENES)
               if not names or name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert not faults, faults
    front.close_connections()
