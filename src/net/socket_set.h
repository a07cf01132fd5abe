/* net/socket_set.h: the listening sockets of one address, at least one for each worker: those of them that have the same
 * number modulo the number of workers are one worker's. They belong to the process, not to who accepts
 * from them: workers get duplicates, and a listener that goes, comes or is renamed leaves them as they are, with all that
 * waits in their backlogs. Control thread. */
#pragma once

#include "base/address.h"
#include "base/list.h"
#include "net/socket_store.h"

struct loop;
struct offer;

struct socket_set {
    struct list link; /* the owner's */
    struct address address;
    bool is_wanted;      /* the owner's, while it looks through its sets */
    void *last;          /* likewise: who listened there before */
    void *departure;     /* likewise: how it is on its way out; NULL: it is not, or it is closed */
    uint32_t departures; /* likewise: with those that it came back from, while workers may know of them */
    bool is_udp;         /* for datagrams: of TCP's sockets at the same address these know nothing */
    bool was_shared;     /* they are duplicates of another weir's, which may still listen there */
    bool keeps_path;     /* a unix path is not removed with it: others go on listening there */
    struct offer *offer; /* NULL: it is not offered to others */
    uint32_t count;
    int fds[];
};

struct socket_use {
    bool
        is_http; /* connections are reported once they have sent something, for defer_s seconds (TCP_DEFER_ACCEPT) */
    unsigned defer_s;
    uint32_t count; /* at least so many */
    bool is_udp;
    bool is_beside; /* this process has sockets that overlap: new ones may be opened beside them */
    struct socket_store *given; /* are taken if they are of this address; NULL: none */
};

/* Of datagrams there are never several numbers that share a socket, as one client's would come to several workers: there are as
 * many as there are, and some workers have none.
 *
 * What was given; else new ones; else, where another weir of the same user listens there and offers it, duplicates of its own.
 * Where there are less than wanted, several numbers share one: whoever listens at the same address with sockets of its own
 * beside another process's would lose what waits there, if one of the two ends. -1 with a sentence that says what to do. */
MUST_CHECK int socket_set_open(struct socket_set **out, const struct address *address,
                               const struct socket_use *use, struct err *err);
/* From now on other weirs of this user can have duplicates (net/offer.h), until it is closed. Nothing for unix paths. */
void socket_set_offer(struct socket_set *s, struct loop *l);
/* Another process may listen there too, with duplicates: what is done to the sockets themselves would be done to it. */
bool socket_set_is_shared(const struct socket_set *s);
/* At the same port, of the same address or of any. */
bool socket_set_overlaps(const struct socket_set *s, const struct address *address, bool is_udp);
/* For a listener that takes the address over with other settings. Of datagrams nothing. */
void socket_set_defer(const struct socket_set *s, bool is_http, unsigned defer_s);
/* A duplicate for the worker; -1 with *err. */
MUST_CHECK int socket_set_share(const struct socket_set *s, uint32_t index, struct err *err);
/* From now on the kernel answers no new handshake (a client tries again after a second), and those that are under way come
 * to their end, also without data: so that nobody is reset who had been answered, if it is closed some time later. Not for
 * unix paths and datagrams, which know no handshakes. */
void socket_set_leave(const struct socket_set *s);
/* Takes it back. */
void socket_set_return(const struct socket_set *s);
/* Closes the process's own descriptors; a unix path goes. Whoever has a duplicate goes on until that is closed. */
void socket_set_shut(struct socket_set *s);
/* Likewise, if it is not done yet, and frees it. NULL is fine. */
void socket_set_close(struct socket_set *s);
