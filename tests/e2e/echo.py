"""Servers that answer with their own name and the request as it came: what the tests of choosing go by."""
import json

import broken
import message
from weir import make_config

NGINX_SERVER = """
        location / {{ add_header X-Server {name}; client_max_body_size 0;
            return 200 "$request_method|$request_uri|$host|$remote_addr|$http_weir_split"; }}
"""


class Seen:
    """What became of one request: the response, who gave it, and what that server had been sent."""

    def __init__(self, response):
        seen = json.loads(response.body)
        self.response = response
        self.server = seen["server"]
        self.method, self.target, self.body = seen["method"], seen["target"], seen["body"]
        self.fields = [tuple(field) for field in seen["fields"]]

    def all(self, name):
        return [value for known, value in self.fields if known.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None


def describe(name, request, *fields):
    """The response in which that server tells of that request."""
    body = json.dumps({"server": name, "method": request.method, "target": request.target, "fields": request.fields,
                       "body": request.body.decode("latin-1")})
    return message.response(200, *fields, body=b"" if request.method == "HEAD" else body.encode())


def echo_server(scene, name, *fields):
    """`fields`: what it adds to each response."""
    return scene.server([broken.serve(lambda request: describe(name, request, *fields))])


def echo_nginx(scene, name):
    """nginx; it tells its name in X-Server, and method, target, host, peer and Weir-Split in the body."""
    return scene.nginx(server=NGINX_SERVER.format(name=name))


def ask(client, target="/", *fields, method="GET", **options):
    """One request that a server must have answered."""
    response = client.ask(method, target, *fields, **options)
    assert response.status == 200, f"{response.status} {response.text}"
    return Seen(response)


def conf(servers, **more):
    """{name: server} as a list of servers for a pool; `more` for each of them."""
    return [{"name": name, "address": server.address, **more} for name, server in servers.items()]


def echo_pool(scene, *names, **options):
    """A pool of servers of these names."""
    return {"servers": conf({name: echo_server(scene, name) for name in names}), **options}


def proxy(scene, routes, pools, build="asan", listener=None, **top):
    """weir with these routes and pools."""
    config = make_config([], listener={"routes": routes, **(listener or {})}, **top)
    config["pools"] = pools
    return scene.weir(config, build=build)
