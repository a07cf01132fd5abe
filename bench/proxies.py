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
{defaults}

frontend web
    bind {address}:{port}{defer}
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
    BUFFERS

    upstream origin {
        server ORIGIN;
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }
    server {
        listen ADDRESS:PORT backlog=4096DEFER;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
"""

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
  web: {{bind: "{address}:{port}", {protocol}pool: web, timeouts: {{keep_alive: 600s}}}}
pools:
  web: {{{pool}servers: ["{origin}"]}}
admin: {{bind: "127.0.0.1:{admin_port}"}}
"""


class Wiring:
    """What a configuration is made from."""

    def __init__(self, protocol, address, ports, origin, facts, settings, pool=""):
        self.protocol = protocol  # "http" or "tcp"
        self.address = address
        self.port, self.admin_port = ports
        self.origin = origin  # "ADDRESS:PORT"
        self.facts = facts
        self.settings = SETTINGS[settings]
        self.pool = pool  # what weir's pool has besides its servers


class Haproxy:
    name = "haproxy"
    program = "/usr/sbin/haproxy"
    version_argv = [program, "-v"]

    @staticmethod
    def config(wiring):
        is_http = wiring.protocol == "http"
        return HAPROXY_CONFIG.format(
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
    def config(wiring):
        is_http = wiring.protocol == "http"
        head = NGINX_CONFIG.format(
            user="user root;\n" if wiring.facts["is_root"] else "", descriptors=wiring.facts["descriptors"],
            connections_max=CONNECTIONS_MAX + 200, module="" if is_http else NGINX_STREAM_MODULE)
        body = NGINX_HTTP if is_http else NGINX_STREAM
        return head + (body.replace("ORIGIN", wiring.origin).replace("ADDRESS", wiring.address)
                       .replace("PORT", str(wiring.port)).replace("DEFER", wiring.settings["nginx_defer"])
                       .replace("BUFFERS", wiring.settings["nginx_buffers"][wiring.protocol]))

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
        text = WEIR_CONFIG.format(
            address=wiring.address, port=wiring.port, admin_port=wiring.admin_port, origin=wiring.origin,
            pool=wiring.pool, protocol="" if wiring.protocol == "http" else "protocol: tcp, ")
        # A tunnel has no keep-alive.
        return text if wiring.protocol == "http" else text.replace(", timeouts: {keep_alive: 600s}", "")

    def argv(self, path):
        return [self.program, "run", "-c", path]


NAMES = ("weir", "haproxy", "nginx")


def make(name, weir_program):
    return {"weir": lambda: Weir(weir_program), "haproxy": Haproxy, "nginx": Nginx}[name]()
