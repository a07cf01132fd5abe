/* proxy/file_answer.h: a file as what a response comes from, beside a server: the exchange is given bytes as an http_stream's,
 * takes as many as its client does, and says when it takes more. What the system has in its cache is read on the worker,
 * without waiting; for the rest a reader (files/file_readers.h) waits for the disk. No byte is kept: what the client did not
 * take is read once more, since the system's cache is nearer than memory of weir's own. One worker's thread. */
#pragma once

#include "files/file_readers.h"
#include "http/stream.h"
#include "net/loop.h"

struct worker;

struct file_answer {
    struct http_stream stream; /* on_body, on_error; resume alone can be called on it */
    struct worker *worker;
    void (*on_found)(struct file_answer *f); /* see file_answer_find() */
    const struct files_conf *conf;           /* until it is found */
    struct loop_task task;
    struct file_ask *ask; /* under way; NULL: none */
    struct file_found found;
    const char *type;     /* what Content-Type says */
    uint64_t at, end;     /* what is still to be sent */
    bool is_counted;      /* among its worker's open files */
    bool has_told;        /* of the file; what follows is its bytes */
    bool was_interrupted; /* its bytes were read in more than one turn: it may have changed meanwhile */
};

/* False: as many files are open as may be. Over HTTP/2 a client that reads nothing costs a descriptor for each of its streams, and others need
 * some, too: connections, checks of servers, the API. */
bool file_answer_may_begin(const struct worker *w);
/* Zeroed memory that lives until the end of the turn in which it is closed. */
void file_answer_init(struct file_answer *f, struct worker *w, void *owner,
                      const struct http_stream_events *events);
/* Looks for it; on_found() is called later, from the loop, with f->found. -1: out of memory, or weir stops. */
MUST_CHECK int file_answer_find(struct file_answer *f, const struct file_plan *plan,
                                const struct files_conf *conf);
/* Its bytes from `begin` up to `end` come by on_body, the first of them within this call; it is called from on_found(). */
void file_answer_send(struct file_answer *f, uint64_t begin, uint64_t end);
/* Nothing comes of it any more. Twice is fine. */
void file_answer_close(struct file_answer *f);
