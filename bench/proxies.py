"""The proxies under test and their configurations. docs/benchmarking.md says why each line is there."""

import os

# Room for 9,000 idle connections within a hard limit of 20,000 descriptors; haproxy counts two for each.
CONNECTIONS_MAX = 9500

HAPROXY_CONFIG = """\
global
    nbthread 1
    tune.bufsize {buffer}
    maxconn {connections_max}
    maxpipes 100

defaults
    mode {mode}
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout tunnel 600s
{defaults}

frontend web
    bind {address}:{port}{defer}{secure}
    default_backend origin

backend origin
{backend}
    server one {origin}
"""

HAPROXY_HTTP = "    timeout http-keep-alive 600s"
HAPROXY_TCP = "    option splice-auto"

NGINX_CONFIG = """\
{user}worker_processes 1;
worker_rlimit_nofile {descriptors};
pid nginx.pid;
error_log stderr crit;
{module}
events {{
    worker_connections {connections_max};
}}
"""

NGINX_HTTP = """
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    proxy_max_temp_file_size 0;
    SECURE
    BUFFERS

    upstream origin {
        server ORIGIN;
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }
    server {
        listen ADDRESS:PORT backlog=4096DEFERHOW;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            UPGRADE
        }
    }
}
"""

NGINX_UPGRADE = "proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade;"

NGINX_STREAM = """
stream {
    BUFFERS
    upstream origin {
        server ORIGIN;
    }
    server {
        listen ADDRESS:PORT backlog=4096;
        proxy_pass origin;
    }
}
"""

NGINX_DATAGRAMS = """
stream {
    upstream origin {
        server ORIGIN;
    }
    server {
        listen ADDRESS:PORT udp;
        RESPONSES
        proxy_pass origin;
    }
}
"""

NGINX_STREAM_MODULE = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"

# What `--peers` chooses between. "advised" is what the peers' own manuals say or leave at its default, but
# for nginx's HTTP buffers, whose default costs it twice the CPU at 64 KiB. "stretched" takes the memory for
# a large buffer on every connection, and accepts a connection only when its request is there.
SETTINGS = {
    "advised": {
        "haproxy_buffer": {"http": 16384, "tcp": 16384},
        "haproxy_defer": "",
        "nginx_buffers": {"http": "proxy_buffer_size 16k; proxy_buffers 8 16k; proxy_busy_buffers_size 32k;",
                          "tcp": "proxy_buffer_size 16k;"},
        "nginx_defer": "",
    },
    "stretched": {
        "haproxy_buffer": {"http": 65536, "tcp": 262144},
        "haproxy_defer": " defer-accept",
        "nginx_buffers": {"http": "proxy_buffering off; proxy_buffer_size 64k; proxy_buffers 4 64k; "
                                  "proxy_busy_buffers_size 128k;",
                          "tcp": "proxy_buffer_size 256k;"},
        "nginx_defer": " deferred",
    },
}

WEIR_CONFIG = """\
workers: 1
listeners:
  web: {{bind: "{address}:{port}", {secure}{protocol}pool: web, timeouts: {{keep_alive: 600s}}}}
pools:
  web: {{{pool}servers: ["{origin}"]}}
admin: {{bind: "127.0.0.1:{admin_port}"}}
"""


# What weir comes to with the load tools: TLS 1.3 with this suite and curve, ECDSA P-256, tickets. The others are told so.
TLS_CIPHER, TLS_CURVE = "TLS_AES_256_GCM_SHA384", "X25519"


class Wiring:
    """What a configuration is made from."""

    def __init__(self, protocol, address, ports, origin, facts, settings, pool="", certificate=None, is_h2=False, is_websocket=False, responses=0):
        self.protocol = protocol  # "http", "tcp" or "udp"
        self.address = address
        self.port, self.admin_port = ports
        self.origin = origin  # "ADDRESS:PORT"
        self.facts = facts
        self.settings = SETTINGS[settings]
        self.pool = pool  # what weir's pool has besides its servers
        self.certificate = certificate  # a PEM file, its key beside it as .key; None: without TLS
        self.is_h2 = is_h2  # towards clients: agreed on over TLS, known before without
        self.is_websocket = is_websocket
        self.responses = responses  # to each datagram, after which a session is over; 0: nobody knows


class Haproxy:
    name = "haproxy"
    program = "/usr/sbin/haproxy"
    version_argv = [program, "-v"]

    @staticmethod
    def secure(wiring):
        if not wiring.certificate:
            return " proto h2" if wiring.is_h2 else ""
        return (f" ssl crt {wiring.certificate} ssl-min-ver TLSv1.3 ciphersuites {TLS_CIPHER} curves {TLS_CURVE}"
                f" alpn {'h2' if wiring.is_h2 else 'http/1.1'}")

    @staticmethod
    def config(wiring):
        is_http = wiring.protocol == "http"
        return HAPROXY_CONFIG.format(
            secure=Haproxy.secure(wiring),
            connections_max=CONNECTIONS_MAX, mode=wiring.protocol, address=wiring.address, port=wiring.port,
            origin=wiring.origin, buffer=wiring.settings["haproxy_buffer"][wiring.protocol],
            defer=wiring.settings["haproxy_defer"] if is_http else "",
            defaults=HAPROXY_HTTP if is_http else HAPROXY_TCP,
            backend="    http-reuse always" if is_http else "")

    @staticmethod
    def argv(path):
        return [Haproxy.program, "-db", "-f", path]


class Nginx:
    name = "nginx"
    program = "/usr/sbin/nginx"
    version_argv = [program, "-v"]

    @staticmethod
    def secure(wiring):
        if not wiring.certificate:
            return ""
        return (f"ssl_certificate {wiring.certificate}; ssl_certificate_key {wiring.certificate}.key; ssl_protocols TLSv1.3; "
                f"ssl_conf_command Ciphersuites {TLS_CIPHER}; ssl_ecdh_curve {TLS_CURVE}; ssl_session_cache shared:bench:16m; "
                "ssl_buffer_size 16k;")

    @staticmethod
    def config(wiring):
        is_http = wiring.protocol == "http"
        how = (" ssl" if wiring.certificate else "") + (" http2" if wiring.is_h2 else "")
        head = NGINX_CONFIG.format(
            user="user root;\n" if wiring.facts["is_root"] else "", descriptors=wiring.facts["descriptors"],
            connections_max=CONNECTIONS_MAX + 200, module="" if is_http else NGINX_STREAM_MODULE)
        body = {"http": NGINX_HTTP, "tcp": NGINX_STREAM, "udp": NGINX_DATAGRAMS}[wiring.protocol]
        body = body.replace("RESPONSES", f"proxy_responses {wiring.responses};" if wiring.responses else "")
        return head + (body.replace("ORIGIN", wiring.origin).replace("ADDRESS", wiring.address)
                       .replace("PORT", str(wiring.port)).replace("DEFER", wiring.settings["nginx_defer"])
                       .replace("BUFFERS", wiring.settings["nginx_buffers"].get(wiring.protocol, ""))
                       .replace("SECURE", Nginx.secure(wiring)).replace("HOW", how)
                       .replace("UPGRADE", NGINX_UPGRADE if wiring.is_websocket else 'proxy_set_header Connection "";'))

    @staticmethod
    def argv(path):
        return [Nginx.program, "-p", os.path.dirname(path), "-c", path, "-e", "stderr", "-g", "daemon off;"]


class Weir:
    name = "weir"

    def __init__(self, program):
        self.program = program
        self.version_argv = [program, "version"]

    @staticmethod
    def config(wiring):
        secure = (f'tls: {{certificates: [{{cert: "{wiring.certificate}", key: "{wiring.certificate}.key"}}], profile: modern, '
                  "unknown_name: first}, "  # wrk asks for its address by name
                  if wiring.certificate else "")
        text = WEIR_CONFIG.format(
            secure=secure, address=wiring.address, port=wiring.port, admin_port=wiring.admin_port, origin=wiring.origin,
            pool=wiring.pool, protocol={"http": "", "tcp": "protocol: tcp, ", "udp": f"protocol: udp, udp: {{responses: {wiring.responses}}}, "}[wiring.protocol])
        # A tunnel has no keep-alive.
        return text if wiring.protocol == "http" else text.replace(", timeouts: {keep_alive: 600s}", "")

    def argv(self, path):
        return [self.program, "run", "-c", path]


NAMES = ("weir", "haproxy", "nginx")


def make(name, weir_program):
    return {"weir": lambda: Weir(weir_program), "haproxy": Haproxy, "nginx": Nginx}[name]()
