/* admin/reloader.h: what the API asks of whoever can put another configuration in force: main/reload.h. Control thread. */
#pragma once

#include "admin/answer.h"

struct reload_ask {
    struct slice text; /* copied; without data: the file that weir was started with, as it is now */
    bool is_json;      /* else YAML */
    bool is_dry;       /* only says what would change */
    /* With the answer, whose memory is the callee's; not before ask() has returned. */
    void (*done)(void *context, struct answer *a);
    void *context;
};

struct reloader {
    /* False: too much is being worked on, and done() does not come. */
    bool (*ask)(struct reloader *r, const struct reload_ask *ask);
    /* The configuration in force, secrets left out, as JSON. */
    void (*show)(struct reloader *r, struct answer *out);
};
