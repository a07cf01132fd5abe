#include "profile/pprof.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/protobuf.h"

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

static void put_type(struct protobuf *b, unsigned field, struct names *n, const struct profile_type *t,
                     struct protobuf *part)
{
    protobuf_number(part, 1, name_id(n, t->type));
    protobuf_number(part, 2, name_id(n, t->unit));
    protobuf_part(b, field, part);
}

static void put_sample(struct protobuf *b, const struct profile *p, const struct profile_sample *s,
                       struct protobuf *part, struct protobuf *inner)
{
    for (uint32_t i = 0; i < s->depth; i++) protobuf_varint(inner, p->frames[s->stack_at + i]);
    protobuf_part(part, 1, inner);
    for (uint32_t i = 0; i < p->type_count; i++) protobuf_varint(inner, (uint64_t)s->values[i]);
    protobuf_part(part, 2, inner);
    for (uint32_t i = 0; i < s->label_count; i++) {
        const struct profile_label *l = &s->labels[i];
        protobuf_number(inner, 1, l->key);
        protobuf_number(inner, 2, l->text);
        protobuf_number(inner, 3, (uint64_t)l->number);
        protobuf_number(inner, 4, l->unit);
        protobuf_part(part, 3, inner);
    }
    protobuf_part(b, PROFILE_SAMPLE, part);
}

static void put_tables(struct protobuf *b, const struct profile *p, struct protobuf *part,
                       struct protobuf *inner)
{
    for (uint32_t i = 1; i < p->mapping_count; i++) {
        const struct profile_mapping *m = &p->mappings[i];
        protobuf_number(part, 1, i);
        protobuf_number(part, 2, m->start);
        protobuf_number(part, 3, m->limit);
        protobuf_number(part, 4, m->file_offset);
        protobuf_number(part, 5, m->file);
        protobuf_number(part, 6, m->build_id);
        protobuf_number(part, 7, m->has_functions);
        protobuf_number(part, 8, m->has_lines);
        protobuf_number(part, 9, m->has_lines);
        protobuf_part(b, PROFILE_MAPPING, part);
    }
    for (uint32_t i = 1; i < p->location_count; i++) {
        const struct profile_location *l = &p->locations[i];
        protobuf_number(part, 1, i);
        protobuf_number(part, 2, l->mapping);
        protobuf_number(part, 3, l->address);
        protobuf_number(inner, 1, l->function);
        protobuf_number(inner, 2, l->line);
        if (inner->len) protobuf_part(part, 4, inner);
        protobuf_part(b, PROFILE_LOCATION, part);
    }
    for (uint32_t i = 1; i < p->function_count; i++) {
        const struct profile_function *f = &p->functions[i];
        protobuf_number(part, 1, i);
        protobuf_number(part, 2, f->name);
        protobuf_number(part, 3, f->name);
        protobuf_number(part, 4, f->file);
        protobuf_number(part, 5, f->line);
        protobuf_part(b, PROFILE_FUNCTION, part);
    }
}

static void put_all(struct protobuf *b, const struct profile *p, struct protobuf *part,
                    struct protobuf *inner)
{
    struct names names = { .first = p->string_count };
    for (uint32_t i = 0; i < p->type_count; i++) put_type(b, PROFILE_SAMPLE_TYPE, &names, &p->types[i], part);
    for (uint32_t i = 0; i < p->sample_count; i++) put_sample(b, p, &p->samples[i], part, inner);
    put_tables(b, p, part, inner);
    protobuf_number(b, PROFILE_TIME_NANOS, p->time_ns);
    protobuf_number(b, PROFILE_DURATION_NANOS, p->duration_ns);
    if (p->period_type.type) put_type(b, PROFILE_PERIOD_TYPE, &names, &p->period_type, part);
    protobuf_number(b, PROFILE_PERIOD, (uint64_t)p->period);
    if (p->comment) protobuf_number(b, PROFILE_COMMENT, name_id(&names, p->comment));
    protobuf_number(b, PROFILE_DEFAULT_SAMPLE_TYPE, name_id(&names, p->types[p->preset_type].type));
    for (uint32_t i = 0; i < p->string_count; i++) {
        struct slice s = profile_text(p, i);
        protobuf_message(b, PROFILE_STRING_TABLE, s.data, s.len);
    }
    for (uint32_t i = 0; i < names.count; i++)
        protobuf_message(b, PROFILE_STRING_TABLE, names.texts[i], strlen(names.texts[i]));
}

static int pack(const struct protobuf *b, char **out, size_t *len, struct err *err)
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
    struct protobuf all = { 0 }, part = { 0 }, inner = { 0 };
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
