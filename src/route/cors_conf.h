/* route/cors_conf.h: which pages of other sites a browser lets read the answers: `cors: https://app.example.com`. weir says it in
 * place of the servers, and answers preflights. Part of a snapshot. */
#pragma once

#include "conf/field.h"

struct cors_conf {
    struct conf_items origins;                  /* const char *; "*" is any */
    struct conf_items methods, headers, expose; /* const char *; no headers: those that are asked for */
    bool credentials;
    uint64_t max_age_ms;
    /* What is made of them, in the arena; empty: nothing is said. */
    struct slice methods_text, headers_text, expose_text, max_age_text;
    bool is_any; /* of `origins` */
};

extern const struct conf_type cors_type;

/* Whether pages of that origin, as in the Origin field, may read answers. */
bool cors_allows(const struct cors_conf *conf, struct slice origin);
