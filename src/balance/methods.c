#define XXH_INLINE_ALL
#include <stdalign.h>
#include <xxhash.h>

#include "balance/hash.h"
#include "balance/method.h"

/* In the order in which the manual shows them. */
#define METHODS(X)       \
    X(least_request)     \
    X(least_connections) \
    X(peak_ewma)         \
    X(round_robin)       \
    X(random)            \
    X(hash)

#define X(id)                                               \
    extern const struct balance_method balance_method_##id; \
    extern const struct conf_option balance_option_##id;
METHODS(X)
#undef X

const struct balance_method *const balance_methods[] = {
#define X(id) &balance_method_##id,
    METHODS(X)
#undef X
        NULL
};

static const struct conf_option *const options[] = {
#define X(id) &balance_option_##id,
    METHODS(X)
#undef X
        NULL
};

const struct conf_type balance_conf_type = { .name = "balance method",
                                             .chosen_by = "method",
                                             .options = options };

static const char *const reason_names[] = {
    [BALANCE_ALL_TRIED] = "all_tried",
    [BALANCE_ALL_FULL] = "all_full",
    [BALANCE_ONLY_ONE] = "only_one",
    [BALANCE_TURN] = "turn",
    [BALANCE_DRAWN] = "drawn",
    [BALANCE_LEAST] = "least",
    [BALANCE_TIE] = "tie",
    [BALANCE_TWO] = "two",
    [BALANCE_HASHED] = "hashed",
    [BALANCE_FALLBACK] = "fallback",
    [BALANCE_BOUNDED] = "bounded",
    [BALANCE_QUICKEST] = "quickest",
    [BALANCE_OVERFLOW] = "overflow",
    [BALANCE_STICKY] = "sticky",
    [BALANCE_PINNED] = "pinned",
    [BALANCE_QUEUED] = "queued",
};

const char *balance_reason_name(enum balance_reason reason)
{
    return reason < sizeof(reason_names) / sizeof(*reason_names) ? reason_names[reason] : "unknown";
}

uint64_t balance_hash(struct slice key)
{
    return XXH3_64bits(key.data, key.len);
}

const struct http_template *balance_method_key(const struct balance_method *method, const void *conf)
{
    /* Methods with a key have the options of `hash`. */
    return method->has_key && conf ? &((const struct hash_conf *)conf)->key : NULL;
}

/* Of all parts in a row, however long: a value may be as long as a head. Of nothing if the request has none of the sources,
 * as http_template_expand() makes nothing of it: what stands between them is no key. */
static uint64_t hash_parts(const struct http_template *key, const struct http_template_input *in)
{
    char scratch[HTTP_SOURCE_SCRATCH];
    /* Aligned by hand: under AddressSanitizer gcc 12 gives no frame more than 32 bytes of alignment. */
    char memory[sizeof(XXH3_state_t) + alignof(XXH3_state_t)];
    XXH3_state_t *state = (void *)((uintptr_t)(memory + alignof(XXH3_state_t) - 1) &
                                   ~(uintptr_t)(alignof(XXH3_state_t) - 1));
    XXH3_INITSTATE(state);
    (void)XXH3_64bits_reset(state);
    bool has_value = false;
    for (uint32_t i = 0; i < key->count; i++) {
        const struct http_template_part *part = &key->parts[i];
        struct slice text = { key->text + part->at, part->len };
        struct slice value;
        uint32_t at = 0;
        for (bool is_first = true;
             http_source_next((enum http_source)part->source, text, in, scratch, &at, &value);
             is_first = false) {
            if (!is_first) (void)XXH3_64bits_update(state, ", ", 2);
            if (!value.len) continue;
            (void)XXH3_64bits_update(state, value.data, value.len);
            has_value |= part->source != HTTP_SOURCE_TEXT;
        }
    }
    return has_value ? XXH3_64bits_digest(state) : balance_hash(SLICE_NONE);
}

uint64_t balance_key_hash(const struct http_template *key, const struct http_template_input *in)
{
    char scratch[HTTP_SOURCE_SCRATCH];
    bool is_single;
    struct slice value = http_template_single(key, in, scratch, &is_single);
    return is_single ? balance_hash(value) : hash_parts(key, in);
}

uint64_t balance_gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a ? a : 1;
}

uint32_t balance_weights_gcd(const struct balance_set *set)
{
    uint32_t gcd = set->count ? set->weights[0] : 1;
    for (uint32_t i = 1; i < set->count; i++) gcd = (uint32_t)balance_gcd(gcd, set->weights[i]);
    return gcd;
}

void balance_pick_none(const struct balance_query *q, struct balance_choice *out)
{
    *out = (struct balance_choice){ BALANCE_NONE, BALANCE_NONE, BALANCE_ALL_TRIED };
    for (uint32_t i = 0; i < q->peer_count; i++) {
        if (balance_is_tried(q, i) || balance_is_out(q, i)) continue;
        out->reason = BALANCE_ALL_FULL;
        return;
    }
}

bool balance_pick_trivial(const struct balance_query *q, struct balance_choice *out)
{
    if (q->peer_count > 1) return false;
    if (q->peer_count == 1 && balance_may_take(q, 0))
        *out = (struct balance_choice){ 0, BALANCE_NONE, BALANCE_ONLY_ONE };
    else
        balance_pick_none(q, out);
    return true;
}
