/* Spans of two workers, and a collector over a socket of the test's own, which answers when the test says so. */
#include "record/span_export.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

#include "net/loopback.h"

#define REQUEST_MAX ((size_t)4 << 20)
#define WAIT_MS 20000 /* far beyond what anything takes */

struct scene {
    struct tracing_conf conf;
    struct metric_registry *metrics;
    struct span_export *spans;
    int listener, connection;
    char *request; /* the last one */
};

static const char *no_name(void *ctx, uint32_t id)
{
    (void)ctx, (void)id;
    return NULL;
}

static const struct span_source source = { "weir", "1", "here", 1, { .name_of = no_name } };

static void scene_open(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->listener = loopback_open(SOCK_STREAM, &s->conf.endpoint.address);
    snprintf(s->conf.endpoint.host, sizeof(s->conf.endpoint.host), "here");
    snprintf(s->conf.endpoint.path, sizeof(s->conf.endpoint.path), "/v1/traces");
    s->connection = -1;
    s->request = malloc(REQUEST_MAX);
    assert_int_equal(metric_registry_new(&s->metrics, 1, 100, &err), 0);
    assert_int_equal(span_export_open(&s->spans, &s->conf, &source, 2, s->metrics, &err), 0);
}

static void scene_close(struct scene *s)
{
    if (s->connection >= 0) close(s->connection);
    close(s->listener);
    span_export_close(s->spans);
    metric_registry_free(s->metrics);
    free(s->request);
}

static bool is_ready(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, WAIT_MS) == 1;
}

static bool is_whole(const char *request)
{
    const char *body = strstr(request, "\r\n\r\n"), *length = strstr(request, "Content-Length: ");
    return body && length && strlen(body + 4) == strtoul(length + 16, NULL, 10);
}

/* The next request, whole and not answered yet. */
static void hear(struct scene *s)
{
    size_t len = 0;
    assert_true(is_ready(s->listener));
    s->connection = accept(s->listener, NULL, NULL);
    assert_true(s->connection >= 0);
    s->request[0] = 0;
    while (!is_whole(s->request)) {
        assert_true(is_ready(s->connection));
        ssize_t got = recv(s->connection, s->request + len, REQUEST_MAX - len - 1, 0);
        assert_true(got > 0);
        len += (size_t)got;
        s->request[len] = 0;
    }
}

static void answer(struct scene *s)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    /* Whoever did not wait for so long is not there any more. */
    (void)send(s->connection, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
    close(s->connection);
    s->connection = -1;
}

static void put(struct scene *s, uint32_t worker, const char *trace)
{
    struct span_record r = { .context = { .span_id = "span" } };
    memcpy(r.context.trace_id, trace, strlen(trace));
    flight_init(&r.flight);
    span_ring_put(span_export_ring(s->spans, worker), &r);
}

static void a_worker_with_much_to_send_leaves_room_for_the_others(void **state)
{
    (void)state;
    struct scene s;
    char other[TRACE_ID_TEXT + 1];
    trace_id_print((const uint8_t *)"other\0\0\0\0\0\0\0\0\0\0", TRACE_ID_BYTES, other);
    scene_open(&s);
    for (unsigned i = 0; i < SPAN_RING_PLACES; i++) put(&s, 0, "much");
    hear(&s);
    put(&s, 1, "other");
    bool has_come = false;
    for (unsigned batch = 0; batch < 4 && !has_come; batch++) {
        for (unsigned i = 0; i < SPAN_RING_PLACES; i++) put(&s, 0, "much"); /* it is full again */
        answer(&s);
        hear(&s);
        has_come = strstr(s.request, other) != NULL;
    }
    assert_true(has_come);
    scene_close(&s);
}

static void a_stop_is_heard_while_the_collector_hangs(void **state)
{
    (void)state;
    struct scene s;
    char rest;
    scene_open(&s);
    put(&s, 0, "one");
    hear(&s);
    span_export_close(s.spans);
    s.spans = NULL;
    assert_int_equal(recv(s.connection, &rest, 1, MSG_DONTWAIT), 0);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_with_much_to_send_leaves_room_for_the_others),
        cmocka_unit_test(a_stop_is_heard_while_the_collector_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
