/* health/probe_kind.h: what a check says and what it makes of the answer, by kind; for probe.c and the kinds alone. */
#pragma once

#include "health/probe.h"
#include "health/text_search.h"
#include "http/h1_body.h"
#include "net/transport.h"

enum probe_step { PROBE_GOES_ON, PROBE_IS_GOOD, PROBE_IS_BAD };

struct probe_kind {
    const char *alpn; /* what is offered over TLS; NULL: nothing is */
    bool
        is_of_datagrams; /* over UDP, to a connected socket: on_bytes() has one datagram each time, which may be empty */
    void (*begin)(struct probe *p); /* before anything else; NULL: there is nothing to do */
    /* What is sent once the connection is open; the same each time, or the same with more behind it. */
    void (*write)(const struct probe *p, struct text *out);
    /* It is sent. */
    enum probe_step (*sent)(struct probe *p);
    bool hears_first; /* the server may speak before it is asked */
    bool replies;     /* what is written may have grown after bytes came */
    bool is_http2;    /* over TLS the server has to agree on it */
    enum probe_step (*on_bytes)(struct probe *p, struct slice bytes);
    /* The server has closed. */
    enum probe_step (*on_close)(struct probe *p);
    /* What was waited for, when the time is over: "no answer to GET /healthz". */
    void (*awaited)(const struct probe *p, struct text *out);
    bool resets; /* how it closes: with a reset nothing is left of it on either side */
};

struct grpc_health;
extern const struct probe_kind probe_http_kind, probe_tcp_kind, probe_grpc_kind, probe_dns_kind,
    probe_udp_kind;

struct probe {
    struct transport transport; /* first */
    struct timer timer;
    struct loop_task more;
    struct loop_grave grave;
    struct loop *loop;
    struct probe_target target;
    const struct probe_kind *kind;
    uint64_t start_ns, received;
    size_t sent; /* of what the kind writes */
    bool is_asked, has_ended, is_introduced;
    uint16_t status;
    /* Datagrams that came and are no answer, and why the last was none; NULL: there was none. */
    uint64_t stray_count;
    const char *stray;
    uint16_t dns_id;
    struct text_search search;
    /* http */
    char *head; /* PROBE_HEAD_MAX bytes once some have come; owned */
    uint32_t head_len, interim_count;
    struct h1_progress progress;
    struct h1_body body;
    uint64_t body_left; /* of what is looked at */
    bool has_head;
    struct grpc_health *grpc; /* of the answer of one; owned; NULL until some has come */
    char words[PROBE_WORDS_MAX];
};

/* Sets the words, and is PROBE_IS_BAD. */
enum probe_step probe_says(struct probe *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
