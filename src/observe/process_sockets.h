/* observe/process_sockets.h: the sockets of a process by family, protocol and state, with the bytes that wait in them: the
 * inodes of its descriptors joined with the tables of its network namespace, /proc/PID/net/{tcp,tcp6,udp,udp6,unix}
 * (the kernel's Documentation/networking/proc_net_tcp.rst). The tables hold the sockets of the whole namespace: some
 * 10 ms for 10,000 of them. For every ten seconds or so. */
#pragma once

#include "observe/process_files.h"

enum socket_protocol {
    SOCKET_TCP,
    SOCKET_TCP6,
    SOCKET_UDP,
    SOCKET_UDP6,
    SOCKET_UNIX_STREAM,
    SOCKET_UNIX_DATAGRAM,
    SOCKET_UNIX_PACKET,
    SOCKET_PROTOCOL_COUNT
};

enum socket_state {
    SOCKET_ESTABLISHED,
    SOCKET_CONNECTING, /* SYN-SENT, SYN-RECEIVED */
    SOCKET_FIN_WAIT,   /* 1 and 2: this end closed */
    SOCKET_CLOSE_WAIT, /* the other end closed; this one has not yet */
    SOCKET_LAST_ACK,
    SOCKET_CLOSING,
    SOCKET_CLOSED, /* not connected, or not any more */
    SOCKET_LISTEN,
    SOCKET_STATE_COUNT
};

extern const char *const socket_protocol_names[SOCKET_PROTOCOL_COUNT];
extern const char *const socket_state_names[SOCKET_STATE_COUNT];

struct socket_sums {
    uint64_t count;
    uint64_t receive_bytes; /* wait to be read; of LISTEN none */
    uint64_t send_bytes;    /* written, not acknowledged yet */
    uint64_t accept_queue;  /* of LISTEN: connections that wait to be accepted */
    uint64_t drops;         /* UDP: datagrams that found no room */
};

struct process_sockets {
    struct socket_sums sums[SOCKET_PROTOCOL_COUNT][SOCKET_STATE_COUNT];
    uint64_t total; /* sockets, each once however many descriptors it has */
    uint64_t other; /* in none of the tables: netlink, packet, raw, or of another namespace */
};

/* Of the sockets in `files`, which process_files_read() filled in. False: no table could be read; a note says so. */
bool process_sockets_read(struct process_reader *r, const struct process_files *files,
                          struct process_sockets *out);

/* One row of a table. */
struct socket_row {
    uint64_t inode;
    enum socket_state state;
    enum socket_protocol protocol; /* set by socket_row_parse_unix() only */
    uint64_t receive, send, drops; /* as the table has them */
};

/* Pure. False: a heading, or no such row. */
bool socket_row_parse_inet(struct slice line, struct socket_row *out);
bool socket_row_parse_unix(struct slice line, struct socket_row *out);
