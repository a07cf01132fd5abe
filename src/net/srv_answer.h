/* net/srv_answer.h: SRV records of a name server's answer (RFC 2782), with how long they hold, which c-ares does not say. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than fit into the largest answer: a record has 19 bytes at least. */
#define SRV_TARGETS_MAX 4096u
#define SRV_NAME_MAX 253u

struct srv_target {
    uint16_t priority, weight, port;
    char name[SRV_NAME_MAX + 1]; /* without the last dot */
};

struct srv_answer {
    uint32_t count; /* of targets */
    uint32_t ttl_s; /* the shortest of what was passed on the way, aliases included */
    struct srv_target targets[SRV_TARGETS_MAX];
};

/* False: it is no whole answer. No record of the kind is a whole one, with a count of 0; so is the target ".", which says that
 * the service is decidedly not there. */
bool srv_answer_read(const unsigned char *message, size_t len, struct srv_answer *out);
