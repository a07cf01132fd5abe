#include "coding/compress.h"

/* names: those of fields are compared only where the responses of a route may be compressed, so none of them has an id */

static bool is_named(const struct http_field *f, struct slice name)
{
    return slice_equal_fold((struct slice){ f->name, f->name_len }, name);
}

static struct slice value_of(const struct http_field *f)
{
    return (struct slice){ f->value, f->value_len };
}

/* What of a response's fields counts. */
struct seen {
    struct slice type;
    const struct http_field *etag;
    bool has_coding, has_range, has_signature, has_two_types, sets_cookie, is_untouchable, is_private,
        is_public;
};

/* RFC 9111 5.2.2; what an extension would have to say is not asked. */
static void see_cache_control(struct seen *s, struct slice value)
{
    struct slice element;
    while (slice_next_element(&value, &element)) {
        const char *equals = element.len ? memchr(element.data, '=', element.len) : NULL;
        struct slice name = { element.data, equals ? (size_t)(equals - element.data) : element.len };
        if (slice_equal_fold(name, SLICE("no-transform"))) s->is_untouchable = true;
        if (slice_equal_fold(name, SLICE("private")) || slice_equal_fold(name, SLICE("no-store")))
            s->is_private = true;
        if (slice_equal_fold(name, SLICE("public")) || slice_equal_fold(name, SLICE("s-maxage")))
            s->is_public = true;
    }
}

static void see(struct seen *s, const struct http_field *f)
{
    if (f->is_dropped) return;
    if (f->id == HTTP_FIELD_CONTENT_TYPE) {
        s->has_two_types = s->type.data != NULL;
        s->type = value_of(f);
    } else if (is_named(f, SLICE("content-encoding"))) {
        s->has_coding = true;
    } else if (is_named(f, SLICE("content-range"))) {
        s->has_range = true;
    } else if (is_named(f, SLICE("signature-input"))) {
        s->has_signature = true; /* RFC 9421: made of fields that would change */
    } else if (is_named(f, SLICE("set-cookie"))) {
        s->sets_cookie = true;
    } else if (is_named(f, SLICE("cache-control"))) {
        see_cache_control(s, value_of(f));
    } else if (is_named(f, SLICE("etag")) && !s->etag) {
        s->etag = f;
    }
}

static bool is_from_somebody(const struct compress_query *q)
{
    const struct http_head *r = q->request;
    if (q->has_certificate) return true;
    for (uint32_t i = 0; i < r->field_count; i++)
        if (r->fields[i].id == HTTP_FIELD_AUTHORIZATION || is_named(&r->fields[i], SLICE("cookie")))
            return true;
    return false;
}

static bool is_secret(const struct compress_query *q, const struct seen *s)
{
    if (s->sets_cookie || s->is_private) return true;
    return !s->is_public && is_from_somebody(q);
}

/* Without a body, or with a part of one: its bytes are of the representation that the server has. */
static bool is_status_without(uint16_t status)
{
    return status < 200 || status == 204 || status == 205 || status == 206 || status == 226 || status == 304;
}

static void read_wishes(const struct http_head *request, struct coding_wishes *out)
{
    for (uint32_t i = 0; i < request->field_count; i++)
        if (is_named(&request->fields[i], SLICE("accept-encoding")))
            coding_wishes_add(out, value_of(&request->fields[i]));
}

static enum compress_verdict judge(const struct compress_query *q, const struct seen *s,
                                   struct compress_answer *out)
{
    if (is_status_without(q->status) || s->has_range) return COMPRESS_STATUS;
    if (s->has_coding) return COMPRESS_ENCODED;
    if (s->is_untouchable || s->has_signature) return COMPRESS_NO_TRANSFORM;
    if (s->has_two_types || !compress_takes_type(q->conf, s->type)) return COMPRESS_TYPE;
    read_wishes(q->request, &out->wishes);
    /* Who refuses identity has it encoded, however small it is. */
    bool is_asked = out->wishes.is_given && !coding_weight(&out->wishes, CODING_IDENTITY);
    if (q->has_length && (!q->length || (q->length < q->conf->least_bytes && !is_asked)))
        return COMPRESS_SMALL;
    out->varies = true;
    if (!q->conf->secret && is_secret(q, s)) return COMPRESS_SECRET;
    /* Its end would be seen by the connection's end alone, which is also what a cut looks like. */
    if (q->request->version == HTTP_VERSION_1_0) return COMPRESS_VERSION;
    return compress_choose(q, out, 0) == CODING_IDENTITY ? COMPRESS_CLIENT : COMPRESS_YES;
}

void compress_decide(const struct compress_query *q, struct compress_answer *out)
{
    struct seen s = { 0 };
    *out = (struct compress_answer){ 0 };
    for (unsigned k = 0; k < COMPRESS_FIELDS; k++)
        for (uint32_t i = 0; i < q->response[k].count; i++) see(&s, &q->response[k].fields[i]);
    out->etag = s.etag;
    out->verdict = judge(q, &s, out);
    struct slice live = SLICE("text/event-stream");
    if (s.type.len > live.len) s.type.len = live.len; /* parameters */
    out->is_live = slice_equal_fold(s.type, live);
}

enum coding compress_choose(const struct compress_query *q, const struct compress_answer *a, uint8_t without)
{
    const uint32_t *algorithms = q->conf->algorithms.data;
    uint32_t order[CODINGS_MADE], count = 0;
    for (uint32_t i = 0; i < q->conf->algorithms.count && count < CODINGS_MADE; i++)
        if (!(without >> algorithms[i] & 1)) order[count++] = algorithms[i];
    return a->wishes.is_given ? coding_choose(&a->wishes, order, count) : CODING_IDENTITY;
}

static bool names_accept_encoding(struct slice vary)
{
    struct slice element;
    while (slice_next_element(&vary, &element))
        if (slice_equal(element, SLICE("*")) || slice_equal_fold(element, SLICE("accept-encoding")))
            return true;
    return false;
}

bool compress_lacks_vary(const struct compress_query *q)
{
    for (unsigned k = 0; k < COMPRESS_FIELDS; k++) {
        const struct compress_fields *f = &q->response[k];
        for (uint32_t i = 0; i < f->count; i++)
            if (!f->fields[i].is_dropped && is_named(&f->fields[i], SLICE("vary")) &&
                names_accept_encoding(value_of(&f->fields[i])))
                return false;
    }
    return true;
}

void compress_drop_untrue(struct compress_fields f)
{
    /* RFC 9530, RFC 3230, RFC 1864: of bytes that the client does not get; RFC 9110 14.3: of ranges of those. */
    static const char *const untrue[] = { "content-digest", "repr-digest", "digest", "content-md5",
                                          "accept-ranges" };
    for (uint32_t i = 0; i < f.count; i++) {
        for (size_t k = 0; k < sizeof(untrue) / sizeof(*untrue); k++)
            if (is_named(&f.fields[i], slice_of(untrue[k]))) f.fields[i].is_dropped = true;
        if (is_named(&f.fields[i], SLICE("etag")) && compress_is_strong(value_of(&f.fields[i])))
            f.fields[i].is_dropped = true;
    }
}

bool compress_is_strong(struct slice etag)
{
    return !slice_starts_with(etag, SLICE("W/"));
}

bool compress_was_weakened(const struct http_head *request, struct slice etag)
{
    if (!compress_is_strong(etag)) return false;
    bool is_there = false;
    for (uint32_t i = 0; i < request->field_count; i++) {
        if (!is_named(&request->fields[i], SLICE("if-none-match"))) continue;
        struct slice rest = value_of(&request->fields[i]), tag;
        while (slice_next_element(&rest, &tag)) {
            if (slice_equal(tag, etag)) return false; /* it has that one, too */
            is_there |= !compress_is_strong(tag) &&
                        slice_equal((struct slice){ tag.data + 2, tag.len - 2 }, etag);
        }
    }
    return is_there;
}

const char *compress_verdict_name(enum compress_verdict v)
{
    static const char *const names[] = {
#define X(id, name, means) name,
        COMPRESS_VERDICTS(X)
#undef X
    };
    return names[v];
}
