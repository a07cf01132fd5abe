/* logs/fault_tally.h: how many requests had which kind of fault, at which servers, on which paths, when and by which evidence,
 * with one of them as an example. Memory is taken as kinds come, and bounded for each. One thread. */
#pragma once

#include "base/err.h"
#include "logs/fault_kind.h"
#include "logs/top.h"

#define FAULT_EXAMPLE_MAX 1024u
#define FAULT_KEY_MAX 96u
#define FAULT_KEYS 256u

struct fault_sum {
    uint64_t requests;           /* with this fault, or lines of it of which no record came */
    uint64_t attempts;           /* further ones that failed so, and did not decide what the client got */
    uint64_t by_line, by_record; /* of requests: told by the error log; by the access log alone */
    uint32_t evidence, wants;    /* FAULT_BIT()s */
    uint64_t first_s, last_s;    /* seconds since 1970; 0: not known */
    struct top *servers, *paths, *clients;
    /* Of one request, as they stand in the logs; a record with its error line is kept over one without. */
    char *record, *line;
    uint32_t record_len, line_len;
};

struct fault_tally {
    struct fault_sum *sums[FAULT_KIND_COUNT]; /* NULL: none so far */
    uint64_t records, with_fault;             /* of the access log, that were looked at */
};

/* One request, or one line of the error log without a record. */
struct fault_case {
    enum fault_kind kind;
    uint32_t evidence, wants;
    uint64_t time_s;
    bool is_attempt;                   /* one that did not decide */
    struct slice server, path, client; /* empty: not known */
    struct slice record, line;         /* likewise */
};

void fault_tally_fini(struct fault_tally *t);
MUST_CHECK int fault_tally_add(struct fault_tally *t, const struct fault_case *c, struct err *err);
/* Kinds that came, in the order in which they are told: faults before notes, the most frequent first. Returns how many. */
uint32_t fault_tally_order(const struct fault_tally *t, enum fault_kind out[FAULT_KIND_COUNT]);
