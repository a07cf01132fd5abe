/* record/access_socket.h: the socket of syslog or journald that messages of the access log go to. Whoever is away is tried again
 * and again, from every 100 ms to every 5 s; messages wait in the outbox meanwhile, which takes no more once it is full. Never waits. The log's
 * thread alone, but for the counters.
 *
 * What is known to be lost is counted: a datagram that was refused, one that is longer than the socket takes. Over TCP nothing is done with before
 * the server's kernel has it, so that after a broken connection messages are rather sent once more than lost. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"
#include "record/access_outbox.h"

enum access_sent {
    ACCESS_SENT,      /* all of it; over TCP the outbox keeps what is not confirmed yet */
    ACCESS_SENT_FULL, /* poll the socket for POLLOUT */
    ACCESS_SENT_SLOW, /* some milliseconds later there is room, of which poll() tells nothing */
    ACCESS_SENT_AWAY, /* nobody is there */
};

struct access_socket {
    struct address to;
    bool is_tcp;
    int fd; /* -1: there was no descriptor to have */
    enum {
        ACCESS_AWAY,
        ACCESS_CONNECTING,
        ACCESS_UNSURE /* of UDP: one was sent to see whether it is refused */,
        ACCESS_UP
    } state;
    uint64_t again_ns, wait_ns; /* when it is tried again; how long that is waited for */
    uint64_t since_ns;          /* CONNECTING: since when */
    uint32_t sent;              /* TCP: of the outbox's bytes, how many the connection has */
    struct access_outbox box;
    char trouble[128]; /* why it is away, as a sentence; empty: it is not */
    _Atomic uint64_t sent_bytes, lost, repeated;
    _Atomic bool is_reached;
};

MUST_CHECK int access_socket_init(struct access_socket *s, const struct address *to, bool is_tcp,
                                  struct err *err);
void access_socket_fini(struct access_socket *s);

/* Sends what the outbox holds, as far as that goes now. */
enum access_sent access_socket_send(struct access_socket *s, uint64_t now_ns);
/* Connects anew the next time: the path may be another socket's. A connection of TCP that is good stays. */
void access_socket_again(struct access_socket *s);
