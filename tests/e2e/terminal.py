"""A program on a terminal of the test's own: what stands on its screen, and keys for it."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

from waiting import LIMIT_S, eventually

# What weir writes: ECMA-48's CUP, EL, ED and SGR, and modes of the terminal. Anything else is a fault.
SEQUENCE = re.compile(rb"\x1b\[(\?[0-9;]*[hl]|[0-9;]*[A-Za-z])")


class Screen:
    def __init__(self, columns, rows):
        self.resize(columns, rows)
        self.sent = b""
        self.rest = b""
        self.is_other = False  # the alternate screen

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines = [""] * rows
        self.row = self.column = 0

    def feed(self, data):
        self.sent += data
        self.rest += data
        while self.rest:
            if self.rest[0] == 27:
                found = SEQUENCE.match(self.rest)
                if not found:
                    assert len(self.rest) < 32, f"not for a terminal: {self.rest[:32]}"
                    return
                self.steer(found[1].decode())
                self.rest = self.rest[found.end():]
            else:
                end = re.search(rb"[\x1b\r\n]", self.rest)
                length = end.start() if end else len(self.rest)
                if length == 0:
                    self.move(self.rest[:1])
                    length = 1
                else:
                    self.write(self.rest[:length].decode(errors="replace"))
                self.rest = self.rest[length:]

    def move(self, byte):
        if byte == b"\r":
            self.column = 0
        else:
            self.row += 1
            assert self.row < self.rows, "it scrolls"

    def write(self, text):
        assert text.isprintable(), f"steers the terminal: {text!r}"
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = (line[:self.column] + text + line[self.column + len(text):])[:self.columns]
        self.column += len(text)

    def steer(self, what):
        if what == "H":
            self.row = self.column = 0
        elif what == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif what == "J":
            self.lines[self.row] = self.lines[self.row][:self.column]
            self.lines[self.row + 1:] = [""] * (self.rows - self.row - 1)
        elif what.startswith("?1049"):
            self.is_other = what.endswith("h")

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


class Terminal:
    def __init__(self, command, columns=160, rows=24, **environment):
        self.screen = Screen(columns, rows)
        self.lock = threading.Lock()
        self.fault = None
        self.fd, side = pty.openpty()
        self.before = termios.tcgetattr(side)
        self.side = side
        self.set_size(columns, rows)
        self.process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True,
                                        env={**os.environ, "TERM": "xterm-256color", **environment},
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def set_size(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        """As a person does it: what the program still paints for the size before may look odd until it has heard of it."""
        with self.lock:
            self.screen.resize(max(columns, self.screen.columns), max(rows, self.screen.rows))
            self.set_size(columns, rows)

    def read(self):
        try:
            while data := os.read(self.fd, 65536):
                with self.lock:
                    self.screen.feed(data)
        except OSError:  # EIO: it has ended
            pass
        except AssertionError as fault:
            self.fault = fault

    def type(self, keys):
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    @property
    def text(self):
        with self.lock:
            assert not self.fault, self.fault
            return self.screen.text

    def wait(self, part):
        eventually(lambda: re.search(part, self.text), lambda: f"{part} on\n{self.text}")
        return self.text

    def wait_gone(self, part):
        eventually(lambda: not re.search(part, self.text), lambda: f"no {part} on\n{self.text}")

    def wait_end(self):
        """Its exit code; the terminal is as it was."""
        code = self.process.wait(LIMIT_S)
        eventually(lambda: not self.screen.is_other or code, "the screen that was there before")  # all of it is read
        assert termios.tcgetattr(self.side)[:4] == self.before[:4], "the terminal is not as it was"
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        os.close(self.side)
        self.reader.join(LIMIT_S)
        os.close(self.fd)
