/* Response heads and the bodies behind them. The first byte says which request is answered: "H" is HEAD,
 * all else GET. */
#include <string.h>

#include "h1_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct oracle o;
    if (!size || size > FUZZ_INPUT_MAX) return 0;
    enum http_method to = data[0] == 'H' ? HTTP_HEAD : HTTP_GET;
    struct slice bytes = { (const char *)data + 1, size - 1 };
    struct h1_play play = { .limits = &fuzz_limits, .is_response = true, .to = to };
    fuzz_cuts(bytes, play, fuzz_render_head, NULL);

    struct http_field fields[64];
    struct h1_progress progress = { 0 };
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t head_len;
    if (h1_parse_response(&progress, bytes, to, &fuzz_limits, fields, &head, &framing, &head_len, &fault) !=
        H1_DONE)
        return 0;
    static char copy[FUZZ_INPUT_MAX];
    memcpy(copy, bytes.data, bytes.len);
    fuzz_unblank(copy, bytes.data, &head);
    fuzz_untab(copy, bytes.data, &head);
    oracle_run(&o, true, to == HTTP_HEAD, copy, bytes.len);
    MUST(o.has_head, "a head that llhttp refuses: %s", o.fault ? o.fault : "it wants more");
    MUST(head.status == o.status, "status %u, theirs %u", head.status, o.status);
    fuzz_same("reason", head.reason, fuzz_span(&o, o.reason));
    fuzz_same_fields(&o, 0, head.fields, head.field_count, o.head_field_count);
    MUST(!framing.is_persistent || o.is_persistent, "ours persists, theirs does not");
    if (o.is_upgrade) return 0;
    fuzz_same_body(&o, bytes, head_len, &head, &framing, true);
    return 0;
}
