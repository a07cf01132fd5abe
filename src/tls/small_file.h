/* tls/small_file.h: a file of certificates, keys or the like, read whole, and by what is seen later that there is another one in
 * its place. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Of a file at a moment. Two writes within one tick of the kernel's clock cannot be told apart, so that what was read so soon
 * after a change is equal to nothing: it is read again. */
struct file_stamp {
    uint64_t device, inode;
    int64_t bytes, modified_ns, changed_ns;
    uint64_t is_fresh; /* as wide as the rest: there is nothing between the members */
};

/* All zeroes: there is none. */
struct file_stamp file_stamp_take(const char *path);
bool file_stamp_is_same(const struct file_stamp *read, const struct file_stamp *now);

struct small_file {
    char *text; /* not terminated */
    size_t len;
};

/* At most 1 MiB. *stamp is of the file, also where it cannot be read. */
MUST_CHECK int small_file_read(struct small_file *f, const char *path, struct file_stamp *stamp,
                               struct err *err);
/* Overwrites it, as it may have had a key. */
void small_file_wipe(struct small_file *f);
