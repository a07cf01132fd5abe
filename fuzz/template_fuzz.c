/* A template in the first line, a request head behind it: any text either is refused with a sentence or is said back
 * as it was given and expands over any request to the same text each time, of which less room holds the front. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1_parse.h"
#include "http/template.h"

#define FIELDS 32u
#define INPUT_MAX 8192u
#define EXPANDED_MAX (HTTP_TEMPLATE_PARTS_MAX * INPUT_MAX)

static void said_back(const struct http_template *t, struct slice written)
{
    char room[HTTP_TEMPLATE_TEXT_MAX];
    struct text said = text_over(room, sizeof(room));
    http_template_print(t, &said);
    if (said.is_cut || !slice_equal(text_slice(&said), written)) abort();
}

static void expands_alike(const struct http_template *t, const struct http_template_input *in)
{
    static char whole[EXPANDED_MAX], part[EXPANDED_MAX];
    char scratch[HTTP_SOURCE_SCRATCH];
    bool is_single;
    struct text all = text_over(whole, sizeof(whole));
    http_template_expand(t, in, &all);
    if (all.is_cut) abort();
    struct text half = text_over(part, all.len / 2);
    http_template_expand(t, in, &half);
    if (half.len != all.len / 2 || half.is_cut != (half.len < all.len) || memcmp(whole, part, half.len) != 0)
        abort();
    struct slice single = http_template_single(t, in, scratch, &is_single);
    if (is_single && !slice_equal(single, text_slice(&all))) abort();
}

/* Whatever the bytes are, a head is made of them: by the parser if it takes them, else of one field, target and
 * authority that are all of it. */
static void make_head(struct slice bytes, struct http_field *fields, struct http_head *head)
{
    static const struct h1_limits limits = { .head_max = INPUT_MAX, .field_max = FIELDS };
    struct h1_progress progress = { 0 };
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t head_len;
    if (h1_parse_request(&progress, bytes, &limits, fields, head, &framing, &head_len, &fault) == H1_DONE)
        return;
    *head = (struct http_head){ .target = bytes, .authority = bytes, .fields = fields, .field_count = 1 };
    fields[0] = (struct http_field){
        .name = "cookie", .name_len = 6, .value = bytes.data, .value_len = (uint32_t)bytes.len
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ip client = { { 0x20, 1, [15] = 1 } };
    struct slice bytes = { (const char *)data, size };
    const char *end = size ? memchr(data, '\n', size) : NULL;
    struct slice written = { bytes.data, end ? (size_t)(end - bytes.data) : size };
    struct http_field fields[FIELDS];
    struct http_head head;
    struct http_template t;
    struct err err = { "" };
    if (size > INPUT_MAX) return 0;
    bytes = (struct slice){ bytes.data + written.len + (end != NULL), size - written.len - (end != NULL) };
    make_head(bytes, fields, &head);
    struct http_template_input in = { .head = &head, .client = &client, .request_id = SLICE("id") };
    for (int i = 0; i < 2; i++) {
        int result = i ? http_template_parse_source(written, &t, &err)
                       : http_template_parse(written, &t, &err);
        if (result < 0 && !err.text[0]) abort();
        if (result < 0) continue;
        said_back(&t, written);
        expands_alike(&t, &in);
    }
    return 0;
}
