/* net/proxy_protocol.h: HAProxy's PROXY protocol, versions 1 and 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt): the few
 * bytes before everything else on a connection by which one proxy tells the next who its client is. Any thread. */
#pragma once

#include "base/address.h"

/* Of version 2 with all that is added to it: a longer one is refused. */
#define PROXY_HEADER_MAX 4096u
/* The longest that is written, of either version (2.1). */
#define PROXY_HEADER_WRITTEN_MAX 108u

enum proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

enum proxy_header_result { PROXY_HEADER_MORE, PROXY_HEADER_OK, PROXY_HEADER_BAD };

struct proxy_header {
    uint32_t len;    /* of it; what follows is the connection's own */
    bool has_client; /* else the sender speaks for itself: the client is whoever is connected */
    struct address client;
};

/* Reads the header that `bytes` begin with. BAD: *detail, static, says why; as soon as that is known. */
enum proxy_header_result proxy_header_parse(struct slice bytes, struct proxy_header *out,
                                            const char **detail);
/* Writes one; returns its length. client: who is spoken for, connected to `server`; NULL: nobody, weir speaks for itself (a
 * health check). Addresses of other families than TCP's are written as unknown. */
size_t proxy_header_write(char out[PROXY_HEADER_WRITTEN_MAX], enum proxy_protocol version,
                          const struct address *client, const struct address *server);
