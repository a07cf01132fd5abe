/* base/list.h: an intrusive doubly linked list. A node not in a list points to itself, so that
 * list_remove() may be called twice. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_before(struct list *node, struct list *at)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_before(node, head);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(node, head->next);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next; /* NOLINT(clang-analyzer-unix.Malloc): it does not follow list_remove() */
    node->next->prev = node->prev;
    list_init(node);
}

static inline struct list *list_pop_front(struct list *head)
{
    if (list_is_empty(head)) return NULL;
    struct list *node = head->next;
    list_remove(node); /* NOLINT(clang-analyzer-unix.Malloc): as above */
    return node;
}

/* Moves all of `from` to the empty list `to`. */
static inline void list_move(struct list *to, struct list *from)
{
    list_init(to);
    if (list_is_empty(from)) return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}
