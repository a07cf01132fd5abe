/* admin/audit.h: who changed what of weir, when, and what came of it: by the API (and so by every command that asks it) and by
 * signals; also what was refused. The latest are kept in memory, all in files of the folder that `state:` names, a JSON object a
 * line: only appended to, and only so many bytes of them. No secret is in it: bodies of configurations never are, and of
 * others only what has no secret. Control thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "admin/shape.h"
#include "base/err.h"
#include "record/mention.h"

#define AUDIT_KEPT_MAX 512u
#define AUDIT_WHAT_MAX 160u
#define AUDIT_DETAIL_MAX 256u
/* A file that is larger becomes audit.log.1, that one .2, and so on. */
#define AUDIT_FILE "audit.log"
#define AUDIT_FILE_BYTES_MAX (4u << 20)
#define AUDIT_FILES_MAX 4u

struct audit;
struct jobs;
struct loop;
struct metric_registry;

enum audit_outcome { AUDIT_DONE, AUDIT_REFUSED, AUDIT_FAILED, AUDIT_UNANSWERED };

struct audit_entry {
    uint64_t id; /* from 1, in this process: the trail's own */
    uint64_t wall_ns;
    char who[65];                               /* the token's name; empty: there was none */
    char by[8];                                 /* token, session, nothing, signal */
    char peer[64];                              /* where it came from */
    char what[AUDIT_WHAT_MAX];                  /* "PATCH /api/v1/pools/web/servers/one", "SIGHUP" */
    char detail[AUDIT_DETAIL_MAX];              /* what was sent with it, or why not; empty: nothing to say */
    char request_id[FLIGHT_REQUEST_ID_MAX + 1]; /* its X-Request-Id; empty: it had none */
    char trace_id[TRACE_ID_TEXT + 1];           /* of its traceparent; empty: it was part of no trace */
    uint16_t status;                            /* of the answer; 0: of no request */
    uint8_t outcome;                            /* enum audit_outcome */
    uint32_t from, to;                          /* generations of the configuration before and after */
    uint32_t suppressed;                        /* refusals that were not written down before this one */
};

/* `jobs` and `loop` are borrowed. NULL: there is no memory. */
struct audit *audit_new(struct loop *loop, struct jobs *jobs, struct metric_registry *metrics);
/* From now on also in this folder, which is opened anew. -1: it cannot be. */
MUST_CHECK int audit_keep(struct audit *a, int folder, struct err *err);
/* Writes what waits; jobs have stopped. NULL is fine. */
void audit_free(struct audit *a);

/* id, wall_ns and suppressed are the trail's. Refusals are bounded in rate: a burst, then one a minute. `is_event`: it also
 * goes to the log and the list of events. NULL is fine for `a`. */
void audit_note(struct audit *a, const struct audit_entry *e, bool is_event);
/* Ids of the latest and the oldest that is kept; 0: none. */
uint64_t audit_latest(const struct audit *a);
uint64_t audit_oldest(const struct audit *a);
const struct audit_entry *audit_get(const struct audit *a, uint64_t id); /* NULL: it is not kept */
/* By its shape. */
extern const struct shape audit_shape;
void audit_print(const struct audit_entry *e, struct json *out);
