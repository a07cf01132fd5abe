#include "base/event_list.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The process's, as the log is. Untouched places cost no memory. */
static struct {
    pthread_mutex_t lock;
    uint64_t latest;
    struct event events[EVENT_LIST_MAX];
} list = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Messages of the log that are events: changes, not complaints that may come a thousand times a second. */
static const char *const names[] = {
    "ready",
    "draining",
    "server_state",
    "server_changed",
    "pool_panic",
    "pool_panic_over",
    "reloaded",
    "reload_failed",
    "restart_needed",
    "generation_used",
    "generation_passed_over",
    "servers_changed",
    "servers_not_changed",
    "servers_left_out",
    "source_stale",
    "source_empty",
    "source_gone",
    "source_cut",
    "source_skips",
    "source_back",
    "addresses_changed",
    "addresses_refused",
    "users_changed",
    "users_refused",
    "keys_changed",
    "keys_not_fetched",
    "keys_refused",
    "certificate_changed",
    "certificate_refused",
    "certificate_ending",
    "certificate_expired",
    "acme_issued",
    "acme_failed",
    "acme_contested",
    "upgrading",
    "upgraded",
    "upgrade_failed",
    "predecessor_gone",
    "successor_gone",
    "access_log_unreachable",
    "access_log_reached",
    "log_rule",
    "denials_ended",
    "denial_revoked",
    "upstream_fails",
    "maintenance",
    "leak",
    "overload",
    "overload_over",
    "worker_stuck",
    "worker_turns",
    "watchdog_silent",
    "split_guard",
    "marker",
    "change",
};

bool event_list_keeps(const char *name)
{
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

void event_list_note(enum log_level level, const char *name, uint64_t wall_ns, const char *text, uint32_t len)
{
    pthread_mutex_lock(&list.lock);
    struct event *e = &list.events[list.latest++ % EVENT_LIST_MAX];
    e->id = list.latest;
    e->wall_ns = wall_ns;
    e->level = level;
    snprintf(e->name, sizeof(e->name), "%s", name);
    snprintf(e->text, sizeof(e->text), "%.*s", (int)len, text);
    pthread_mutex_unlock(&list.lock);
}

uint64_t event_list_latest(void)
{
    pthread_mutex_lock(&list.lock);
    uint64_t latest = list.latest;
    pthread_mutex_unlock(&list.lock);
    return latest;
}

uint64_t event_list_oldest(void)
{
    uint64_t latest = event_list_latest();
    if (latest <= EVENT_LIST_MAX) return latest ? 1 : 0;
    return latest - EVENT_LIST_MAX + 1;
}

bool event_list_get(uint64_t id, struct event *out)
{
    pthread_mutex_lock(&list.lock);
    const struct event *e = &list.events[(id - 1) % EVENT_LIST_MAX];
    bool is_there = id && e->id == id;
    if (is_there) *out = *e;
    pthread_mutex_unlock(&list.lock);
    return is_there;
}
