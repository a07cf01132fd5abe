/* logs/follow.h: the files of one pattern, followed as they grow, are rotated, truncated, deleted and replaced. Nothing
 * that stayed in a file is lost or doubled: a file is known by device and inode and the hash of its first bytes, not by
 * its name; a renamed one is read until its writer has let go; of a copied and truncated one the copy is read on. What a
 * source belongs to is one loop, on whose thread all of this runs; file reading blocks, so that is not a worker's. */
#pragma once

#include "logs/place.h"
#include "net/loop.h"

#define FOLLOW_PIECE_BYTES (256u << 10)
/* So many readable bytes follow a piece. */
#define FOLLOW_SLACK_BYTES 64u
/* A rotated file is closed when it has been quiet for so long and another has its name; */
#define FOLLOW_QUIET_MS 2000u
/* a deleted one whose name nobody took, after this. */
#define FOLLOW_DELETED_MS 60000u
/* Every file is looked at so often even if nothing was heard of it: network file systems have no inotify. */
#define FOLLOW_LOOK_MS 1000u

struct follow;
struct follow_file;

struct follow_options { /* 0: the preset */
    uint32_t
        files_max; /* known files, of which those that are rotated and read make way; 1024, at most PLACES_MAX */
    uint32_t open_max;   /* descriptors; 64 */
    uint32_t old_max;    /* rotated files that are held open; 16 */
    uint32_t turn_bytes; /* read in one turn of the loop; 8 MiB */
    bool is_from_end;    /* of files that are there at the start and have no place, only what comes */
};

/* None of them may close the follow. */
struct follow_events {
    /* The bytes before follow_offset(file), at most FOLLOW_PIECE_BYTES; gone when it returns. To be answered with
     * follow_consumed(), at once or later. */
    void (*on_data)(void *context, struct follow_file *file, struct slice piece);
    /* Another file has its name, or none. More may come. */
    void (*on_rotated)(void *context, struct follow_file *file);
    /* It begins anew: what is held of an incomplete record is void; a copy, if there is one, gives it again. */
    void (*on_truncated)(void *context, struct follow_file *file);
    /* Its descriptor was closed and *follow_seat(file) is to be let go. `is_final`: nothing is expected to follow, so an
     * incomplete last record is one, and follow_consumed() may still say so; otherwise reading goes on later from what
     * was consumed. */
    void (*on_gone)(void *context, struct follow_file *file, bool is_final);
};

struct follow_counts {
    uint64_t bytes;
    uint64_t opened, rotated, truncated, gone;
    uint64_t copies;  /* recognised, and read on from where the original ended */
    uint64_t refused; /* looks at which a file found no room */
    uint64_t failed;  /* system calls; follow_fault() has the last one */
};

/* `pattern`: a path whose last part may have *, ? and [], copied; neither file nor directory need exist. `options`,
 * `events` and `places` (NULL: none; as follow_places() gave them, with the names of its pattern if that was another) are borrowed, the first and last during the call. */
MUST_CHECK int follow_open(struct follow **out, struct loop *loop, const char *pattern,
                           const struct follow_options *options, const struct follow_events *events,
                           void *context, const struct places *places, struct err *err);
/* Every file that is open gets its on_gone, not final. NULL is fine. */
void follow_close(struct follow *f);

/* How far whole records reached, in the file; not beyond follow_offset(). */
void follow_consumed(struct follow_file *file, uint64_t offset);
uint64_t follow_offset(const struct follow_file *file);
/* What was read of files that are open and not consumed is read again. The owner has each file's seat taken back by on_gone, not
 * final, as if the file had been closed. */
void follow_read_again(struct follow *f);
/* For the owner's use; NULL at first and after on_gone. */
void **follow_seat(struct follow_file *file);

const struct follow_counts *follow_counts(const struct follow *f);
/* The last thing that went wrong; "" if nothing did. */
const char *follow_fault(const struct follow *f);
/* Open files. */
uint32_t follow_open_count(const struct follow *f);
/* Bytes that are there and not read, over all files. Asks the file system. */
uint64_t follow_lag_bytes(const struct follow *f);
/* For how long the file that is furthest behind has had bytes that were not read; 0: everything is read. */
uint64_t follow_lag_ms(const struct follow *f);
/* What a restart needs, consistent with every record reported consumed so far; places_fini() frees it. */
MUST_CHECK int follow_places(const struct follow *f, struct places *out, struct err *err);
/* Of which pattern those are, without the directory: the one before, while there was no look yet. NULL: nothing has been looked for, and
 * who goes on begins without places. As long as `f`. */
const char *follow_looked_for(const struct follow *f);
