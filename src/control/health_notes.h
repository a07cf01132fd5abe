/* control/health_notes.h: what is known of all servers, from one process to the one that takes over from it (control/heritage.h): one
 * JSON document in a file in memory, in which servers stand by the names of pool and server, with their addresses. It is written
 * when the new process is started, and read before that accepts. Control thread. */
#pragma once

#include "pool/server_past.h"
#include "proxy/proxy.h"

/* As much as a document may have; of what does not fit nothing is known on the other side. */
#define HEALTH_NOTES_MAX (4u << 20)

/* A descriptor of a file of nobody else's, at its beginning; -1: there is nothing to tell, or no memory. The caller closes it. */
int health_notes_write(const struct proxy *p, uint64_t now_ms);

struct health_note {
    const char *pool, *server, *address; /* good during the call */
    struct server_past past;
};

/* Tells each that is one; others are left out, and counted in *left_out. -1: it is no such document. Nothing is believed: numbers may
 * be anything. */
MUST_CHECK int health_notes_read(struct slice document,
                                 void (*on_note)(void *context, const struct health_note *n), void *context,
                                 uint32_t *left_out, struct err *err);
/* Servers of the same pool, name and address begin with what is known of them; from `fd`, which is not closed. Before workers are
 * made: pools are as it says from the beginning. */
void health_notes_resume(struct proxy *p, int fd, uint64_t now_ms);
