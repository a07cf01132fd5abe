/* record/access_log.h: one line for each exchange, written off the workers' path.
 *
 * Each worker formats into a bounded ring of its own and never waits: a line without room is dropped and
 * counted. One thread writes all rings out in batches. A worker wakes it only if it sleeps and the ring is
 * over a quarter full; else it looks every 200 ms. Where it writes to: access_file.h, access_socket.h. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "http/message.h"
#include "record/access_log_conf.h"
#include "record/flight.h"

struct access_log;        /* control side */
struct access_log_writer; /* one worker's ring */

struct tls_facts;

struct access_entry {
    const struct flight_record *record;
    const struct http_head *request;  /* NULL if no head was read */
    const struct http_head *response; /* NULL if none was sent */
    const struct tls_facts *tls;      /* NULL: the client's connection is plain */
    uint64_t now_wall_ns;
    const uint8_t *trace_id; /* TRACE_ID_BYTES; NULL: no trace */
    struct slice listener, route, pool, split, variant;
    struct slice server;                   /* the last attempt's, by name */
    struct slice servers[FLIGHT_ATTEMPTS]; /* addresses, beside record->attempts */
    uint64_t body_bytes;                   /* sent to the client */
    struct slice user;                     /* who it is; data NULL: that is not known */
    struct slice compression;              /* the algorithm; empty: the body went as it was */
    uint64_t plain_bytes, encoded_bytes;   /* of the body, before and after that */
    uint64_t connection_id;
    uint32_t connection_requests;
};

/* Opens the file, or gets ready for a socket, whose other side need not be there yet, and starts the thread. Copies what it needs of `conf`. NULL with a sentence in err. */
MUST_CHECK struct access_log *access_log_open(const struct access_log_conf *conf, uint32_t workers,
                                              struct err *err);
/* Writes out what is in the rings (bounded: it gives up on a reader that takes nothing for two seconds), and ends the thread. No worker
 * may write any more. False: it has not ended, and nothing was written for `wait_ms`, as where a disk does not answer; then all
 * that it uses has to stay. NULL is fine, here and below. */
MUST_CHECK bool access_log_await_end(struct access_log *log, uint32_t wait_ms);
/* Likewise, and waits for it, however long. */
void access_log_close(struct access_log *log);

/* Owned by the log. */
struct access_log_writer *access_log_writer_of(struct access_log *log, uint32_t worker);
/* Whether lines show fields of the response: only then need an entry have them. Any thread. */
bool access_log_wants_response(const struct access_log_writer *writer);
/* The writer's worker only. Never blocks, never allocates. */
void access_log_write(struct access_log_writer *writer, const struct access_entry *entry);

/* The file was renamed: open the path anew, at a line's boundary; a socket that is away is tried at once. Any thread, signal handlers too. */
void access_log_reopen(struct access_log *log);
/* Lines that were not written, for want of room or because the file could not be written. Any thread. */
uint64_t access_log_dropped(const struct access_log *log);
uint64_t access_log_written_bytes(const struct access_log *log);
/* Of a socket: lines that went out once more because a connection broke. Any thread. */
uint64_t access_log_repeated(const struct access_log *log);
/* False: it is a socket, and nobody is there, or was not asked yet. Any thread. */
bool access_log_is_reached(const struct access_log *log);
/* Where lines go: a path, "-", an address. */
const char *access_log_name(const struct access_log *log);
