"""Requests as nobody should send them: made from HTTP's grammar with what servers are known to read in more than one way, and then
spoilt a little. The same seed and number give the same bytes."""
import random

# What is meant stands first; see pick().
METHODS = [b"POST", b"GET", b"PUT", b"OPTIONS", b"DELETE", b"get", b"FOO-BAR", b"G(T"]
PLAIN = [b"a", b"b", b"admin", b"%61dmin", b"%2e", b"%2E%2e", b".", b"..", b"", b"...", b".a", b"~", b"%7e", b"+", b":", b"@", b"a%7Cb", b"%c3%a4", b"%20", b"%3f",
         b"%25%32%65", b"a;x"]
SEGMENTS = [b"a", b"b", b"admin", b"%61dmin", b"%2e", b"%2E%2e", b".", b"..", b"", b"...", b".a", b"%2f", b"%2F..", b"%5c", b"\\", b";x=1",
            b"a;x", b"..;", b"..;/..", b".;", b"%00", b"%", b"%zz", b"%4", b"%c3%a4", b"\xc3\xa4", b"~", b"%7e", b"|", b"<x>", b"\"q\"", b"^",
            b"`", b"{}", b"[]", b"+", b":", b"@", b"!$&'()*,=", b"%25%32%65", b"%252e%252e", b"%u002e", b"%c0%ae", b"%20", b"%09", b"%0d%0a",
            b"%3f", b"%23", b"%3b", b"a%7Cb", b"A", b"%2D", b"x" * 300]
QUERIES = [b""] + [b"?", b"?x=1", b"??", b"?a=%26&b", b"?/../", b"?a=b;c", b"?a#b", b"#f", b"?%", b"?\xff", b"?a=|"]
VERSIONS = [b"HTTP/1.1"] + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.1 ", b"http/1.1", b"HTTP/2.0", b"HTTP/01.1", b"HTTP/1,1", b"HTTP/1", b""]
HOSTS = [b"h.test"] + [b"h.test:80", b"H.TEST", b"h.test.", b"[::1]", b"[::1]:8080", b"", b"h test", b"h.test, b.test", b"h.test/x",
                            b"u@h.test", b"h.test:", b"h.test:x", b"h_.test", b"h%2etest", b"\xe4.test", b"h.test\t", b"127.0.0.1"]
NAMES = [b"X-One"] + [b"x-one", b"X_One", b"X-one", b"X.One", b"X-One ", b" X-One", b"X-One\t", b"X-O\0ne", b"X-\xd6ne", b"X-One\x0b", b"X-Two",
                          b"X-Weir-Path", b"X_Weir_Path", b"X-Weir-Id", b"X-Weir_Id", b"x-weir-one"]
VALUES = [b"v", b"w", b"a b", b"", b" v", b"v ", b"a\tb", b"a\0b", b"\x7f", b"\xe4", b"a\r\n b", b"a\r\n\tb", b"a\n b", b"a\rb", b"\"q\"", b"a,b", b"a\\b",
          b"\x0bv", b"v" * 500]
CODINGS = [b"chunked"] + [b"Chunked", b"chunked, identity", b"identity, chunked", b"identity", b"xchunked", b"\x0bchunked", b"chunked;q=1",
                              b"gzip, chunked", b"chunked, chunked", b"chunked,", b",chunked", b"\"chunked\"", b"chunked\0", b"chunk\r\n ed", b""]
CODING_NAMES = [b"Transfer-Encoding"] + [b"transfer-encoding", b"Transfer_Encoding", b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding",
                                             b"Transfer-Encoding\0", b"TE", b"X\r\nTransfer-Encoding", b"X\nTransfer-Encoding"]
LENGTH_NAMES = [b"Content-Length"] + [b"content-length", b"Content_Length", b"Content-Length ", b" Content-Length", b"Content-Length\x0b"]
ENDS = [b"\r\n"] + [b"\n", b"\r\r\n", b"\r"]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: s.test\r\n\r\n"
BODIES = [b"", b"x", b"hello", b"a=b&c=d", b"0\r\n\r\n", SMUGGLED, b"0\r\n\r\n" + SMUGGLED, b"y" * 200]
SPOILS = [b"\0", b"\t", b"\n", b"\r", b"\r\n", b" ", b"  ", b":", b";", b",", b"/", b"%", b"\\", b"0", b"-", b"_", b"\x0b", b"\x7f", b"\x80", b"\xff", b"\""]


class Case:
    def __init__(self, seed, number):
        self.number = number
        self.draw = random.Random(f"{seed}:{number}")
        self.oddness = self.draw.choice([0.01, 0.04, 0.1, 0.3])

    def any(self, options):
        return self.draw.choice(options)

    def pick(self, options):
        """What is meant, or, as odd as the case is, anything."""
        return self.draw.choice(options) if self.draw.random() < self.oddness else options[0]

    def often(self, share):
        return self.draw.random() < share

    def target(self):
        path = b"/" + b"/".join(self.any(SEGMENTS if self.often(self.oddness) else PLAIN) for _ in range(self.draw.randint(0, 4)))
        target = path + (self.any(QUERIES) if self.often(0.3) else b"")
        if self.often(0.06):
            target = self.any([b"http://h.test", b"http://o.test:80", b"HTTP://h.test", b"https://h.test", b"http://u@h.test", b"http:", b"ftp://h.test",
                                b"http:///", b"//h.test", b"http://h.test?"]) + target
        elif self.often(0.1 * self.oddness):
            target = self.any([b"*", b"h.test:80", b"a", b"?a", b"", b"/ /", b"http://h.test", b"http://"])
        return target

    def length(self, exact):
        return self.pick([b"%d" % exact, b"+%d" % exact, b"0%d" % exact, b"%d, %d" % (exact, exact), b"%d,%d" % (exact, exact + 1), b"-1", b"0x%x" % exact,
                                                 b" %d " % exact, b"%d" % (exact + 7), b"%d" % max(0, exact - 1), b"0", b"", b"1e1",
                                                 b"18446744073709551621", b"%d\0" % exact, b"%d;" % exact, b"4 2"])

    def chunks(self, body):
        out, at = b"", 0
        while at < len(body):
            size = self.draw.randint(1, len(body) - at)
            form = self.pick([b"%x", b"%X", b"0%x", b"000000000000000000%x", b"0x%x", b"+%x", b" %x", b"%x ", b"%x\t", b"%x;", b"%x;a=b", b"%x;a=\"\r\n\"",
                                             b"%x ;a", b"%x\0", b"1000000000000000%x", b"%x\n;"])
            out += form % size + self.pick(ENDS) + body[at:at + size] + self.pick(ENDS)
            at += size
        out += self.pick([b"0", b"00", b"0;a", b"0 ", b"", b"-0", b"0x0"]) + self.pick(ENDS)
        if self.often(0.15):
            out += self.any([b"X-One: t", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: t.test", b"X-Sum : 1", b" x", b"X-Weir-Id: t"]) + self.pick(ENDS)
        return out + self.pick(ENDS)

    def framing(self):
        """The lines that say how long the body is, and the body."""
        body = self.any(BODIES)
        lines, is_chunked = [], False
        kind = self.draw.random()
        if kind < 0.35:
            lines.append(self.pick(LENGTH_NAMES) + b": " + self.length(len(body)))
        elif kind < 0.75:
            is_chunked = True
            lines.append(self.pick(CODING_NAMES) + b": " + self.pick(CODINGS))
        elif kind < 0.75 + self.oddness / 2:
            is_chunked = self.often(0.5)
            lines += [self.pick(CODING_NAMES) + b": " + self.pick(CODINGS), self.pick(LENGTH_NAMES) + b": " + self.length(len(body))]
        elif self.often(self.oddness):
            lines += [self.pick(LENGTH_NAMES) + b": " + self.length(len(body)), b"Content-Length: " + self.length(len(body))]
        else:
            lines.append(b"Content-Length: %d" % len(body))
        return lines, self.chunks(body) if is_chunked else body

    def request(self):
        method = self.any(METHODS[:2]) if self.often(0.9) else self.pick(METHODS)
        lines = [method + self.pick([b" ", b"  ", b"\t"]) + self.target() + b" " + self.pick(VERSIONS)]
        fields = [b"Host: " + self.pick(HOSTS)] * self.pick([1, 0, 2])
        fields += [self.pick(NAMES) + self.pick([b": ", b":", b" : ", b":\t"]) + (self.any(VALUES[:7]) if self.often(0.7) else self.pick(VALUES))
                   for _ in range(self.any([0, 0, 1, 1, 2, 3]))]
        body = b""
        if method != b"GET" or self.often(0.15):
            more, body = self.framing()
            fields += more
        if self.often(0.05):
            fields.append(self.any([b"Connection: close", b"Connection: X-Weir-Id", b"Connection: x-one, X-Weir-Path", b"Expect: 100-continue", b"Expect: x",
                                     b"Upgrade: h2c", b"TE: trailers", b"Connection: upgrade\r\nUpgrade: websocket", b"no colon", b": v", b"Keep-Alive: 1"]))
        self.draw.shuffle(fields)
        lines += fields
        return b"".join(line + self.pick(ENDS) for line in lines) + self.pick(ENDS) + body

    def spoil(self, data):
        for _ in range(self.draw.randint(1, 3)):
            at = self.draw.randrange(len(data) + 1)
            kind = self.draw.random()
            if kind < 0.4:
                data = data[:at] + self.any(SPOILS) + data[at:]
            elif kind < 0.7:
                data = data[:at] + data[at + 1:]
            elif kind < 0.9:
                data = data[:at] + self.any(SPOILS) + data[at + 1:]
            else:
                data = data[:at] + data[max(0, at - self.draw.randint(1, 20)):]
        return data

    def make(self):
        """Its bytes, and how many requests were put into them."""
        count = self.any([1, 1, 1, 2, 3])
        data = b"".join(self.request() for _ in range(count))
        return self.spoil(data) if self.often(2 * self.oddness) else data, count
