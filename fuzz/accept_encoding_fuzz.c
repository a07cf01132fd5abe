/* Accept-Encoding, a line an element of it, and what other fields of a response decide: nothing is read behind what is there, and
 * what is chosen is acceptable and not behind another. */
#include <stdlib.h>
#include <string.h>

#include "coding/coding.h"
#include "coding/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void choose(const struct coding_wishes *w)
{
    static const uint32_t order[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };
    enum coding chosen = coding_choose(w, order, 3);
    if (chosen == CODING_IDENTITY) return;
    if (chosen > CODING_IDENTITY || !coding_weight(w, chosen)) abort();
    for (unsigned i = 0; i < 3; i++)
        if (coding_weight(w, (enum coding)order[i]) > coding_weight(w, chosen)) abort();
}

/* The same bytes as the value of each field that is read. */
static void decide(const char *text, size_t len)
{
    static const char *const names[] = { "Content-Type", "Cache-Control", "ETag", "Vary" };
    static const uint32_t algorithms[] = { CODING_GZIP };
    static const char *const types[] = { "text/*", "*+json" };
    struct compress_conf conf = { .enabled = true,
                                  .algorithms = { (void *)(uintptr_t)algorithms, 1 },
                                  .types = { (void *)(uintptr_t)types, 2 } };
    struct http_field asked[2] = { { .name = "Accept-Encoding", .name_len = 15 },
                                   { .name = "If-None-Match", .name_len = 13 } };
    struct http_field said[4] = { 0 };
    for (unsigned i = 0; i < 2; i++) asked[i].value = text, asked[i].value_len = (uint32_t)len;
    for (unsigned i = 0; i < 4; i++)
        said[i] = (struct http_field){ .name = names[i],
                                       .name_len = (uint16_t)strlen(names[i]),
                                       .value = text,
                                       .value_len = (uint32_t)len,
                                       .id = i ? HTTP_FIELD_OTHER : HTTP_FIELD_CONTENT_TYPE };
    struct http_head request = { .version = HTTP_VERSION_1_1, .fields = asked, .field_count = 2 };
    struct compress_query q = {
        .conf = &conf, .request = &request, .response = { { said, 4 } }, .status = 200
    };
    struct compress_answer a;
    compress_decide(&q, &a);
    (void)compress_lacks_vary(&q);
    (void)compress_was_weakened(&request, (struct slice){ text, len });
    compress_drop_untrue(q.response[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_wishes w = { 0 };
    if (size > 4096) return 0;
    char *copy = malloc(size ? size : 1); /* so that a byte too many is seen */
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    decide(copy, size);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(copy + at, '\n', size - at);
        size_t len = end ? (size_t)(end - copy) - at : size - at;
        coding_wishes_add(&w, (struct slice){ copy + at, len });
        choose(&w);
        at += len + 1;
    }
    free(copy);
    return 0;
}
