"""What a test sets up around weir: clients, servers, weir itself. At the end of the test everything is taken down in
the order in which weir must show that it keeps nothing: first clients, then servers, then weir."""
import os

import broken
import message
from client import Client
from nginx import Nginx
from weir import Weir, make_config
from waiting import eventually


class Scene:
    def __init__(self, directory):
        self.directory = directory
        self.clients = []
        self.servers = []
        self.weirs = []

    def server(self, *scripts, **options):
        """A scripted server; without a script it answers everything with 200 and "ok"."""
        server = broken.Server(*scripts, **options)
        self.servers.append(server)
        return server

    def full_backlog(self):
        server = broken.FullBacklog()
        self.servers.append(server)
        return server

    def nginx(self, **options):
        directory = os.path.join(str(self.directory), f"nginx-{len(self.servers)}")
        os.makedirs(directory)
        server = Nginx(directory, **options)
        self.servers.append(server)
        return server

    def weir(self, config=None, **options):
        """weir with that configuration, ready."""
        weir = Weir(self.directory, config, name=f"weir-{len(self.weirs)}", **options)
        self.weirs.append(weir)
        return weir.wait_ready()

    def start_again(self, weir):
        """Another of the same file."""
        again = Weir(self.directory, None, arguments=["run", "-c", weir.process.args[-1]])
        again.config, again.path = weir.config, weir.process.args[-1]
        self.weirs.append(again)
        return again.wait_ready()

    def proxy(self, *servers, build="asan", nofile=None, **config):
        """weir in front of these servers; see weir.make_config() for the rest."""
        return self.weir(make_config(servers, **config), build=build, nofile=nofile)

    def client(self, weir, listener=None, **options):
        address = weir if isinstance(weir, (tuple, str)) else weir.bind_of(listener) if listener else weir.address
        client = Client(address, **options)
        self.clients.append(client)
        return client

    def warm(self, weir, count=1):
        """Leaves idle connections to the server behind it: at least one, at most `count`."""
        clients = [self.client(weir) for _ in range(count)]
        for client in clients:
            client.send(message.request("GET", "/warm"))
        for client in clients:
            assert client.read().status == 200
            client.close()
        eventually(lambda: weir.live()["idle_server_connections"] >= 1, "an idle connection to the server")

    def close_clients(self):
        for client in self.clients:
            client.close()

    def finish(self):
        """Takes everything down and checks it."""
        self.close_clients()
        try:
            for server in self.servers:
                server.close()
            for weir in self.weirs:
                weir.finish()
            for server in self.servers:
                assert not server.faults, server.faults
        finally:
            self.kill()

    def kill(self):
        self.close_clients()
        for weir in self.weirs:
            weir.kill()
        for server in self.servers:
            server.close()
        for weir in self.weirs:
            print(f"--- messages of weir {weir.pid} (exit code {weir.process.returncode})\n{weir.log}")


class Relay:
    """One way through weir to a server with a script, on a new connection to it or on one that was used before."""

    def __init__(self, scene, is_reused):
        self.scene = scene
        self.is_reused = is_reused

    def open(self, *steps, then=None, **config):
        """weir before a server which does `steps` for the request to come. `then`: the script of later connections
        (the same steps again if None)."""
        steps = list(steps)
        first = [broken.receive, broken.ok] + steps if self.is_reused else steps
        self.server = self.scene.server(first, steps if then is None else then)
        self.weir = self.scene.proxy(self.server, **config)
        self.client = None
        if self.is_reused:
            self.scene.warm(self.weir)
        self.client = self.scene.client(self.weir)
        return self.client

    @property
    def requests(self):
        """Those that came after the warming."""
        return self.server.requests[1:] if self.is_reused else self.server.requests

    def wait_requests(self, count=1):
        self.server.wait_requests(count + self.is_reused)
        return self.requests

    @property
    def connection(self):
        """The first connection that the server got."""
        return self.server.wait_connection(0)
