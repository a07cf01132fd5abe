#include "control/log_names.h"

#include <stdlib.h>
#include <string.h>

struct log_name {
    struct list link;
    bool is_used;
    char text[];
};

void log_names_init(struct log_names *n)
{
    list_init(&n->all);
}

static struct log_name *name_at(struct list *link)
{
    return container_of(link, struct log_name, link);
}

void log_names_fini(struct log_names *n)
{
    struct list *link;
    while ((link = list_pop_front(&n->all))) free(name_at(link));
}

const char *log_names_keep(struct log_names *n, const char *text)
{
    for (struct list *at = n->all.next; at != &n->all; at = at->next)
        if (strcmp(name_at(at)->text, text) == 0) return name_at(at)->text;
    size_t size = strlen(text) + 1;
    struct log_name *name = calloc(1, sizeof(*name) + size);
    if (!name) return NULL;
    memcpy(name->text, text, size);
    list_push_back(&n->all, &name->link);
    return name->text;
}

void log_names_mark(const char *name)
{
    ((struct log_name *)(uintptr_t)(name - offsetof(struct log_name, text)))->is_used = true;
}

void log_names_sweep(struct log_names *n, const struct denials *d, const struct rule_log *log)
{
    const struct rule_event *e;
    for (uint32_t i = 0; i < atomic_load(&d->count); i++) {
        log_names_mark(d->items[i].rule);
        log_names_mark(d->items[i].source);
    }
    for (uint32_t i = 0; (e = rule_log_latest(log, i)); i++) {
        log_names_mark(e->rule);
        log_names_mark(e->source);
    }
    for (struct list *at = n->all.next, *next; at != &n->all; at = next) {
        struct log_name *name = name_at(at);
        next = at->next;
        if (!name->is_used) {
            list_remove(&name->link);
            free(name);
        } else {
            name->is_used = false;
        }
    }
}
