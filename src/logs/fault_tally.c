#define XXH_INLINE_ALL
#include <xxhash.h>

#include "logs/fault_tally.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void sum_free(struct fault_sum *s)
{
    if (!s) return;
    top_free(s->servers);
    top_free(s->paths);
    top_free(s->clients);
    free(s->record);
    free(s->line);
    free(s);
}

void fault_tally_fini(struct fault_tally *t)
{
    for (unsigned i = 0; i < FAULT_KIND_COUNT; i++) sum_free(t->sums[i]);
    *t = (struct fault_tally){ 0 };
}

static struct fault_sum *sum_new(void)
{
    struct fault_sum *s = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->servers = top_new(FAULT_KEYS, FAULT_KEY_MAX);
    s->paths = top_new(FAULT_KEYS, FAULT_KEY_MAX);
    s->clients = top_new(FAULT_KEYS, FAULT_KEY_MAX);
    s->record = malloc(FAULT_EXAMPLE_MAX);
    s->line = malloc(FAULT_EXAMPLE_MAX);
    if (s->servers && s->paths && s->clients && s->record && s->line) return s;
    sum_free(s);
    return NULL;
}

static void count_key(struct top *top, struct slice key)
{
    if (key.len) top_add(top, XXH3_64bits(key.data, key.len), key, 1);
}

static uint32_t keep(char *memory, struct slice text)
{
    size_t len = text.len < FAULT_EXAMPLE_MAX ? text.len : FAULT_EXAMPLE_MAX;
    if (len) memcpy(memory, text.data, len);
    return (uint32_t)len;
}

static void keep_example(struct fault_sum *s, const struct fault_case *c)
{
    bool is_first = !s->record_len && !s->line_len;
    bool is_fuller = c->record.len && c->line.len && !(s->record_len && s->line_len);
    if (!is_first && !is_fuller) return;
    s->record_len = keep(s->record, c->record);
    s->line_len = keep(s->line, c->line);
}

int fault_tally_add(struct fault_tally *t, const struct fault_case *c, struct err *err)
{
    assert(c->kind > FAULT_NONE && c->kind < FAULT_KIND_COUNT);
    struct fault_sum **seat = &t->sums[c->kind];
    if (!*seat && !(*seat = sum_new())) return err_set(err, "out of memory");
    struct fault_sum *s = *seat;
    if (c->is_attempt) {
        s->attempts++;
    } else {
        s->requests++;
        if (c->evidence & FAULT_BIT(ERROR_LOG) && c->line.len)
            s->by_line++;
        else
            s->by_record++;
    }
    s->evidence |= c->evidence;
    s->wants |= c->wants;
    if (c->time_s && (!s->first_s || c->time_s < s->first_s)) s->first_s = c->time_s;
    if (c->time_s > s->last_s) s->last_s = c->time_s;
    count_key(s->servers, c->server);
    if (!c->is_attempt) {
        count_key(s->paths, c->path);
        count_key(s->clients, c->client);
    }
    keep_example(s, c);
    return 0;
}

static bool is_before(const struct fault_tally *t, enum fault_kind a, enum fault_kind b)
{
    const struct fault_sum *left = t->sums[a], *right = t->sums[b];
    bool is_left_note = fault_info(a)->weight == FAULT_NOTE || !left->requests;
    bool is_right_note = fault_info(b)->weight == FAULT_NOTE || !right->requests;
    if (is_left_note != is_right_note) return is_right_note;
    if (left->requests != right->requests) return left->requests > right->requests;
    return a < b;
}

uint32_t fault_tally_order(const struct fault_tally *t, enum fault_kind out[FAULT_KIND_COUNT])
{
    uint32_t count = 0;
    for (unsigned i = 0; i < FAULT_KIND_COUNT; i++) {
        uint32_t at = count;
        if (!t->sums[i]) continue;
        for (; at && is_before(t, (enum fault_kind)i, out[at - 1]); at--) out[at] = out[at - 1];
        out[at] = (enum fault_kind)i;
        count++;
    }
    return count;
}
