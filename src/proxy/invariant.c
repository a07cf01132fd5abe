#include "proxy/invariant.h"

const struct invariant_info invariant_infos[INVARIANT_COUNT] = {
#define X(id, name, counted, found) { name, counted, found },
    INVARIANTS(X)
#undef X
};

/* The first that is broken is told: what comes of it may be many. */
static void note_place(struct invariant_sum *s, const struct invariant_place *place, int64_t counted,
                       int64_t found)
{
    if (s->broken) return;
    s->place = *place;
    s->place_counted = counted;
    s->place_found = found;
}

void invariant_add(struct invariant_sum *s, int64_t counted, int64_t found, int64_t moved,
                   const struct invariant_place *place)
{
    int64_t apart = counted > found ? counted - found : found - counted;
    s->objects++;
    s->counted += counted;
    s->found += found;
    if (apart > moved) {
        note_place(s, place, counted, found);
        s->broken++;
    } else if (apart) {
        s->unclear++;
    }
}

void invariant_merge(struct invariant_sum *into, const struct invariant_sum *from)
{
    if (from->broken) note_place(into, &from->place, from->place_counted, from->place_found);
    into->objects += from->objects;
    into->counted += from->counted;
    into->found += from->found;
    into->broken += from->broken;
    into->unclear += from->unclear;
}

static void say_place(const struct invariant_place *p, struct text *out)
{
    if (p->listener) text_printf(out, "Listener \"%s\", ", p->listener);
    if (p->pool) text_printf(out, "Pool \"%s\", ", p->pool);
    if (p->server) text_printf(out, "server \"%s\", ", p->server);
    if (p->generation != INVARIANT_NOWHERE) text_printf(out, "Generation %u, ", p->generation);
    if (p->worker != INVARIANT_NOWHERE)
        text_printf(out, "%s %u, ", p->listener || p->pool ? "worker" : "Worker", p->worker);
}

void invariant_say(enum invariant which, const struct invariant_sum *s, struct text *out)
{
    const struct invariant_info *info = &invariant_infos[which];
    size_t before = out->len;
    say_place(&s->place, out);
    if (out->len > before) out->len -= 2; /* without the last comma */
    text_printf(out, "%s%lld %s, but %lld %s%s.", out->len > before ? ": " : "", (long long)s->place_counted,
                info->counted, (long long)s->place_found, info->found,
                s->broken > 1 ? "; it is the first of several" : "");
}
