/* command/doctor_sources.h: what `weir doctor` knows of whom pools ask for their servers: the weir that runs with that
 * configuration is asked. */
#pragma once

#include "base/err.h"
#include "conf/node.h"
#include "control/config.h"
#include "host/host_check.h"

struct doctor_sources {
    struct conf_tree tree; /* the answer, in which texts lie */
    struct host_source *items;
    uint32_t count;
    bool has_answer;
    struct err err; /* why there is none */
};

/* Zeroed before. `path`: of the configuration. False: out of memory. */
MUST_CHECK bool doctor_ask_sources(struct doctor_sources *s, const char *path);
void doctor_sources_fini(struct doctor_sources *s);
