/* pool/sticky_conf.h: `sticky:` of a pool. */
#pragma once

#include "conf/field.h"

#define STICKY_SECRET_MIN 16
#define STICKY_SECRETS_MAX 8

enum sticky_same_site { STICKY_LAX, STICKY_STRICT, STICKY_NONE };

/* `sticky: {cookie: weir, secrets: ["…"], max_age: 8h, drain: 10m}` */
struct sticky_conf {
    const char *cookie;
    struct conf_items secrets; /* const char *, of 16 bytes or more; CONF_SECRET */
    uint64_t max_age_ms;       /* 0: until the browser is closed */
    uint64_t drain_ms;         /* how long a draining server keeps its clients */
    const char *path, *domain; /* domain: NULL for the host alone */
    uint32_t same_site;        /* enum sticky_same_site */
    bool is_secure;            /* required with SameSite=None */
};

extern const struct conf_type sticky_conf_type;
