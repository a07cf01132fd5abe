/* conf/arena.h: memory of one snapshot or one tree: grows, never moves, freed as a whole. It grows on one thread, the
 * control side's; what is in it then may be read by any that has a reference. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* One reference is the caller's. NULL: there is no memory; all of the below takes that for an arena that is short. */
struct conf_arena *conf_arena_new(void);
/* One more reference, and one less: with the last the memory goes. Any thread; NULL is fine, for both. */
struct conf_arena *conf_arena_get(struct conf_arena *arena);
void conf_arena_free(struct conf_arena *arena);
/* How many there are: 1 is the asker's own. */
uint32_t conf_arena_refs(const struct conf_arena *arena);
/* Zeroed, aligned for anything. NULL: there is no memory, and the arena is short from now on. */
void *conf_arena_alloc(struct conf_arena *arena, size_t size);
/* A terminated copy; "" if there is no memory, and the arena is short from now on. */
const char *conf_arena_copy(struct conf_arena *arena, struct slice text);
/* Likewise, with its length. */
struct slice conf_arena_slice(struct conf_arena *arena, struct slice text);
/* As conf_arena_copy(), in memory for secrets (base/secret.h). */
const char *conf_arena_copy_secret(struct conf_arena *arena, struct slice text);
/* `object` lives as long as the arena does: `drop` ends it then, on whatever thread lets go of the arena last. False: there was
 * no memory to note that, and it has ended already. */
MUST_CHECK bool conf_arena_own(struct conf_arena *arena, void *object, void (*drop)(void *object));
/* Once there was no memory for something that belongs in it. What is in it is not to be used then: who makes something of an
 * arena asks once, at the end. */
bool conf_arena_is_short(const struct conf_arena *arena);
/* From now on, as something beside it that it needs found no memory. */
void conf_arena_set_short(struct conf_arena *arena);
/* From now on core files have its secrets. */
void conf_arena_show_secrets(struct conf_arena *arena);
