/* control/certificate_look.h: one look at all files of the certificates of a configuration, on the jobs' thread: their folders are
 * watched, and what has changed since it was read last is read. Nothing is served of it yet. */
#pragma once

#include "control/config.h"
#include "net/file_watch.h"
#include "net/jobs.h"
#include "tls/store.h"

/* Something in the files that is not served, since it has a mistake. */
struct certificate_fault {
    struct certificate_fault *next;
    struct tls_store_fault told;
    int64_t at_s; /* seconds since 1970 */
};

void certificate_faults_free(struct certificate_fault *first);

/* Of one listener with TLS. */
struct certificate_seat {
    const struct listener_conf *listener;
    uint64_t stamp;          /* of what was read last (tls_store_stamp()) */
    int64_t again_s;         /* likewise (tls_store_again()) */
    struct tls_store *store; /* NULL: nothing was read: nothing has changed, or there was no memory */
    struct certificate_fault *faults;
};

struct certificate_look {
    struct job job; /* first */
    void *owner;
    const struct config *config; /* what was in force; its arena is held */
    struct conf_arena *arena;
    bool reads_all;
    /* Of memory: something was not read, or what is wrong with it is not told. It has no stamp then, and is read again. */
    bool was_short;
    int64_t now_s; /* when it is done */
    struct certificate_seat *seats;
    uint32_t count;
    const struct file_watch *files; /* the owner's */
    struct file_watch_set *watched;
};

/* How many listeners have TLS. */
uint32_t certificate_look_count(const struct config *config);
/* known: each as it was read last. Its run() is there; `files` is borrowed until it is done. NULL: out of memory. */
struct certificate_look *certificate_look_new(const struct config *config, const struct file_watch *files,
                                              const struct certificate_seat *known);
void certificate_look_free(struct certificate_look *l);
