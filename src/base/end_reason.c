#include "base/end_reason.h"

#include <errno.h>
#include <string.h>

enum { STAGE_ANY = false, STAGE_CONNECT = true };

static const struct end_reason_info reasons[END_REASON_COUNT] = {
#define X(id, text, from, code, stage, meaning) \
    [END_##id] = { .name = (text),              \
                   .means = (meaning),          \
                   .origin = ORIGIN_##from,     \
                   .status = (code),            \
                   .is_connect = STAGE_##stage },
    END_REASONS(X)
#undef X
};

const struct end_reason_info *end_reason_info(enum end_reason reason)
{
    return &reasons[(unsigned)reason < END_REASON_COUNT ? reason : END_INTERNAL];
}

const char *end_origin_name(enum end_origin origin)
{
    static const char *const names[] = { "none", "client", "weir", "server", "config" };
    return (unsigned)origin < sizeof(names) / sizeof(*names) ? names[origin] : "none";
}

enum end_reason end_reason_of_connect(int error)
{
    switch (error) {
    case ECONNREFUSED: return END_CONNECT_REFUSED;
    case ETIMEDOUT: return END_CONNECT_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case ENOSPC: return END_NO_DESCRIPTORS; /* ENOSPC: no more may be watched by epoll */
    case ENOMEM:
    case ENOBUFS: return END_NO_MEMORY;
    case EAGAIN: return END_NO_PORTS; /* of a socket for datagrams; udp(7) does not say so, the kernel does */
    default: return END_CONNECT_FAILED;
    }
}

enum end_reason end_reason_by_name(const char *name)
{
    for (unsigned i = 0; i < END_REASON_COUNT; i++)
        if (strcmp(reasons[i].name, name) == 0) return (enum end_reason)i;
    return END_REASON_COUNT;
}
