/* control/reload_history.h: the API's questions about configurations that are kept. Control thread; files are read on the jobs'. */
#pragma once

#include "admin/reloader.h"
#include "control/generations.h"
#include "net/jobs.h"

/* `generations` NULL: none are kept, which the answer says. */
void reload_history_list(const struct generations *generations, uint32_t in_force, struct answer *out);
/* As reloader's. */
MUST_CHECK bool reload_history_look(struct jobs *jobs, const struct generations *generations,
                                    const struct reload_look *look);
/* Reads and parses one: 0, or -1 with *faults or the sentence. `text` is for config_text_free(). Any thread. */
struct config;
MUST_CHECK int reload_history_read(int folder, const struct generation *g, struct config **out, char **text,
                                   size_t *len, char **faults, struct err *err);
