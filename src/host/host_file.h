/* host/host_file.h: facts out of /proc, /sys and /etc, or out of a copy of them under another root. Every
 * read is bounded and never waits: only regular files are read (what lies in a copy may be a pipe), and
 * what does not fit is cut. Control side only.
 *
 * `path` begins with a slash and is below `root`, which is "" for the host itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The longest path, root included, and the longest name in host_names(). */
#define HOST_PATH_MAX 1024u
#define HOST_ENTRY_MAX 64u

/* "directory/name/leaf", without the last part if `leaf` is NULL. What does not fit is cut, and names no
 * file then. */
void host_path(char out[HOST_PATH_MAX], const char *directory, const char *name, const char *leaf);

/* Reads at most size - 1 bytes and terminates them; zeros and the newline at the end are gone. The length,
 * or -1 with errno. */
MUST_CHECK int host_read(const char *root, const char *path, char *out, size_t size);
/* Up to `count` unsigned numbers that stand at the beginning, apart by blanks. How many there are, or -1
 * with errno: EINVAL if there is none. */
MUST_CHECK int host_read_numbers(const char *root, const char *path, uint64_t *out, uint32_t count);
bool host_exists(const char *root, const char *path);

struct host_entry {
    char name[HOST_ENTRY_MAX];
};

/* The names in a directory that `accept` takes, sorted; at most `max`, dot files not among them. How many,
 * or -1 with errno. Names of HOST_ENTRY_MAX bytes or more are passed over. */
MUST_CHECK int host_names(const char *root, const char *path, bool (*accept)(const char *name),
                          struct host_entry *out, uint32_t max);

/* In text of lines "key value" or "key: value" (meminfo, memory.events, limits): where the value of `key`
 * begins, or NULL. */
const char *host_value(const char *text, const char *key);
/* The number at the value of `key`; false if there is none. */
bool host_value_u64(const char *text, const char *key, uint64_t *out);
