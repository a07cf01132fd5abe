/* control/start.h: the configuration that weir starts with: its file's, or with `state:` what came by the API since the file
 * was last changed. */
#pragma once

#include "control/config.h"
#include "control/generations.h"

struct start {
    struct config *config;
    struct generations *generations; /* NULL: none are kept */
    struct generation generation;    /* what it is, or will be; without `generations`: number 1 */
    bool is_kept;                    /* already */
    char *text;                      /* what is to be kept */
    size_t text_len;
    char staged[GENERATION_STAGED_MAX]; /* it is put down already, by this name; empty: it is not */
    char *
        faults; /* why it cannot be started with: lines, or one sentence; NULL: it can, or there is no memory to say it */
};

/* From here on with the rights of the user that the configuration names, and with no others, if it names one. EX_OK, or s->faults says why
 * not: EX_NOPERM. */
MUST_CHECK int start_as_user(struct start *s);
/* Likewise, and EX_CONFIG, or EX_OSERR for the folder: that is looked at as the user. `held`: as generations_open(). */
MUST_CHECK int start_load(struct start *s, const char *path, int held);
/* Puts down what is to be kept, where nobody looks yet: what hinders that (a full disk, a folder of somebody else's) is found out while
 * the weir that it takes over from still serves. */
MUST_CHECK int start_stage(struct start *s, struct err *err);
/* It is in force. */
MUST_CHECK int start_keep(struct start *s, struct err *err);
void start_fini(struct start *s);
