/* record/access_file.h: the file that lines of the access log are added to, or standard output. The log's thread alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"

struct access_file {
    char *path;              /* owned; NULL: standard output */
    int fd;                  /* -1: not open */
    bool is_socket, is_pipe; /* a pipe that could not be opened anew without blocking */
};

/* `path`: "-" is standard output. Opens it. */
MUST_CHECK int access_file_init(struct access_file *f, const char *path, struct err *err);
void access_file_fini(struct access_file *f);
/* Opens the path, which may be another file by now; the old descriptor is not closed, and stays if this fails. */
MUST_CHECK int access_file_open(struct access_file *f, struct err *err);
/* As writev(2), and never waits: -1 with EAGAIN instead. May change `iov`. */
ssize_t access_file_write(const struct access_file *f, struct iovec *iov, uint32_t count);
