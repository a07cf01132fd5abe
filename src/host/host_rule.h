/* host/host_rule.h: how a rule of host_check.h is written: a row in its group's table and a function that
 * reads its facts and says at least one thing. Only for host_rule_*.c and host_check.c. */
#pragma once

#include "host/host_check.h"
#include "host/host_file.h"

/* One look at a host. */
struct host_exam {
    const struct host_facts *facts;
    struct host_report *report;
    const struct host_rule *rule;
    const char *group;
    const char *subject;       /* of what is said next; NULL: none */
    struct host_finding *last; /* said; NULL: nothing yet, or the report is full */
};

struct host_rule {
    const char *id, *why;
    void (*run)(struct host_exam *e);
};

struct host_rule_group {
    const char *name;
    const struct host_rule *rules; /* ends with a row without an id */
};

extern const struct host_rule_group host_rule_files, host_rule_accept, host_rule_connect, host_rule_tcp,
    host_rule_conntrack, host_rule_cpu, host_rule_memory, host_rule_devices, host_rule_tracing,
    host_rule_disks, host_rule_certificates, host_rule_sources, host_rule_hardening;

/* A new finding of the rule that runs. Bytes that are no printable ASCII become question marks. */
void exam_say(struct host_exam *e, enum host_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The command for the finding that was said last. Nothing that a file on the host could choose may go into
 * it, other than numbers and names that exam_is_plain() takes: people paste it. */
void exam_mend(struct host_exam *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True if no shell sees more than a word in `name`: letters, digits and "/._-:@", no dash in front. */
bool exam_is_plain(const char *name);

/* Each says itself why a fact cannot be had, and is false then. */
bool exam_text(struct host_exam *e, const char *path, char *out, uint32_t size);
bool exam_numbers(struct host_exam *e, const char *path, uint64_t *out, uint32_t count);
bool exam_number(struct host_exam *e, const char *path, uint64_t *out);

/* /proc/pressure/ (psi): percent of the last minute in which some, or all, threads waited. */
struct exam_pressure {
    double some, full;
};
bool exam_pressure(struct host_exam *e, const char *path, struct exam_pressure *out);

/* How many "0-3,8" are: 5. 0 if it is no list. */
uint32_t exam_count_list(const char *list);
/* Cores that this process may run on, or that are there; 1 if nothing says so. */
uint32_t exam_cores(const struct host_exam *e);
/* Of /proc/self/limits ("Max open files"); UINT64_MAX is unlimited. False, and said, if it is not there. */
bool exam_limit(struct host_exam *e, const char *name, uint64_t *soft, uint64_t *hard);
/* "3.5 GiB". Returns out. */
const char *exam_bytes(uint64_t bytes, char out[32]);
