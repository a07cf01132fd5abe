/* self/leak_audit.h: does something leak? Looks at what is live again and again, beside the load, for an hour, and says so
 * plainly. Of what can be walked, anything that is counted and not reached is lost, and that is exact; of the rest the
 * trend is judged (growth.h). Pure; one thread. */
#pragma once

#include <stdbool.h>

#include "self/growth.h"

#define LEAK_AUDIT_SAMPLES 360u

enum leak_kind {
    LEAK_EXCHANGES, /* walked, as far as LEAK_TIMERS */
    LEAK_TUNNELS,
    LEAK_CLIENT_CONNECTIONS,
    LEAK_SERVER_CONNECTIONS,
    LEAK_BLOCKS,
    LEAK_TIMERS,
    LEAK_DESCRIPTORS, /* those that no connection, listener or worker holds */
    LEAK_HEAP,        /* bytes */
    LEAK_KINDS,
};
#define LEAK_WALKED (LEAK_TIMERS + 1)

extern const char *const leak_kind_names[];

struct leak_sample {
    double time_s;            /* monotonic */
    double load;              /* requests a second since the sample before */
    bool is_walked;           /* lost[] is known */
    double live[LEAK_KINDS];  /* not finite: not known */
    double lost[LEAK_WALKED]; /* counted and not reached */
};

struct leak_finding {
    double live, lost; /* as of the last sample; lost: of the last that was walked; NAN: not known */
    bool is_leak;
    struct growth growth;
};

struct leak_audit {
    struct leak_sample samples[LEAK_AUDIT_SAMPLES]; /* a ring, the oldest at `first` */
    uint32_t first, count;
};

void leak_audit_add(struct leak_audit *a, const struct leak_sample *s);
/* rise_min: a smaller rise of descriptors and of bytes is none. About a millisecond for each kind. */
struct leak_options {
    double descriptors_rise_min, heap_rise_min;
};
void leak_audit_judge(const struct leak_audit *a, const struct leak_options *o,
                      struct leak_finding out[LEAK_KINDS]);
