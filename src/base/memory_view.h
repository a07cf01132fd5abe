/* base/memory_view.h: memory that is read with care: a process's own after a crash, another's, or what a core file has of
 * it. An address may lead anywhere, so every read can fail, and does so without harm. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory_view {
    /* All `len` bytes, or false and nothing that may be used. */
    bool (*read)(const void *context, uint64_t address, void *out, size_t len);
    const void *context; /* borrowed */
};

static inline bool memory_read(const struct memory_view *m, uint64_t address, void *out, size_t len)
{
    return m->read(m->context, address, out, len);
}
/* One member of the struct at `address`: memory_read_member(m, address, struct pool, name, &name_address). */
#define memory_read_member(m, address, type, member, out) \
    memory_read((m), (address) + offsetof(type, member), (out), sizeof(((type *)0)->member))

/* The terminated text at `address`, cut to size - 1 bytes; bytes that do not print are shown as '?'. False, and the text
 * "?", if it cannot be read. size > 1. */
bool memory_read_text(const struct memory_view *m, uint64_t address, char *out, size_t size);

/* The calling process's own. Async-signal-safe. */
struct memory_view memory_of_self(void);
/* Another process's, for which its owner or CAP_SYS_PTRACE may ask; `pid` is borrowed as long as the view is used. */
struct memory_view memory_of_process(const int32_t *pid);
