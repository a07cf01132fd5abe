#include "http/h1_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLANK_FAULT "white space behind a chunk size or extension that no \";\" follows"

#include "http/h1_render.h"

/* What comes in and what is made of it (h1_render.h). Every row is parsed whole, in two pieces cut at
 * every byte, and in small pieces: the line must always be the same. */
struct row {
    struct slice bytes;
    const char *line;
};

#define WHOLE(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Chunks, their sizes and extensions, and trailers. */
static const struct row chunked_bodies[] = {
    { WHOLE("0\r\n\r\n"), "[] END 5" },
    { WHOLE("5\r\nhello\r\n0\r\n\r\n"), "[hello] END 15" },
    { WHOLE("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET"), "[hello world] END 26" },
    { WHOLE("1\r\na\r\n2\r\nbc\r\n00\r\n\r\n"), "[abc] END 19" },
    { WHOLE("A\r\n0123456789\r\n0\r\n\r\n"), "[0123456789] END 20" },
    { WHOLE("a\r\n0123456789\r\n0\r\n\r\n"), "[0123456789] END 20" },
    { WHOLE("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"), "[hello] END 45" },
    { WHOLE("2\r\n\r\n\r\n0\r\n\r\n"), "[\015\012] END 12" },
    { WHOLE("5;a\r\nhello\r\n0;b\r\n\r\n"), "[hello] END 19" },
    { WHOLE("5;a=b;c=\"d e\\\"f;\"\r\nhello\r\n0\r\n\r\n"), "[hello] END 31" },
    { WHOLE("5;a=\"\"\r\nhello\r\n0\r\n\r\n"), "[hello] END 20" },
    { WHOLE("5;a=\"\xc3\xa9\t\"\r\nhello\r\n0\r\n\r\n"), "[hello] END 23" },
    { WHOLE(""), "[] MORE" },
    { WHOLE("5"), "[] MORE" },
    { WHOLE("5\r"), "[] MORE" },
    { WHOLE("5\r\nhel"), "[hel] MORE" },
    { WHOLE("5\r\nhello"), "[hello] MORE" },
    { WHOLE("5\r\nhello\r"), "[hello] MORE" },
    { WHOLE("5\r\nhello\r\n"), "[hello] MORE" },
    { WHOLE("5\r\nhello\r\n0"), "[hello] MORE" },
    { WHOLE("0\r\n"), "[] MORE" },
    { WHOLE("0\r\n\r"), "[] MORE" },
    { WHOLE("0\r\nA: b\r\n"), "[] MORE" },
    { WHOLE("0\r\nA: b\r\n\r"), "[] MORE" },
    { WHOLE("G\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("g"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("\r\n"), "[] BAD 0 bad_request_body: an empty line where a chunk size should be" },
    { WHOLE("\n"), "[] BAD 0 bad_request_body: an empty line where a chunk size should be" },
    { WHOLE(" 5\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("\t5\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("+5\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("-1\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("0x5\r\n"),
      "[] BAD 1 bad_request_body: something other than a hexadecimal digit in a chunk size" },
    { WHOLE("5 \r\nhello\r\n"), "[] BAD 2 bad_request_body: " BLANK_FAULT },
    { WHOLE("5\t\r\nhello\r\n"), "[] BAD 2 bad_request_body: " BLANK_FAULT },
    { WHOLE("5 5\r\nhello\r\n"), "[] BAD 2 bad_request_body: " BLANK_FAULT },
    { WHOLE("5;a=b \r\nhello\r\n"), "[] BAD 6 bad_request_body: " BLANK_FAULT },
    { WHOLE("5;a=b c\r\nhello\r\n"), "[] BAD 6 bad_request_body: " BLANK_FAULT },
    { WHOLE("5;a \r\nhello\r\n"),
      "[] BAD 4 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a b\r\nhello\r\n"),
      "[] BAD 4 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5; \r\nhello\r\n"), "[] BAD 3 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a= \r\nhello\r\n"),
      "[] BAD 5 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5 \n"), "[] BAD 2 bad_request_body: a chunk extension that ends in LF without CR" },
    { WHOLE("5 ;a=b\r\nhello\r\n0\r\n\r\n"), "[hello] END 20" },
    { WHOLE("5 \t; a \t= b ;c\t;\td = \"e ; f\" ; g\r\nhello\r\n0 ;x\r\n\r\n"), "[hello] END 49" },
    { WHOLE("5\nhello\n"), "[] BAD 1 bad_request_body: a chunk-size line that ends in LF without CR" },
    { WHOLE("5\n"), "[] BAD 1 bad_request_body: a chunk-size line that ends in LF without CR" },
    { WHOLE("5\rhello\r\n"), "[] BAD 2 bad_request_body: a CR without LF in a chunk-size line" },
    { WHOLE("5\r\r\nhello"), "[] BAD 2 bad_request_body: a CR without LF in a chunk-size line" },
    { WHOLE("5,\r\n"),
      "[] BAD 1 bad_request_body: something other than a hexadecimal digit in a chunk size" },
    { WHOLE("5h\r\n"),
      "[] BAD 1 bad_request_body: something other than a hexadecimal digit in a chunk size" },
    { WHOLE("5.0\r\n"),
      "[] BAD 1 bad_request_body: something other than a hexadecimal digit in a chunk size" },
    { WHOLE("\0005\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("5\0\r\n"),
      "[] BAD 1 bad_request_body: something other than a hexadecimal digit in a chunk size" },
    { WHOLE("\xef\xbc\x95\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE(";a\r\n"), "[] BAD 0 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("5;\r\n"), "[] BAD 2 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;;a\r\n"), "[] BAD 2 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a=\r\n"), "[] BAD 4 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;=b\r\n"), "[] BAD 2 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a=\"b\r\n"), "[] BAD 6 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a=\"b\\\r\n"), "[] BAD 7 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a=\"b\"c\r\n"), "[] BAD 7 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a\n"), "[] BAD 3 bad_request_body: a chunk extension that ends in LF without CR" },
    { WHOLE("5;a=\"\n\"\r\n"), "[] BAD 5 bad_request_body: a chunk extension that ends in LF without CR" },
    { WHOLE("5;a\rb\r\n"), "[] BAD 4 bad_request_body: a CR without LF in a chunk-size line" },
    { WHOLE("5;a\0\r\n"), "[] BAD 3 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a=\x01\r\n"), "[] BAD 4 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a@\r\n"), "[] BAD 3 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a=\"\x7f\"\r\n"), "[] BAD 5 bad_request_body: a byte that no chunk extension may have there" },
    { WHOLE("5;a\nGET / HTTP/1.1\r\n"),
      "[] BAD 3 bad_request_body: a chunk extension that ends in LF without CR" },
    { WHOLE("00000000000000005\r\n"), "[] BAD 16 bad_request_body: a chunk size of more than 16 digits" },
    { WHOLE("7fffffffffffffff\r\n"), "[] MORE" },
    { WHOLE("8000000000000000\r\n"), "[] BAD 15 bad_request_body: a chunk size of 2^63 or more" },
    { WHOLE("FFFFFFFFFFFFFFFF\r\n"), "[] BAD 15 bad_request_body: a chunk size of 2^63 or more" },
    { WHOLE("10000000000000000\r\n"), "[] BAD 16 bad_request_body: a chunk size of more than 16 digits" },
    { WHOLE("fffffffffffffffff\r\n"), "[] BAD 15 bad_request_body: a chunk size of 2^63 or more" },
    { WHOLE("100000000000000005\r\nhello"),
      "[] BAD 16 bad_request_body: a chunk size of more than 16 digits" },
    { WHOLE("5\r\nhello0\r\n\r\n"),
      "[hello] BAD 8 bad_request_body: more bytes in a chunk than its size says, or no CRLF behind it" },
    { WHOLE("5\r\nhello\n0\r\n\r\n"),
      "[hello] BAD 8 bad_request_body: more bytes in a chunk than its size says, or no CRLF behind it" },
    { WHOLE("5\r\nhello\rx"), "[hello] BAD 9 bad_request_body: a CR without LF behind a chunk" },
    { WHOLE("5\r\nhello!\r\n"),
      "[hello] BAD 8 bad_request_body: more bytes in a chunk than its size says, or no CRLF behind it" },
    { WHOLE("5\r\nhell\r\n0\r\n\r\n"),
      "[hell\015] BAD 8 bad_request_body: more bytes in a chunk than its size says, or no CRLF behind it" },
    { WHOLE("4\r\nhello\r\n0\r\n\r\n"),
      "[hell] BAD 7 bad_request_body: more bytes in a chunk than its size says, or no CRLF behind it" },
    { WHOLE("5\r\nhello\r\n\r\n"),
      "[hello] BAD 10 bad_request_body: an empty line where a chunk size should be" },
    { WHOLE("5\r\nhello \r\n0\r\n\r\n"),
      "[hello] BAD 8 bad_request_body: more bytes in a chunk than its size says, or no CRLF behind it" },
    { WHOLE("5\r\nhello\r\n 0\r\n\r\n"),
      "[hello] BAD 10 bad_request_body: a chunk size that is not hexadecimal" },
    { WHOLE("0\r\n\n"), "[] BAD 3 bad_request_body: an empty line that ends in LF without CR" },
    { WHOLE("0\n\r\n"), "[] BAD 1 bad_request_body: a chunk-size line that ends in LF without CR" },
    { WHOLE("0\r\n\rx"), "[] BAD 3 bad_request_body: a CR without LF at the start of a line" },
    { WHOLE("0\r\nA: b\r\n\r\n"), "[] END 11 |A: b" },
    { WHOLE("1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\nnext"), "[x] END 23 |A: b, C: d" },
    { WHOLE("0\r\nHost: x\r\nX-Sum: 7\r\nConnection: X-Sum\r\nServer: s\r\n\r\n"),
      "[] END 54 |-Host: x, X-Sum: 7, -Connection: X-Sum, Server: s" },
    { WHOLE("0\r\nAuthorization: y\r\nSet-Cookie: z\r\nContent-Type: t\r\nX-Forwarded-For: "
            "1\r\nServer-Timing: a\r\n\r\n"),
      "[] END 93 |-Authorization: y, -Set-Cookie: z, -Content-Type: t, -X-Forwarded-For: 1, Server-Timing: "
      "a" },
    { WHOLE("0\r\nContent-Length: 5\r\n\r\n"),
      "[] BAD 3 bad_request_body: Content-Length in a trailer section" },
    { WHOLE("0\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n"),
      "[] BAD 9 bad_request_body: Transfer-Encoding in a trailer section" },
    { WHOLE("0\r\nA\r\n\r\n"), "[] BAD 4 bad_request_body: a field line without a colon" },
    { WHOLE("0\r\nA : b\r\n\r\n"),
      "[] BAD 4 bad_request_body: white space in a field name or before its colon" },
    { WHOLE("0\r\n A: b\r\n\r\n"),
      "[] BAD 3 bad_request_body: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("0\r\nA: b\r\n c\r\n\r\n"),
      "[] BAD 9 bad_request_body: a line that begins with white space (obs-fold is not accepted)" },
    { WHOLE("0\r\nA: b\n\r\n"), "[] BAD 7 bad_request_body: a field line that ends in LF without CR" },
    { WHOLE("0\r\nA: b\rc\r\n\r\n"), "[] BAD 7 bad_request_body: a CR without LF in a field value" },
    { WHOLE("0\r\n: b\r\n\r\n"), "[] BAD 3 bad_request_body: a field without a name" },
    { WHOLE("0\r\nA: \0\r\n\r\n"), "[] BAD 6 bad_request_body: a NUL byte in a field value" },
    { WHOLE("0\r\nGET / HTTP/1.1\r\n\r\n"),
      "[] BAD 6 bad_request_body: white space in a field name or before its colon" },
    { WHOLE("0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\nI: 9\r\n\r\n"),
      "[] BAD 51 bad_request_body: more fields than the limit" },
    { WHOLE("0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\n\r\n"),
      "[] END 53 |A: 1, B: 2, C: 3, D: 4, E: 5, F: 6, G: 7, H: 8" },
};

/* Content-Length: 5. */
static const struct row sized_bodies[] = {
    { WHOLE(""), "[] MORE" },
    { WHOLE("h"), "[h] MORE" },
    { WHOLE("hell"), "[hell] MORE" },
    { WHOLE("hello"), "[hello] END 5" },
    { WHOLE("helloGET"), "[hello] END 5" },
    { WHOLE("\r\n\r\n0GET"), "[\015\012\015\0120] END 5" },
};

/* No length and no chunks. */
static const struct row bodies_until_close[] = {
    { WHOLE(""), "[] MAY END" },
    { WHOLE("x"), "[x] MAY END" },
    { WHOLE("0\r\n\r\n"), "[0\015\012\015\012] MAY END" },
};

/* No body at all. */
static const struct row no_bodies[] = {
    { WHOLE(""), "[] END 0" },
    { WHOLE("x"), "[] END 0" },
};

static const struct h1_limits limits = { .head_max = 256, .field_max = 8 };
static const struct http_head chunked = { .body = HTTP_BODY_UNKNOWN },
                              until_close = { .body = HTTP_BODY_UNKNOWN };
static const struct http_head five = { .body = HTTP_BODY_LENGTH, .content_length = 5 };
static const struct http_head none = { .body = HTTP_BODY_NONE }, empty = { .body = HTTP_BODY_LENGTH };

static void check_pieces(const struct row *row, const struct http_head *head, bool is_response, size_t first,
                         size_t step)
{
    static char room[16384];
    struct text out = text_over(room, sizeof(room));
    const struct h1_framing framing = { .is_chunked = head == &chunked };
    const struct h1_play play = {
        .limits = &limits, .first = first, .step = step, .is_response = is_response
    };
    h1_render_body(&out, row->bytes, head, &framing, &play);
    size_t len = strlen(row->line);
    if (out.len == len && memcmp(room, row->line, len) == 0) return;
    fail_msg("%.*s\n in pieces of %zu, then %zu:\n gives %s\n   not %s", SLICE_ARGS(row->bytes), first, step,
             text_cstr(&out), row->line);
}

static void check_row(const struct row *row, const struct http_head *head, bool is_response)
{
    size_t len = row->bytes.len;
    check_pieces(row, head, is_response, len, len);
    for (size_t cut = 1; cut < len; cut++) check_pieces(row, head, is_response, cut, len);
    for (size_t step = 1; step < 8; step++) check_pieces(row, head, is_response, step, step);
}

static void check_rows(const struct row *rows, size_t count, const struct http_head *head, bool is_response)
{
    for (size_t i = 0; i < count; i++) check_row(&rows[i], head, is_response);
}

static void chunks_are_strict(void **state)
{
    (void)state;
    check_rows(chunked_bodies, COUNT(chunked_bodies), &chunked, false);
}

static void a_sized_body_ends_by_its_length(void **state)
{
    (void)state;
    check_rows(sized_bodies, COUNT(sized_bodies), &five, false);
}

static void a_body_of_unknown_length_lasts_until_close(void **state)
{
    (void)state;
    check_rows(bodies_until_close, COUNT(bodies_until_close), &until_close, true);
}

static void no_body_and_an_empty_one_are_over_at_once(void **state)
{
    (void)state;
    check_rows(no_bodies, COUNT(no_bodies), &none, false);
    check_rows(no_bodies, COUNT(no_bodies), &empty, false);
}

static void faults_of_responses_have_their_own_reason(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { WHOLE("g"), "[] BAD 0 bad_response_body: a chunk size that is not hexadecimal" },
        { WHOLE("0\r\nA: \n"), "[] BAD 6 bad_response_body: a field line that ends in LF without CR" },
    };
    check_rows(rows, COUNT(rows), &chunked, true);
}

/* `before`, then `len` times "x", then `behind`. */
static struct slice make_bytes(char *room, const char *before, size_t len, const char *behind)
{
    size_t start = strlen(before), end = strlen(behind);
    memcpy(room, before, start);
    memset(room + start, 'x', len);
    memcpy(room + start + len, behind, end);
    return (struct slice){ room, start + len + end };
}

static void a_chunk_size_line_has_at_most_4096_bytes(void **state)
{
    (void)state;
    static char room[8192];
    /* Up to its LF, which is the last of them. */
    struct row row = { make_bytes(room, "0;", 4092, "\r\n\r\n"), "[] END 4098" };
    check_pieces(&row, &chunked, false, row.bytes.len, row.bytes.len);
    check_pieces(&row, &chunked, false, 1, 1);
    row = (struct row){ make_bytes(room, "0;", 4093, "\r\n\r\n"),
                        "[] BAD 4096 bad_request_body: a chunk-size line of more than 4096 bytes" };
    check_pieces(&row, &chunked, false, row.bytes.len, row.bytes.len);
    check_pieces(&row, &chunked, false, 1, 1);
    row.bytes = make_bytes(room, "0;", 6000, "");
    check_pieces(&row, &chunked, false, 4000, 4000);
}

static void trailers_have_the_limits_of_a_head(void **state)
{
    (void)state;
    char room[512];
    check_row(
        &(struct row){
            make_bytes(room, "0\r\n", 251, ":\r\n\r\n"),
            "[] END 259 |"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: " },
        &chunked, false);
    check_row(
        &(struct row){ make_bytes(room, "0\r\n", 252, ":\r\n\r\n"),
                       "[] BAD 259 bad_request_body: a trailer section longer than the limit for a head" },
        &chunked, false);
}

/* The next event over `text`. */
static enum h1_body_event step(struct h1_body *b, const char *text, struct slice *data)
{
    struct http_field trailers[8];
    uint32_t used, count;
    struct h1_fault fault;
    return h1_body_step(b, slice_of(text), &limits, &used, data, trailers, &count, &fault);
}

static void payload_that_was_given_back_comes_again(void **state)
{
    (void)state;
    static const char *const starts[] = { "", "5\r\n" };
    for (unsigned is_chunked = 0; is_chunked < 2; is_chunked++) {
        const struct h1_framing framing = { .is_chunked = is_chunked };
        struct h1_body b;
        struct slice data;
        h1_body_init(&b, is_chunked ? &chunked : &five, &framing, false);
        assert_int_equal(step(&b, starts[is_chunked], &data), H1_BODY_EVENT_MORE);
        assert_int_equal(step(&b, "hello", &data), H1_BODY_EVENT_DATA);
        assert_int_equal(data.len, 5);
        assert_int_equal(h1_body_run(&b), 0);
        h1_body_untake(&b, 0);
        assert_int_equal(h1_body_is_done(&b), !is_chunked);
        h1_body_untake(&b, 2);
        assert_int_equal(h1_body_run(&b), 2);
        assert_false(h1_body_is_done(&b));
        assert_int_equal(step(&b, "lo", &data), H1_BODY_EVENT_DATA);
        assert_int_equal(data.len, 2);
        assert_int_equal(step(&b, is_chunked ? "\r\n0\r\n\r\n" : "", &data), H1_BODY_EVENT_END);
        assert_true(h1_body_is_done(&b));
    }
}

static void payload_can_be_skipped_unseen(void **state)
{
    (void)state;
    const struct h1_framing framing = { .is_chunked = true };
    struct h1_body b;
    struct slice data;
    h1_body_init(&b, &chunked, &framing, false);
    assert_int_equal(h1_body_run(&b), 0);
    assert_int_equal(step(&b, "400\r\n", &data), H1_BODY_EVENT_MORE);
    assert_int_equal(h1_body_run(&b), 1024);
    h1_body_skip(&b, 1000);
    assert_int_equal(h1_body_run(&b), 24);
    assert_false(h1_body_may_end(&b));
    h1_body_skip(&b, 24);
    assert_int_equal(step(&b, "\r\n0\r\n\r\n", &data), H1_BODY_EVENT_END);

    h1_body_init(&b, &five, &(struct h1_framing){ 0 }, false);
    assert_int_equal(h1_body_run(&b), 5);
    h1_body_skip(&b, 5);
    assert_true(h1_body_is_done(&b));

    h1_body_init(&b, &until_close, &(struct h1_framing){ 0 }, true);
    assert_true(h1_body_run(&b) == UINT64_MAX);
    h1_body_skip(&b, 1 << 20);
    h1_body_untake(&b, 5);
    assert_true(h1_body_run(&b) == UINT64_MAX);
    assert_true(h1_body_may_end(&b));
    assert_false(h1_body_is_done(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_strict),
        cmocka_unit_test(a_sized_body_ends_by_its_length),
        cmocka_unit_test(a_body_of_unknown_length_lasts_until_close),
        cmocka_unit_test(no_body_and_an_empty_one_are_over_at_once),
        cmocka_unit_test(faults_of_responses_have_their_own_reason),
        cmocka_unit_test(a_chunk_size_line_has_at_most_4096_bytes),
        cmocka_unit_test(trailers_have_the_limits_of_a_head),
        cmocka_unit_test(payload_that_was_given_back_comes_again),
        cmocka_unit_test(payload_can_be_skipped_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
