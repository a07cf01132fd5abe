/* control/config_difference.h: what one configuration changes of another, by names: for answers, before or after it is put in
 * force. Pure, but for the clock's time that it takes: not for the control thread. */
#pragma once

#include "admin/reloader.h"
#include "control/config.h"

struct proxy;

struct config_difference {
    struct reload_outcome outcome; /* its names are the two configurations' */
    struct conf_arena *arena;      /* of its lists */
};

/* `started`: what weir was started with. Of `outcome` what the run time knows is left at zero: see
 * config_difference_count(). Several milliseconds with pools that hash, whose tables are asked. -1: there is no memory, and *d is
 * empty. */
MUST_CHECK int config_difference_find(struct config_difference *d, const struct config *before,
                                      const struct config *after, const struct config *started,
                                      struct err *err);
/* How many connections it concerns: those of `p`, which has `before` in force. Control thread. */
void config_difference_count(struct config_difference *d, const struct proxy *p);
void config_difference_fini(struct config_difference *d);

/* The part of keys that have another server, asked of the two pools' tables: 0..1. NaN: one of them does not hash, or what
 * is hashed is another. */
double config_difference_moved(const struct pool_conf *before, const struct pool_conf *after);
