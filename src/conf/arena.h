/* conf/arena.h: memory of one snapshot or one tree: grows, never moves, freed as a whole. It grows on one thread, the
 * control side's; what is in it then may be read by any that has a reference. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* One reference is the caller's. */
struct conf_arena *conf_arena_new(void);
/* One more reference, and one less: with the last the memory goes. Any thread; NULL is fine, for both. */
struct conf_arena *conf_arena_get(struct conf_arena *arena);
void conf_arena_free(struct conf_arena *arena);
/* How many there are: 1 is the asker's own. */
uint32_t conf_arena_refs(const struct conf_arena *arena);
/* Zeroed, aligned for anything. Never NULL: ends the process when memory is out. */
void *conf_arena_alloc(struct conf_arena *arena, size_t size);
/* A terminated copy. */
const char *conf_arena_copy(struct conf_arena *arena, struct slice text);
/* Likewise, in memory for secrets (base/secret.h). */
const char *conf_arena_copy_secret(struct conf_arena *arena, struct slice text);
/* `object` lives as long as the arena does: `drop` ends it then, on whatever thread lets go of the arena last. */
void conf_arena_own(struct conf_arena *arena, void *object, void (*drop)(void *object));
/* From now on core files have its secrets. */
void conf_arena_show_secrets(struct conf_arena *arena);
