#include "health/probing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static void on_end(void *owner, const struct probe_verdict *v)
{
    struct probing *p = owner;
    p->ends++;
    p->probe = NULL;
    p->verdict = *v;
    snprintf(p->words, sizeof(p->words), "%s", v->words);
}

void probing_open(struct probing *p, int type)
{
    struct err err;
    memset(p, 0, sizeof(*p));
    p->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&p->loop, &p->budget, &err), 0);
    p->loop.is_virtual = true;
    p->conf =
        (struct check_conf){ .interval_ms = 5000, .changing_ms = 1000, .timeout_ms = PROBING_TIMEOUT_MS };
    p->socket = loopback_open(type, &p->server);
}

void probing_close(struct probing *p)
{
    if (p->probe) probe_cancel(p->probe);
    loop_turn(&p->loop, 0);
    assert_int_equal(p->loop.timers.count, 0);
    assert_int_equal(p->loop.fd_count, 0);
    close(p->socket);
    loop_fini(&p->loop);
}

void probing_begin(struct probing *p)
{
    const struct probe_target target = {
        .to = &p->server, .conf = &p->conf, .host = "10.0.0.1:80", .on_end = on_end, .owner = p
    };
    p->ends = 0;
    p->probe = probe_start(&p->loop, &target);
}

void probing_await_end(struct probing *p)
{
    UNTIL(p, p->ends);
    assert_int_equal(p->ends, 1);
}

void probing_assert_failed(const struct probing *p, const char *words)
{
    if (p->verdict.result != PROBE_FAILED || !strstr(p->words, words))
        fail_msg("result %d: %s, and not: %s", (int)p->verdict.result, p->words, words);
}
