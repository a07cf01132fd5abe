/* Answers to a health check over gRPC, as bytes; each is fed as a whole and byte by byte, with the same result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "health/grpc_health.h"
#include "http/h2_frame.h"

struct scene {
    struct budget budget;
    struct loop loop;
    char bytes[70000];
    struct text answer;
};

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->answer = text_over(s->bytes, sizeof(s->bytes));
}

static void close_scene(struct scene *s)
{
    loop_fini(&s->loop);
    assert_int_equal(s->budget.used, 0);
}

static void put(struct scene *s, enum h2_type type, unsigned flags, uint32_t stream, struct slice payload)
{
    const struct h2_frame f = {
        .len = (uint32_t)payload.len, .type = (uint8_t)type, .flags = (uint8_t)flags, .stream = stream
    };
    char head[H2_FRAME_HEAD];
    h2_frame_write(head, &f);
    text_add_slice(&s->answer, (struct slice){ head, sizeof(head) });
    text_add_slice(&s->answer, payload);
}

#define BYTES(text) ((struct slice){ (text), sizeof(text) - 1 })
/* RFC 7541: the static table's ":status: 200" is 8; a literal field is 0, and its name and value with their lengths in front. */
#define OK_HEAD              \
    BYTES("\x88\x00\x0c"     \
          "content-type\x10" \
          "application/grpc")
#define TRAILERS(status) BYTES("\x00\x0bgrpc-status" status)

static enum grpc_health_step end(struct scene *s, char words[256], size_t piece)
{
    struct grpc_health *g = grpc_health_new(&s->loop);
    assert_non_null(g);
    enum grpc_health_step step = GRPC_HEALTH_GOES_ON;
    for (size_t at = 0; at < s->answer.len && step == GRPC_HEALTH_GOES_ON; at += piece) {
        size_t left = s->answer.len - at;
        step = grpc_health_feed(g, (struct slice){ s->bytes + at, left < piece ? left : piece });
    }
    snprintf(words, 256, "%s", grpc_health_words(g));
    grpc_health_free(g);
    return step;
}

static void assert_end(struct scene *s, enum grpc_health_step step, const char *said)
{
    char words[256];
    for (size_t piece = 1; piece < s->answer.len + 7; piece += 7) {
        assert_int_equal(end(s, words, piece), step);
        if (!strstr(words, said)) fail_msg("in place of \"%s\" is said \"%s\"", said, words);
    }
}

static void begin(struct scene *s)
{
    open_scene(s);
    put(s, H2_SETTINGS, 0, 0, BYTES("\0\3\0\0\0\1"));
}

static void a_message_says_how_the_service_is(void **state)
{
    (void)state;
    static const struct {
        struct slice message;
        enum grpc_health_step step;
        const char *words;
    } rows[] = {
        { { "\0\0\0\0\2\x08\1", 7 }, GRPC_HEALTH_SERVING, "" },
        { { "\0\0\0\0\5\x12\1x\x08\1", 10 }, GRPC_HEALTH_SERVING, "" }, /* another field before */
        { { "\0\0\0\0\7\x15"
            "abcd\x08\1",
            12 },
          GRPC_HEALTH_SERVING,
          "" }, /* of 32 bits */
        { { "\0\0\0\0\x0b\x11"
            "abcdefgh\x08\1",
            16 },
          GRPC_HEALTH_SERVING,
          "" },                                                       /* of 64 */
        { { "\0\0\0\0\4\x08\2\x08\1", 9 }, GRPC_HEALTH_SERVING, "" }, /* the last counts */
        { { "\0\0\0\0\0", 5 }, GRPC_HEALTH_BAD, "state is UNKNOWN" },
        { { "\0\0\0\0\2\x08\2", 7 }, GRPC_HEALTH_BAD, "state is NOT_SERVING" },
        { { "\0\0\0\0\2\x08\3", 7 }, GRPC_HEALTH_BAD, "state is SERVICE_UNKNOWN" },
        { { "\0\0\0\0\3\x08\x81\1", 8 }, GRPC_HEALTH_BAD, "state is 129, which is none" },
        { { "\0\0\0\0\1\x08", 6 }, GRPC_HEALTH_BAD, "no HealthCheckResponse" },
        { { "\0\0\0\0\3\x08\x80\x80", 8 }, GRPC_HEALTH_BAD, "no HealthCheckResponse" },
        { { "\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 17 },
          GRPC_HEALTH_BAD,
          "no HealthCheckResponse" },
        { { "\0\0\0\0\3\x12\7x", 8 }, GRPC_HEALTH_BAD, "no HealthCheckResponse" },
        { { "\0\0\0\0\2\x0b\1", 7 }, GRPC_HEALTH_BAD, "no HealthCheckResponse" }, /* a group */
        { { "\0\0\0\0\2\0\1", 7 }, GRPC_HEALTH_BAD, "no HealthCheckResponse" },   /* the field 0 */
        { { "\1\0\0\0\2\x08\1", 7 }, GRPC_HEALTH_BAD, "compressed" },
        { { "\0\0\0\0\3\x08\1", 7 }, GRPC_HEALTH_BAD, "not as long as it says" },
        { { "\0\0\0\0\1\x08\1", 7 }, GRPC_HEALTH_BAD, "not as long as it says" },
        { { "\0\0\0", 3 }, GRPC_HEALTH_BAD, "no whole message" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        begin(&s);
        put(&s, H2_HEADERS, H2_END_HEADERS, 1, OK_HEAD);
        put(&s, H2_PING, 0, 0, BYTES("12345678"));
        put(&s, H2_DATA, 0, 1, rows[i].message);
        put(&s, H2_WINDOW_UPDATE, 0, 0, BYTES("\0\0\0\1"));
        put(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1,
            TRAILERS("\1"
                     "0"));
        assert_end(&s, rows[i].step, rows[i].words);
        close_scene(&s);
    }
}

static void a_call_that_fails_says_with_what(void **state)
{
    (void)state;
    static const struct {
        struct slice trailers;
        const char *words;
    } rows[] = {
        { TRAILERS("\2"
                   "12"),
          "no grpc.health.v1.Health (gRPC status UNIMPLEMENTED)" },
        { TRAILERS("\1"
                   "5"),
          "does not know the service" },
        { TRAILERS("\2"
                   "14"),
          "gRPC status UNAVAILABLE" },
        { TRAILERS("\2"
                   "99"),
          "gRPC status 99" },
        { TRAILERS("\1"
                   "x"),
          "no grpc-status" },
        { BYTES("\x00\1a\1b"), "no grpc-status" },
        { BYTES("\xff\xff\xff\xff\xff\xff\xff"), "its fields are broken" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        begin(&s);
        put(&s, H2_HEADERS, H2_END_HEADERS, 1, OK_HEAD);
        put(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, rows[i].trailers);
        assert_end(&s, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

static void what_is_no_answer_has_a_name(void **state)
{
    (void)state;
    static const struct {
        enum h2_type type;
        unsigned flags;
        uint32_t stream;
        struct slice payload;
        const char *words;
    } rows[] = {
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x88"), "content-type is not application/grpc" },
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x8d"), "answered with status 404" },
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x00\1a\1b"), "no status" },
        { H2_HEADERS, H2_END_HEADERS, 3, BYTES("\x88"), "broken HEADERS" },
        { H2_HEADERS, H2_END_HEADERS | H2_PADDED, 1, BYTES("\x88"), "broken HEADERS" },
        { H2_HEADERS, 0, 1, BYTES("\x88"), "head is over 4096 bytes" },
        { H2_CONTINUATION, 0, 1, BYTES("\x88"), "not asked for" },
        { H2_PUSH_PROMISE, 0, 1, BYTES("\0\0\0\2"), "not asked for" },
        { H2_DATA, 0, 1, BYTES("x"), "broken DATA" },
        { H2_RST_STREAM, 0, 1, BYTES("\0\0\0\7"), "reset the call (REFUSED_STREAM)" },
        { H2_RST_STREAM, 0, 1, BYTES("\0"), "broken RST_STREAM" },
        { H2_GOAWAY, 0, 0, BYTES("\0\0\0\0\0\0\0\0"), "ended the connection (GOAWAY, NO_ERROR)" },
        { H2_GOAWAY, 0, 0, BYTES("\0\0\0\1\0\0\0\x0b"), "GOAWAY, ENHANCE_YOUR_CALM" },
        { H2_GOAWAY, 0, 0, BYTES("\0"), "broken GOAWAY" },
        { H2_PING, 0, 0, BYTES("1234567"), "broken PING" },
        { H2_SETTINGS, 0, 0, BYTES("1234567"), "broken SETTINGS" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        begin(&s);
        put(&s, rows[i].type, rows[i].flags, rows[i].stream, rows[i].payload);
        assert_end(&s, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

static void what_does_not_begin_as_http2_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = { { "HTTP/1.1 400 Bad Request\r\n\r\n", "answers in HTTP/1" },
                 { "220 mail.example ready\r\n", "does not begin with SETTINGS" } };
    for (size_t i = 0; i < 2; i++) {
        struct scene s;
        open_scene(&s);
        text_add_slice(&s.answer, slice_of(rows[i].text));
        assert_end(&s, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

static void what_has_no_end_is_bounded(void **state)
{
    (void)state;
    static const char zeros[5000];
    static const struct {
        enum h2_type type;
        size_t len;
        unsigned times;
        const char *words;
    } rows[] = { { H2_SETTINGS, 0, 9, "more confirmed than an answer needs" },
                 { H2_PING, 8, 9, "more confirmed than an answer needs" },
                 { H2_PRIORITY, 5, 4800, "the answer is over 64 KiB" },
                 { H2_DATA, 100, 6, "message is over 512 bytes" },
                 { H2_DATA, 5000, 1, "a frame of 5000 bytes" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        char words[256];
        begin(&s);
        put(&s, H2_HEADERS, H2_END_HEADERS, 1, OK_HEAD);
        for (unsigned k = 0; k < rows[i].times; k++)
            put(&s, rows[i].type, 0, rows[i].type == H2_DATA || rows[i].type == H2_PRIORITY,
                (struct slice){ zeros, rows[i].len });
        assert_int_equal(end(&s, words, 1000), GRPC_HEALTH_BAD);
        if (!strstr(words, rows[i].words))
            fail_msg("in place of \"%s\" is said \"%s\"", rows[i].words, words);
        close_scene(&s);
    }
}

static size_t write_question(const struct grpc_health *g, const char *service, char *out, size_t size)
{
    const struct grpc_health_question q = { .authority = SLICE("10.0.0.1:80"), .service = service };
    struct text t = text_over(out, size);
    grpc_health_write(g, &q, &t);
    assert_true(t.len < size);
    return t.len;
}

static void what_has_to_be_confirmed_is_said_behind_the_question(void **state)
{
    (void)state;
    struct scene s;
    char first[1024], later[1024];
    begin(&s);
    put(&s, H2_PING, 0, 0, BYTES("12345678"));
    struct grpc_health *g = grpc_health_new(&s.loop);
    size_t len = write_question(NULL, "a.B", first, sizeof(first));
    assert_int_equal(grpc_health_feed(g, (struct slice){ s.bytes, s.answer.len }), GRPC_HEALTH_GOES_ON);
    size_t more = write_question(g, "a.B", later, sizeof(later));
    assert_memory_equal(first, later, len);
    assert_int_equal(more - len, 2 * H2_FRAME_HEAD + 8);
    assert_memory_equal(later + len,
                        "\0\0\0\4\1\0\0\0\0\0\0\x08\6\1\0\0\0\0"
                        "12345678",
                        more - len);
    grpc_health_free(g);
    close_scene(&s);
}

static void a_service_with_a_long_name_can_be_asked_for(void **state)
{
    (void)state;
    char service[GRPC_HEALTH_SERVICE_MAX + 1], out[1024];
    memset(service, 'a', GRPC_HEALTH_SERVICE_MAX);
    service[GRPC_HEALTH_SERVICE_MAX] = 0;
    size_t len = write_question(NULL, service, out, sizeof(out));
    assert_memory_equal(out + len - 208, "\0\0\0\0\xcb\x0a\xc8\1", 8);
    len = write_question(NULL, "", out, sizeof(out));
    assert_memory_equal(out + len - 14, "\0\0\5\0\1\0\0\0\1\0\0\0\0\0", 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_says_how_the_service_is),
        cmocka_unit_test(a_call_that_fails_says_with_what),
        cmocka_unit_test(what_is_no_answer_has_a_name),
        cmocka_unit_test(what_does_not_begin_as_http2_is_none),
        cmocka_unit_test(what_has_no_end_is_bounded),
        cmocka_unit_test(what_has_to_be_confirmed_is_said_behind_the_question),
        cmocka_unit_test(a_service_with_a_long_name_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
