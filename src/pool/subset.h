/* pool/subset.h: which of very many servers this process uses, so that not every process has connections to
 * every server. Deterministic subsetting (Beyer et al., "Site Reliability Engineering", 2016, chapter 20):
 * every process deals the same shuffled decks of servers to all processes, one after another, and takes its
 * own hand. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pool_subset_conf;

/* Sets chosen[count] for exactly min(conf->size, count) servers. Depends on the servers' names, not on their
 * order. Over all instances each server is chosen as often as any other, or once more. Unlike the book's, a
 * deck of which less than a hand is left is dealt to its end, and the hand goes on with the next. -1: out of
 * memory. */
MUST_CHECK int subset_choose(const struct pool_subset_conf *conf, const uint64_t *name_hashes, uint32_t count,
                             bool *chosen, struct err *err);
