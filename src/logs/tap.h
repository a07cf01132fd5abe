/* logs/tap.h: somebody who looks on while a log's records come: those that a filter takes, as server-sent events (WHATWG
 * HTML, 9.2), within a bound of records a second and of memory; what is over it is counted. The observer's thread. */
#pragma once

#include "base/list.h"
#include "base/text.h"
#include "logs/filter.h"

#define TAP_BYTES_MAX (128u << 10)
#define TAP_RECORDS_MAX 200u /* a second */

struct tap {
    struct list link; /* of its source's */
    uint64_t id;
    struct filter *filter; /* owned; NULL: every record */
    char *data;            /* owned; events that wait to be fetched */
    size_t len;
    uint32_t taken;  /* of this second */
    uint64_t missed; /* in all */
};

/* Takes the filter, even if it fails; NULL: out of memory. */
struct tap *tap_new(uint64_t id, struct filter *filter);
void tap_free(struct tap *t); /* NULL is fine; it is in no list */
void tap_offer(struct tap *t, const struct log_entry *e);
/* One more event: `data` is JSON. */
void tap_say(struct tap *t, const char *event, struct slice data);
/* What waits, for the caller to free; *len 0 and NULL: nothing. */
char *tap_fetch(struct tap *t, size_t *len);
