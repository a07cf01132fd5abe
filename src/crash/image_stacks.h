/* crash/image_stacks.h: stacks of a process as it was at one moment, with names: by the tables of the files that are mapped in
 * it, so that the caller of a function without a frame is there too; by frame pointers where the files are not. One thread. */
#pragma once

#include "stack/image.h"
#include "stack/stack.h"
#include "stack/symbolizer.h"

struct image_stacks;

/* `image` is borrowed. is_living: the process still runs, and says what is mapped. Without files there are no names, and
 * stacks by frame pointers. NULL: out of memory. */
struct image_stacks *image_stacks_new(const struct image *image, bool is_living);
void image_stacks_free(struct image_stacks *s); /* NULL is fine */
/* As stack_unwinder: the first is where the thread stands, the others are return addresses. */
uint32_t image_stacks_walk(const struct image_stacks *s, const struct image_thread *t, uint64_t *pcs,
                           uint32_t max);
/* Puts "epoll_wait", or "loop_turn at loop.c:129"; false: it has no name. */
bool image_stacks_name(struct image_stacks *s, uint64_t pc, bool is_return, struct text *out);
