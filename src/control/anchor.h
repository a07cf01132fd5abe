/* control/anchor.h: what a core file is read from, without symbols: one static struct that is found by its magic number and
 * says which build it is of and where the rest lies. Written by the control thread at start. */
#pragma once

#include "control/config.h"
#include "crash/crash.h"
#include "crash/crash_modules.h"
#include "proxy/remains.h"

#define ANCHOR_MAGIC "weir anchor 5c1f" /* 16 bytes, not terminated */
#define ANCHOR_LAYOUT 1u                /* raised when members come, go or change their meaning */

struct anchor {
    char magic[16];
    uint64_t self;   /* its own address: a copy elsewhere is none */
    uint32_t size;   /* of this struct */
    uint32_t layout; /* ANCHOR_LAYOUT */
    char version[32];
    unsigned char build_id[BUILD_ID_MAX];
    uint32_t build_id_len;
    /* What is above stays as it is in every layout, so that a build that differs can be named. */
    uint32_t sizes[REMAINS_SIZES];
    int32_t pid;
    uint64_t proxy;              /* struct proxy; 0: not started yet, or over */
    uint64_t config, config_len; /* the configuration in force as JSON, presets filled in, secrets as "***" */
};

/* Finds it in a process's image, which needs no symbols: among what can be written. */
struct image;
/* False: there is none, and `out` is untouched. */
bool anchor_find(const struct image *i, struct anchor *out);
/* Whether this very program may read what it points to; if not, a sentence says why. */
MUST_CHECK int anchor_check(const struct anchor *a, struct err *err);
/* "3f02…"; "unknown" without one. */
#define ANCHOR_BUILD_TEXT_MAX (2 * BUILD_ID_MAX + 1)
const char *anchor_print_build(const struct anchor *a, char out[ANCHOR_BUILD_TEXT_MAX]);

/* proxy: borrowed until anchor_clear(). Without memory for the configuration's text there is none. */
void anchor_set(const struct proxy *p, const struct config *config);
void anchor_clear(void);
/* For crash_set_story(): the live exchanges of the worker whose thread calls, or of all if it is none's, and what ended
 * last. */
void anchor_tell(const void *unused, const struct memory_view *m, struct crash_out *out);
