#include "coding/coding.h"

#define WEIGHT_MAX 1000u

static const char *const names[] = {
    [CODING_GZIP] = "gzip", [CODING_BR] = "br", [CODING_ZSTD] = "zstd", [CODING_IDENTITY] = "identity"
};

const char *coding_name(enum coding c)
{
    return names[c];
}

/* What is before `c`, and *rest what follows it; all of it and nothing if there is none. */
static struct slice cut(struct slice s, char c, struct slice *rest)
{
    const char *at = s.len ? memchr(s.data, c, s.len) : NULL;
    if (!at) {
        *rest = SLICE_NONE;
        return s;
    }
    size_t len = (size_t)(at - s.data);
    *rest = (struct slice){ at + 1, s.len - len - 1 };
    return (struct slice){ s.data, len };
}

/* RFC 9110 12.4.2: "q=0.5"; at most three digits. False if it is anything else. */
static bool read_weight(struct slice s, uint16_t *weight)
{
    if (s.len < 3 || s.len > 7 || (s.data[0] | 0x20) != 'q' || s.data[1] != '=') return false;
    if (s.data[2] != '0' && s.data[2] != '1') return false;
    if (s.len > 3 && s.data[3] != '.') return false;
    unsigned value = s.data[2] == '1' ? WEIGHT_MAX : 0, digit = WEIGHT_MAX / 10;
    for (size_t i = 4; i < s.len; i++, digit /= 10) {
        if (s.data[i] < '0' || s.data[i] > '9') return false;
        value += (unsigned)(s.data[i] - '0') * digit;
    }
    if (value > WEIGHT_MAX) return false;
    *weight = (uint16_t)value;
    return true;
}

/* CODING_COUNT: another. */
static enum coding find(struct slice name)
{
    for (unsigned c = 0; c < CODING_COUNT; c++)
        if (slice_equal_fold(name, slice_of(names[c]))) return (enum coding)c;
    /* RFC 9110 8.4.1.3 */
    return slice_equal_fold(name, SLICE("x-gzip")) ? CODING_GZIP : CODING_COUNT;
}

static void add_element(struct coding_wishes *w, struct slice element)
{
    struct slice parameters;
    struct slice name = slice_trim(cut(element, ';', &parameters));
    uint16_t weight = WEIGHT_MAX;
    if (!name.len) return;
    if (name.len < element.len && memchr(element.data, ';', element.len) &&
        !read_weight(slice_trim(parameters), &weight))
        weight = 0;
    if (slice_equal(name, SLICE("*"))) {
        w->others = w->has_others && w->others < weight ? w->others : weight;
        w->has_others = true;
        return;
    }
    enum coding c = find(name);
    if (c == CODING_COUNT) return;
    bool is_again = w->is_named >> c & 1;
    if (!is_again || weight < w->weight[c]) w->weight[c] = weight;
    w->is_named |= (uint8_t)(1u << c);
}

void coding_wishes_add(struct coding_wishes *w, struct slice value)
{
    w->is_given = true;
    while (value.len) {
        struct slice rest;
        add_element(w, slice_trim(cut(value, ',', &rest)));
        value = rest;
    }
}

uint16_t coding_weight(const struct coding_wishes *w, enum coding c)
{
    if (w->is_named >> c & 1) return w->weight[c];
    if (w->has_others) return w->others;
    /* Acceptable, unless it is excluded; less than whatever is asked for. */
    return c == CODING_IDENTITY ? 1 : 0;
}

enum coding coding_choose(const struct coding_wishes *w, const uint32_t *order, uint32_t count)
{
    enum coding best = CODING_IDENTITY;
    uint16_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t weight = coding_weight(w, (enum coding)order[i]);
        if (weight <= most) continue;
        most = weight;
        best = (enum coding)order[i];
    }
    /* Only who says so would rather have it as it is: "*" speaks of all codings alike. */
    if (w->is_named >> CODING_IDENTITY & 1 && w->weight[CODING_IDENTITY] > most) return CODING_IDENTITY;
    return best;
}
