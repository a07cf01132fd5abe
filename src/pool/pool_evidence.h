/* pool/pool_evidence.h: what attempts show of servers: counted, told to the control thread, and to the method that chooses. One
 * worker's thread. */
#pragma once

#include "pool/pool_worker.h"

/* What an attempt showed of its server: a part of it has ended, or all of it. */
enum pool_evidence_kind {
    POOL_CONNECTED,      /* a connection is open */
    POOL_ANSWERED,       /* the response's head has come, or what stands for it */
    POOL_ANSWERED_ERROR, /* likewise, and says that the server failed */
    POOL_OUTRUN,         /* it has taken so long at least: another's answer was taken instead */
    POOL_ENDED           /* it failed at the server, for `reason` */
};

#define POOL_UNTIMED UINT64_MAX

struct pool_evidence {
    enum pool_evidence_kind kind;
    enum end_reason reason;
    uint64_t
        value; /* nanoseconds since the attempt began, for methods that go by it; POOL_UNTIMED: not for them */
    uint16_t status;   /* of the answer */
    bool is_copy;      /* nobody waits for the answer: it is judged by nobody */
    bool has_answered; /* it had said that its answer is good, and has ended otherwise */
    bool
        may_be_stale; /* on a connection that had been used before, which the server may just have closed as idle */
};

/* The one door for what attempts show: health, and the method's observations, go by it. view: of the attempt, NULL if it
 * has let go of it. How long a server leaves a connection open shows when its stream is reset. */
void pool_attempt_ended(struct pool_worker *pw, const struct pool_view *view, struct server *s,
                        const struct pool_evidence *e);
