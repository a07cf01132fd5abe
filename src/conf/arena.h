/* conf/arena.h: memory of one snapshot or one tree: grows, never moves, freed as a whole. Control side
 * only. */
#pragma once

#include <stddef.h>

#include "base/slice.h"

struct conf_arena *conf_arena_new(void);
void conf_arena_free(struct conf_arena *arena); /* NULL is fine */
/* Zeroed, aligned for anything. Never NULL: ends the process when memory is out. */
void *conf_arena_alloc(struct conf_arena *arena, size_t size);
/* A terminated copy. */
const char *conf_arena_copy(struct conf_arena *arena, struct slice text);
/* Likewise, in memory for secrets (base/secret.h). */
const char *conf_arena_copy_secret(struct conf_arena *arena, struct slice text);
/* From now on core files have its secrets. */
void conf_arena_show_secrets(struct conf_arena *arena);
