/* For tests of probes: one of a server that is the test, and what came of it. The clock is virtual: what takes long takes no time, and
 * what must not be late cannot be. */
#pragma once

#include <stddef.h>

#include "health/probe.h"
#include "net/loopback.h"

#define PROBING_TIMEOUT_MS 1000

struct probing {
    struct budget budget;
    struct loop loop;
    int socket; /* the server's */
    struct address server;
    struct check_conf conf; /* its times are set; what is asked is the test's */
    struct probe *probe;    /* NULL: it has ended */
    unsigned ends;
    struct probe_verdict verdict; /* of the latest end */
    char words[PROBE_WORDS_MAX];
};

/* type: SOCK_STREAM or SOCK_DGRAM. */
void probing_open(struct probing *p, int type);
/* Nothing is left of a probe, whether it has ended or not. */
void probing_close(struct probing *p);
void probing_begin(struct probing *p);
void probing_await_end(struct probing *p);
/* It has failed, in words with these among them. */
void probing_assert_failed(const struct probing *p, const char *words);
