/* Chunked bodies with their trailers: what weir decodes, llhttp decodes alike; and the cuts make no
 * difference. */
#include <string.h>

#include "h1_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char message[sizeof(start) + FUZZ_INPUT_MAX];
    static struct oracle o;
    const size_t start_len = sizeof(start) - 1;
    if (size > FUZZ_INPUT_MAX) return 0;
    const struct http_head head = { .body = HTTP_BODY_UNKNOWN };
    const struct h1_framing framing = { .is_chunked = true };
    struct slice bytes = { (const char *)data, size };
    fuzz_cuts(bytes, (struct h1_play){ .limits = &fuzz_limits }, fuzz_render_body,
              &(struct fuzz_message){ &head, &framing });

    memcpy(message, start, start_len);
    if (size) memcpy(message + start_len, data, size);
    bytes = (struct slice){ message, start_len + size };
    oracle_run(&o, false, false, bytes.data, bytes.len);
    MUST(o.has_head, "the head that is always there");
    fuzz_same_body(&o, bytes, start_len, &head, &framing, false);
    return 0;
}
