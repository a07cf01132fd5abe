/* discovery/sources.h: everybody who is asked where servers are, each once, however many pools want to know it. What changes is
 * told together, and not more often than twice a second: names that change at the same time are one change. Control thread. */
#pragma once

#include "discovery/source.h"
#include "net/loop.h"
#include "net/resolver.h"

/* What comes so soon after the first change is told with it; and so long it takes at least from one to the next. */
#define SOURCES_GATHER_MS 20u
#define SOURCES_APART_MS 500u

struct jobs;

struct sources_options {
    struct loop *loop;                      /* borrowed, as the next two */
    struct jobs *jobs;                      /* where files are read */
    const struct resolver_conf *resolver;   /* who is asked for names */
    const struct source_kind *const *kinds; /* by enum place_kind; NULL: all that weir has */
    /* Some have changed, see has_changed: sources_told() is to follow. NULL: nobody is told. */
    void (*on_change)(void *context);
    /* One has answered, or failed; at the end of that turn. May be NULL. */
    void (*on_answer)(void *context);
    void *context;
};

MUST_CHECK int sources_new(struct sources **out, const struct sources_options *o, struct err *err);
/* has_changed is over, or, if not is_done, it is told once more later. */
void sources_told(struct sources *all, bool is_done);
/* From now on they have metrics, as long as they are there, which is shorter than `metrics` is. */
struct metric_registry;
void sources_show(struct sources *all, struct metric_registry *metrics);
/* Nobody uses any of them any more. NULL is fine. */
void sources_free(struct sources *all);
const struct sources_options *sources_options_of(const struct sources *all);
/* Opened when first asked here. NULL: only where memory is out. */
struct resolver *sources_resolver(struct sources *all);

/* The source for that place, which may be new: then it is asked at once. One more user. NULL: out of memory. */
MUST_CHECK struct source *sources_get(struct sources *all, const struct address *at);
/* One user less: with the last it ends. */
void source_put(struct source *s);
/* NULL: nobody uses one for that place. */
struct source *sources_find(const struct sources *all, const struct address *at);
/* The one after `s`, the first after NULL; NULL: there is no other. */
struct source *sources_next(const struct sources *all, const struct source *s);
/* Whether each has answered once, or failed. */
bool sources_are_settled(const struct sources *all);
