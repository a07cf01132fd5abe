/* proxy/udp_listener.h: a listener of `protocol: udp` on one worker: takes datagrams, finds or begins the session of each
 * (proxy/udp_session.h), and ends those that are silent for too long. Its thread's.
 *
 * The kernel gives all datagrams of one client to the same of the listener's sockets, and so to the same worker, as long as
 * there are as many sockets. They stay the process's across reloads and upgrades, as those of TCP do (decision 0014).
 *
 * A turn takes no more than UDP_TURN_DATAGRAMS messages of a socket before others have theirs. */
#pragma once

#include "net/timer.h"
#include "proxy/udp_table.h"
#include "proxy/worker.h"

#define UDP_TURN_DATAGRAMS (4u * UDP_BATCH)
/* Who was silent for so long may have to make way for another client where no more sessions may be. */
#define UDP_QUIET_MS 1000u
/* Whose datagrams others take: what was asked before has so long for an answer. */
#define UDP_MUTE_MS 2000u
/* How many of its sessions are over, and keep their port from others as an answer may still come to it. */
#define UDP_HELD_MAX 1024u

enum udp_stage {
    UDP_SERVES,
    UDP_LEAVES, /* no new sessions; what comes for those that there are is passed on */
    UDP_MUTE    /* others take from its sockets: it sends by them alone */
};

struct udp_socket {
    struct loop_fd io; /* fd -1: it takes nothing any more */
    int fd;            /* -1: closed */
    struct loop_task more;
    struct udp_socket *next;
    struct udp_listener *udp;
    uint32_t lost; /* by the kernel, of which is known */
    struct loop_grave grave;
};

struct udp_listener {
    struct listener_worker *lw;
    struct udp_table table; /* of the places of udp_session */
    struct udp_socket *sockets;
    struct list held; /* places of those that are over and keep their port; who has it longest at the front */
    uint32_t held_count;
    struct timer sweep;
    enum udp_stage stage;
};

/* Takes from `fd` (taken, also where it fails), besides those that it takes from already. */
MUST_CHECK int udp_listener_open(struct listener_worker *lw, int fd, struct err *err);
/* lw->udp is NULL in none of these. Other settings may be in force. */
void udp_listener_use(struct udp_listener *u);
/* No new sessions; is_taken_elsewhere: others take from the same sockets, or will. */
void udp_listener_leave(struct udp_listener *u, bool is_taken_elsewhere);
/* Sessions let go of configurations that are not in force any more. */
void udp_listener_unpin(struct udp_listener *u);
/* All ends now. */
void udp_listener_kill(struct udp_listener *u, enum end_reason reason);
/* Nobody refers to it any more. NULL is fine. */
void udp_listener_free(struct udp_listener *u);
/* A session that is over, and not in the table any more, keeps its port for `idle`, unless somebody needs it. Taken: it comes back by
 * udp_session_let_go(). False: nobody is kept, as the listener leaves. */
MUST_CHECK bool udp_listener_hold(struct udp_listener *u, struct udp_place *p);
/* One that was held is let go before that. */
void udp_listener_unhold(struct udp_listener *u, struct udp_place *p);
/* Whose turn it is to make way first. False: nobody is held. */
bool udp_listener_yield_port(struct udp_listener *u);
/* A session has ended or begun: the sweep is to come in time. */
void udp_listener_arm(struct udp_listener *u);
