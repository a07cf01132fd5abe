"""TLS for tests: certificates made for one, and a socket that speaks it and hides nothing: an end that was not said is
an error, and what is sent byte by byte is."""
import contextlib
import os
import socket
import ssl
import subprocess
import threading


def run(*arguments):
    subprocess.run(arguments, check=True, capture_output=True)


class Pki:
    """A CA, and certificates that it signs: FILE.pem and FILE.key in a folder."""

    def __init__(self, directory):
        self.directory = os.path.join(str(directory), "pki")
        os.makedirs(self.directory)
        self.make("ca", "ca.example", issuer=None, names=(), extensions=["basicConstraints=critical,CA:TRUE"])

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def ca(self):
        return self.path("ca.pem")

    def make(self, name, *names_or_subject, issuer="ca", key="ec", days=30, names=None, extensions=(), subject=None):
        """A certificate for these names, of hosts or "IP:10.0.0.1"; a pair for `certificates:` of a listener."""
        names = names_or_subject if names is None else names
        subject = subject or (names_or_subject[0] if names_or_subject else name)
        kinds = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"], "ed25519": ["ed25519"]}
        config = self.path(name + ".cnf")
        lines = ["[x]", *extensions]
        if names:
            lines.append("subjectAltName=" + ",".join(n if n.startswith("IP:") else f"DNS:{n}" for n in names))
        with open(config, "w") as file:
            file.write("[req]\ndistinguished_name=dn\n[dn]\n" + "\n".join(lines) + "\n")
        pem, key_file, request = self.path(name + ".pem"), self.path(name + ".key"), self.path(name + ".csr")
        run("openssl", "req", "-config", config, "-newkey", *kinds[key], "-nodes", "-keyout", key_file, "-out", request,
            "-subj", f"/CN={subject}")
        signer = ["-CA", self.path(issuer + ".pem"), "-CAkey", self.path(issuer + ".key"), "-CAcreateserial"] if issuer \
            else ["-signkey", key_file]
        run("openssl", "x509", "-req", "-in", request, *signer, "-days", str(days), "-out", pem, "-extfile", config,
            "-extensions", "x")
        return {"cert": pem, "key": key_file}

    def make_expired(self, name, host, issuer="ca"):
        """One whose time is over: since 2021."""
        return self.make_between(name, host, "20200101000000Z", "20210203000000Z", issuer)

    def make_between(self, name, host, begin, end, issuer="ca"):
        """One that is valid from then until then."""
        self.make(name, host, issuer=issuer)
        folder = self.path(name + ".ca")
        os.makedirs(folder)
        open(os.path.join(folder, "index"), "w").close()
        config = os.path.join(folder, "cnf")
        with open(config, "w") as file:
            file.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={folder}/index\nnew_certs_dir={folder}\nrand_serial=yes\n"
                       f"default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
                       f"[x]\nsubjectAltName={host if host.startswith('IP:') else 'DNS:' + host}\n")
        run("openssl", "ca", "-batch", "-config", config, "-in", self.path(name + ".csr"), "-notext",
            "-cert", self.path(issuer + ".pem"), "-keyfile", self.path(issuer + ".key"),
            "-startdate", begin, "-enddate", end, "-out", self.path(name + ".pem"))
        return {"cert": self.path(name + ".pem"), "key": self.path(name + ".key")}

    def serial(self, name):
        out = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", self.path(name + ".pem")], check=True,
                             capture_output=True, text=True).stdout
        return out.strip().split("=")[1]

    def context(self, certificate=None):
        """Of a client that trusts the CA."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(self.path(certificate + ".pem"), self.path(certificate + ".key"))
        return context

    def server_context(self, name, client_ca=None):
        """Of a server that shows that certificate; client_ca: and lets nobody in without one of these."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(name + ".pem"), self.path(name + ".key"))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        return context


class TlsSocket:
    """What a test does with a socket, over TLS. One thread may send while another reads: whatever touches the TLS object or
    its two buffers holds tls_lock, for OpenSSL writes to the one while Python's own lock is released."""

    def __init__(self, sock, context, name=None, session=None, server_side=False):
        self.sock = sock
        self.tls_lock, self.send_lock = threading.Lock(), threading.Lock()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=name,
                                    session=session)
        self.has_said_end = False
        try:
            self._handshake()
        except ssl.SSLError:
            self._flush()
            raise

    def _flush(self):
        with self.send_lock:  # records in their order
            with self.tls_lock:
                data = self.outgoing.read()
            if data:
                self.sock.sendall(data)

    def _receive(self):
        """Whether there was anything but the end."""
        data = self.sock.recv(262144)
        with self.tls_lock:
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()
        return bool(data)

    def _handshake(self):
        while True:
            try:
                with self.tls_lock:
                    self.tls.do_handshake()
                return self._flush()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()

    def recv(self, size, flags=0):
        """Sends nothing: a reader that waited for a sender, which waits for the peer, which waits for the reader, would wait
        for itself."""
        if flags & socket.MSG_PEEK:
            return self._peek()
        try:
            while True:
                with self.tls_lock, contextlib.suppress(ssl.SSLWantReadError):
                    return self.tls.read(size)
                self._receive()
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            # To whoever asks for the end this is none: HTTP's own framing may still say that all was there.
            raise ConnectionResetError("a FIN without an end") from None

    def _peek(self):
        """Only whether there is anything: b"" for none would be the end."""
        if not self._receive():
            return b""
        try:
            with self.tls_lock:
                data = self.tls.read(1)
        except ssl.SSLWantReadError:  # tickets
            raise BlockingIOError from None
        return data

    def sendall(self, data):
        view = memoryview(data)
        while len(view):
            with self.tls_lock:
                sent = self.tls.write(view[:65536])
            view = view[sent:]
            self._flush()

    send = sendall

    def shutdown(self, how):
        if how != socket.SHUT_RD and not self.has_said_end:
            self.has_said_end = True
            try:
                with self.tls_lock:
                    self.tls.unwrap()
            except (ssl.SSLWantReadError, ssl.SSLError):
                pass
            self._flush()
        self.sock.shutdown(how)

    def __getattr__(self, name):
        return getattr(self.sock, name)
