/* self/privileges.h: what weir may do on this host: as which user, and with which rights of root (capabilities(7)). Before there is a
 * second thread: capabilities are each thread's own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/text.h"

/* Becomes `user` ("weir", or "weir:www-data" with a group other than its own) for ever, with its groups. Of root's rights it keeps
 * the one to bind low ports, for listeners that a reload adds and for a newer weir that it starts, which can get no more either. -1:
 * nothing of it holds that could be relied on, and weir must not go on. */
MUST_CHECK int privileges_drop(const char *user, struct err *err);

/* -1: weir could not become `user` here, since there is none; the sentence says who. Asks the host's name service, which may take
 * its time. */
MUST_CHECK int privileges_look_for(const char *user, struct err *err);

/* For who runs by a right of its file (setcap(8)) to bind low ports: a newer weir that it starts has it too, also where programs gain no
 * rights any more (no_new_privs). Nothing for others. */
void privileges_pass_on(void);

/* Of the calling thread, as the kernel says it. */
struct privileges {
    uid_t user;
    gid_t group;
    bool may_gain;         /* programs that it starts may have more rights than it */
    uint64_t capabilities; /* a bit each */
};
void privileges_read(struct privileges *out);
/* "net_bind_service sys_ptrace"; "none". */
void privileges_print(uint64_t capabilities, struct text *out);
