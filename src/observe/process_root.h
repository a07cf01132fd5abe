/* observe/process_root.h: files as a process sees them, held by its root directory, so that they may still be had when it has
 * ended. What is there is its owner's to choose: only regular files are opened, no link leads out of the root, and
 * nothing that answers to being opened (a device, a pipe) is. */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

/* -1 with errno: it is gone, or may not be looked at. */
int process_root_open(pid_t pid);
/* A descriptor for reading, to be closed by the caller; -1 with errno, ENXIO where it is no regular file. The last part of
 * `path` is not followed if it is a symbolic link. root AT_FDCWD: this process's own, whose links are trusted. */
int process_root_file(int root, const char *path, struct stat *st);
