"""TLS for tests: certificates made for one, and a socket that speaks it and hides nothing: an end that was not said is
an error, and what is sent byte by byte is."""
import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID


def make_key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


class Pki:
    """A CA, and certificates that it signs: FILE.pem and FILE.key in a folder."""

    def __init__(self, directory):
        self.directory = os.path.join(str(directory), "pki")
        os.makedirs(self.directory)
        self.signers = {}  # name: (its subject, its key)
        self.make("ca", "ca.example", issuer=None, names=(), is_ca=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def ca(self):
        return self.path("ca.pem")

    def make(self, name, *names_or_subject, issuer="ca", key="ec", days=30, names=None, subject=None, is_ca=False):
        """A certificate for these names, of hosts or "IP:10.0.0.1"; a pair for `certificates:` of a listener."""
        names = names_or_subject if names is None else names
        subject = subject or (names_or_subject[0] if names_or_subject else name)
        begin = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        end = begin + datetime.timedelta(days=days)
        begin = min(begin, end - datetime.timedelta(days=1))
        return self._sign(name, subject, names, issuer, make_key(key), begin, end, is_ca)

    def make_expired(self, name, host, issuer="ca"):
        """One whose time is over: since 2021."""
        return self.make_between(name, host, "20200101000000Z", "20210203000000Z", issuer)

    def make_between(self, name, host, begin, end, issuer="ca"):
        """One that is valid from then until then."""
        begin, end = (datetime.datetime.strptime(at, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.timezone.utc) for at in (begin, end))
        return self._sign(name, host, (host,), issuer, make_key("ec"), begin, end, False)

    def _sign(self, name, subject, names, issuer, key, begin, end, is_ca):
        """Within this process: a program that is started for each certificate costs more than most tests do."""
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        signed_by, signer = self.signers[issuer] if issuer else (own, key)
        builder = x509.CertificateBuilder().subject_name(own).issuer_name(signed_by).public_key(key.public_key()) \
            .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
        # Which of several CAs of one name has signed it is told by its key alone.
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        if is_ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([
                x509.IPAddress(ipaddress.ip_address(n[3:])) if n.startswith("IP:") else x509.DNSName(n) for n in names]), False)
        hash_method = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        self.signers[name] = (own, key)
        pem, key_file = self.path(name + ".pem"), self.path(name + ".key")
        with open(pem, "wb") as file:
            file.write(builder.sign(signer, hash_method).public_bytes(serialization.Encoding.PEM))
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
        return {"cert": pem, "key": key_file}

    def serial(self, name):
        with open(self.path(name + ".pem"), "rb") as file:
            serial = x509.load_pem_x509_certificate(file.read()).serial_number
        return f"{serial:X}".zfill(2 * ((serial.bit_length() + 7) // 8))  # as openssl prints it

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
