"""Debian's `pebble`: a CA that speaks ACME (RFC 8555), on loopback, with a name server that says where names are."""
import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.request

from dns import NameServer
from ports import reserve_port
from waiting import LIMIT_S, eventually


class Pebble:
    """It comes to names by http_port and tls_port. nonces: so many of a hundred are refused; binding: accounts need one."""

    def __init__(self, pki, http_port=None, tls_port=None, names=("a.example", "b.example"), nonces=5, binding=False):
        self.pki = pki
        self.port, self.management = reserve_port(), reserve_port()
        self.http_port, self.tls_port = http_port or reserve_port(), tls_port or reserve_port()
        self.dns = NameServer({name: ["127.0.0.1"] for name in names})
        self.nonces = nonces
        self.process = None
        pair = pki.make("pebble", "IP:127.0.0.1")
        self.config = pki.path("pebble.json")
        settings = {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
                    "certificate": pair["cert"], "privateKey": pair["key"], "httpPort": self.http_port,
                    "tlsPort": self.tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": binding,
                    "externalAccountMACKeys": {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}}
        with open(self.config, "w") as file:
            json.dump({"pebble": settings}, file)

    def start(self):
        assert shutil.which("pebble"), "the package pebble is missing: tools/setup.sh test"
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(self.nonces),
                       "PEBBLE_AUTHZREUSE": "0"}
        self.log = open(self.pki.path("pebble.log"), "ab")
        self.process = subprocess.Popen(["pebble", "-config", self.config, "-dnsserver", self.dns.address, "-strict"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment)
        eventually(self.is_open, "pebble listens")
        return self

    def is_open(self):
        assert self.process.poll() is None, self.text()
        for port in (self.port, self.management):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    def text(self):
        with open(self.pki.path("pebble.log")) as file:
            return file.read()

    @property
    def directory(self):
        return f"https://127.0.0.1:{self.port}/dir"

    def acme(self, **more):
        """For a configuration."""
        return {"directory": self.directory, "terms_agreed": True, "email": "me@a.example", "ca": self.pki.ca,
                "retry": "1s", **more}

    def context(self):
        """Of a client that trusts what it issues."""
        answer = urllib.request.urlopen(f"https://127.0.0.1:{self.management}/roots/0", context=self.pki.context())
        return ssl.create_default_context(cadata=answer.read().decode())

    def orders(self):
        """That it was asked for."""
        return self.text().count("POST /order-plz")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(LIMIT_S)
            self.log.close()
        self.process = None

    def close(self):
        self.stop()
        self.dns.close()
