/* health/probe.h: one check of one server, from the connection to the verdict. Whatever the server does, it ends within its
 * time-out, keeps at most PROBE_HEAD_MAX bytes of it, and takes no more than PROBE_TURN_BYTES in a turn of the loop. One loop's
 * thread.
 *
 * What is spoken is a kind's (probe_kind.h), over TLS if the server's other connections are. */
#pragma once

#include "base/address.h"
#include "health/check_conf.h"
#include "net/loop.h"
#include "net/proxy_protocol.h"
#include "tls/worker.h"

#define PROBE_WORDS_MAX 320
#define PROBE_HEAD_MAX (16u << 10)
#define PROBE_TURN_BYTES (64u << 10)

enum probe_result {
    PROBE_PASSED,
    PROBE_FAILED,
    PROBE_UNTRIED /* weir itself had no descriptor or memory: it says nothing of the server */
};

struct probe_verdict {
    enum probe_result result;
    uint16_t status; /* of an answer over HTTP; 0: none came */
    uint64_t took_ns;
    const char *words; /* what was seen: a sentence without capital and full stop; borrowed during the call */
};

struct probe;

/* TLS towards a server; all borrowed for as long as whoever checks it is. */
struct probe_tls {
    struct tls_worker *worker;  /* of the same loop */
    struct tls_upstream *rules; /* NULL: it is spoken to plain */
    const char *name;           /* that its certificate has to have; NULL: its address */
    bool wants_http2; /* by ALPN: a server that does not agree on it is of no use, whatever else it says */
};

struct probe_target {
    const struct address *to; /* borrowed for as long as the probe is, as what follows */
    const struct check_conf *conf;
    const char *host; /* where the check names none */
    struct probe_tls tls;
    enum proxy_protocol proxy_protocol; /* a header of this version comes first */
    /* Once, possibly within probe_start(): the probe is gone after it. */
    void (*on_end)(void *owner, const struct probe_verdict *v);
    void *owner;
};

/* NULL: it has ended already. */
struct probe *probe_start(struct loop *l, const struct probe_target *target);
/* Ends it without a verdict. */
void probe_cancel(struct probe *p);
