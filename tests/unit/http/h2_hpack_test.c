/* Field compression: what other encoders made decodes to what they meant, what we encode decodes, and all memory is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "hpack_stories.h"
#include "http/h2_hpack.h"

struct scene {
    struct budget budget;
    struct loop loop;
    struct h2_memory memory;
    struct h2_hpack hpack;
    char heard[8192]; /* "name<tab>value\n" of each field */
    size_t heard_len;
};

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->budget.limit = 4 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    h2_memory_init(&s->memory, &s->loop);
    assert_int_equal(h2_hpack_open(&s->hpack, &s->memory), 0);
}

static void close_scene(struct scene *s)
{
    h2_hpack_close(&s->hpack);
    assert_int_equal(s->hpack.bytes, 0);
    assert_int_equal(s->hpack.blocks, 0);
    for (unsigned i = 0; i < H2_MEMORY_CLASSES; i++) assert_int_equal(s->memory.sizes[i].live, 0);
    h2_memory_fini(&s->memory);
    loop_fini(&s->loop);
}

static bool on_field(void *context, struct slice name, struct slice value)
{
    struct scene *s = context;
    size_t len = name.len + value.len + 2;
    assert_true(s->heard_len + len < sizeof(s->heard));
    memcpy(s->heard + s->heard_len, name.data, name.len);
    s->heard[s->heard_len + name.len] = '\t';
    memcpy(s->heard + s->heard_len + name.len + 1, value.data, value.len);
    s->heard_len += len;
    s->heard[s->heard_len - 1] = '\n';
    return true;
}

static enum h2_decoded decode(struct scene *s, struct slice block)
{
    s->heard_len = 0;
    return h2_hpack_decode(&s->hpack, block, on_field, s);
}

static bool next_line(const char **at, struct slice *line)
{
    if (!**at) return false;
    const char *end = strchr(*at, '\n');
    *line = (struct slice){ *at, (size_t)(end - *at) };
    *at = end + 1;
    return true;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static size_t from_hex(struct slice hex, char *to)
{
    for (size_t i = 0; i + 1 < hex.len; i += 2)
        to[i / 2] = (char)(digit(hex.data[i]) << 4 | digit(hex.data[i + 1]));
    return hex.len / 2;
}

static void blocks_of_other_encoders_decode_to_what_they_meant(void **state)
{
    (void)state;
    struct scene s;
    char bytes[4096];
    const char *at = hpack_stories;
    struct slice line;
    unsigned blocks = 0, fields = 0;
    size_t checked = 0;
    open_scene(&s);
    while (next_line(&at, &line)) {
        if (slice_starts_with(line, SLICE("story "))) {
            close_scene(&s);
            open_scene(&s);
            checked = 0;
        } else if (slice_starts_with(line, SLICE("block "))) {
            assert_int_equal(checked, s.heard_len); /* all that was decoded was meant */
            struct slice hex = { line.data + 6, line.len - 6 };
            assert_int_equal(decode(&s, (struct slice){ bytes, from_hex(hex, bytes) }), H2_DECODED);
            blocks++;
            checked = 0;
        } else {
            assert_true(checked + line.len < s.heard_len);
            assert_memory_equal(s.heard + checked, line.data, line.len);
            assert_int_equal(s.heard[checked + line.len], '\n');
            checked += line.len + 1;
            fields++;
        }
    }
    assert_int_equal(blocks, HPACK_STORIES_BLOCKS);
    assert_int_equal(fields, HPACK_STORIES_FIELDS);
    close_scene(&s);
}

static void what_we_encode_decodes(void **state)
{
    (void)state;
    struct scene s;
    char bytes[1024];
    open_scene(&s);
    const nghttp2_nv fields[] = { h2_field(SLICE(":status"), SLICE("200"), false),
                                  h2_field(SLICE("x-request-id"), SLICE("abc"), true),
                                  h2_field(SLICE("x-empty"), SLICE(""), false) };
    for (int i = 0; i < 3; i++) {
        assert_true(h2_hpack_bound(&s.hpack, fields, 3) <= sizeof(bytes));
        int64_t len = h2_hpack_encode(&s.hpack, bytes, sizeof(bytes), fields, 3);
        assert_true(len > 0);
        assert_int_equal(decode(&s, (struct slice){ bytes, (size_t)len }), H2_DECODED);
        assert_int_equal(s.heard_len, strlen(":status\t200\nx-request-id\tabc\nx-empty\t\n"));
        assert_memory_equal(s.heard, ":status\t200\nx-request-id\tabc\nx-empty\t\n", s.heard_len);
    }
    assert_int_equal(h2_hpack_resize(&s.hpack, 0), 0);
    int64_t len = h2_hpack_encode(&s.hpack, bytes, sizeof(bytes), fields, 3);
    assert_true(len > 0);
    assert_int_equal((uint8_t)bytes[0], 0x20); /* RFC 7541 6.3: the table's new size comes first */
    close_scene(&s);
}

static void a_block_that_is_cut_or_senseless_is_bad(void **state)
{
    (void)state;
    static const struct slice blocks[] = {
        { "\x80", 1 },                 /* index 0 */
        { "\xff\xff\xff\xff\xff", 5 }, /* an index without an end */
        { "\x40\x0a"
          "custom",
          8 },                     /* a name that is longer than the block */
        { "\x3f\xe2\x1f", 3 },     /* a table of 4097 bytes */
        { "\x00\x81\xff\x00", 4 }, /* Huffman padding of no code */
    };
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
        struct scene s;
        open_scene(&s);
        assert_int_equal(decode(&s, blocks[i]), H2_DECODED_BAD);
        close_scene(&s);
    }
}

static bool refuse(void *context, struct slice name, struct slice value)
{
    (void)name, (void)value;
    return --*(int *)context > 0;
}

static void whoever_hears_enough_stops_the_decoder(void **state)
{
    (void)state;
    struct scene s;
    int left = 3;
    open_scene(&s);
    assert_int_equal(h2_hpack_decode(&s.hpack, SLICE("\x82\x86\x84\x82"), refuse, &left), H2_DECODED_STOPPED);
    assert_int_equal(left, 0);
    close_scene(&s);
}

static void without_memory_it_says_so_and_keeps_nothing(void **state)
{
    (void)state;
    struct scene s;
    struct h2_hpack other;
    open_scene(&s);
    h2_hpack_close(&s.hpack);
    block_pool_trim(&s.loop.blocks);
    uint64_t limit = s.budget.limit;
    s.budget.limit = s.budget.used;
    assert_int_equal(h2_hpack_open(&other, &s.memory), -1);
    assert_int_equal(other.bytes, 0);
    s.budget.limit = limit;
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_other_encoders_decode_to_what_they_meant),
        cmocka_unit_test(what_we_encode_decodes),
        cmocka_unit_test(a_block_that_is_cut_or_senseless_is_bad),
        cmocka_unit_test(whoever_hears_enough_stops_the_decoder),
        cmocka_unit_test(without_memory_it_says_so_and_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
