/* proxy/remains.h: what was going on in a proxy, out of memory that may be damaged: the own after a crash, a core file's,
 * another process's. Only of this very build, whose structs it knows: the caller has made sure of that. Whatever is broken,
 * or made to mislead, nothing leads in circles, and no walk is longer than a number that is set here. Async-signal-safe. */
#pragma once

#include "base/memory_view.h"
#include "base/text.h"
#include "proxy/worker.h"
#include "record/flight.h"

#define REMAINS_NAME_MAX 80u
#define REMAINS_PAGES_MAX (1u << 19) /* of slabs, of all workers together: 8 GiB */

struct remains_proxy {
    uint64_t address;
    uint32_t worker_count;
    uint64_t workers, names; /* arrays of addresses */
    uint32_t name_count;
};

struct remains_worker {
    uint64_t address, thread, now_ns, flights;
    uint32_t index, pages_max; /* pages_max: its share of REMAINS_PAGES_MAX */
    struct worker_live live;
};

struct remains_exchange {
    uint64_t address, age_us;
    const char *state;
    struct flight_record record; /* as far as it had come; safe to print */
};

/* False: it cannot be read, or is none. */
bool remains_find_proxy(const struct memory_view *m, uint64_t address, struct remains_proxy *out);
bool remains_find_worker(const struct memory_view *m, const struct remains_proxy *p, uint32_t index,
                         struct remains_worker *out);
/* The name of an id in a flight record; "-" for FLIGHT_NO_ID, "?" where it cannot be read. */
const char *remains_name(const struct memory_view *m, const struct remains_proxy *p, uint32_t id,
                         char out[REMAINS_NAME_MAX]);
/* Exchanges, and the sessions of tcp and udp listeners, until on_exchange says false. */
void remains_exchanges(const struct memory_view *m, const struct remains_worker *w,
                       bool (*on_exchange)(void *context, const struct remains_exchange *x), void *context);

/* What of a record is said in one line each. */
void remains_print_exchange(const struct memory_view *m, const struct remains_proxy *p,
                            const struct remains_exchange *x, struct text *out);
void remains_print_record(const struct memory_view *m, const struct remains_proxy *p,
                          const struct flight_record *r, struct text *out);

/* The sizes of the structs that are read here: two builds in which they differ cannot read each other. */
#define REMAINS_SIZES 9u
void remains_sizes(uint32_t out[REMAINS_SIZES]);
