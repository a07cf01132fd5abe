/* admin/answer.h: what a handler gives back. Faults are problems of RFC 9457 with a sentence: place and
 * remedy. */
#pragma once

#include <stdint.h>

#include "base/json.h"
#include "conf/node.h"

/* The largest body of an answer. */
#define ANSWER_MAX (32u << 20)

struct block_pool;

/* One body for several answers; counted, on the control thread. */
struct answer_shared;

struct answer {
    uint16_t status;
    const char *content_type; /* static */
    char *body;               /* owned, unless it is shared's */
    size_t body_len;
    struct answer_shared *shared; /* a reference, or NULL */
    char allow[64];               /* of 405 and OPTIONS; else empty */
    char etag[48];                /* quoted; empty: none */
    const char *content_encoding; /* static, like the next; NULL: as it is */
    const char *policy;           /* Content-Security-Policy of a page; NULL: none */
    const char *cache_control;    /* NULL: no-store */
    const char *vary;             /* NULL: it depends on no field */
    char *location;               /* owned; of what a 201 is about; NULL: none */
    char cookie[192];             /* Set-Cookie; empty: none */
    char said[256];               /* of a problem: its sentence, for the audit trail */
    bool wants_credentials;       /* 401: say which */
    bool is_for_script;           /* of them none for which a browser would ask its user */
    bool is_pprof;                /* with the field by which Go's pprof knows its faults */
};

void answer_fini(struct answer *a);
/* Takes the text; a text that failed becomes a problem. */
void answer_json(struct answer *a, uint16_t status, struct json *text);
/* Takes `body`; NULL becomes a problem. */
void answer_body(struct answer *a, const char *content_type, char *body, size_t len);
/* Takes `body`, which draws on that thread's budget until its last reference goes. NULL: there is no room for it, or it is NULL. */
struct answer_shared *answer_shared_new(struct block_pool *blocks, char *body, size_t len);
void answer_shared_put(struct answer_shared *s); /* NULL is fine */
/* Takes a reference of its own; NULL becomes a problem. */
void answer_share(struct answer *a, const char *content_type, struct answer_shared *s);
/* Copies. */
void answer_text(struct answer *a, uint16_t status, const char *text);
void answer_problem(struct answer *a, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What `err` says, as a sentence. */
void answer_error(struct answer *a, uint16_t status, const struct err *err);
/* 400 with every fault and its place. */
void answer_faults(struct answer *a, const struct conf_faults *faults, const struct conf_tree *tree);
