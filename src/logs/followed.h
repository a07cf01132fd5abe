/* logs/followed.h: what the parts of following share: follow.c (the loop's side), follow_look.c (what is in the directory)
 * and follow_file.c (one file's bytes). */
#pragma once

#include <sys/stat.h>

#include "logs/follow.h"

#define GHOSTS_MAX 32u
#define STRANGERS_MAX 256u
#define FOLLOW_ENTRIES_MAX 65536u /* of a directory, looked at in one go */

#define FOLLOW_PATH_BYTES (4096u + ROTATION_NAME_MAX + 2u)

struct file_id {
    uint64_t device, inode;
};

struct follow_file {
    struct list link; /* of follow->files */
    struct list due;  /* of follow->due */
    struct follow *follow;
    struct file_id id;
    int fd, watch; /* -1: none */
    uint64_t offset, consumed;
    uint64_t size, modified_ns; /* as of the last look */
    uint64_t changed_ms;        /* when bytes last came; loop's time */
    uint64_t due_since_ms;
    uint64_t rotated_ms; /* since when a file of the same name is there */
    uint64_t head_hash;  /* while `head` is not loaded */
    uint32_t head_len;
    bool is_head_loaded;
    bool is_held; /* may be a copy of another one: not read until that is known */
    bool is_copy; /* held, and as far as one can see a copy */
    bool is_rotated, is_restored;
    bool is_listed, is_at_home, has_successor; /* as of the last look */
    bool is_changed;                           /* while it is closed: to be opened */
    char home[ROTATION_NAME_MAX + 1];          /* the name it was found under first */
    char name[ROTATION_NAME_MAX + 1];          /* the name it has now */
    char head[PLACE_HEAD_BYTES];
    void *seat; /* the owner's */
};

/* A file that is gone, or that began anew: somewhere there may be a copy of what it was. */
struct ghost {
    uint64_t head_hash, consumed;
    uint32_t head_len;
    char home[ROTATION_NAME_MAX + 1];
};

/* A rotated file that was there at the start: not ours, as long as it is not written. */
struct stranger {
    struct file_id id;
    uint64_t modified_ns;
};

struct follow {
    struct loop *loop;
    const struct follow_events *events;
    void *context;
    struct follow_options options;
    struct loop_fd inotify;
    struct loop_grave grave; /* what came for it may be told in this turn still */
    struct timer soon, look; /* what was heard is worked off a moment later, all at once */
    struct loop_task work;   /* once a turn */
    bool is_look_due, is_first_look, has_places;
    bool is_short;   /* as of the last look: a file waits for a descriptor, */
    bool is_old_due; /* and more rotated files are open than are held, to be closed once they are read */
    int directory_watch;
    struct list files, due;
    uint32_t file_count, open_count;
    /* Rotated files that were last written before it were never ours: the latest time of any known file as of the look
     * before the last, since a look may miss what is renamed under it. */
    uint64_t floor_ns, next_floor_ns;
    struct ghost ghosts[GHOSTS_MAX];
    uint32_t ghost_count, ghost_next;
    struct stranger strangers[STRANGERS_MAX];
    uint32_t stranger_count;
    struct follow_counts counts;
    struct err fault;
    char *directory; /* owned; and the pattern of names in it */
    char *names;
    char *names_before; /* owned: what the places are of, if that was another pattern; else NULL */
    char *memory;       /* FOLLOW_PIECE_BYTES, then slack */
};

#define FOLLOW_EACH(file, f)                                                                   \
    for (struct follow_file *file = container_of((f)->files.next, struct follow_file, link),   \
                            *after_ = container_of(file->link.next, struct follow_file, link); \
         &file->link != &(f)->files;                                                           \
         file = after_, after_ = container_of(file->link.next, struct follow_file, link))

static inline struct file_id file_id_of(const struct stat *st)
{
    return (struct file_id){ st->st_dev, st->st_ino };
}

static inline bool file_id_equal(struct file_id a, struct file_id b)
{
    return a.device == b.device && a.inode == b.inode;
}

static inline uint64_t modified_ns_of(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;
}

/* follow.c */
void follow_failed(struct follow *f, const char *what, const char *name);
/* Has its bytes read in this turn or a later one. */
void follow_due(struct follow_file *file);

/* follow_look.c: compares the directory with what is known of it: finds, opens, closes and forgets files. */
void follow_look(struct follow *f);
/* NULL: none of those that are known. */
struct follow_file *follow_find(const struct follow *f, struct file_id id);
/* Whether who left the places would have known a file of that name, last written then, unless it came after him: it is read from its
 * beginning. What only this pattern brings is as at a start. */
bool follow_was_looked_for(const struct follow *f, const char *name, uint64_t modified_ns);
/* Nothing in the directory changed meanwhile, so what was there was seen. */
void follow_looked(struct follow *f);

/* follow_file.c */
struct follow_file *follow_file_new(struct follow *f, const char *name);
void follow_file_free(struct follow_file *file);
/* Opens it under its name and makes sure that it is the one that is known; one that has changed begins anew. false:
 * it cannot be opened, or the name is another file's now. */
bool follow_file_open(struct follow_file *file);
void follow_file_close(struct follow_file *file, bool is_final);
/* Goes on with a copy where what it is a copy of ended, or finds that it may be one of a file still there. */
void follow_file_judge(struct follow_file *file);
/* One piece. true: there may be more. */
bool follow_file_read(struct follow_file *file);
void follow_remember(struct follow_file *file);
