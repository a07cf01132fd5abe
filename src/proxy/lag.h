/* proxy/lag.h: how long what comes waits until its worker turns to it, and how much is to be refused for that: pure, on the
 * clock of whoever asks.
 *
 * What counts is not how long somebody waited but whether everybody does (as CoDel has it, RFC 8289): a worker that catches
 * up now and then works off what comes, however busy the host is; one that never does will not, and each that it takes on waits for
 * all those before. Then a share of what comes is refused, which grows while it goes on and shrinks when it is over: of the lowest
 * class until none of it is left, then of the next (docs/decisions/0049). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/overload_conf.h"

#define LAG_STEP_MS 100u
/* A process that was stopped, or a host that slept, is one long wait. */
#define LAG_LOOKS_MIN 3u
#define LAG_CLASSES 3u
/* All of a class. */
#define LAG_WHOLE 64u

struct lag {
    uint64_t since_ms;     /* all looks since then were over the bound; while count */
    uint64_t looked_ms;    /* the last */
    uint64_t step_ms;      /* when this step began; while is_over */
    uint64_t least_ms;     /* of this step */
    uint32_t count;        /* of those looks */
    uint32_t step_refused; /* in this step */
    uint32_t pressure;     /* in LAG_WHOLE-ths of a class, the lowest first */
    bool is_over;
};

enum lag_news { LAG_SAME, LAG_BEGUN, LAG_ENDED };

/* Something that came has waited for `waited_ms`. */
enum lag_news lag_look(struct lag *l, const struct overload_conf *conf, uint64_t waited_ms, uint64_t now_ms);
/* Whether one more of that class is refused; 0 is the highest. draw: any number, each as likely. Never all but of the lowest. */
bool lag_refuses(struct lag *l, uint32_t class, uint32_t draw);
