#include "proxy/site.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "pool/pool.h"
#include "proxy/split.h"

struct site *site_get(struct site *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct roster *site_pool_by_name(const struct site *s, struct slice name)
{
    for (uint32_t i = 0; i < s->pool_count; i++)
        if (slice_equal(slice_of(s->pools[i]->pool->name), name)) return s->pools[i];
    return NULL;
}

struct split *site_split_by_name(const struct site *s, const char *name)
{
    for (uint32_t i = 0; i < s->split_count; i++)
        if (strcmp(s->splits[i].name, name) == 0) return &s->splits[i];
    return NULL;
}

struct site_view *site_view_new(struct site *s)
{
    struct site_view *v = calloc(1, sizeof(*v));
    if (!v) {
        site_put(s);
        return NULL;
    }
    v->site = s;
    v->is_current = true;
    return v;
}

static void view_free(struct site_view *v)
{
    site_put(v->site);
    free(v);
}

void site_view_put(struct site_view *v)
{
    if (bug_if(SITE, !v->users)) return; /* leaked rather than freed under somebody */
    if (--v->users == 0 && !v->is_current) view_free(v);
}

void site_view_retire(struct site_view *v)
{
    if (bug_if(SITE, !v->is_current)) return; /* it may be freed */
    v->is_current = false;
    if (!v->users) view_free(v);
}
