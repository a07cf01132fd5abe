/* admin/reloader.h: what the API asks of whoever can put another configuration in force: control/reload.h. Control thread. */
#pragma once

#include "admin/answer.h"
#include "admin/shape.h"

struct reload_ask {
    struct slice text;   /* copied; without data: the file that weir was started with, as it is now */
    uint32_t generation; /* not 0: instead of both, the one that was kept */
    const char *const
        *changes; /* instead of all, so many changes (conf/tree_change.h) of the one in force; copied */
    uint32_t change_count;
    bool is_json;    /* else YAML */
    bool is_dry;     /* only says what would change */
    bool is_unheard; /* nobody reads the answer: why it was refused goes to the log */
    struct slice
        if_match; /* entity tags (RFC 9110 13.1.1), copied: one must be in force's; without data: whatever is */
    /* With the answer, whose memory is the callee's; not before ask() has returned. */
    void (*done)(void *context, struct answer *a);
    void *context;
};

/* One that was kept, without secrets; or what it changes of another. */
struct reload_look {
    uint32_t generation, against; /* against: 0 for none */
    void (*done)(void *context, struct answer *a);
    void *context;
};

/* What the configuration in force says of an object; copied. */
struct reload_part {
    const struct slice *path; /* as conf/tree_edit.h has it */
    uint32_t count;
    void (*done)(void *context, struct answer *a);
    void *context;
};

#define RELOAD_IF_MATCH_MAX 256u
#define RELOAD_PATH_MAX 8u
#define RELOAD_PATH_TEXT_MAX 8192u /* of all its steps */

struct reloader {
    /* -1: done() does not come; err says why, and when to ask again. */
    MUST_CHECK int (*ask)(struct reloader *r, const struct reload_ask *ask, struct err *err);
    /* The configuration in force, secrets left out, as JSON. */
    void (*show)(struct reloader *r, struct answer *out);
    /* Those that are kept, the newest first. */
    void (*list)(struct reloader *r, struct answer *out);
    /* False: too much is being worked on. */
    bool (*look)(struct reloader *r, const struct reload_look *look);
    /* Likewise. Secrets are left out. */
    bool (*look_at)(struct reloader *r, const struct reload_part *part);
};

/* What has changed, or would: filled by control/config_difference.h, shown by the API. */

struct reload_item {
    const char *name, *in;  /* in: the listener of a route, the pool of a server; NULL: none */
    struct shape_list keys; /* const char *: of what changed; empty for what came or went */
};

/* Of each of the three lists so many are said, and of how many more only the number. */
#define RELOAD_ITEMS_MAX 1000u

struct reload_section {
    struct shape_list added, removed, changed; /* struct reload_item */
    uint64_t left_off;
};

struct reload_moved {
    const char *pool;
    double share; /* 0..1; NaN: what is hashed is another, so that all keys are */
};

struct reload_outcome {
    uint64_t generation; /* in force now */
    bool is_dry, is_same;
    struct reload_section listeners, routes, pools, servers, splits, sources;
    struct shape_list settings;                 /* const char *: other keys of the top level that changed */
    struct shape_list needs_restart;            /* const char *: those that hold from the next start */
    struct shape_list moved;                    /* struct reload_moved */
    uint64_t idle_closed, of_removed_listeners; /* connections */
};

struct reload_generation {
    uint64_t generation;
    const char *at, *by, *format;
    bool is_in_force;
};

extern const struct shape reload_outcome_shape, reload_generation_shape;
