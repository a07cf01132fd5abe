/* Answers to a health check over gRPC, as bytes; each is fed as a whole, byte by byte, and cut in two at every byte, with the same
 * result. */
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

/* In pieces of so many bytes, the first of `first`. */
static enum grpc_health_step end(struct scene *s, char words[256], size_t first, size_t piece)
{
    struct grpc_health *g = grpc_health_new(&s->loop);
    assert_non_null(g);
    enum grpc_health_step step = GRPC_HEALTH_GOES_ON;
    for (size_t at = 0, now = first; at < s->answer.len && step == GRPC_HEALTH_GOES_ON;
         at += now, now = piece) {
        size_t left = s->answer.len - at;
        step = grpc_health_feed(g, (struct slice){ s->bytes + at, left < now ? left : now });
    }
    snprintf(words, 256, "%s", grpc_health_words(g));
    grpc_health_free(g);
    return step;
}

static void assert_cut(struct scene *s, size_t first, size_t piece, enum grpc_health_step step,
                       const char *said)
{
    char words[256];
    assert_int_equal(end(s, words, first, piece), step);
    if (!strstr(words, said)) fail_msg("in place of \"%s\" is said \"%s\"", said, words);
}

static void assert_end(struct scene *s, enum grpc_health_step step, const char *said)
{
    for (size_t cut = 0; cut <= s->answer.len; cut++) assert_cut(s, cut, s->answer.len, step, said);
    for (size_t piece = 1; piece < s->answer.len; piece += 7) assert_cut(s, piece, piece, step, said);
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
        { H2_HEADERS, H2_END_HEADERS, 1,
          BYTES("\x88\x00\x0c"
                "content-type\x14"
                "application/grpc-web"),
          "content-type is not application/grpc" },
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x8d"), "answered with status 404" },
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x00\1a\1b"), "status" },
        { H2_HEADERS, H2_END_HEADERS, 1,
          BYTES("\x08\2"
                "20"),
          "status" },
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x88\x88"), "a pseudo-field that comes twice" },
        { H2_HEADERS, H2_END_HEADERS, 1, BYTES("\x88\x00\1A\1b"), "a field name in upper case" },
        { H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1,
          BYTES("\x08\3"
                "100"),
          "not correct HTTP/2" },
        { H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1,
          BYTES("\x08\3"
                "503"),
          "answered with status 503" },
        { H2_HEADERS, H2_END_HEADERS, 3, BYTES("\x88"), "broken HEADERS" },
        { H2_HEADERS, H2_END_HEADERS, 0, BYTES("\x88"), "not correct HTTP/2" },
        { H2_HEADERS, H2_END_HEADERS | H2_PADDED, 1, BYTES("\x88"), "broken HEADERS" },
        { H2_HEADERS, H2_END_HEADERS | H2_HAS_PRIORITY, 1, BYTES("\x88"), "broken HEADERS" },
        { H2_CONTINUATION, 0, 1, BYTES("\x88"), "a CONTINUATION of nothing" },
        { H2_PUSH_PROMISE, 0, 1, BYTES("\0\0\0\2"), "not asked for" },
        { H2_DATA, 0, 1, BYTES("x"), "broken DATA" },
        { H2_RST_STREAM, 0, 1, BYTES("\0\0\0\7"), "reset the call (REFUSED_STREAM)" },
        { H2_RST_STREAM, 0, 1, BYTES("\0\0\0\0"), "reset the call (NO_ERROR)" },
        { H2_RST_STREAM, 0, 3, BYTES("\0\0\0\7"), "not asked for" },
        { H2_RST_STREAM, 0, 1, BYTES("\0"), "a length that its type does not have" },
        { H2_GOAWAY, 0, 0, BYTES("\0\0\0\0\0\0\0\0"), "ended the connection (GOAWAY, NO_ERROR)" },
        { H2_GOAWAY, 0, 0, BYTES("\0\0\0\1\0\0\0\x0b"), "GOAWAY, ENHANCE_YOUR_CALM" },
        { H2_GOAWAY, 0, 0, BYTES("\0"), "a length that its type does not have" },
        { H2_GOAWAY, 0, 1, BYTES("\0\0\0\1\0\0\0\0"), "a frame of the connection with a stream" },
        { H2_PING, 0, 0, BYTES("1234567"), "a length that its type does not have" },
        { H2_PING, 0, 1, BYTES("12345678"), "a frame of the connection with a stream" },
        { H2_WINDOW_UPDATE, 0, 0, BYTES("123"), "a length that its type does not have" },
        { H2_SETTINGS, 0, 0, BYTES("1234567"), "no multiple of six" },
        { H2_SETTINGS, H2_ACK, 0, BYTES("\0\3\0\0\0\1"), "an acknowledgement with settings" },
        { H2_SETTINGS, 0, 0, BYTES("\0\2\0\0\0\1"), "a server that allows to push" },
        { H2_SETTINGS, 0, 0, BYTES("\0\5\0\0\0\1"), "a MAX_FRAME_SIZE that may not be" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        begin(&s);
        put(&s, rows[i].type, rows[i].flags, rows[i].stream, rows[i].payload);
        assert_end(&s, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

/* A frame of an answer. */
struct part {
    enum h2_type type;
    unsigned flags;
    uint32_t stream;
    struct slice payload;
};
#define PARTS_MAX 8

#define SERVING               \
    {                         \
        "\0\0\0\0\2\x08\1", 7 \
    }
#define OK_BYTES            \
    {                       \
        "\x88\x00\x0c"      \
        "content-type\x10"  \
        "application/grpc", \
            32              \
    }
#define FINE                    \
    {                           \
        "\x00\x0bgrpc-status\1" \
        "0",                    \
            15                  \
    }
#define ENDS (H2_END_HEADERS | H2_END_STREAM)

/* All that a server may do with the same answer. */
static const struct {
    const char *what;
    struct part parts[PARTS_MAX];
} answers[] = {
    { "a head and trailers in pieces",
      { { H2_HEADERS,
          0,
          1,
          { "\x88\x00\x0c"
            "conte",
            8 } },
        { H2_CONTINUATION, 0, 1, { "", 0 } },
        { H2_CONTINUATION,
          0,
          1,
          { "nt-type\x10"
            "appli",
            13 } },
        { H2_CONTINUATION, H2_END_HEADERS, 1, { "cation/grpc", 11 } },
        { H2_DATA, 0, 1, SERVING },
        { H2_HEADERS, H2_END_STREAM, 1, { "\x00\x0bgrpc-st", 9 } },
        { H2_CONTINUATION,
          H2_END_HEADERS,
          1,
          { "atus\1"
            "0",
            6 } } } },
    { "padding and priority",
      { { H2_HEADERS,
          H2_END_HEADERS | H2_PADDED | H2_HAS_PRIORITY,
          1,
          { "\3\0\0\0\0\x10"
            "\x88\x00\x0c"
            "content-type\x10"
            "application/grpc\0\0\0",
            41 } },
        { H2_DATA, H2_PADDED, 1, { "\2\0\0\0\0\2\x08\1\0\0", 10 } },
        { H2_DATA, H2_PADDED, 1, { "\0", 1 } },
        { H2_HEADERS,
          ENDS | H2_PADDED,
          1,
          { "\1\x00\x0bgrpc-status\1"
            "0\0",
            17 } } } },
    { "a message in pieces",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_DATA, 0, 1, { "\0", 1 } },
        { H2_DATA, 0, 1, { "", 0 } },
        { H2_DATA, 0, 1, { "\0\0\0\2\x08", 5 } },
        { H2_DATA, 0, 1, { "\1", 1 } },
        { H2_HEADERS, ENDS, 1, FINE } } },
    { "interim heads",
      { { H2_HEADERS,
          H2_END_HEADERS,
          1,
          { "\x08\3"
            "100",
            5 } },
        { H2_HEADERS,
          H2_END_HEADERS,
          1,
          { "\x08\3"
            "103",
            5 } },
        { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_DATA, 0, 1, SERVING },
        { H2_HEADERS, ENDS, 1, FINE } } },
    { "a GOAWAY for later ones, with why, and one more",
      { { H2_GOAWAY, 0, 0, { "\x7f\xff\xff\xff\0\0\0\0", 8 } },
        { H2_PING, 0, 0, { "12345678", 8 } },
        { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_GOAWAY, 0, 0, { "\0\0\0\1\0\0\0\0max_age", 15 } },
        { H2_DATA, 0, 1, SERVING },
        { H2_HEADERS, ENDS, 1, FINE } } },
    { "other frames between",
      { { H2_WINDOW_UPDATE, 0, 0, { "\0\0\0\1", 4 } },
        { H2_SETTINGS, H2_ACK, 0, { "", 0 } },
        { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_PRIORITY, 0, 1, { "\0\0\0\0\1", 5 } },
        { 0x2a, 0xff, 7, { "unknown", 7 } },
        { H2_DATA, 0, 1, SERVING },
        { H2_PING, H2_ACK, 0, { "12345678", 8 } },
        { H2_HEADERS, ENDS, 1, FINE } } },
};

static void put_parts(struct scene *s, const struct part *parts)
{
    for (size_t i = 0; i < PARTS_MAX && parts[i].payload.data; i++)
        put(s, parts[i].type, parts[i].flags, parts[i].stream, parts[i].payload);
}

static void an_answer_may_come_as_http2_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        struct scene s;
        print_message("%s\n", answers[i].what);
        begin(&s);
        put_parts(&s, answers[i].parts);
        assert_end(&s, GRPC_HEALTH_SERVING, "");
        close_scene(&s);
    }
}

/* Of what comes one frame after the other. */
static const struct {
    const char *words;
    struct part parts[PARTS_MAX];
} wrongs[] = {
    { "the service's state is NOT_SERVING", /* none of them says more than the others: the end does */
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_DATA, 0, 1, { "\0\0\0\0\2\x08\2", 7 } },
        { H2_HEADERS, ENDS, 1, FINE } } },
    { "the call failed with gRPC status UNAVAILABLE", /* trailers alone */
      { { H2_HEADERS,
          ENDS,
          1,
          { "\x88\x00\x0c"
            "content-type\x10"
            "application/grpc\x00\x0bgrpc-status\2"
            "14",
            48 } } } },
    { "no whole message",
      { { H2_HEADERS,
          ENDS,
          1,
          { "\x88\x00\x0c"
            "content-type\x10"
            "application/grpc\x00\x0bgrpc-status\1"
            "0",
            47 } } } },
    { "no grpc-status", /* of the head counts only where it is the end */
      { { H2_HEADERS,
          H2_END_HEADERS,
          1,
          { "\x88\x00\x0c"
            "content-type\x10"
            "application/grpc\x00\x0bgrpc-status\1"
            "0",
            47 } },
        { H2_DATA, 0, 1, SERVING },
        { H2_HEADERS, ENDS, 1, { "\x00\1a\1b", 5 } } } },
    { "no grpc-status",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_DATA, H2_END_STREAM, 1, SERVING } } },
    { "status", /* an interim head's is not the answer's */
      { { H2_HEADERS,
          H2_END_HEADERS,
          1,
          { "\x08\3"
            "100",
            5 } },
        { H2_HEADERS,
          H2_END_HEADERS,
          1,
          { "\x00\x0c"
            "content-type\x10"
            "application/grpc",
            31 } } } },
    { "content-type is not application/grpc",
      { { H2_HEADERS,
          H2_END_HEADERS,
          1,
          { "\x08\3"
            "100\x00\x0c"
            "content-type\x10"
            "application/grpc",
            36 } },
        { H2_HEADERS, H2_END_HEADERS, 1, { "\x88", 1 } } } },
    { "trailers that are not the end",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_HEADERS, H2_END_HEADERS, 1, FINE } } },
    { "a pseudo-field among trailers",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_HEADERS, ENDS, 1, { "\x88", 1 } } } },
    { "a head that is not continued",
      { { H2_HEADERS, 0, 1, OK_BYTES }, { H2_PING, 0, 0, { "12345678", 8 } } } },
    { "a head that is not continued",
      { { H2_HEADERS, 0, 1, OK_BYTES }, { H2_CONTINUATION, H2_END_HEADERS, 3, { "", 0 } } } },
    { "a CONTINUATION of nothing",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_CONTINUATION, H2_END_HEADERS, 1, FINE } } },
    { "broken DATA", { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_DATA, 0, 3, SERVING } } },
    { "broken DATA",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_DATA, H2_PADDED, 1, { "\2x", 2 } } } },
    { "broken DATA", { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES }, { H2_DATA, H2_PADDED, 1, { "", 0 } } } },
    { "reset the call (CANCEL)",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_DATA, 0, 1, SERVING },
        { H2_RST_STREAM, 0, 1, { "\0\0\0\x08", 4 } } } },
    { "ended the connection (GOAWAY, INTERNAL_ERROR)",
      { { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES },
        { H2_GOAWAY, 0, 0, { "\0\0\0\1\0\0\0\2", 8 } },
        { H2_HEADERS, ENDS, 1, FINE } } },
};

static void what_is_wrong_in_the_middle_has_a_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
        struct scene s;
        begin(&s);
        put_parts(&s, wrongs[i].parts);
        assert_end(&s, GRPC_HEALTH_BAD, wrongs[i].words);
        close_scene(&s);
    }
}

/* What is cut off anywhere says nothing yet: that the connection ends there is its caller's to see. */
static void an_answer_that_is_cut_short_goes_on(void **state)
{
    (void)state;
    struct scene s;
    begin(&s);
    put_parts(&s, answers[0].parts);
    size_t whole = s.answer.len;
    for (s.answer.len = 0; s.answer.len < whole; s.answer.len++)
        assert_cut(&s, s.answer.len, 1, GRPC_HEALTH_GOES_ON, "");
    close_scene(&s);
}

static void what_does_not_begin_as_http2_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = { { "HTTP/1.1 400 Bad Request\r\n\r\n", "answers in HTTP/1" },
                 { "HTTP/1.0 200 OK\r\n\r\n", "answers in HTTP/1" },
                 { "220 mail.example ready\r\n", "does not begin with SETTINGS" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        open_scene(&s);
        text_add_slice(&s.answer, slice_of(rows[i].text));
        assert_end(&s, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

static void what_comes_before_settings_is_no_http2(void **state)
{
    (void)state;
    static const struct part firsts[] = { { H2_GOAWAY, 0, 0, { "\0\0\0\0\0\0\0\0", 8 } },
                                          { H2_PING, 0, 0, { "12345678", 8 } },
                                          { H2_SETTINGS, H2_ACK, 0, { "", 0 } },
                                          { H2_WINDOW_UPDATE, 0, 0, { "\0\0\0\1", 4 } },
                                          { H2_HEADERS, H2_END_HEADERS, 1, OK_BYTES } };
    for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
        struct scene s;
        open_scene(&s);
        put(&s, firsts[i].type, firsts[i].flags, firsts[i].stream, firsts[i].payload);
        assert_end(&s, GRPC_HEALTH_BAD, "does not begin with SETTINGS");
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
        begin(&s);
        put(&s, H2_HEADERS, H2_END_HEADERS, 1, OK_HEAD);
        for (unsigned k = 0; k < rows[i].times; k++)
            put(&s, rows[i].type, 0, rows[i].type == H2_DATA || rows[i].type == H2_PRIORITY,
                (struct slice){ zeros, rows[i].len });
        assert_cut(&s, 1000, 1000, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

static void a_head_that_has_no_end_is_bounded(void **state)
{
    (void)state;
    static const char zeros[4000];
    static const struct {
        size_t first, len;
        unsigned times;
        const char *words;
    } rows[] = { { 4000, 97, 1, "head is over 4096 bytes" },
                 { 4000, 1, 97, "head is over 4096 bytes" },
                 { 1, 0, 7300, "the answer is over 64 KiB" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        begin(&s);
        put(&s, H2_HEADERS, 0, 1, (struct slice){ zeros, rows[i].first });
        for (unsigned k = 0; k < rows[i].times; k++)
            put(&s, H2_CONTINUATION, 0, 1, (struct slice){ zeros, rows[i].len });
        assert_cut(&s, 1000, 1000, GRPC_HEALTH_BAD, rows[i].words);
        close_scene(&s);
    }
}

/* A few bytes that come to many: an entry of the table, of which each further byte is another. */
static void a_head_that_decodes_to_much_is_bounded(void **state)
{
    (void)state;
    for (size_t references = 3; references < 300; references += 61) {
        struct scene s;
        char block[1400] = "\x88\x40\1x\x7f\x81\7"; /* 127 + 1 + 7 * 128 = 1024 */
        memset(block + 7, 'v', 1024);
        memset(block + 1031, '\xbe', references);
        begin(&s);
        put(&s, H2_HEADERS, H2_END_HEADERS, 1, (struct slice){ block, 1031 + references });
        assert_cut(&s, 1, 1, GRPC_HEALTH_BAD, "the answer's head");
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
        cmocka_unit_test(an_answer_may_come_as_http2_allows),
        cmocka_unit_test(what_is_wrong_in_the_middle_has_a_name),
        cmocka_unit_test(an_answer_that_is_cut_short_goes_on),
        cmocka_unit_test(what_does_not_begin_as_http2_is_none),
        cmocka_unit_test(what_comes_before_settings_is_no_http2),
        cmocka_unit_test(what_has_no_end_is_bounded),
        cmocka_unit_test(a_head_that_has_no_end_is_bounded),
        cmocka_unit_test(a_head_that_decodes_to_much_is_bounded),
        cmocka_unit_test(what_has_to_be_confirmed_is_said_behind_the_question),
        cmocka_unit_test(a_service_with_a_long_name_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
