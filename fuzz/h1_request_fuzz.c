/* Request heads and the bodies behind them: whatever weir accepts, llhttp accepts and understands alike;
 * and the cuts of the input make no difference. */
#include <string.h>

#include "h1_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The target as it came; an absolute one was split, and an empty path became "/" or "*". */
static void same_target(const struct http_head *head, struct slice theirs)
{
    char room[FUZZ_INPUT_MAX + 16];
    struct text ours = text_over(room, sizeof(room));
    if (head->scheme.len) {
        text_add_slice(&ours, head->scheme);
        TEXT_LITERAL(&ours, "://");
        text_add_slice(&ours, head->authority);
        if (slice_equal(text_slice(&ours), theirs)) return;
    }
    text_add_slice(&ours, head->target);
    fuzz_same("target", text_slice(&ours), theirs);
}

/* An unknown method becomes one that llhttp knows. Returns how many bytes longer the input is for it. */
static size_t put_to_oracle(struct oracle *o, struct slice bytes, const struct http_head *head)
{
    static char copy[FUZZ_INPUT_MAX], renamed[FUZZ_INPUT_MAX + 8];
    memcpy(copy, bytes.data, bytes.len);
    fuzz_untab(copy, bytes.data, head);
    if (head->method != HTTP_OTHER) {
        oracle_run(o, false, false, copy, bytes.len);
        return 0;
    }
    struct text t = text_over(renamed, sizeof(renamed));
    size_t before = (size_t)(head->method_text.data - bytes.data), behind = before + head->method_text.len;
    text_add(&t, copy, before);
    TEXT_LITERAL(&t, "POST");
    text_add(&t, copy + behind, bytes.len - behind);
    oracle_run(o, false, false, t.data, t.len);
    return 4 - head->method_text.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct oracle o;
    struct slice bytes = { (const char *)data, size };
    if (size > FUZZ_INPUT_MAX) return 0;
    fuzz_cuts(bytes, (struct h1_play){ .limits = &fuzz_limits }, fuzz_render_head, NULL);

    struct http_field fields[64];
    struct h1_progress progress = { 0 };
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t head_len;
    if (h1_parse_request(&progress, bytes, &fuzz_limits, fields, &head, &framing, &head_len, &fault) !=
        H1_DONE)
        return 0;
    size_t longer = put_to_oracle(&o, bytes, &head);
    MUST(o.has_head, "a head that llhttp refuses: %s", o.fault ? o.fault : "it wants more");
    if (head.method != HTTP_OTHER) fuzz_same("method", head.method_text, fuzz_span(&o, o.method));
    same_target(&head, fuzz_span(&o, o.target));
    fuzz_same_fields(&o, 0, head.fields, head.field_count, o.head_field_count);
    MUST(!framing.is_persistent || o.is_persistent, "ours persists, theirs does not");
    if (o.is_upgrade) return 0;
    o.used -= longer;
    fuzz_same_body(&o, bytes, head_len, &head, &framing, false);
    return 0;
}
