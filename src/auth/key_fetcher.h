/* auth/key_fetcher.h: fetches keys that somebody publishes, on a thread of its own, which has time to wait for them; it begins with the
 * first configuration that has any. One address after another: each takes ten seconds at most. Only one of it in a process. Asked
 * on the control thread. */
#pragma once

#include "auth/key_source.h"

struct key_fetcher;

/* on_change: there are others than before; on the thread that fetches. NULL: there is no memory. */
struct key_fetcher *key_fetcher_new(void (*on_change)(void *context), void *context);
/* From now on these, and no others; each may be there several times. */
void key_fetcher_use(struct key_fetcher *f, struct key_source *const *sources, uint32_t count);
/* What goes on ends at once, and nothing begins. Twice is fine; so is NULL, for all three. */
void key_fetcher_stop(struct key_fetcher *f);
/* After that. False: it has not ended within `wait_ms`, as where a disk does not answer. Then all that it uses has to stay. */
MUST_CHECK bool key_fetcher_await_end(struct key_fetcher *f, uint32_t wait_ms);
/* Waits for it, however long. */
void key_fetcher_free(struct key_fetcher *f);
uint64_t key_fetcher_fetched(const struct key_fetcher *f);
uint64_t key_fetcher_failed(const struct key_fetcher *f);
