/* base/event_list.h: what happened to this process of late that somebody may want to lay beside his charts: servers that changed
 * their state, configurations, certificates, upgrades, who is denied, what people noted. The same words and the same time as the
 * message in the log, of which each is a copy: nobody says it a second time. The latest are kept. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

#define EVENT_LIST_MAX 512u
#define EVENT_TEXT_MAX 456u

struct event {
    uint64_t id; /* from 1, without gaps */
    uint64_t wall_ns;
    enum log_level level;
    char name[32];
    char text[EVENT_TEXT_MAX]; /* "key=value key=\"two words\""; cut where it is longer */
};

/* Whether messages of that name are kept. */
bool event_list_keeps(const char *name);
/* For log.c: text is not terminated. */
void event_list_note(enum log_level level, const char *name, uint64_t wall_ns, const char *text,
                     uint32_t len);
/* Ids of the latest and of the oldest that is kept; 0: none. */
uint64_t event_list_latest(void);
uint64_t event_list_oldest(void);
/* False: it is not kept any more, or not there yet. */
bool event_list_get(uint64_t id, struct event *out);
