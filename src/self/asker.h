/* self/asker.h: who asked weir about itself. Whoever works on the answer keeps him by value: he may have gone when it is
 * there. */
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
