/* command/postmortem.h: `weir postmortem`: what a core file, or a living process, has to say: signal, threads, stacks, and
 * weir's own exchanges, records and configuration, which need no symbols. */
#pragma once

#include "command/options.h"

#include <stdio.h>

#include "control/anchor.h"
#include "crash/image_stacks.h"

#define POSTMORTEM_EXCHANGES_MAX 10000u /* of all workers together */

struct postmortem {
    const struct image *image;
    struct image_stacks *stacks; /* owned; NULL: no memory */
    bool is_living;
    bool has_anchor;         /* and it is of a build that can be read */
    char note[ERR_TEXT_MAX]; /* why not; else empty */
    struct anchor anchor;
    struct remains_proxy proxy; /* worker_count 0: there is none */
    uint64_t *worker_threads;   /* of each worker; owned; NULL: no memory, or no workers */
    char *config;               /* owned; NULL: it cannot be read */
    uint32_t records_max;       /* of each worker */
};

/* image: borrowed. Finds out what can be told. */
void postmortem_init(struct postmortem *p, const struct image *image, bool is_living, uint32_t records_max);
void postmortem_fini(struct postmortem *p);
/* The one that the signal came to: the kernel puts it first. */
static inline bool postmortem_is_crashed(const struct postmortem *p, const struct image_thread *t)
{
    return t == p->image->threads && t->signal;
}
/* "weir/0" of a worker's thread, "weir" of the first of the process; else NULL. */
const char *postmortem_thread_name(const struct postmortem *p, const struct image_thread *t, char out[32]);
void postmortem_print_text(const struct postmortem *p, FILE *out);
struct json;
void postmortem_print_json(const struct postmortem *p, struct json *j);

int postmortem_command(int argc, char **argv);
extern const struct syntax postmortem_syntax;
