/* route/gate.h: whether an address may pass: the address blocks of one gate, those in files included, compiled. Immutable,
 * shared by all threads. The limits of a gate are counted elsewhere: proxy/client_table.h. */
#pragma once

#include <stdatomic.h>

#include "route/gate_conf.h"

enum gate_verdict {
    GATE_PASS,
    GATE_DENIED,      /* in a block of `deny` */
    GATE_NOT_ALLOWED, /* there is an `allow`, and it is in none of its blocks */
};

struct gate_rules;

/* The smallest block that holds the address decides, `deny` where one is in both lists. NULL with the sentence: a file that
 * cannot be read or has a mistake, or no memory; *key: the row that it is about, NULL: none. */
struct gate_rules *gate_rules_new(const struct gate_conf *conf, const char **key, struct err *err);
void gate_rules_free(struct gate_rules *rules); /* NULL is fine */
enum gate_verdict gate_check(const struct gate_rules *rules, const struct ip *ip);
/* How many blocks of files are in it. */
uint32_t gate_rules_file_blocks(const struct gate_rules *rules);

/* Of all its files as they are now: where it is the same, reading again makes nothing new. 0: one is so young that it has to
 * be read again. */
uint64_t gate_conf_stamp(const struct gate_conf *conf);
void gate_conf_each_file(const struct gate_conf *conf, void (*each)(void *context, const char *path),
                         void *context);

/* The place of a configuration where a gate's rules are: others may come there, when files have changed. Who asks holds
 * nothing beyond the call, so what was there may be freed once every thread that asks has been elsewhere. */
struct gate_slot {
    _Atomic(struct gate_rules *) rules;
    atomic_bool has_changed; /* who passed before may not pass now */
    uint64_t stamp;          /* of the files as the first rules were read (gate_conf_stamp()) */
};

/* `rules` are taken, for both. NULL: there is no memory, and they are not. */
struct gate_slot *gate_slot_new(struct gate_rules *rules);
void gate_slot_free(struct gate_slot *slot);
/* What was there before is the caller's. */
struct gate_rules *gate_slot_set(struct gate_slot *slot, struct gate_rules *rules);
static inline bool gate_slot_passes(struct gate_slot *slot, const struct ip *ip)
{
    return gate_check(atomic_load_explicit(&slot->rules, memory_order_acquire), ip) == GATE_PASS;
}
static inline bool gate_slot_has_changed(const struct gate_slot *slot)
{
    return atomic_load_explicit(&slot->has_changed, memory_order_relaxed);
}
