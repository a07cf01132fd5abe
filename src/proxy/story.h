/* proxy/story.h: one exchange as a person would tell it, from its flight record: who asked for what, which route took it by
 * which rule, which server was tried and why, what came of that, and what the client got, each sentence with its time. What
 * a record does not keep (the rule of a route, a server's address) is asked of the configuration in force, and said to be
 * gone where it is. Control thread. */
#pragma once

#include "base/text.h"
#include "proxy/proxy.h"

struct flight_record;
struct json;

/* The end of it in one sentence: what the client got, and why. */
#define STORY_WHY_MAX 512u
void story_why(const struct flight_record *r, struct text *out);
/* An array of {"at_ms", "text"} in the order in which it happened; at_ms is null of what no time is kept. */
void story_print(const struct proxy *p, const struct flight_record *r, struct json *out);
