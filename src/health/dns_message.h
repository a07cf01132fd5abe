/* health/dns_message.h: one question of DNS, and whether a datagram is its answer (RFC 1035 4.1). Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define DNS_HEAD_BYTES 12u
/* A head, a name, a type and a class. */
#define DNS_QUESTION_MAX (DNS_HEAD_BYTES + 255u + 4u)

struct dns_question {
    uint16_t id, type;
    const char *name; /* one that dns_name_fault() finds nothing wrong with; borrowed */
};

struct dns_answer {
    uint8_t rcode;
    bool is_truncated; /* the rest of it is to be asked for over TCP */
};

/* Names end with NULL. In the order of rcodes (RFC 1035 4.1.1, RFC 2136 2.2). */
extern const char *const dns_rcode_names[];
/* Likewise; dns_type() is the number of one (RFC 1035 3.2.2 and later). */
extern const char *const dns_type_names[];
uint16_t dns_type(uint32_t index);

/* What is wrong with it: a clause; NULL: it can be asked for. "." is the root, and a dot at the end is fine. */
const char *dns_name_fault(const char *name);
/* Returns its length. Recursion is asked for (RD): a server that does not recurse passes over that. */
size_t dns_question_write(const struct dns_question *q, unsigned char out[DNS_QUESTION_MAX]);
/* Why it is not the answer: a clause; NULL: it is, and *out is set. The question has to be in it, in whatever case; but
 * who could not read it may leave it out (FORMERR, NOTIMP). Records are not looked at. */
const char *dns_answer_read(const struct dns_question *q, struct slice datagram, struct dns_answer *out);
