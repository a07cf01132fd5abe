/* net/socket_store.h: listening sockets, and bound ones for datagrams, that were open before they were asked for, be they of the process that this one
 * takes over from, of another weir that shares its port, or of systemd: by their address, until a listener takes them. One
 * thread at a time. */
#pragma once

#include "base/address.h"

struct pass_message;
struct text;

struct socket_gift {
    struct address address;
    int fd;          /* -1: taken */
    bool keeps_path; /* a unix path that is somebody else's to remove */
    bool is_udp;     /* for datagrams: the same address is another one for these */
};

struct socket_store { /* zeroed memory is an empty one */
    struct socket_gift *gifts;
    uint32_t count, room;
};

/* Takes `gift->fd`; -1: out of memory, and it is closed. */
MUST_CHECK int socket_store_add(struct socket_store *s, const struct socket_gift *gift);
/* How many of that address are there still. */
uint32_t socket_store_count(const struct socket_store *s, const struct address *address, bool is_udp);
/* Takes all of that address out, which are socket_store_count(), in the order in which they came; non-blocking and
 * close-on-exec. Returns whether the path of a unix address is somebody else's. */
bool socket_store_take(struct socket_store *s, const struct address *address, bool is_udp, int *fds);
/* Closes what nobody took. */
void socket_store_fini(struct socket_store *s);

/* How many sockets there are like `gift`, as a line of a message: "2 - 127.0.0.1:80\n"; in place of "-": "k" where the path is
 * kept, "u" for datagrams. */
void socket_store_write(struct text *out, const struct socket_gift *gift, uint32_t count);
/* All lines of such a message, whose descriptors are taken. -1: it is none, or there is no memory; all are closed. */
MUST_CHECK int socket_store_read(struct socket_store *s, struct pass_message *m, const char *lines,
                                 struct err *err);
/* A descriptor whose address it says itself, if it is a listening stream socket, or a bound one for datagrams over IP; else -1 and it stays open, the caller's. */
MUST_CHECK int socket_store_adopt(struct socket_store *s, int fd, struct err *err);
