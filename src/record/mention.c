#include "record/mention.h"

#include "base/text.h"

const char *mention_print_texts(struct slice request_id, struct slice trace_id, char out[MENTION_MAX])
{
    struct text t = text_over(out, MENTION_MAX);
    if (request_id.len) text_add_slice(&t, SLICE(" request_id="));
    text_add_slice(&t, request_id);
    if (trace_id.len) text_add_slice(&t, SLICE(" trace_id="));
    text_add_slice(&t, trace_id);
    text_cstr(&t);
    return out;
}

const char *mention_print(const struct flight_record *r, const uint8_t *trace_id, char out[MENTION_MAX])
{
    char trace[TRACE_ID_TEXT + 1] = "", id[FLIGHT_ID_TEXT_MAX];
    if (!r->request_id_len) {
        struct text t = text_over(out, MENTION_MAX);
        text_add_slice(&t, SLICE(" id="));
        text_add_slice(&t, slice_of(flight_id_print(r->id, id)));
        text_cstr(&t);
        return out;
    }
    if (trace_id) trace_id_print(trace_id, TRACE_ID_BYTES, trace);
    return mention_print_texts((struct slice){ r->request_id, r->request_id_len }, slice_of(trace), out);
}
