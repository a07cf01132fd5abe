"""Debian's dnsmasq on a port of its own: a name server that nobody here has written."""
import contextlib
import os
import pwd
import signal
import socket
import struct
import subprocess

from dns import A, encode_name
from ports import reserve_port
from waiting import LIMIT_S, eventually


class Dnsmasq:
    """Knows the names of a file, which it reads again at SIGHUP, and services, which stay as they are. Without forwarding: it
    asks nobody else."""

    def __init__(self, directory, services=(), **names):
        """services: (service, target, port, priority, weight). names: addresses of each; see say()."""
        self.port = reserve_port()
        self.address = f"127.0.0.1:{self.port}"
        self.hosts = os.path.join(str(directory), "dnsmasq.hosts")
        config = os.path.join(str(directory), "dnsmasq.conf")
        self.names = {}
        self.process = None
        self.say(**names)
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"port={self.port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n"
                       f"local=/internal/\naddn-hosts={self.hosts}\nuser={pwd.getpwuid(os.getuid()).pw_name}\n"
                       "keep-in-foreground\npid-file=\nlog-facility=-\n")
            file.writelines(f"srv-host={','.join(map(str, service))}\n" for service in services)
        with open(os.path.join(str(directory), "dnsmasq.log"), "wb") as log:
            self.process = subprocess.Popen(["/usr/sbin/dnsmasq", f"--conf-file={config}"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self.is_there, "dnsmasq is there")

    def is_there(self):
        """It answers: before that it would pass over a SIGHUP."""
        assert self.process.poll() is None, "dnsmasq has ended"
        with socket.socket(type=socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.settimeout(1)
            probe.connect(("127.0.0.1", self.port))
            probe.send(struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + encode_name("up.internal") + struct.pack(">2H", A, 1))
            return bool(probe.recv(512))
        return False

    def say(self, **names):
        """name="10.0.0.1 10.0.0.2" of name.internal; the others stay what they are."""
        self.names.update(names)
        with open(self.hosts + ".new", "w", encoding="utf-8") as file:
            file.writelines(f"{address} {name}.internal\n" for name, addresses in self.names.items()
                            for address in addresses.split())
        os.rename(self.hosts + ".new", self.hosts)
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def close(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)
