"""What an issuer says of a certificate's revocation (OCSP), from a file, shown to clients that ask for it."""
import os
import shutil
import subprocess

import pytest

from tls import Pki
from waiting import eventually
from weir import run_command


class Ca(Pki):
    """Which also says of its certificates whether they are good."""

    def make_chain(self, name, *names):
        """With the issuer behind it."""
        pair = self.make(name, *names)
        with open(pair["cert"], "ab") as file, open(self.ca, "rb") as issuer:
            file.write(issuer.read())
        return pair

    def respond(self, name, is_revoked=False):
        """NAME.ocsp, of today."""
        index, out = self.path(name + ".index"), self.path(name + ".ocsp")
        state = "R\t351231235959Z\t250101000000Z" if is_revoked else "V\t351231235959Z\t"
        with open(index, "w") as file:
            file.write(f"{state}\t{self.serial(name)}\tunknown\t/CN={name}\n")
        subprocess.run(["openssl", "ocsp", "-index", index, "-rsigner", self.ca, "-rkey", self.path("ca.key"),
                        "-CA", self.ca, "-issuer", self.ca, "-cert", self.path(name + ".pem"), "-respout", out + ".new",
                        "-ndays", "2", "-noverify"], check=True, capture_output=True)
        os.rename(out + ".new", out)
        return out


@pytest.fixture
def ca(tmp_path):
    return Ca(tmp_path)


def told(weir, ca, *options, asks=True, name="a.example"):
    """What openssl s_client is told."""
    host, port = weir.address
    return subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", name, "-CAfile", ca.ca,
                           *(["-status"] if asks else []), *options], input=b"", capture_output=True, timeout=60).stdout.decode()


def front(*pairs):
    return {"tls": {"certificates": list(pairs)}}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_it_is_shown_to_who_asks(scene, ca, version):
    pair = ca.make_chain("a", "a.example")
    other = ca.make_chain("b", "b.example")
    weir = scene.proxy(scene.server(), listener=front({**pair, "ocsp": ca.respond("a")}, other))
    text = told(weir, ca, version)
    assert "OCSP Response Status: successful" in text and "Cert Status: good" in text, text
    assert "Verify return code: 0" in text
    assert "OCSP" not in told(weir, ca, version, asks=False)
    assert "OCSP response: no response sent" in told(weir, ca, version, name="b.example")


def test_the_one_of_the_certificate_that_is_shown(scene, ca):
    """An RSA and an ECDSA certificate for one name, of which one alone has a response."""
    pair = ca.make_chain("a", "a.example")
    rsa = ca.make("r", "a.example", key="rsa")
    weir = scene.proxy(scene.server(), listener=front({**pair, "ocsp": ca.respond("a")}, rsa))
    assert "Cert Status: good" in told(weir, ca, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert "no response sent" in told(weir, ca, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")


def check(scene, config):
    path = os.path.join(str(scene.directory), "checked.yaml")
    with open(path, "w") as file:
        file.write(config)
    done = run_command("check", path)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("mistake, said", [
    ("garbage", "is no OCSP response"), ("other", "is for another certificate"), ("revoked", "is revoked"),
    ("missing", "cannot open"), ("alone", "without its issuer")])
def test_mistakes_are_found_by_check(scene, ca, mistake, said):
    pair = ca.make_chain("a", "a.example")
    ocsp = ca.respond("a", is_revoked=mistake == "revoked")
    if mistake == "garbage":
        with open(ocsp, "w") as file:
            file.write("no")
    if mistake == "other":
        ca.make_chain("b", "b.example")
        ocsp = ca.respond("b")
    if mistake == "missing":
        os.unlink(ocsp)
    if mistake == "alone":
        pair = ca.make("c", "c.example")
        ocsp = ca.respond("c")
    code, text = check(scene, f"""
listeners:
  web:
    bind: "127.0.0.1:1"
    pool: web
    tls: {{certificates: [{{cert: {pair["cert"]}, key: {pair["key"]}, ocsp: {ocsp}}}]}}
pools:
  web: {{servers: ["127.0.0.1:2"]}}
""")
    assert code == 78 and said in text and "6:" in text, text


def test_a_new_one_is_shown_and_a_mistake_changes_nothing(scene, ca):
    pair = ca.make_chain("a", "a.example")
    first, ocsp = ca.respond("a"), ca.path("served.ocsp")
    shutil.copy(first, ocsp)
    weir = scene.proxy(scene.server(), listener=front({**pair, "ocsp": ocsp}))
    assert "Cert Status: good" in told(weir, ca)
    with open(ocsp + ".new", "w") as file:
        file.write("no")
    os.rename(ocsp + ".new", ocsp)

    def row():
        return weir.get("/api/v1/certificates")["certificates"][0]

    eventually(lambda: "is no OCSP response" in (row()["refusal"] or ""), "the refusal")
    assert "Cert Status: good" in told(weir, ca)
    answer = weir.ask_admin("POST", "/api/v1/certificates/reload")
    assert answer.status == 400 and "is no OCSP response" in answer.text
    # Another certificate: it goes without until its own response has come, and nothing of the old one's is shown.
    new = ca.make_chain("n", "a.example")
    shutil.copy(new["key"], pair["key"])
    shutil.copy(new["cert"], pair["cert"])
    eventually(lambda: ca.serial("n").lower() == row()["serial"].lower(), "the new pair")
    assert "no response sent" in told(weir, ca)
    shutil.copy(ca.respond("n"), ocsp + ".new")
    os.rename(ocsp + ".new", ocsp)
    eventually(lambda: row()["refusal"] is None, "the response of the new certificate")
    assert weir.wait_event("ocsp_response_changed")["name"] == "a.example"
    assert "Cert Status: good" in told(weir, ca)
