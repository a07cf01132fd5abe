/* files/file_readers.h: threads that wait for disks so that no worker does. A worker asks for a file that the kernel cannot find in
 * its cache, or for bytes of one that are not there, and hears by mail. Few threads, begun with the first question; questions wait in
 * line, at most one for each exchange; what was read is handed over in buffers of which there are few, too.
 *
 * Whoever does not want an answer any more says so and forgets the question. One that is still in line is gone at once, so that the line
 * is never longer than there are exchanges; one that a reader has frees itself when it comes back. A disk may never answer: who waits for
 * it is waited for no longer than FILE_STOP_MS when weir ends, and left behind with what it has; should it come back it frees that. */
#pragma once

#include "base/list.h"
#include "files/file_find.h"
#include "metric/metric.h"
#include "net/mailbox.h"

#define FILE_READERS 4u
#define FILE_READ_BYTES (64u << 10)
#define FILE_BUFFERS (2u * FILE_READERS) /* that were read and that nobody has taken yet */
#define FILE_STOP_MS 1000u

struct file_readers;

/* Made, asked and freed by a worker; in between it is a reader's. */
struct file_ask {
    struct list link;  /* of its worker's; that thread's */
    struct list place; /* in line; with the readers' lock, as the next */
    bool is_with_reader, is_left_behind;
    struct file_readers *readers;
    struct mailbox *box; /* the worker's */
    void (*on_answer)(
        struct file_ask
            *a);  /* on the worker's thread, while there is an asker; data lives until it returns */
    void *asker;  /* the worker's thread; NULL: nobody any more */
    bool owns_fd; /* likewise: nobody else closes it */
    bool is_read; /* bytes are asked for; else a file */
    struct file_found found; /* of the answer */
    int fd;                  /* to read from */
    uint64_t at;
    char *data;  /* of the answer */
    int64_t got; /* 0: the file ends before that; -1: found.error says how it failed */
    struct file_plan plan;
    char texts[]; /* of the plan */
};

MUST_CHECK int file_readers_new(struct file_readers **out, struct metric_registry *metrics, struct err *err);
/* No question is taken any more, and none is worked on once it returns, but for those that no disk answers. When no worker runs. NULL is
 * fine, for both. */
void file_readers_stop(struct file_readers *r);
void file_readers_free(struct file_readers *r);

/* On a worker: a question into its list `asks`. NULL: out of memory. `plan`, of which a copy is made, is NULL for bytes. */
struct file_ask *file_ask_new(struct file_readers *r, struct list *asks, struct mailbox *box,
                              const struct file_plan *plan);
/* Sends it off; false: weir stops or has no thread for it, and it is the caller's to free. */
MUST_CHECK bool file_ask_send(struct file_ask *a);
/* One that was sent off: no answer is wanted, and it is the caller's no longer. takes_fd: the file that it reads from is closed with it. */
void file_ask_forget(struct file_ask *a, bool takes_fd);
void file_ask_free(struct file_ask *a);
/* What a worker that has ended had under way, once the readers have stopped. */
void file_asks_drop(struct list *asks);

enum file_source { FILE_FROM_CACHE, FILE_FROM_DISK, FILE_SOURCES };
/* A file was found, or a piece of one read. */
void file_readers_count(const struct file_readers *r, struct metric_shard *shard, bool is_read,
                        enum file_source from);
