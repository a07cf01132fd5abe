#include "logs/state_bytes.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 4096u

/* writing */

void state_out_fini(struct state_out *o)
{
    free(o->data);
    *o = (struct state_out){ 0 };
}

static bool reserve(struct state_out *o, size_t more)
{
    if (o->is_failed) return false;
    if (o->cap - o->len >= more) return true;
    size_t cap = o->cap ? o->cap : FIRST_CAP;
    while (cap - o->len < more) cap *= 2;
    uint8_t *larger = realloc(o->data, cap);
    if (!larger) {
        o->is_failed = true;
        return false;
    }
    o->data = larger;
    o->cap = cap;
    return true;
}

void state_put_u64(struct state_out *o, uint64_t value)
{
    if (!reserve(o, 10)) return;
    while (value >= 0x80) {
        o->data[o->len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    o->data[o->len++] = (uint8_t)value;
}

void state_put_slice(struct state_out *o, struct slice s)
{
    state_put_u64(o, s.len);
    if (!s.len || !reserve(o, s.len)) return;
    memcpy(o->data + o->len, s.data, s.len);
    o->len += s.len;
}

void state_put_cells(struct state_out *o, const uint64_t *cells, uint32_t count)
{
    uint32_t used = 0, last = 0;
    for (uint32_t i = 0; i < count; i++) used += cells[i] != 0;
    state_put_u64(o, used);
    for (uint32_t i = 0; i < count; i++) {
        if (!cells[i]) continue;
        state_put_u64(o, i - last);
        state_put_u64(o, cells[i]);
        last = i;
    }
}

/* One byte a cell is less than a distance and a value once a third of them is used. */
void state_put_bytes(struct state_out *o, const uint8_t *bytes, uint32_t count)
{
    uint32_t used = 0, last = 0;
    for (uint32_t i = 0; i < count; i++) used += bytes[i] != 0;
    bool is_dense = used > count / 3;
    state_put_u64(o, is_dense ? (uint64_t)count + 1 : used);
    if (is_dense) {
        state_put_slice(o, (struct slice){ (const char *)bytes, count });
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!bytes[i]) continue;
        state_put_u64(o, i - last);
        state_put_u64(o, bytes[i]);
        last = i;
    }
}

/* reading */

uint64_t state_get_u64(struct state_in *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; in->at < in->end && shift < 64; shift += 7) {
        uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    in->is_failed = true;
    in->at = in->end;
    return 0;
}

uint64_t state_get_bounded(struct state_in *in, uint64_t max)
{
    uint64_t value = state_get_u64(in);
    if (value <= max) return value;
    in->is_failed = true;
    in->at = in->end;
    return 0;
}

struct slice state_get_slice(struct state_in *in, size_t max)
{
    size_t left = (size_t)(in->end - in->at);
    size_t len = (size_t)state_get_bounded(in, max < left ? max : left);
    if (len > (size_t)(in->end - in->at)) {
        in->is_failed = true;
        in->at = in->end;
        len = 0;
    }
    struct slice s = { (const char *)in->at, len };
    in->at += len;
    return s;
}

/* The next place of a cell; false: there is none. */
static bool next_place(struct state_in *in, uint64_t *place, uint32_t count)
{
    *place += state_get_bounded(in, count);
    if (*place < count && !in->is_failed) return true;
    in->is_failed = true;
    return false;
}

void state_get_cells(struct state_in *in, uint64_t *cells, uint32_t count)
{
    uint64_t used = state_get_bounded(in, count), place = 0;
    for (uint64_t i = 0; i < used && next_place(in, &place, count); i++) cells[place] = state_get_u64(in);
}

void state_get_bytes(struct state_in *in, uint8_t *bytes, uint32_t count)
{
    uint64_t used = state_get_bounded(in, (uint64_t)count + 1), place = 0;
    if (used == (uint64_t)count + 1) {
        struct slice s = state_get_slice(in, count);
        if (s.len == count) memcpy(bytes, s.data, count);
        in->is_failed |= s.len != count;
        return;
    }
    for (uint64_t i = 0; i < used && next_place(in, &place, count); i++)
        bytes[place] = (uint8_t)state_get_bounded(in, UINT8_MAX);
}
