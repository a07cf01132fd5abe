#include "base/bug.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* The process's, like its log: what counts here has no worker at hand, and should never be written. */
static _Atomic uint64_t counts[BUG_PLACE_COUNT];
#ifdef NDEBUG
static _Atomic bool ends_process;
#else
static _Atomic bool ends_process = true;
#endif

const char *bug_place_name(enum bug_place place)
{
    static const char *const names[] = {
#define X(id, text) [BUG_##id] = text,
        BUG_PLACES(X)
#undef X
    };
    return names[place];
}

uint64_t bug_count(enum bug_place place)
{
    return atomic_load_explicit(&counts[place], memory_order_relaxed);
}

void bug_be_fatal(bool is_fatal)
{
    atomic_store(&ends_process, is_fatal);
}

static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

void bug_seen(enum bug_place place, const char *file, int line, const char *condition)
{
    char quoted[256];
    uint64_t count = atomic_fetch_add_explicit(&counts[place], 1, memory_order_relaxed) + 1;
    bool is_fatal = atomic_load(&ends_process);
    /* The first, the second, the fourth, …: one that comes with every request must not fill the log. */
    if (is_fatal || (count & (count - 1)) == 0)
        log_event(LOG_ERROR, "bug", "place=%s at=%s:%d is=%s count=%llu", bug_place_name(place),
                  base_name(file), line, log_quote(condition, quoted, sizeof(quoted)),
                  (unsigned long long)count);
    if (is_fatal) abort();
}
