/* self/asker.h: to whom an answer about weir itself goes. Whoever works on the answer keeps a copy of this: the
 * client who asked may be gone by the time there is one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What was found out, as bytes. */
struct finding {
    char *bytes; /* whoever takes them sets NULL here; NULL: there are none, and `fault` says why */
    size_t len;
    struct err fault; /* empty, too: weir is stopping */
};

struct asker {
    void (*tell)(const struct asker *to, struct finding *f); /* on the control thread */
    void *context;
    uint64_t id; /* the asker's */
};
