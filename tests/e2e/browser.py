"""A headless Chromium that stays open, driven over the DevTools protocol: pages that live, and go on after their server was
away."""
import base64
import itertools
import json
import os
import re
import socket
import struct
import subprocess
import threading

from chromium import CHROMIUM
from waiting import LIMIT_S, eventually

# Before any of the page's own scripts: what it complains of.
WATCH = """
window.complaints = [];
addEventListener("error", event => complaints.push(String(event.message)));
addEventListener("unhandledrejection", event => complaints.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", event => complaints.push(event.violatedDirective + " " + event.blockedURI));
"""


class Socket:
    """A web socket's client (RFC 6455), as far as DevTools needs one: text, and no fragments to send."""

    def __init__(self, port, path):
        self.sock = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.stream = self.sock.makefile("rb")
        assert b" 101 " in self.stream.readline()
        while self.stream.readline().strip():
            pass

    def send(self, text):
        data = text.encode()
        mask = os.urandom(4)
        size = struct.pack("!B", 0x80 | len(data)) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data)) \
            if len(data) < 65536 else struct.pack("!BQ", 0x80 | 127, len(data))
        self.sock.sendall(b"\x81" + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, size = self.stream.read(2)
            size &= 0x7f
            if size == 126:
                size, = struct.unpack("!H", self.stream.read(2))
            elif size == 127:
                size, = struct.unpack("!Q", self.stream.read(8))
            text += self.stream.read(size)
            if first & 0x80:
                return text.decode()

    def close(self):
        self.stream.close()
        self.sock.close()


class Browser:
    """One browser with one page."""

    def __init__(self, directory, window="1300,900", arguments=()):
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={window}",
             "--remote-debugging-port=0", "--no-first-run", "--hide-scrollbars", f"--user-data-dir={directory / 'browser'}",
             *arguments, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.port = self.socket = None
        self.numbers = itertools.count(1)
        for line in self.process.stderr:
            if match := re.search(r"ws://127\.0\.0\.1:(\d+)/", line):
                self.port = int(match[1])
                break
        assert self.port, "Chromium did not start"
        # Nobody reads on: it must not wait for that.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        page = eventually(self.find_page, "a page")
        self.socket = Socket(self.port, page["webSocketDebuggerUrl"].split(str(self.port), 1)[1])
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def find_page(self):
        with socket.create_connection(("127.0.0.1", self.port), LIMIT_S) as sock:
            sock.sendall(f"GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
                head, _, body = answer.partition(b"\r\n\r\n")
                size = re.search(rb"(?i)content-length: *(\d+)", head)
                if size and len(body) >= int(size[1]):
                    break
        return next((page for page in json.loads(body) if page["type"] == "page"), None)

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.receive())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'", f"{address} to load")

    def run(self, script):
        """The value of an expression, which may be a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition, what):
        """The first true value of an expression."""
        return eventually(lambda: self.run(condition), lambda: f"{what}; the page: {self.run('document.body.innerText')}")

    def press(self, key):
        """A key of the keyboard, where the focus is."""
        code = {"Enter": 13, "Tab": 9}[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": "\r" if key == "Enter" else ""}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def check(self):
        assert self.run("window.complaints") == []

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def set_window(self, width, height, scheme="light"):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def close(self):
        if self.socket:
            self.socket.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
