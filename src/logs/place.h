/* logs/place.h: how far a log file was read, and how to know it again after a restart: by device and inode, by a hash
 * of its first bytes because inodes are used again, and by that hash alone when it was copied. Control side. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"
#include "conf/node.h"
#include "logs/rotation.h"

#define PLACE_HEAD_BYTES 1024u
#define PLACES_MAX 4096u

struct place {
    uint64_t device, inode;           /* inode 0: the file is gone; a copy of it may be there */
    uint64_t offset;                  /* bytes; whole records before it were taken */
    uint64_t head_hash;               /* place_hash() of the first head_len bytes */
    uint64_t modified_ns;             /* the file's own time, since 1970 */
    uint32_t head_len;                /* 0 to PLACE_HEAD_BYTES */
    bool is_rotated;                  /* another file has its name, or none */
    char name[ROTATION_NAME_MAX + 1]; /* under which it was found first, without the directory */
};

struct places {
    struct place *items; /* owned; places_fini() */
    uint32_t count;
    uint64_t floor_ns; /* what was written last before this time, since 1970, is known or of no concern */
    const char *
        names; /* borrowed, not printed: the pattern that they are of, without the directory, for whoever goes on with another; NULL: the same */
};

/* XXH3 of the first bytes of a file. */
uint64_t place_hash(struct slice head);

/* {"floor_ns":…,"files":[{"device":…,"inode":…,"offset":…,…}]} */
void places_print(const struct places *p, struct json *out);
/* Reads what places_print() wrote. Whatever is missing, unknown or out of bounds is an error, with line and column. On
 * -1 `out` is empty. */
MUST_CHECK int places_parse(const struct conf_node *node, struct places *out, struct err *err);
void places_fini(struct places *p);
