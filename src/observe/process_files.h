/* observe/process_files.h: the open descriptors of a process by kind: /proc/PID/fd. One readlink(2) each, about a
 * microsecond: for every ten seconds or so. */
#pragma once

#include "observe/process_reader.h"

/* More are counted, not looked at. */
#define PROCESS_FILES_MAX (1u << 20)

enum file_kind {
    FILE_SOCKET,
    FILE_PIPE,
    FILE_EVENTPOLL,
    FILE_EVENTFD,
    FILE_TIMERFD,
    FILE_SIGNALFD,
    FILE_INOTIFY,
    FILE_PIDFD,
    FILE_PERF_EVENT,
    FILE_IO_URING,
    FILE_OTHER_ANONYMOUS, /* bpf, userfaultfd, ... */
    FILE_MEMFD,
    FILE_DEVICE,  /* below /dev */
    FILE_DELETED, /* a file whose name is gone: its room on disk is not */
    FILE_DIRECTORY,
    FILE_NAMED, /* any other file */
    FILE_KIND_COUNT
};

extern const char *const file_kind_names[FILE_KIND_COUNT];

struct process_files {
    uint64_t total;
    uint64_t counts[FILE_KIND_COUNT];
    uint64_t *sockets; /* inodes, upwards, each once; owned */
    uint32_t socket_count, socket_cap;
};

void process_files_init(struct process_files *f);
void process_files_fini(struct process_files *f);
/* False: not permitted, or the process has ended; a note says so. Memory of an earlier call is used again. */
bool process_files_read(struct process_reader *r, struct process_files *out);

/* Pure. `target`: what the link says; *inode: of a socket, else 0. A directory cannot be told from its name: FILE_NAMED. */
enum file_kind process_file_kind(struct slice target, uint64_t *inode);
