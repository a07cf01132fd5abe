/* Name servers, asked for a name's addresses. */
#include <stdlib.h>

#include "discovery/name_lookup.h"

struct dns {
    struct source source; /* first */
    struct name_lookup lookup;
};

static void refuse(struct dns *d, enum source_result result, const char *reason)
{
    const struct source_answer a = { .result = result, .reason = reason };
    source_answered(&d->source, &a);
}

static void on_done(struct name_lookup *l, enum source_result result, const struct resolver_found *f)
{
    struct dns *d = container_of(l, struct dns, lookup);
    if (result != SOURCE_FOUND) {
        refuse(d, result, l->reason);
        return;
    }
    struct found *found = calloc(f->count, sizeof(*found));
    if (!found) {
        refuse(d, SOURCE_FAILED, "there is no memory for the answer");
        return;
    }
    for (uint32_t i = 0; i < f->count; i++) found[i].address = address_from_ip(&f->addresses[i], 0);
    const struct source_answer a = { .result = SOURCE_FOUND,
                                     .holds_ms = name_lookup_holds_ms(l->all, f->ttl_s),
                                     .found = found,
                                     .count = f->count };
    source_answered(&d->source, &a);
    free(found);
}

static void ask(struct source *s)
{
    struct dns *d = (struct dns *)s;
    d->lookup.done = on_done;
    name_lookup_begin(&d->lookup, s->all, s->place.name, s->fresh.has_found);
}

static struct source *open_source(void)
{
    struct dns *d = calloc(1, sizeof(*d));
    return d ? &d->source : NULL;
}

static void close_source(struct source *s)
{
    struct dns *d = (struct dns *)s;
    name_lookup_end(&d->lookup);
    free(d);
}

const struct source_kind source_dns = { open_source, ask, close_source };
