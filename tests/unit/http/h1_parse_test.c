#include "http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/h1_render.h"

/* What comes in and what is made of it (h1_render.h). Every row is parsed whole, in two pieces cut at
 * every byte, and in small pieces: the line must always be the same. */
struct row {
    struct slice bytes;
    const char *line;
};

#define WHOLE(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }
#define LINE(text) WHOLE(text "\r\nHost: a\r\n\r\n")
#define FIELD(text) WHOLE("GET / HTTP/1.1\r\nHost: a\r\n" text "\r\n\r\n")
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Method, target, version and what stands before them. */
static const struct row request_lines[] = {
    { LINE("GET / HTTP/1.1"), "GET / host=a keep |Host: a @27" },
    { LINE("GET /a/b?c=d&e HTTP/1.1"), "GET /a/b?c=d&e host=a keep |Host: a @36" },
    { LINE("M-SEARCH /x HTTP/1.1"), "M-SEARCH /x host=a keep |Host: a @33" },
    { LINE("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), "!#$%&'*+-.^_`|~09azAZ / host=a keep |Host: a @45" },
    { LINE("get / HTTP/1.1"), "get / host=a keep |Host: a @27" },
    { LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1"),
      "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / host=a keep |Host: a @56" },
    { LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1"),
      "BAD 32 bad_request: a method of more than 32 bytes" },
    { LINE("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb HTTP/1.1"),
      "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb host=a keep "
      "|Host: a @108" },
    { LINE("GET /~!$&'()*+,;=:@%20-._<>[]{}|\\^`\" HTTP/1.1"),
      "GET /~!$&'()*+,;=:@%20-._<>[]{}|\\^`\" host=a keep |Host: a @58" },
    { LINE("GET //double HTTP/1.1"), "GET //double host=a keep |Host: a @34" },
    { LINE("GET /%zz HTTP/1.1"), "GET /%zz host=a keep |Host: a @30" },
    { WHOLE("GET / HTTP/1.0\r\n\r\n"), "GET / 1.0 close | @18" },
    { WHOLE("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), "GET / host=a 1.0 close |Host: a @27" },
    { WHOLE("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / host=a keep |Host: a @29" },
    { WHOLE("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / host=a keep |Host: a @31" },
    { WHOLE("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      "BAD 4 bad_request: more than two empty lines before the request" },
    { WHOLE("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      "BAD 0 bad_request: an LF without CR before the request line" },
    { WHOLE("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      "BAD 2 bad_request: an LF without CR before the request line" },
    { WHOLE("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      "BAD 0 bad_request: a CR without LF before the request line" },
    { WHOLE(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "BAD 0 bad_request: a space before the method" },
    { WHOLE("\tGET / HTTP/1.1\r\n"), "BAD 0 bad_request: a byte that no method may have" },
    { WHOLE(""), "MORE" },
    { WHOLE("\r"), "MORE" },
    { WHOLE("\r\n"), "MORE" },
    { WHOLE("GET"), "MORE" },
    { WHOLE("GET "), "MORE" },
    { WHOLE("GET /"), "MORE" },
    { WHOLE("GET / HTTP/1.1"), "MORE" },
    { WHOLE("GET / HTTP/1.1\r\n"), "MORE" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\n\r"), "MORE" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n"), "GET / host=a keep |Host: a @27" },
    { WHOLE("GET\r\n\r\n"), "BAD 3 bad_request: a request line that is nothing but a method" },
    { WHOLE("GET /\r\n\r\n"), "BAD 5 bad_request: a request line without an HTTP version" },
    { WHOLE("GET / \r\n\r\n"), "BAD 6 bad_request: nothing but a space where the HTTP version should be" },
    { WHOLE("GET /\n\n"), "BAD 5 bad_request: a request line without an HTTP version" },
    { WHOLE("GET  / HTTP/1.1\r\n"), "BAD 4 bad_request: more than one space before the request target" },
    { WHOLE("GET /  HTTP/1.1\r\n"),
      "BAD 6 bad_request: something other than an HTTP version behind the request target" },
    { WHOLE("GET / a HTTP/1.1\r\n"),
      "BAD 6 bad_request: something other than an HTTP version behind the request target" },
    { WHOLE("GET\t/ HTTP/1.1\r\n"), "BAD 3 bad_request: a byte that no method may have" },
    { WHOLE("GET /\tHTTP/1.1\r\n"), "BAD 5 bad_request: a control byte in the request target" },
    { WHOLE("GET / HTTP/1.1 \r\n"), "BAD 14 bad_request: something behind the HTTP version" },
    { WHOLE("GET / HTTP/1.1\n"), "BAD 14 bad_request: a request line that ends in LF without CR" },
    { WHOLE("GET / HTTP/1.1\rHost: a\r\n\r\n"), "BAD 14 bad_request: a CR without LF in the request line" },
    { WHOLE("GET / HTTP/1.1x\r\n"), "BAD 14 bad_request: something behind the HTTP version" },
    { WHOLE("GET / HTTP/1.10\r\n"), "BAD 14 bad_request: something behind the HTTP version" },
    { WHOLE("GET / HTTP/11.1\r\n"), "BAD 12 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / HTTP/01.1\r\n"), "BAD 12 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / HTTP/1.\r\n"), "BAD 13 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / HTTP/1\r\n"), "BAD 12 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / HTTP/\r\n"), "BAD 11 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / http/1.1\r\n"),
      "BAD 6 bad_request: something other than an HTTP version behind the request target" },
    { WHOLE("GET / HTPP/1.1\r\n"), "BAD 8 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / HTTP 1.1\r\n"), "BAD 10 bad_request: an HTTP version that is not HTTP/ and two digits" },
    { WHOLE("GET / ICE/1.0\r\n"),
      "BAD 6 bad_request: something other than an HTTP version behind the request target" },
    { WHOLE("GET / RTSP/1.0\r\n"),
      "BAD 6 bad_request: something other than an HTTP version behind the request target" },
    { WHOLE("GET / HTTP/0.9\r\n"),
      "BAD 6 version_not_supported: a version other than HTTP/1.0 and HTTP/1.1" },
    { WHOLE("GET / HTTP/1.2\r\n"),
      "BAD 6 version_not_supported: a version other than HTTP/1.0 and HTTP/1.1" },
    { WHOLE("GET / HTTP/1.9\r\n"),
      "BAD 6 version_not_supported: a version other than HTTP/1.0 and HTTP/1.1" },
    { WHOLE("GET / HTTP/2.0\r\n"),
      "BAD 6 version_not_supported: a version other than HTTP/1.0 and HTTP/1.1" },
    { WHOLE("GET / HTTP/3.0\r\n"),
      "BAD 6 version_not_supported: a version other than HTTP/1.0 and HTTP/1.1" },
    { WHOLE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      "BAD 6 version_not_supported: HTTP/2 with prior knowledge is not spoken here" },
    { WHOLE("PRI / HTTP/2.0\r\n"),
      "BAD 6 version_not_supported: a version other than HTTP/1.0 and HTTP/1.1" },
    { WHOLE("G\0T / HTTP/1.1\r\n"), "BAD 1 bad_request: a byte that no method may have" },
    { WHOLE("G@T / HTTP/1.1\r\n"), "BAD 1 bad_request: a byte that no method may have" },
    { WHOLE("G(T / HTTP/1.1\r\n"), "BAD 1 bad_request: a byte that no method may have" },
    { WHOLE("GET: / HTTP/1.1\r\n"), "BAD 3 bad_request: a byte that no method may have" },
    { WHOLE("\"GET\" / HTTP/1.1\r\n"), "BAD 0 bad_request: a byte that no method may have" },
    { WHOLE("G\xc3\x89T / HTTP/1.1\r\n"), "BAD 1 bad_request: a byte that no method may have" },
    { WHOLE("GET /a\0b HTTP/1.1\r\n"), "BAD 6 bad_request: a control byte in the request target" },
    { WHOLE("GET /a\x01"
            "b HTTP/1.1\r\n"),
      "BAD 6 bad_request: a control byte in the request target" },
    { WHOLE("GET /a\x7f"
            "b HTTP/1.1\r\n"),
      "BAD 6 bad_request: a control byte in the request target" },
    { WHOLE("GET /caf\xc3\xa9 HTTP/1.1\r\n"),
      "BAD 8 bad_request: a byte above 0x7f in the request target: it must be percent-encoded" },
    { WHOLE("GET /a#b HTTP/1.1\r\n"), "BAD 6 bad_request: a fragment (#) in the request target" },
    { WHOLE("GET /0123456789abcdef#0123456789abcdef HTTP/1.1\r\n"),
      "BAD 21 bad_request: a fragment (#) in the request target" },
    { WHOLE("GET /0123456789abcdef\r0123456789abcdef HTTP/1.1\r\n"),
      "BAD 21 bad_request: a request line without an HTTP version" },
    { WHOLE("GET /a\rb HTTP/1.1\r\n"), "BAD 6 bad_request: a request line without an HTTP version" },
    { WHOLE("GET #a HTTP/1.1\r\n"), "BAD 4 bad_request: a fragment (#) in the request target" },
    { WHOLE("\x16\x03\x01\x02\x00\x01\x00\x01"
            "\xfc\x03\x03"),
      "BAD 0 bad_request: a TLS handshake, but this listener speaks plain HTTP" },
    { WHOLE("\x80\x2e\x01\x03\x01"), "BAD 0 bad_request: a byte that no method may have" },
    { WHOLE("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\nGET / HTTP/1.1\r\n"),
      "BAD 11 bad_request: a PROXY protocol line, which this listener does not expect" },
    { WHOLE("PROXY UNKNOWN\r\n"), "BAD 13 bad_request: a request line without an HTTP version" },
    { WHOLE("\r\n\r\n\0\r\nQUIT\n"), "BAD 4 bad_request: a byte that no method may have" },
    { WHOLE("SSH-2.0-OpenSSH_9.2\r\n"), "BAD 19 bad_request: a request line that is nothing but a method" },
    { WHOLE("<?xml version=\"1.0\"?>"), "BAD 0 bad_request: a byte that no method may have" },
    { WHOLE("{\"json\": 1}\r\n"), "BAD 0 bad_request: a byte that no method may have" },
};

/* The forms of a target: origin, absolute, asterisk, authority. */
static const struct row targets[] = {
    { LINE("GET http://b.example/x?y HTTP/1.1"), "GET /x?y scheme=http host=b.example keep |Host: a @46" },
    { LINE("GET HTTPS://b.example:8443/x HTTP/1.1"),
      "GET /x scheme=HTTPS host=b.example:8443 keep |Host: a @50" },
    { LINE("GET http://b.example HTTP/1.1"), "GET / scheme=http host=b.example keep |Host: a @42" },
    { LINE("GET http://b.example/ HTTP/1.1"), "GET / scheme=http host=b.example keep |Host: a @43" },
    { LINE("GET http://b.example: HTTP/1.1"), "GET / scheme=http host=b.example: keep |Host: a @43" },
    { LINE("OPTIONS http://b.example HTTP/1.1"), "OPTIONS * scheme=http host=b.example keep |Host: a @46" },
    { LINE("OPTIONS http://b.example/ HTTP/1.1"), "OPTIONS / scheme=http host=b.example keep |Host: a @47" },
    { LINE("GET http://[2001:db8::1]:80/x HTTP/1.1"),
      "GET /x scheme=http host=[2001:db8::1]:80 keep |Host: a @51" },
    /* A "/" before it is for whoever copies the target. */
    { LINE("GET http://b.example?y HTTP/1.1"), "GET ?y scheme=http host=b.example keep |Host: a @44" },
    { LINE("OPTIONS http://b.example?y HTTP/1.1"),
      "OPTIONS ?y scheme=http host=b.example keep |Host: a @48" },
    { LINE("GET http:// HTTP/1.1"), "BAD 4 bad_request: a request target without a host" },
    { LINE("GET http:///x HTTP/1.1"), "BAD 4 bad_request: a request target without a host" },
    { LINE("GET http://:80/x HTTP/1.1"), "BAD 4 bad_request: a request target without a host" },
    { LINE("GET http://user@b.example/ HTTP/1.1"),
      "BAD 4 bad_request: a request target with user information" },
    { LINE("GET http://user:word@b.example/ HTTP/1.1"),
      "BAD 4 bad_request: a request target with user information" },
    { LINE("GET http://@b.example/ HTTP/1.1"), "BAD 4 bad_request: a request target with user information" },
    { LINE("GET http://b.example:http/ HTTP/1.1"),
      "BAD 4 bad_request: a request target whose port is not a number up to 65535" },
    { LINE("GET http://b.example:65536/ HTTP/1.1"),
      "BAD 4 bad_request: a request target whose port is not a number up to 65535" },
    { LINE("GET http://b,c/ HTTP/1.1"),
      "BAD 4 bad_request: a byte in the request target's host that no host name has" },
    { LINE("GET http://b\\c/ HTTP/1.1"),
      "BAD 4 bad_request: a byte in the request target's host that no host name has" },
    { LINE("GET http://[::1/ HTTP/1.1"),
      "BAD 4 bad_request: a request target whose host in brackets is not an IPv6 address" },
    { LINE("GET http://[fe80::1%25eth0]/ HTTP/1.1"),
      "BAD 4 bad_request: a request target whose host in brackets is not an IPv6 address" },
    { LINE("GET http://[v1.x]/ HTTP/1.1"),
      "BAD 4 bad_request: a request target whose host in brackets is not an IPv6 address" },
    { LINE("GET http:/b.example/ HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET http:b.example HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET ftp://b.example/ HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET ws://b.example/ HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET httpx://b.example/ HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET b.example HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET b.example:80 HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET ?a HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("GET \\a HTTP/1.1"),
      "BAD 4 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("OPTIONS * HTTP/1.1"), "OPTIONS * host=a keep |Host: a @31" },
    { LINE("GET * HTTP/1.1"), "BAD 4 bad_request: a request target of * with a method other than OPTIONS" },
    { LINE("OPTIONS *x HTTP/1.1"),
      "BAD 8 bad_request: a request target that is neither a path nor an http:// or https:// URI" },
    { LINE("options * HTTP/1.1"),
      "BAD 8 bad_request: a request target of * with a method other than OPTIONS" },
    { LINE("CONNECT b.example:443 HTTP/1.1"), "CONNECT b.example:443 host=b.example:443 keep |Host: a @43" },
    { LINE("CONNECT [::1]:443 HTTP/1.1"), "CONNECT [::1]:443 host=[::1]:443 keep |Host: a @39" },
    { LINE("CONNECT b.example HTTP/1.1"), "BAD 8 bad_request: a CONNECT target without a port" },
    { LINE("CONNECT b.example: HTTP/1.1"), "BAD 8 bad_request: a CONNECT target without a port" },
    { LINE("CONNECT :443 HTTP/1.1"), "BAD 8 bad_request: a request target without a host" },
    { LINE("CONNECT / HTTP/1.1"),
      "BAD 8 bad_request: a byte in the request target's host that no host name has" },
    { LINE("CONNECT http://b.example:443/ HTTP/1.1"),
      "BAD 8 bad_request: a request target whose port is not a number up to 65535" },
    { LINE("CONNECT user@b.example:443 HTTP/1.1"),
      "BAD 8 bad_request: a request target with user information" },
};

/* Host, in 1.1 and 1.0. */
static const struct row hosts[] = {
    { WHOLE("GET / HTTP/1.1\r\n\r\n"), "BAD 0 bad_request: an HTTP/1.1 request without Host" },
    { WHOLE("GET / HTTP/1.1\r\nHos: a\r\n\r\n"), "BAD 0 bad_request: an HTTP/1.1 request without Host" },
    { WHOLE("GET http://b/ HTTP/1.1\r\n\r\n"), "BAD 0 bad_request: an HTTP/1.1 request without Host" },
    { WHOLE("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "GET / keep |Host:  @25" },
    { WHOLE("GET / HTTP/1.1\r\nHost: \r\n\r\n"), "GET / keep |Host:  @26" },
    { WHOLE("GET / HTTP/1.1\r\nHost:a\r\n\r\n"), "GET / host=a keep |Host: a @26" },
    { WHOLE("GET / HTTP/1.1\r\nHost:  a \t\r\n\r\n"), "GET / host=a keep |Host: a @30" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n"),
      "GET / host=a.example:8080 keep |Host: a.example:8080 @40" },
    { WHOLE("GET / HTTP/1.1\r\nHost: A.EXAMPLE.\r\n\r\n"),
      "GET / host=A.EXAMPLE. keep |Host: A.EXAMPLE. @36" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), "GET / host=a: keep |Host: a: @28" },
    { WHOLE("GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"),
      "GET / host=192.0.2.1:80 keep |Host: 192.0.2.1:80 @38" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"), "GET / host=[::1] keep |Host: [::1] @31" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [2001:db8::7]:8080\r\n\r\n"),
      "GET / host=[2001:db8::7]:8080 keep |Host: [2001:db8::7]:8080 @44" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [::ffff:192.0.2.1]\r\n\r\n"),
      "GET / host=[::ffff:192.0.2.1] keep |Host: [::ffff:192.0.2.1] @44" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a_b-c.d~e\r\n\r\n"), "GET / host=a_b-c.d~e keep |Host: a_b-c.d~e @35" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a%2Db\r\n\r\n"), "GET / host=a%2Db keep |Host: a%2Db @31" },
    { WHOLE("GET / HTTP/1.1\r\nHost: !$&'()*+;=\r\n\r\n"),
      "GET / host=!$&'()*+;= keep |Host: !$&'()*+;= @36" },
    { WHOLE("GET / HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n\r\n"),
      "GET / host=xn--bcher-kva.example keep |Host: xn--bcher-kva.example @47" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"), "GET / host=a:0 keep |Host: a:0 @29" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n"), "GET / host=a:65535 keep |Host: a:65535 @33" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:8 0\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), "BAD 22 bad_request: a Host with user information" },
    { WHOLE("GET / HTTP/1.1\r\nHost: u:w@a\r\n\r\n"), "BAD 22 bad_request: a Host with user information" },
    { WHOLE("GET / HTTP/1.1\r\nHost: @a\r\n\r\n"), "BAD 22 bad_request: a Host with user information" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: /\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a%\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\x80\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: <a>\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
      "BAD 22 bad_request: a Host in brackets that is not an IPv6 address" },
    { WHOLE("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), "BAD 22 bad_request: a Host with a port but no name" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [::1]:x\r\n\r\n"),
      "BAD 22 bad_request: a Host whose port is not a number up to 65535" },
    { WHOLE("GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
      "BAD 22 bad_request: a Host in brackets that is not an IPv6 address" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [12345::]\r\n\r\n"),
      "BAD 22 bad_request: a Host in brackets that is not an IPv6 address" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [a]\r\n\r\n"),
      "BAD 22 bad_request: a Host in brackets that is not an IPv6 address" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [::1%25lo]\r\n\r\n"),
      "BAD 22 bad_request: a Host in brackets that is not an IPv6 address" },
    { WHOLE("GET / HTTP/1.1\r\nHost: [0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]\r\n\r\n"),
      "BAD 22 bad_request: a Host in brackets that is not an IPv6 address" },
    { WHOLE("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), "BAD 22 bad_request: a Host with a port but no name" },
    { WHOLE("GET / HTTP/1.1\r\nHost: .\r\n\r\n"), "GET / host=. keep |Host: . @27" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a^b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a|b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a{b}\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), "BAD 25 bad_request: more than one Host" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), "BAD 25 bad_request: more than one Host" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"), "BAD 25 bad_request: more than one Host" },
    { WHOLE("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), "BAD 25 bad_request: more than one Host" },
    { WHOLE("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
      "BAD 22 bad_request: a byte in Host that no host name has" },
};

/* Lines, names and values. */
static const struct row field_lines[] = {
    { FIELD("A: b"), "GET / host=a keep |Host: a, A: b @33" },
    { FIELD("A:b"), "GET / host=a keep |Host: a, A: b @32" },
    { FIELD("A:"), "GET / host=a keep |Host: a, A:  @31" },
    { FIELD("A: "), "GET / host=a keep |Host: a, A:  @32" },
    { FIELD("A: \t b \t "), "GET / host=a keep |Host: a, A: b @38" },
    { FIELD("A: b c\td"), "GET / host=a keep |Host: a, A: b c\011d @37" },
    { FIELD("A: \xc3\xa9\x80\xff"), "GET / host=a keep |Host: a, A: \303\251\200\377 @36" },
    { FIELD("!#$%&'*+-.^_`|~09azAZ: all"), "GET / host=a keep |Host: a, !#$%&'*+-.^_`|~09azAZ: all @55" },
    { FIELD("X_Y: underscore"), "GET / host=a keep |Host: a, X_Y: underscore @44" },
    { FIELD("A: :b::"), "GET / host=a keep |Host: a, A: :b:: @36" },
    { FIELD("A: b\r\nA: c"), "GET / host=a keep |Host: a, A: b, A: c @39" },
    { FIELD("A-Name-Of-More-Than-Sixteen-Bytes: a value of more than sixteen bytes"),
      "GET / host=a keep |Host: a, A-Name-Of-More-Than-Sixteen-Bytes: a value of more than sixteen bytes "
      "@98" },
    { FIELD("A_Name_Of_More_Than_Sixteen_Bytes: x"),
      "GET / host=a keep |Host: a, A_Name_Of_More_Than_Sixteen_Bytes: x @65" },
    { FIELD("A : b"), "BAD 26 bad_request: white space in a field name or before its colon" },
    { FIELD("A\t: b"), "BAD 26 bad_request: white space in a field name or before its colon" },
    { FIELD("A B: c"), "BAD 26 bad_request: white space in a field name or before its colon" },
    { FIELD(": b"), "BAD 25 bad_request: a field without a name" },
    { FIELD(" : b"), "BAD 25 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("A"), "BAD 26 bad_request: a field line without a colon" },
    { FIELD("A b"), "BAD 26 bad_request: white space in a field name or before its colon" },
    { FIELD("A\r\nB: c"), "BAD 26 bad_request: a field line without a colon" },
    { FIELD("A: b\r\n c"),
      "BAD 31 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("A: b\r\n\tc"),
      "BAD 31 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("A:\r\n b"),
      "BAD 29 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("A: b\r\n \r\nC: d"),
      "BAD 31 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
      "BAD 16 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
      "BAD 16 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("A: b\nC: d"), "BAD 29 bad_request: a field line that ends in LF without CR" },
    { FIELD("A: b\rC: d"), "BAD 29 bad_request: a CR without LF in a field value" },
    { FIELD("A: b\r\rC: d"), "BAD 29 bad_request: a CR without LF in a field value" },
    { FIELD("A: b\n\r\n"), "BAD 29 bad_request: a field line that ends in LF without CR" },
    { FIELD("\nA: b"), "BAD 25 bad_request: an empty line that ends in LF without CR" },
    { FIELD("\rA: b"), "BAD 25 bad_request: a CR without LF at the start of a line" },
    { FIELD("A: b\r"), "BAD 29 bad_request: a CR without LF in a field value" },
    { FIELD("A: \0"), "BAD 28 bad_request: a NUL byte in a field value" },
    { FIELD("A: b\0c"), "BAD 29 bad_request: a NUL byte in a field value" },
    { FIELD("A\0: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("\0A: b"), "BAD 25 bad_request: a byte that no field name may have" },
    { FIELD("A: \x01"), "BAD 28 bad_request: a control byte in a field value" },
    { FIELD("A: \x0b"), "BAD 28 bad_request: a control byte in a field value" },
    { FIELD("A: \x0c"), "BAD 28 bad_request: a control byte in a field value" },
    { FIELD("A: \x1f"), "BAD 28 bad_request: a control byte in a field value" },
    { FIELD("A: \x7f"), "BAD 28 bad_request: a control byte in a field value" },
    { FIELD("A: \x08"), "BAD 28 bad_request: a control byte in a field value" },
    { FIELD("A: 0123456789abcdef\x01"), "BAD 44 bad_request: a control byte in a field value" },
    { FIELD("A: 0123456789abcdef0123456789\n"),
      "BAD 54 bad_request: a field line that ends in LF without CR" },
    { FIELD("0123456789abcdef : b"), "BAD 41 bad_request: white space in a field name or before its colon" },
    { FIELD("0123456789abcdef0123456789(: b"), "BAD 51 bad_request: a byte that no field name may have" },
    { FIELD("A@: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("A(: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("A,B: c"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("A;: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("A\"B: c"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("A/B: c"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("[A]: b"), "BAD 25 bad_request: a byte that no field name may have" },
    { FIELD("A=: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("{A}: b"), "BAD 25 bad_request: a byte that no field name may have" },
    { FIELD("A\x7f: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("A\x80: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { FIELD("\xef\xbb\xbf"
            "A: b"),
      "BAD 25 bad_request: a byte that no field name may have" },
    { FIELD("A\\: b"), "BAD 26 bad_request: a byte that no field name may have" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\n\n"),
      "BAD 25 bad_request: an empty line that ends in LF without CR" },
    { WHOLE("GET / HTTP/1.1\nHost: a\n\n"), "BAD 14 bad_request: a request line that ends in LF without CR" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\n\rGET"),
      "BAD 25 bad_request: a CR without LF at the start of a line" },
    { WHOLE("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
      "BAD 25 bad_request: a CR without LF at the start of a line" },
};

/* Content-Length and Transfer-Encoding: the requests of the smuggling literature among them. */
static const struct row framings[] = {
    { FIELD("Content-Length: 0"), "GET / host=a length=0 keep |Host: a, Content-Length: 0 @46" },
    { FIELD("Content-Length: 5"), "GET / host=a length=5 keep |Host: a, Content-Length: 5 @46" },
    { FIELD("content-length:5"), "GET / host=a length=5 keep |Host: a, content-length: 5 @45" },
    { FIELD("Content-Length: 2 \t"), "GET / host=a length=2 keep |Host: a, Content-Length: 2 @48" },
    { FIELD("Content-Length: 007"), "GET / host=a length=7 keep |Host: a, Content-Length: 007 @48" },
    { FIELD("Content-Length: 9223372036854775807"),
      "GET / host=a length=9223372036854775807 keep |Host: a, Content-Length: 9223372036854775807 @64" },
    { FIELD("Content-Length: 00000000000000000000000000000000000005"),
      "GET / host=a length=5 keep |Host: a, Content-Length: 00000000000000000000000000000000000005 @83" },
    { FIELD("Transfer-Encoding: chunked"),
      "GET / host=a chunked keep |Host: a, -Transfer-Encoding: chunked @55" },
    { FIELD("transfer-encoding:CHUNKED"),
      "GET / host=a chunked keep |Host: a, -transfer-encoding: CHUNKED @54" },
    { FIELD("Transfer-Encoding: chunked \t"),
      "GET / host=a chunked keep |Host: a, -Transfer-Encoding: chunked @57" },
    { FIELD("TRANSFER-ENCODING: \tchunked"),
      "GET / host=a chunked keep |Host: a, -TRANSFER-ENCODING: chunked @56" },
    { FIELD("Content-Length:"), "BAD 40 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: "), "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: -1"), "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: +5"), "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5 5"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5, 5"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5,"), "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: ,5"), "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5, 6"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 0x5"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5.0"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5e0"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: \"5\""),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: five"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5;"), "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5\xa0"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: \xd9\xa5"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 9223372036854775808"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 18446744073709551616"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 99999999999999999999999"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Content-Length: 5\r\nContent-Length: 5"), "BAD 44 bad_request: more than one Content-Length" },
    { FIELD("Content-Length: 5\r\nContent-Length: 6"), "BAD 44 bad_request: more than one Content-Length" },
    { FIELD("Content-Length: 5\r\ncontent-length: 0"), "BAD 44 bad_request: more than one Content-Length" },
    { FIELD("Content-Length : 5"), "BAD 39 bad_request: white space in a field name or before its colon" },
    { FIELD("Content-Length\t: 5"), "BAD 39 bad_request: white space in a field name or before its colon" },
    { FIELD("Content-Length\0: 5"), "BAD 39 bad_request: a byte that no field name may have" },
    { FIELD("Content_Length: 5"), "GET / host=a keep |Host: a, Content_Length: 5 @46" },
    { FIELD("Content-Length: 5\r\n 6"),
      "BAD 44 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("Content-Length: 5\n"), "BAD 42 bad_request: a field line that ends in LF without CR" },
    { FIELD(" Content-Length: 5"),
      "BAD 25 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("Content-Length: \x0b"
            "5"),
      "BAD 41 bad_request: a control byte in a field value" },
    { FIELD("Content-Length: 6\r\nTransfer-Encoding: chunked"),
      "BAD 44 bad_request: Content-Length together with Transfer-Encoding" },
    { FIELD("Transfer-Encoding: chunked\r\nContent-Length: 6"),
      "BAD 25 bad_request: Content-Length together with Transfer-Encoding" },
    { FIELD("Content-Length: 6\r\nTransfer-Encoding: identity"),
      "BAD 44 bad_request: Content-Length together with Transfer-Encoding" },
    { FIELD("Content-Length: 6\r\nTransfer-Encoding: x"),
      "BAD 44 bad_request: Content-Length together with Transfer-Encoding" },
    { FIELD("Content-Length: 6\r\nTransfer-Encoding:"),
      "BAD 44 bad_request: Content-Length together with Transfer-Encoding" },
    { FIELD("Content-Length: x\r\nTransfer-Encoding: chunked"),
      "BAD 41 bad_request: a Content-Length that is not one number below 2^63" },
    { FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
      "BAD 25 bad_request: a Transfer-Encoding in which something follows chunked" },
    { FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
      "BAD 25 bad_request: a Transfer-Encoding in which something follows chunked" },
    { FIELD("Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
      "BAD 44 coding_not_supported: a transfer coding other than chunked" },
    { FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
      "BAD 25 bad_request: a Transfer-Encoding in which something follows chunked" },
    { FIELD("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
      "BAD 44 coding_not_supported: a transfer coding other than chunked" },
    { FIELD("Transfer-Encoding: chunked, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding in which something follows chunked" },
    { FIELD("Transfer-Encoding: chunked, identity"),
      "BAD 25 bad_request: a Transfer-Encoding in which something follows chunked" },
    { FIELD("Transfer-Encoding: identity, chunked"),
      "BAD 44 coding_not_supported: a transfer coding other than chunked" },
    { FIELD("Transfer-Encoding: gzip, chunked"),
      "BAD 44 coding_not_supported: a transfer coding other than chunked" },
    { FIELD("Transfer-Encoding: gzip;q=1 , chunked"),
      "BAD 44 coding_not_supported: a transfer coding other than chunked" },
    { FIELD("Transfer-Encoding: chunked, gzip"),
      "BAD 25 bad_request: a Transfer-Encoding in which something follows chunked" },
    { FIELD("Transfer-Encoding: gzip"),
      "BAD 25 bad_request: a Transfer-Encoding that does not end in chunked" },
    { FIELD("Transfer-Encoding: identity"),
      "BAD 25 bad_request: a Transfer-Encoding that does not end in chunked" },
    { FIELD("Transfer-Encoding:"), "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: ,"), "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: chunked,"), "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: ,chunked"), "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: , , chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: x,,chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: xchunked"),
      "BAD 25 bad_request: a Transfer-Encoding that does not end in chunked" },
    { FIELD("Transfer-Encoding: chunkedx"),
      "BAD 25 bad_request: a Transfer-Encoding that does not end in chunked" },
    { FIELD("Transfer-Encoding: chunk"),
      "BAD 25 bad_request: a Transfer-Encoding that does not end in chunked" },
    { FIELD("Transfer-Encoding: x chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: chunked x"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: \"chunked\""),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: 'chunked'"),
      "BAD 25 bad_request: a Transfer-Encoding that does not end in chunked" },
    { FIELD("Transfer-Encoding: chunked;"), "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: chunked;x=y"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: chunked ;x=y, gzip, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: x;y=\"a, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: x;=y, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: x;y, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: x;y=, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: x y=z, chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding : chunked"),
      "BAD 42 bad_request: white space in a field name or before its colon" },
    { FIELD("Transfer-Encoding\t: chunked"),
      "BAD 42 bad_request: white space in a field name or before its colon" },
    { FIELD(" Transfer-Encoding: chunked"),
      "BAD 25 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("Transfer-Encoding: \x0b"
            "chunked"),
      "BAD 44 bad_request: a control byte in a field value" },
    { FIELD("Transfer-Encoding: chunked\0"), "BAD 51 bad_request: a NUL byte in a field value" },
    { FIELD("Transfer-Encoding\0: chunked"), "BAD 42 bad_request: a byte that no field name may have" },
    { FIELD("Transfer-Encoding: \x00"
            "chunked"),
      "BAD 44 bad_request: a NUL byte in a field value" },
    { FIELD("Transfer-Encoding:\n chunked"), "BAD 43 bad_request: a field line that ends in LF without CR" },
    { FIELD("Transfer-Encoding:\r\n chunked"),
      "BAD 45 bad_request: a line that begins with white space (obs-fold is not accepted)" },
    { FIELD("X: y\nTransfer-Encoding: chunked"),
      "BAD 29 bad_request: a field line that ends in LF without CR" },
    { FIELD("X: y\rTransfer-Encoding: chunked"), "BAD 29 bad_request: a CR without LF in a field value" },
    { FIELD("Transfer-Encoding: chunked\xa0"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer-Encoding: \x85"
            "chunked"),
      "BAD 25 bad_request: a Transfer-Encoding that cannot be parsed" },
    { FIELD("Transfer_Encoding: chunked"), "GET / host=a keep |Host: a, Transfer_Encoding: chunked @55" },
    { FIELD("Transfer-Encoding\xa0: chunked"), "BAD 42 bad_request: a byte that no field name may have" },
    { FIELD("Transfer Encoding: chunked"),
      "BAD 33 bad_request: white space in a field name or before its colon" },
    { FIELD("Transfer-\xc5\x90ncoding: chunked"), "BAD 34 bad_request: a byte that no field name may have" },
    { WHOLE("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n"),
      "POST / 1.0 length=5 close |Content-Length: 5 @38" },
    { WHOLE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "BAD 17 bad_request: Transfer-Encoding in an HTTP/1.0 message" },
    { WHOLE("POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n"),
      "BAD 17 bad_request: Transfer-Encoding in an HTTP/1.0 message" },
    { WHOLE("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: "
            "chunked\r\n\r\n"),
      "BAD 60 bad_request: Content-Length together with Transfer-Encoding" },
};

/* Connection, Upgrade, Expect and the hop-by-hop fields. */
static const struct row connections[] = {
    { FIELD("Connection: close"), "GET / host=a close |Host: a, -Connection: close @46" },
    { FIELD("Connection: CLOSE"), "GET / host=a close |Host: a, -Connection: CLOSE @46" },
    { FIELD("Connection: keep-alive"), "GET / host=a keep |Host: a, -Connection: keep-alive @51" },
    { FIELD("Connection: close, keep-alive"),
      "GET / host=a close |Host: a, -Connection: close, keep-alive @58" },
    { FIELD("Connection: keep-alive\r\nConnection: Close"),
      "GET / host=a close |Host: a, -Connection: keep-alive, -Connection: Close @70" },
    { FIELD("Connection:"), "GET / host=a keep |Host: a, -Connection:  @40" },
    { FIELD("Connection: ,,close,"), "GET / host=a close |Host: a, -Connection: ,,close, @49" },
    { FIELD("Connection: closed"), "GET / host=a keep |Host: a, -Connection: closed @47" },
    { WHOLE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
      "GET / 1.0 keep |-Connection: keep-alive @42" },
    { WHOLE("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n"),
      "GET / 1.0 close |-Connection: Keep-Alive, close @49" },
    { WHOLE("GET / HTTP/1.0\r\nConnection: x\r\nConnection: y,Keep-Alive\r\n\r\n"),
      "GET / 1.0 keep |-Connection: x, -Connection: y,Keep-Alive @59" },
    { FIELD("X-A: 1\r\nConnection: x-a, X-B\r\nx-b: 2\r\nX-C: 3\r\nX-A: 4"),
      "GET / host=a keep |Host: a, -X-A: 1, -Connection: x-a, X-B, -x-b: 2, X-C: 3, -X-A: 4 @81" },
    { FIELD("Connection: \"x-a, x-b\"\r\nX-A: 1\r\nX-B: 2"),
      "GET / host=a keep |Host: a, -Connection: \"x-a, x-b\", X-A: 1, X-B: 2 @67" },
    { FIELD("Connection: x a\r\nX: 1\r\nA: 2"),
      "GET / host=a keep |Host: a, -Connection: x a, X: 1, A: 2 @56" },
    { FIELD("Connection: host"), "BAD 37 bad_request: Connection names Host" },
    { FIELD("Connection: close, Content-Length\r\nContent-Length: 5"),
      "BAD 44 bad_request: Connection names Content-Length" },
    { FIELD("Connection: transfer-encoding\r\nTransfer-Encoding: chunked"),
      "BAD 37 bad_request: Connection names Transfer-Encoding" },
    { FIELD("Connection: content-length"), "BAD 37 bad_request: Connection names Content-Length" },
    { FIELD("Connection: authorization, cookie\r\nAuthorization: a\r\nCookie: b"),
      "GET / host=a keep |Host: a, -Connection: authorization, cookie, -Authorization: a, -Cookie: b @91" },
    { FIELD("Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\nA: 1"),
      "GET / host=a keep |Host: a, -Connection: "
      "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a, -A: 1 @110" },
    { FIELD("Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\nA: 1"),
      "BAD 101 bad_request: Connection has more than 32 options" },
    { FIELD("Connection: "
            ",close,close,close,close,close,close,close,close,close,close,close,close,close,close,close,"
            "close,close,close,close,close\r\nConnection: "
            ",close,close,close,close,close,close,close,close,close,close,close,close,close"),
      "BAD 244 bad_request: Connection has more than 32 options" },
    { FIELD("Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X"),
      "GET / host=a keep |Host: a, -Keep-Alive: timeout=5, -Proxy-Connection: keep-alive, -TE: trailers, "
      "Trailer: X @106" },
    { FIELD("Proxy-Authorization: x\r\nVia: 1.1 b"),
      "GET / host=a keep |Host: a, Proxy-Authorization: x, Via: 1.1 b @63" },
    { FIELD("Connection: upgrade\r\nUpgrade: websocket"),
      "GET / host=a keep upgrade=websocket |Host: a, -Connection: upgrade, -Upgrade: websocket @68" },
    { FIELD("Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket"),
      "GET / host=a keep upgrade=h2c, websocket |Host: a, -Connection: keep-alive, Upgrade, -Upgrade: h2c, "
      "websocket @85" },
    { FIELD("Upgrade: websocket"), "GET / host=a keep |Host: a, -Upgrade: websocket @47" },
    { FIELD("Connection: upgrade"), "GET / host=a keep |Host: a, -Connection: upgrade @48" },
    { FIELD("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b"),
      "GET / host=a keep |Host: a, -Connection: upgrade, -Upgrade: a, -Upgrade: b @72" },
    { WHOLE("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
      "GET / 1.0 close |-Connection: upgrade, -Upgrade: websocket @59" },
    { FIELD("Expect: 100-continue\r\nContent-Length: 5"),
      "GET / host=a length=5 keep continue |Host: a, Expect: 100-continue, Content-Length: 5 @68" },
    { FIELD("Expect: 100-Continue\r\nTransfer-Encoding: chunked"),
      "GET / host=a chunked keep continue |Host: a, Expect: 100-Continue, -Transfer-Encoding: chunked @77" },
    { FIELD("Expect: 100-continue"), "GET / host=a keep |Host: a, Expect: 100-continue @49" },
    { FIELD("Expect: 200-ok"), "BAD 33 expectation_failed: an expectation other than 100-continue" },
    { FIELD("Expect:"), "BAD 32 expectation_failed: an expectation other than 100-continue" },
    { FIELD("Expect: 100-continue, x"), "BAD 33 expectation_failed: an expectation other than 100-continue" },
    { FIELD("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1"),
      "GET / host=a length=1 keep continue |Host: a, Expect: 100-continue, Expect: 100-continue, "
      "Content-Length: 1 @90" },
    { WHOLE("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
      "POST / 1.0 length=5 close |Expect: 100-continue, Content-Length: 5 @60" },
    { FIELD("Content-Length: x\r\nHost: b\r\nA: \n"),
      "BAD 56 bad_request: a field line that ends in LF without CR" },
    { FIELD("Expect: x\r\nContent-Length: x"),
      "BAD 33 expectation_failed: an expectation other than 100-continue" },
};

/* Status lines, fields and framing of responses. */
static const struct row responses[] = {
    { WHOLE("HTTP/1.1 200 OK\r\n\r\n"), "200 reason=OK until-close close | @19" },
    { WHOLE("HTTP/1.0 200 OK\r\n\r\n"), "200 reason=OK 1.0 until-close close | @19" },
    { WHOLE("HTTP/1.1 200 \r\n\r\n"), "200 until-close close | @17" },
    { WHOLE("HTTP/1.1 200\r\n\r\n"), "200 until-close close | @16" },
    { WHOLE("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
      "404 reason=Not Found length=0 keep |Content-Length: 0 @45" },
    { WHOLE("HTTP/1.1 200 \xc3\xa9t\xe9\t!\r\n\r\n"),
      "200 reason=\303\251t\351\011! until-close close | @23" },
    { WHOLE("HTTP/1.1 999 Odd\r\n\r\n"), "999 reason=Odd until-close close | @20" },
    { WHOLE("HTTP/1.1 100 Continue\r\n\r\n"), "100 reason=Continue bodiless keep | @25" },
    { WHOLE("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"),
      "103 reason=Early Hints bodiless keep |Link: </a> @40" },
    { WHOLE("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
      "101 reason=Switching Protocols bodiless keep upgrade=websocket |-Connection: upgrade, -Upgrade: "
      "websocket @77" },
    { WHOLE("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
      "204 reason=No Content length=5 bodiless keep |Content-Length: 5 @46" },
    { WHOLE("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
      "304 reason=Not Modified length=5 bodiless keep |Content-Length: 5 @48" },
    { WHOLE("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "204 reason=No Content bodiless keep |-Transfer-Encoding: chunked @55" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
      "200 reason=OK length=5 keep |Content-Length: 5 @38" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "200 reason=OK chunked keep |-Transfer-Encoding: chunked @47" },
    { WHOLE("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
      "200 reason=OK until-close close |-Connection: close @38" },
    { WHOLE("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"),
      "200 reason=OK 1.0 length=5 keep |Content-Length: 5, -Connection: keep-alive @62" },
    { WHOLE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"),
      "200 reason=OK 1.0 until-close close |-Connection: keep-alive @43" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=100\r\n\r\n"),
      "200 reason=OK length=0 keep timeout=5 max=100 |Content-Length: 0, -Keep-Alive: timeout=5, max=100 "
      "@70" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: MAX=7,Timeout=60\r\n\r\n"),
      "200 reason=OK length=0 keep timeout=60 max=7 |Content-Length: 0, -Keep-Alive: MAX=7,Timeout=60 @68" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=x, max=-1, timeout\r\n\r\n"),
      "200 reason=OK length=0 keep |Content-Length: 0, -Keep-Alive: timeout=x, max=-1, timeout @78" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=1234567890, max=0\r\n\r\n"),
      "200 reason=OK length=0 keep max=0 |Content-Length: 0, -Keep-Alive: timeout=1234567890, max=0 @77" },
    { WHOLE("HTTP/1.1 200 OK\r\nHost: a\r\nHost: b c\r\nExpect: x\r\nContent-Length: 0\r\n\r\n"),
      "200 reason=OK length=0 keep |Host: a, Host: b c, Expect: x, Content-Length: 0 @69" },
    { WHOLE("HTTP/1.1 200 OK\r\nConnection: x-a, Transfer-Encoding\r\nX-A: 1\r\nTransfer-Encoding: "
            "chunked\r\n\r\n"),
      "200 reason=OK chunked keep |-Connection: x-a, Transfer-Encoding, -X-A: 1, -Transfer-Encoding: chunked "
      "@91" },
    { WHOLE("HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 0\r\n\r\n"),
      "BAD 29 bad_response: Connection names Content-Length" },
    { WHOLE("HTTP/1.1 200 OK\r\nTrailer: X\r\nProxy-Authenticate: Basic\r\nContent-Length: 1\r\n\r\n"),
      "200 reason=OK length=1 keep |Trailer: X, Proxy-Authenticate: Basic, Content-Length: 1 @77" },
    { WHOLE(""), "MORE" },
    { WHOLE("H"), "MORE" },
    { WHOLE("HTTP/1.1 20"), "MORE" },
    { WHOLE("HTTP/1.1 200"), "MORE" },
    { WHOLE("HTTP/1.1 200 O"), "MORE" },
    { WHOLE("HTTP/1.1 200 OK\r"), "MORE" },
    { WHOLE("HTTP/1.1 200 OK\r\nA: b\r\n"), "MORE" },
    { WHOLE("\r\nHTTP/1.1 200 OK\r\n\r\n"),
      "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    { WHOLE("HTTP/1.2 200 OK\r\n\r\n"),
      "BAD 5 bad_response: a response of a version other than HTTP/1.0 and 1.1" },
    { WHOLE("HTTP/2.0 200 OK\r\n\r\n"),
      "BAD 5 bad_response: a response of a version other than HTTP/1.0 and 1.1" },
    { WHOLE("HTTP/0.9 200 OK\r\n\r\n"),
      "BAD 5 bad_response: a response of a version other than HTTP/1.0 and 1.1" },
    { WHOLE("http/1.1 200 OK\r\n\r\n"),
      "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    { WHOLE("HTTP/1.1  200 OK\r\n\r\n"),
      "BAD 9 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1\t200 OK\r\n\r\n"),
      "BAD 8 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1 20 OK\r\n\r\n"),
      "BAD 11 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1 2000 OK\r\n\r\n"),
      "BAD 12 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1 099 OK\r\n\r\n"), "BAD 9 bad_response: a status below 100" },
    { WHOLE("HTTP/1.1 -20 OK\r\n\r\n"),
      "BAD 9 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1 2x0 OK\r\n\r\n"),
      "BAD 10 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1 200OK\r\n\r\n"),
      "BAD 12 bad_response: a status line without a status of three digits" },
    { WHOLE("HTTP/1.1 200\n\n"), "BAD 12 bad_response: a status line that ends in LF without CR" },
    { WHOLE("HTTP/1.1 200 OK\n\n"), "BAD 15 bad_response: a status line that ends in LF without CR" },
    { WHOLE("HTTP/1.1 200 OK\rX\r\n\r\n"), "BAD 15 bad_response: a control byte in the status line" },
    { WHOLE("HTTP/1.1 200 O\0K\r\n\r\n"), "BAD 14 bad_response: a control byte in the status line" },
    { WHOLE("HTTP/1.1 200 O\x7fK\r\n\r\n"), "BAD 14 bad_response: a control byte in the status line" },
    { WHOLE("HTTP/1.1\r\n\r\n"), "BAD 8 bad_response: a status line without a status of three digits" },
    { WHOLE("ICY 200 OK\r\n\r\n"),
      "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    { WHOLE("SSH-2.0-OpenSSH_9.2\r\n"),
      "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    { WHOLE("<html>"), "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    { WHOLE("\x15\x03\x03\x00\x02\x02\x28"),
      "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    { WHOLE("220 mail.example ESMTP\r\n"),
      "BAD 0 bad_response: something that is not HTTP/1 where a status line should be" },
    /* To be stripped (RFC 9112 5.1). */
    { WHOLE("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), "200 reason=OK until-close close |A: b @26" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length \t \t: 5\r\n\r\n"),
      "200 reason=OK length=5 keep |Content-Length: 5 @42" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n"),
      "200 reason=OK chunked keep |-Transfer-Encoding: chunked @48" },
    { WHOLE("HTTP/1.1 200 OK\r\nA \r\n\r\n"), "BAD 19 bad_response: white space in a field name" },
    { WHOLE("HTTP/1.1 200 OK\r\n : b\r\n\r\n"),
      "BAD 17 bad_response: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"),
      "BAD 23 bad_response: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("HTTP/1.1 200 OK\r\n A: b\r\n\r\n"),
      "BAD 17 bad_response: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("HTTP/1.1 200 OK\r\n: b\r\n\r\n"), "BAD 17 bad_response: a field without a name" },
    { WHOLE("HTTP/1.1 200 OK\r\nA\r\n\r\n"), "BAD 18 bad_response: a field line without a colon" },
    { WHOLE("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n"), "BAD 21 bad_response: a NUL byte in a field value" },
    { WHOLE("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"), "BAD 21 bad_response: a CR without LF in a field value" },
    { WHOLE("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n"),
      "BAD 21 bad_response: a field line that ends in LF without CR" },
    { WHOLE("HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n"), "BAD 20 bad_response: a control byte in a field value" },
    { WHOLE("HTTP/1.1 200 OK\r\nA B: c\r\n\r\n"), "BAD 19 bad_response: white space in a field name" },
    { WHOLE("HTTP/1.1 200 OK\r\nA  B : c\r\n\r\n"), "BAD 20 bad_response: white space in a field name" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
      "BAD 33 bad_response: a Content-Length that is not one number below 2^63" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
      "BAD 33 bad_response: a Content-Length that is not one number below 2^63" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
      "BAD 36 bad_response: more than one Content-Length" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
      "BAD 36 bad_response: more than one Content-Length" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
      "BAD 33 bad_response: a Content-Length that is not one number below 2^63" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
      "BAD 32 bad_response: a Content-Length that is not one number below 2^63" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n"),
      "BAD 33 bad_response: a Content-Length that is not one number below 2^63" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "BAD 36 bad_response: Content-Length together with Transfer-Encoding" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
      "BAD 17 bad_response: a response in a transfer coding other than chunked" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding that does not end in chunked" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding in which something follows chunked" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding in which something follows chunked" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding that does not end in chunked" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding that cannot be parsed" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: x y\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding that cannot be parsed" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n"),
      "BAD 17 bad_response: a Transfer-Encoding that cannot be parsed" },
    { WHOLE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "BAD 17 bad_response: Transfer-Encoding in an HTTP/1.0 message" },
    { WHOLE("HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n"),
      "BAD 41 bad_response: a Content-Length that is not one number below 2^63" },
    { WHOLE("HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok"),
      "200 reason=OK length=2 keep upgrade=h2c |-Connection: upgrade, -Upgrade: h2c, Content-Length: 2 @73" },
};

/* HEAD has no body, whatever is said of one. */
static const struct row responses_to_head[] = {
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
      "200 reason=OK length=5 bodiless keep |Content-Length: 5 @38" },
    { WHOLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "200 reason=OK bodiless keep |-Transfer-Encoding: chunked @47" },
    { WHOLE("HTTP/1.1 200 OK\r\n\r\n"), "200 reason=OK bodiless keep | @19" },
    { WHOLE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "BAD 36 bad_response: Content-Length together with Transfer-Encoding" },
};

static const struct h1_limits limits = { .head_max = 1024, .field_max = 40 };

static void check_pieces(const struct row *row, struct h1_play play, size_t first, size_t step)
{
    char room[4096];
    struct text out = text_over(room, sizeof(room));
    play.first = first;
    play.step = step;
    h1_render_head(&out, row->bytes, &play);
    if (strcmp(text_cstr(&out), row->line) == 0) return;
    fail_msg("%.*s\n in pieces of %zu, then %zu:\n gives %s\n   not %s", SLICE_ARGS(row->bytes), first, step,
             room, row->line);
}

static void check_row(const struct row *row, struct h1_play play)
{
    size_t len = row->bytes.len;
    check_pieces(row, play, len, len);
    for (size_t cut = 1; cut < len; cut++) check_pieces(row, play, cut, len);
    for (size_t step = 1; step < 8; step++) check_pieces(row, play, step, step);
}

static void check_requests(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) check_row(&rows[i], (struct h1_play){ .limits = &limits });
}

static void check_responses(const struct row *rows, size_t count, enum http_method to)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i], (struct h1_play){ .limits = &limits, .is_response = true, .to = to });
}

static void request_lines_are_strict(void **state)
{
    (void)state;
    check_requests(request_lines, COUNT(request_lines));
}

static void targets_have_one_of_four_forms(void **state)
{
    (void)state;
    check_requests(targets, COUNT(targets));
}

static void one_host_names_a_host(void **state)
{
    (void)state;
    check_requests(hosts, COUNT(hosts));
}

static void field_lines_are_strict(void **state)
{
    (void)state;
    check_requests(field_lines, COUNT(field_lines));
}

static void framing_that_two_could_read_differently_is_refused(void **state)
{
    (void)state;
    check_requests(framings, COUNT(framings));
}

static void connection_options_are_understood(void **state)
{
    (void)state;
    check_requests(connections, COUNT(connections));
}

static void responses_are_strict(void **state)
{
    (void)state;
    check_responses(responses, COUNT(responses), HTTP_GET);
}

static void responses_to_head_have_no_body(void **state)
{
    (void)state;
    check_responses(responses_to_head, COUNT(responses_to_head), HTTP_HEAD);
}

/* "GET /aaa… HTTP/1.1", Host and `field_count` fields "A: b", `len` bytes in all: the target is as long as
 * it takes. */
static struct slice make_request(char *room, size_t len, unsigned field_count)
{
    static const char before[] = "GET /", behind[] = " HTTP/1.1\r\nHost: a\r\n";
    size_t at = len - 2 - 6 * field_count - (sizeof(behind) - 1);
    memset(room, 'a', len);
    memcpy(room, before, sizeof(before) - 1);
    memcpy(room + at, behind, sizeof(behind) - 1);
    at += sizeof(behind) - 1;
    for (unsigned i = 0; i < field_count; i++, at += 6) memcpy(room + at, "A: b\r\n", 6);
    memcpy(room + at, "\r\n", 2);
    return (struct slice){ room, len };
}

static void check_limit(struct slice bytes, const struct h1_limits *limit, const char *line)
{
    struct row row = { bytes, line };
    check_row(&row, (struct h1_play){ .limits = limit });
}

static void a_head_may_be_as_long_as_the_limit(void **state)
{
    (void)state;
    char room[256];
    const struct h1_limits limit = { .head_max = 60, .field_max = 3 };
    check_limit(make_request(room, 60, 1), &limit,
                "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaa host=a keep |Host: a, A: b @60");
    check_limit(make_request(room, 61, 1), &limit, "BAD 60 head_too_large: a head longer than the limit");
    check_limit(make_request(room, 200, 0), &limit,
                "BAD 60 target_too_long: a request line longer than the limit for a head");
    check_limit((struct slice)WHOLE("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n"),
                &limit, "BAD 60 target_too_long: a request line longer than the limit for a head");
    check_limit(
        (struct slice)WHOLE("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: a\r\n\r\n"),
        &limit, "BAD 60 head_too_large: a head longer than the limit");
    check_limit((struct slice)WHOLE("GETGETGET"), &(struct h1_limits){ .head_max = 8, .field_max = 3 },
                "BAD 8 head_too_large: a head longer than the limit");
    /* What is wrong within the limit is found there. */
    check_limit((struct slice)WHOLE(
                    "GET / HTTP/1.1\r\nHost: a\r\nA : bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"),
                &limit, "BAD 26 bad_request: white space in a field name or before its colon");
}

static void fields_may_be_as_many_as_the_limit(void **state)
{
    (void)state;
    char room[256];
    const struct h1_limits limit = { .head_max = 256, .field_max = 3 };
    check_limit(make_request(room, 60, 2), &limit,
                "GET /aaaaaaaaaaaaaaaaaaaaa host=a keep |Host: a, A: b, A: b @60");
    check_limit(make_request(room, 60, 3), &limit, "BAD 52 head_too_large: more fields than the limit");
    check_limit(make_request(room, 240, 25), &limit, "BAD 100 head_too_large: more fields than the limit");
}

static void a_response_head_over_the_limit_says_so(void **state)
{
    (void)state;
    const struct h1_limits limit = { .head_max = 32, .field_max = 1 };
    struct h1_play play = { .limits = &limit, .is_response = true };
    check_row(&(struct row){ WHOLE("HTTP/1.1 200 OK\r\nA: 0123456789abcdef\r\n\r\n"),
                             "BAD 32 response_head_too_large: a head longer than the limit" },
              play);
    check_row(&(struct row){ WHOLE("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"),
                             "BAD 23 response_head_too_large: more fields than the limit" },
              play);
}

static void a_field_name_has_at_most_65535_bytes(void **state)
{
    (void)state;
    static char room[70000];
    static const char before[] = "GET / HTTP/1.1\r\nHost: a\r\n";
    const struct h1_limits limit = { .head_max = 1 << 20, .field_max = 3 };
    struct http_field fields[3];
    struct h1_progress progress = { 0 };
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault = { 0 };
    uint32_t head_len;
    size_t start = sizeof(before) - 1;
    memset(room, 'n', sizeof(room));
    memcpy(room, before, start);
    memcpy(room + start + 65535, ": v\r\n\r\n", 7);
    assert_int_equal(h1_parse_request(&progress, (struct slice){ room, sizeof(room) }, &limit, fields, &head,
                                      &framing, &head_len, &fault),
                     H1_DONE);
    assert_int_equal(fields[1].name_len, 65535);
    memcpy(room + start + 65535, "n: v\r\n\r\n", 8);
    progress = (struct h1_progress){ 0 };
    assert_int_equal(h1_parse_request(&progress, (struct slice){ room, sizeof(room) }, &limit, fields, &head,
                                      &framing, &head_len, &fault),
                     H1_BAD);
    assert_int_equal(fault.offset, start + 65535);
}

/* A client that sends a long head a byte at a time does not make weir look at it again and again. */
static void a_trickled_head_is_looked_at_once(void **state)
{
    (void)state;
    static char room[60000];
    const struct h1_limits limit = { .head_max = 64 << 10, .field_max = 128 };
    struct http_field fields[128];
    struct h1_progress progress = { 0 };
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t head_len;
    struct slice bytes = make_request(room, sizeof(room), 100);
    for (size_t len = 1; len < bytes.len; len++) {
        assert_int_equal(h1_parse_request(&progress, (struct slice){ room, len }, &limit, fields, &head,
                                          &framing, &head_len, &fault),
                         H1_MORE);
        assert_in_range(len - progress.scanned, 0, 9);
    }
    assert_int_equal(h1_parse_request(&progress, bytes, &limit, fields, &head, &framing, &head_len, &fault),
                     H1_DONE);
    assert_int_equal(head.field_count, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines_are_strict),
        cmocka_unit_test(targets_have_one_of_four_forms),
        cmocka_unit_test(one_host_names_a_host),
        cmocka_unit_test(field_lines_are_strict),
        cmocka_unit_test(framing_that_two_could_read_differently_is_refused),
        cmocka_unit_test(connection_options_are_understood),
        cmocka_unit_test(responses_are_strict),
        cmocka_unit_test(responses_to_head_have_no_body),
        cmocka_unit_test(a_head_may_be_as_long_as_the_limit),
        cmocka_unit_test(fields_may_be_as_many_as_the_limit),
        cmocka_unit_test(a_response_head_over_the_limit_says_so),
        cmocka_unit_test(a_field_name_has_at_most_65535_bytes),
        cmocka_unit_test(a_trickled_head_is_looked_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
