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
};

/* EX_OK, or what is wrong is on stderr: EX_CONFIG, or EX_OSERR for the folder. */
MUST_CHECK int start_load(struct start *s, const char *path, const char *command);
/* It is in force. */
MUST_CHECK int start_keep(struct start *s, struct err *err);
void start_fini(struct start *s);
