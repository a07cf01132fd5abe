/* files/file_find.h: the file that a request means, opened. Nothing leads out of the root: the kernel resolves each name below it
 * (openat2, RESOLVE_BENEATH), symbolic links included. Any thread: a worker asks what can be said without waiting for a disk, a
 * reader (files/file_readers.h) the rest. */
#pragma once

#include "coding/coding.h"
#include "files/files_conf.h"

/* What is looked for. Borrowed texts. */
struct file_plan {
    const char *root;
    const char *name;         /* below it; a folder's is empty or ends with a slash */
    const char *const *index; /* of a folder */
    uint32_t index_count;
    const char *fallback;          /* NULL: none */
    uint8_t codings[CODINGS_MADE]; /* enum coding: of siblings that may go in its place, the best first */
    uint32_t coding_count;
};

enum file_result {
    FILE_FOUND,
    FILE_NEEDS_SLASH, /* it is a folder, and was asked for as if it were none */
    FILE_NONE,
    FILE_DENIED,         /* its permissions, or it is neither file nor folder */
    FILE_LEADS_OUT,      /* a symbolic link of its path does */
    FILE_NO_ROOT,        /* the root itself cannot be opened */
    FILE_NO_DESCRIPTORS, /* the process or the system has no more */
    FILE_FAILED,         /* error says how */
    FILE_NOT_KNOWN       /* without waiting */
};

struct file_found {
    int fd;                /* FILE_FOUND: the caller's to close; else -1 */
    int error;             /* errno, where something failed */
    uint8_t result;        /* enum file_result */
    uint8_t coding;        /* enum coding: of what was opened; CODING_IDENTITY: of the file itself */
    const char *says_type; /* the plan's: by whose ending its type goes */
    uint64_t size;
    int64_t modified_s; /* since 1970 */
    uint32_t modified_ns;
    uint64_t tag; /* another one for each state of each file */
};

/* may_wait: false: answers FILE_NOT_KNOWN where the kernel would have to look on a disk. */
void file_find(const struct file_plan *plan, bool may_wait, struct file_found *out);
/* A clause for people. */
const char *file_result_text(enum file_result result);
