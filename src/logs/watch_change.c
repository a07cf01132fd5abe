#include <stdlib.h>
#include <string.h>

#include "logs/source_parts.h"
#include "logs/watched.h"

/* One source of the configuration that comes. */
struct coming {
    struct source *source;        /* made for it; of one that is kept, set at the commit */
    struct source_change *change; /* NULL: it is new */
};

struct watch_change {
    struct list link; /* of the watch's, from the commit on */
    struct watch *watch;
    const struct logs_conf *before, *after;
    struct conf_arena *arena_before; /* from the commit on: one reference */
    struct coming *coming;           /* one for each of `after` */
    struct source **gone;            /* room for all of `before` */
    uint32_t gone_count;
    struct source **in_force, **sources; /* arrays that take the place of the watch's; then what they were */
};

/* beforehand, on the jobs' thread */

static int make_new(struct watch_change *c, struct coming *k, const struct source_conf *conf, struct err *err)
{
    struct watch *w = c->watch;
    if (source_check_folder(conf, err) < 0) return -1;
    return source_open(&k->source, conf, c->after, &w->loop, &watch_source_events, w, err);
}

static int make_all(struct watch_change *c, struct err *err)
{
    const struct source_conf *sources = c->after->sources.data;
    uint32_t count = c->after->sources.count;
    c->coming = calloc(count + 1, sizeof(*c->coming));
    c->gone = calloc(c->before->sources.count + 1, sizeof(*c->gone));
    c->in_force = calloc(count + 1, sizeof(*c->in_force));
    c->sources = calloc(count + 1, sizeof(*c->sources));
    if (!c->coming || !c->gone || !c->in_force || !c->sources)
        return err_set(err, "out of memory for watching logs");
    for (uint32_t i = 0; i < count; i++) {
        const struct source_conf *was = source_conf_find(c->before, sources[i].name);
        int result = was ? source_change_new(&c->coming[i].change, was, c->before, &sources[i], c->after, err)
                         : make_new(c, &c->coming[i], &sources[i], err);
        if (result < 0) return -1;
    }
    return 0;
}

int watch_change_new(struct watch_change **out, struct watch *w, const struct logs_conf *before,
                     const struct logs_conf *after, struct err *err)
{
    struct watch_change *c = calloc(1, sizeof(*c));
    if (!c) return err_set(err, "out of memory for watching logs");
    list_init(&c->link);
    c->watch = w;
    c->before = before;
    c->after = after;
    if (make_all(c, err) < 0) {
        watch_change_free(c);
        return err_prefix(err, "logs");
    }
    *out = c;
    return 0;
}

const struct logs_conf *watch_change_conf(const struct watch_change *c)
{
    return c->after;
}

static void free_arrays(struct watch_change *c)
{
    free(c->coming);
    free(c->gone);
    free(c->in_force);
    free(c->sources);
    free(c);
}

void watch_change_free(struct watch_change *c)
{
    if (!c) return;
    for (uint32_t i = 0; c->coming && i < c->after->sources.count; i++) {
        if (!c->coming[i].change) source_close(c->coming[i].source);
        source_change_free(c->coming[i].change);
    }
    free_arrays(c);
}

/* the observer */

/* What the source that it was had, and what has gone. Control thread. */
static void end(struct watch_change *c)
{
    list_remove(&c->link);
    for (uint32_t i = 0; i < c->gone_count; i++) source_close(c->gone[i]);
    for (uint32_t i = 0; i < c->after->sources.count; i++) source_change_free(c->coming[i].change);
    conf_arena_free(c->arena_before);
    free_arrays(c);
}

static void deliver_end(void *reader, const struct mail *m)
{
    (void)reader;
    end(m->object);
}

static void deliver_change(void *reader, const struct mail *m)
{
    struct watch *w = reader;
    struct watch_change *c = m->object;
    struct source **sources = w->sources;
    uint32_t count = c->after->sources.count;
    struct err err;
    for (uint32_t i = 0; i < c->gone_count; i++) {
        watch_end_viewers(w, c->gone[i]);
        source_stop(c->gone[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (c->coming[i].change) source_change_begin(c->coming[i].source, c->coming[i].change);
    w->sources = c->sources;
    w->source_count = count;
    c->sources = sources;
    for (uint32_t i = 0; i < count; i++) {
        struct coming *k = &c->coming[i];
        int result = k->change ? source_change_end(k->source, k->change, &err)
                               : source_start(k->source, &err);
        if (result < 0) watch_say_failed(&err);
    }
    watch_look_after(w);
    struct mail done = { .deliver = deliver_end, .object = c };
    (void)watch_tell(w, &done); /* else watch_drop_changes() ends it */
}

void watch_drop_changes(struct watch *w)
{
    while (!list_is_empty(&w->changes)) end(container_of(w->changes.next, struct watch_change, link));
}

/* the control thread */

/* What a configuration has that has gone, but of which the observer does not know yet, is let go of before it begins with this one. */
static bool needs_address(const struct watch_change *c, const struct source_conf *conf)
{
    const struct list *changes = &c->watch->changes;
    if (!source_needs_address(conf, c->before)) return false;
    for (const struct list *at = changes->next; at != changes; at = at->next)
        if (!source_needs_address(conf, container_of(at, struct watch_change, link)->before)) return false;
    return true;
}

int watch_change_reserve(struct watch_change *c, struct err *err)
{
    for (uint32_t i = 0; i < c->after->sources.count; i++) {
        struct coming *k = &c->coming[i];
        if (!needs_address(c, (const struct source_conf *)c->after->sources.data + i)) continue;
        int result = k->change ? source_change_reserve(k->change, err) : source_reserve(k->source, err);
        if (result < 0) return err_prefix(err, "logs");
    }
    return 0;
}

/* Those that both have keep their object, whose figures metrics read. */
static void find_kept(struct watch_change *c)
{
    const struct watch *w = c->watch;
    for (uint32_t i = 0; i < c->after->sources.count; i++) {
        struct coming *k = &c->coming[i];
        const char *name = ((const struct source_conf *)c->after->sources.data)[i].name;
        if (k->change) k->source = w->in_force[watch_source_by_name(w, slice_of(name))];
        c->in_force[i] = c->sources[i] = k->source;
    }
    for (uint32_t i = 0; i < c->before->sources.count; i++)
        if (!source_conf_find(c->after, watch_source_conf(w, i)->name))
            c->gone[c->gone_count++] = w->in_force[i];
}

int watch_change_commit(struct watch_change *c, struct conf_arena *arena, struct err *err)
{
    struct watch *w = c->watch;
    struct mail m = { .deliver = deliver_change, .object = c };
    if (c->before != w->conf) return err_set(err, "other logs are watched meanwhile; try again");
    if (c->after->sources.count && watch_start(w, err) < 0) return -1;
    find_kept(c);
    struct source **in_force = c->in_force;
    if (w->is_running && !mailbox_keep(w->box, &m)) {
        c->gone_count = 0;
        return err_set(err, "there is no memory to change which logs are watched; try again");
    }
    list_push_back(&w->changes, &c->link);
    c->arena_before = w->arena;
    c->in_force = w->in_force;
    w->in_force = in_force;
    w->conf = c->after;
    w->arena = conf_arena_get(arena);
    if (!w->is_running) end(c); /* nobody has any */
    return 0;
}
