/* tls/client_hello.h: the name that a TLS client asks for (SNI, RFC 6066 3), out of the first bytes that it sends, which stay as they
 * are: for passing TLS on by its name without taking part in it. Pure. */
#pragma once

#include "base/slice.h"

/* What a hello may take, its records' frames included; what browsers send has 2 KiB. */
#define CLIENT_HELLO_MAX (16u << 10)
#define CLIENT_HELLO_NAME_MAX 253u

enum client_hello_result {
    CLIENT_HELLO_MORE, /* it goes on */
    CLIENT_HELLO_WHOLE,
    CLIENT_HELLO_NOT_TLS, /* something else begins so */
    CLIENT_HELLO_BROKEN,  /* it is TLS, and no hello that a server would take; or it is too long */
};

struct client_hello {
    char name[CLIENT_HELLO_NAME_MAX + 1]; /* in lower case, terminated */
    size_t name_len;                      /* 0: it asks for none */
};

/* Everything that has come so far. However it is cut into records and segments, the result is the same. */
enum client_hello_result client_hello_read(struct slice bytes, struct client_hello *out);
