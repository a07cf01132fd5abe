/* logs/fault_record.h: what one record of an access log says of a fault, by itself: by its status, who was asked, what each
 * attempt said and how long its parts took. What it cannot tell is said, with what the log would have to have for it. Pure. */
#pragma once

#include "logs/entry.h"
#include "logs/fault_kind.h"

#define FAULT_TRIES_MAX 16u

/* One attempt at a server, as the lists $upstream_addr, $upstream_status and the times have it. */
struct fault_try {
    struct slice server;
    uint32_t status; /* 0: none */
    /* UINT64_MAX: it did not come to that, or the log does not say */
    uint64_t connect_us, header_us, response_us;
};

struct fault_tries {
    uint32_t
        count; /* of all; only the first FAULT_TRIES_MAX are kept, and the last in place of the last of these */
    bool has_servers, has_statuses, has_connect, has_header, has_response; /* the log says */
    struct fault_try tries[FAULT_TRIES_MAX];
};

/* Seats of variables that have none of their own; LOG_FIELD_MAX: the log does not have it. */
struct fault_seats {
    enum log_field completion, limit_req, limit_conn, upstream_bytes, cache, connection;
};
void fault_seats_find(struct fault_seats *seats,
                      enum log_field (*field_of)(const void *reader, struct slice name), const void *reader);

struct fault_verdict {
    enum fault_kind kind;
    uint32_t evidence, wants; /* FAULT_BIT()s: what it rests on, what would tell more */
    struct slice server;      /* of the attempt that counts; empty: none, or not known */
};

struct fault_asked {
    uint64_t slow_us;   /* a request that took so long is slow */
    bool has_error_log; /* there is one, and it has no line for this record */
};

void fault_read_tries(const struct log_entry *e, struct fault_tries *out);
void fault_of_record(const struct log_entry *e, const struct fault_tries *tries,
                     const struct fault_seats *seats, const struct fault_asked *asked,
                     struct fault_verdict *out);
