/* net/resolver_channel.h: a resolver's way to its name servers, for those who ask by it and keep answers themselves. */
#pragma once

#include <ares.h>

#include "net/resolver.h"

/* NULL: it cannot be opened. */
ares_channel resolver_channel(struct resolver *r);
/* After each question: its time-outs are the resolver's to watch. */
void resolver_watch(struct resolver *r);
/* What c-ares's status means. */
enum resolver_result resolver_result_of(int status);
