#include "profile/pprof.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Fields of profile.proto. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING_TABLE = 6,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14,
};

/* Bytes that grow. */
struct bytes {
    uint8_t *data;
    size_t len, cap;
    bool is_failed;
};

static void put_bytes(struct bytes *b, const void *data, size_t len)
{
    if (b->is_failed) return;
    if (len > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : 4096;
        while (cap - b->len < len) cap *= 2;
        uint8_t *larger = realloc(b->data, cap);
        if (!larger) {
            b->is_failed = true;
            return;
        }
        b->data = larger;
        b->cap = cap;
    }
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_varint(struct bytes *b, uint64_t value)
{
    uint8_t encoded[10];
    size_t len = 0;
    while (value >= 0x80) {
        encoded[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    encoded[len++] = (uint8_t)value;
    put_bytes(b, encoded, len);
}

/* Zero is what a field is when it is not there. */
static void put_number(struct bytes *b, unsigned field, uint64_t value)
{
    if (!value) return;
    put_varint(b, field << 3);
    put_varint(b, value);
}

static void put_message(struct bytes *b, unsigned field, const void *data, size_t len)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
    put_bytes(b, data, len);
}

/* Puts `part` as one field and empties it. */
static void put_part(struct bytes *b, unsigned field, struct bytes *part)
{
    put_message(b, field, part->data, part->len);
    b->is_failed |= part->is_failed;
    part->len = 0;
}

/* The profile's strings come first in the table, so their ids are theirs; static texts follow. */
struct names {
    const char *texts[2 * PROFILE_TYPES_MAX + 4];
    uint32_t count, first;
};

static uint64_t name_id(struct names *n, const char *text)
{
    n->texts[n->count] = text;
    return n->first + n->count++;
}

static void put_type(struct bytes *b, unsigned field, struct names *n, const struct profile_type *t,
                     struct bytes *part)
{
    put_number(part, 1, name_id(n, t->type));
    put_number(part, 2, name_id(n, t->unit));
    put_part(b, field, part);
}

static void put_sample(struct bytes *b, const struct profile *p, const struct profile_sample *s,
                       struct bytes *part, struct bytes *inner)
{
    for (uint32_t i = 0; i < s->depth; i++) put_varint(inner, p->frames[s->stack_at + i]);
    put_part(part, 1, inner);
    for (uint32_t i = 0; i < p->type_count; i++) put_varint(inner, (uint64_t)s->values[i]);
    put_part(part, 2, inner);
    for (uint32_t i = 0; i < s->label_count; i++) {
        const struct profile_label *l = &s->labels[i];
        put_number(inner, 1, l->key);
        put_number(inner, 2, l->text);
        put_number(inner, 3, (uint64_t)l->number);
        put_number(inner, 4, l->unit);
        put_part(part, 3, inner);
    }
    put_part(b, PROFILE_SAMPLE, part);
}

static void put_tables(struct bytes *b, const struct profile *p, struct bytes *part, struct bytes *inner)
{
    for (uint32_t i = 1; i < p->mapping_count; i++) {
        const struct profile_mapping *m = &p->mappings[i];
        put_number(part, 1, i);
        put_number(part, 2, m->start);
        put_number(part, 3, m->limit);
        put_number(part, 4, m->file_offset);
        put_number(part, 5, m->file);
        put_number(part, 6, m->build_id);
        put_number(part, 7, m->has_functions);
        put_number(part, 8, m->has_lines);
        put_number(part, 9, m->has_lines);
        put_part(b, PROFILE_MAPPING, part);
    }
    for (uint32_t i = 1; i < p->location_count; i++) {
        const struct profile_location *l = &p->locations[i];
        put_number(part, 1, i);
        put_number(part, 2, l->mapping);
        put_number(part, 3, l->address);
        put_number(inner, 1, l->function);
        put_number(inner, 2, l->line);
        if (inner->len) put_part(part, 4, inner);
        put_part(b, PROFILE_LOCATION, part);
    }
    for (uint32_t i = 1; i < p->function_count; i++) {
        const struct profile_function *f = &p->functions[i];
        put_number(part, 1, i);
        put_number(part, 2, f->name);
        put_number(part, 3, f->name);
        put_number(part, 4, f->file);
        put_number(part, 5, f->line);
        put_part(b, PROFILE_FUNCTION, part);
    }
}

static void put_all(struct bytes *b, const struct profile *p, struct bytes *part, struct bytes *inner)
{
    struct names names = { .first = p->string_count };
    for (uint32_t i = 0; i < p->type_count; i++) put_type(b, PROFILE_SAMPLE_TYPE, &names, &p->types[i], part);
    for (uint32_t i = 0; i < p->sample_count; i++) put_sample(b, p, &p->samples[i], part, inner);
    put_tables(b, p, part, inner);
    put_number(b, PROFILE_TIME_NANOS, p->time_ns);
    put_number(b, PROFILE_DURATION_NANOS, p->duration_ns);
    if (p->period_type.type) put_type(b, PROFILE_PERIOD_TYPE, &names, &p->period_type, part);
    put_number(b, PROFILE_PERIOD, (uint64_t)p->period);
    if (p->comment) put_number(b, PROFILE_COMMENT, name_id(&names, p->comment));
    put_number(b, PROFILE_DEFAULT_SAMPLE_TYPE, name_id(&names, p->types[p->preset_type].type));
    for (uint32_t i = 0; i < p->string_count; i++) {
        struct slice s = profile_text(p, i);
        put_message(b, PROFILE_STRING_TABLE, s.data, s.len);
    }
    for (uint32_t i = 0; i < names.count; i++)
        put_message(b, PROFILE_STRING_TABLE, names.texts[i], strlen(names.texts[i]));
}

static int pack(const struct bytes *b, char **out, size_t *len, struct err *err)
{
    z_stream z = { .next_in = b->data, .avail_in = (uInt)b->len };
    if (b->len > UINT32_MAX || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        err_set(err, "out of memory for packing a profile");
        return -1;
    }
    size_t cap = deflateBound(&z, b->len);
    char *packed = malloc(cap);
    z.next_out = (Bytef *)packed;
    z.avail_out = (uInt)cap;
    bool is_done = packed && deflate(&z, Z_FINISH) == Z_STREAM_END;
    *len = z.total_out;
    deflateEnd(&z);
    if (!is_done) {
        free(packed);
        err_set(err, "out of memory for packing a profile");
        return -1;
    }
    *out = packed;
    return 0;
}

int pprof_write(const struct profile *p, char **out, size_t *len, struct err *err)
{
    struct bytes all = { 0 }, part = { 0 }, inner = { 0 };
    put_all(&all, p, &part, &inner);
    int result = 0;
    if (all.is_failed || part.is_failed || inner.is_failed) {
        err_set(err, "out of memory for writing a profile");
        result = -1;
    }
    if (result == 0) result = pack(&all, out, len, err);
    free(all.data);
    free(part.data);
    free(inner.data);
    return result;
}
