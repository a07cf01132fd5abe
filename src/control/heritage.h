/* control/heritage.h: what this process was given at its start: listening sockets, of the process that it takes over from
 * (control/upgrade.h) or of systemd (sd_listen_fds(3)); and the word to the former, that it is ready, or why it will not be.
 * Control thread.
 *
 * The predecessor's end of the channel says, line for message:
 *     "sockets\n2 - 127.0.0.1:80\n…"    with their descriptors, by net/socket_store.h
 *     "folder"                          with that of `state:`, which holds the lock
 *     "health"                          with a file of what is known of servers (control/health_notes.h)
 *     "end"                             that was all
 *     "go PID [PID …]"                  it has let go of what only one may have; with the channels to all but the first of
 *                                       these, which are those of its own predecessors
 *     "left …"                          what it still has, now and then
 * and hears
 *     "ready", "failed TEXT", "reopen"  (its access log) */
#pragma once

#include "admin/upgrader.h"
#include "net/loop.h"
#include "net/socket_store.h"

/* Names the channel's descriptor in the environment. */
#define HERITAGE_VARIABLE "WEIR_UPGRADE_FD"

struct drain_left;
struct heritage_link; /* to one predecessor */

struct heritage {
    struct socket_store sockets;
    int channel;                /* -1: it takes over from nobody, or has */
    int folder;                 /* -1: none, as the next */
    int health;                 /* what is known of servers */
    struct socket_gift *unused; /* the sockets that nobody took; closed */
    uint32_t unused_count;
    struct loop *loop;
    struct heritage_link *links[PREDECESSORS_MAX];
    uint32_t link_count;
};

/* Whatever the environment says, which says it no more after that. -1: what was said to be there is not. */
MUST_CHECK int heritage_open(struct heritage *h, struct err *err);
/* Why this process will not take over. False: there is nobody who could hear it. */
bool heritage_refuse(const struct heritage *h, const char *why);
/* Closes the sockets that nobody took, and says so. */
void heritage_close_rest(struct heritage *h);
/* This process accepts: tells the predecessor, and waits, bounded, until that has let go of what only one may have. `l`: where
 * its further words are heard. */
void heritage_take_over(struct heritage *h, struct loop *l);
/* Whether a predecessor, of whatever generation, is still there. */
bool heritage_has_predecessor(const struct heritage *h);
uint32_t heritage_predecessors(const struct heritage *h, struct predecessor out[PREDECESSORS_MAX]);
/* Their access logs' files were renamed. */
void heritage_reopen_logs(const struct heritage *h);
/* To a successor: "go", with their channels, which are not this process's any more. */
void heritage_pass_on(struct heritage *h, int channel);
/* "left …", for heritage_take_over() of the successor. */
void heritage_say_left(int channel, const struct drain_left *left);
void heritage_close(struct heritage *h);
