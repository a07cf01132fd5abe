/* proxy/split_steering.h: what a split's guard (route/split_guard.h) and people do to its weights: the guard is shown what was
 * counted and its word is carried out; both are told in the log and as events, "split_guard". Control thread. */
#pragma once

#include "proxy/split.h"

/* Its guard, begun if it has none yet; NULL: the configuration has none. */
struct split_guard *split_guard_of(const struct split *s);
/* The configuration in force is another: a guard that is new begins, and what one that is gone had done to the weights is
 * undone. True: something has changed. */
bool split_steer_follow(struct split *s, uint64_t now_ms);
/* One look. */
enum split_guard_move split_steer_look(struct split *s, uint64_t now_ms);

/* Somebody's word. `weight` of split_steer_pause(): in hundredths of a percent; at most split_steer_room(). */
uint32_t split_steer_room(const struct split *s);
void split_steer_pause(struct split *s, uint32_t weight, uint64_t now_ms);
void split_steer_resume(struct split *s, uint64_t now_ms);
void split_steer_take_back(struct split *s, uint64_t now_ms);
