/* net/file_watch.h: says that files may be others now: written, replaced by rename, or reached by another link. Watched are the
 * folders on the way to each, links included, by inotify; what other names in them do is nothing. Several changes that
 * come together are one word. */
#pragma once

#include "net/loop.h"

/* Said when nothing has happened for so long, and at the latest so long after the first change. */
#define FILE_WATCH_QUIET_MS 100u
#define FILE_WATCH_LATEST_MS 400u

/* The folders of some files as they are now; made on any thread, for a watch that is not ended before. */
struct file_watch;
struct file_watch_set;
/* NULL: there is no memory; the next two take that for a set that is not whole. */
struct file_watch_set *file_watch_set_new(const struct file_watch *w);
/* NULL is fine. A file that is not there is waited for in the last folder that is. */
void file_watch_set_add(struct file_watch_set *s, const char *file);
/* There was memory for all of it: else it is of no use, and made again. */
bool file_watch_set_is_whole(const struct file_watch_set *s);
/* Folders that could not be watched. */
uint32_t file_watch_set_missed(const struct file_watch_set *s);
void file_watch_set_free(struct file_watch_set *s); /* NULL is fine */

/* One loop's thread. */
struct file_watch {
    struct loop *loop;
    struct file_watch_set *set;
    struct loop_fd io;
    struct timer timer;
    uint64_t first_ms; /* when the change that is waited for began; 0: there is none */
    void (*on_change)(void *context);
    void *context;
};

void file_watch_init(struct file_watch *w, struct loop *loop, void (*on_change)(void *context),
                     void *context);
/* Opens what it needs of the system; where that fails, sets miss all of their folders. Twice is fine. */
void file_watch_open(struct file_watch *w);
/* From now on those alone, which are taken. What happened since they were made is said. */
void file_watch_use(struct file_watch *w, struct file_watch_set *set);
/* Says nothing any more. */
void file_watch_stop(struct file_watch *w);
void file_watch_fini(struct file_watch *w);
