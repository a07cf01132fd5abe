/* Any bytes either are refused with a sentence or come apart into terminated UTF-8 without control bytes,
 * within the memory that target_read() asks for; and what came apart, escaped again, reads as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/routes.h"
#include "base/utf8.h"

static void check_piece(struct slice s)
{
    if (s.data[s.len] != 0) abort();
    while (s.len) {
        size_t len = utf8_sequence_len(s);
        if (!len || (unsigned char)*s.data < ' ' || *s.data == 127) abort();
        s.data += len;
        s.len -= len;
    }
}

static void escape(struct slice s, char *out, size_t *len)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        out[(*len)++] = '%';
        out[(*len)++] = digits[c >> 4];
        out[(*len)++] = digits[c & 15];
    }
}

/* Three bytes for one, and one between. */
static char *write_again(const struct target *t, size_t size, size_t *len)
{
    char *out = malloc(size * 4 + 8);
    if (!out) abort();
    *len = 0;
    for (uint32_t i = 0; i < t->segment_count; i++) {
        out[(*len)++] = '/';
        escape(t->segments[i], out, len);
    }
    if (!t->segment_count) out[(*len)++] = '/';
    for (uint32_t i = 0; i < t->pair_count; i++) {
        out[(*len)++] = i ? '&' : '?';
        escape(t->pairs[i].name, out, len);
        out[(*len)++] = '=';
        escape(t->pairs[i].value, out, len);
    }
    return out;
}

static void compare_again(const struct target *t, size_t size)
{
    struct target again;
    struct err err;
    size_t len;
    char *text = write_again(t, size, &len);
    char *memory = malloc(len + 1);
    if (!memory || target_read(&again, (struct slice){ text, len }, memory, &err) < 0) abort();
    if (again.segment_count != t->segment_count || again.pair_count != t->pair_count) abort();
    for (uint32_t i = 0; i < t->segment_count; i++)
        if (!slice_equal(again.segments[i], t->segments[i])) abort();
    for (uint32_t i = 0; i < t->pair_count; i++)
        if (!slice_equal(again.pairs[i].name, t->pairs[i].name) ||
            !slice_equal(again.pairs[i].value, t->pairs[i].value))
            abort();
    free(memory);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct target t;
    struct err err = { "" };
    struct router_match m;
    struct slice values[ROUTER_QUERY_MAX];
    char *memory = malloc(size + 1); /* exactly what is asked for: the sanitizer watches */
    if (!memory) abort();
    if (target_read(&t, (struct slice){ (const char *)data, size }, memory, &err) < 0) {
        if (!err.text[0]) abort();
        free(memory);
        return 0;
    }
    for (uint32_t i = 0; i < t.segment_count; i++) check_piece(t.segments[i]);
    for (uint32_t i = 0; i < t.pair_count; i++) check_piece(t.pairs[i].name), check_piece(t.pairs[i].value);
    compare_again(&t, size);
    router_match(admin_routes, &t, HTTP_GET, &m);
    if (m.route && router_query(m.route, &t, values, &err) < 0 && !err.text[0]) abort();
    free(memory);
    return 0;
}
