/* control/generations.h: the configurations that came into force, kept in the folder that `state:` names, so that an edit by the
 * API outlives the process and any can come back. Each is a file with the configuration's text, byte for byte, which only
 * weir's user may read: there are secrets in it. What is known of it besides is its name:
 *
 *     12-20261128T193946Z-api-6c62272e07bb0142-cbf29ce484222325.yaml
 *     number, when, by what, hash of the text, hash that weir's own file had then
 *
 * The list is the control thread's; the functions that take a folder touch files alone and may run on any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define GENERATIONS_MAX 50u
#define GENERATION_NAME_MAX 96u

enum generation_origin { GENERATION_START, GENERATION_RELOAD, GENERATION_API, GENERATION_ROLLBACK };

struct generation {
    uint32_t number;
    uint32_t origin;    /* enum generation_origin */
    int64_t at_s;       /* since 1970 */
    uint64_t text_hash; /* what the text must have */
    /* Of the file that weir was started with, as it was when this came; of a change, what the one has that it was made of.
     * 0: it could not be read. */
    uint64_t file_hash;
    bool is_json; /* else YAML */
};

struct generations {
    int folder;                               /* its descriptor, which holds a lock on it */
    struct generation items[GENERATIONS_MAX]; /* the oldest first */
    uint32_t count;
};

/* Makes the folder if there is none, and finds what is kept in it. -1: it cannot be used, or another process does. `held`: a
 * descriptor with the lock on it, if it is of that folder (of the process that this one takes over from), which stays the
 * caller's; -1: none. */
MUST_CHECK int generations_open(struct generations **out, const char *path, int held, struct err *err);
/* Lets go of the folder for another process: nothing is kept any more, and the list is only to be looked at. */
void generations_leave(struct generations *g);
void generations_close(struct generations *g);                            /* NULL is fine */
const struct generation *generations_latest(const struct generations *g); /* NULL: there is none */
const struct generation *generations_find(const struct generations *g, uint32_t number);
/* The next in the list. What has to go for it, is in *gone: the oldest of too many, or the latest, if the text is the same
 * and only its number is another. False: nothing has. */
bool generations_add(struct generations *g, const struct generation *next, struct generation *gone);
/* It could not be kept. */
void generations_remove(struct generations *g, uint32_t number);

const char *generation_origin_name(uint32_t origin);
uint64_t generation_hash(struct slice text);
void generation_name(const struct generation *g, char out[GENERATION_NAME_MAX]);
/* False: it is no such name. */
bool generation_parse(const char *name, struct generation *out);

/* Writes the text to a file that nothing but its name is missing of. */
#define GENERATION_STAGED_MAX 48u
MUST_CHECK int generation_stage(int folder, struct slice text, char staged[GENERATION_STAGED_MAX],
                                struct err *err);
/* Gives it its name, for good; then removes `gone` (may be NULL). */
MUST_CHECK int generation_publish(int folder, const char *staged, const struct generation *g,
                                  const struct generation *gone, struct err *err);
void generation_unstage(int folder, const char *staged);
/* The text, for config_text_free(); -1 also if it is no longer what it was. */
MUST_CHECK int generation_read(int folder, const struct generation *g, char **text, size_t *len,
                               struct err *err);
