/* route/maintenance_conf.h: a listener or a route that is out of service for everybody but a few: `maintenance: {enabled:
 * true, allow: [10.0.0.0/8], retry_after: 10m, page: {file: down.html}}`. Part of a snapshot. */
#pragma once

#include "base/address.h"
#include "route/page_conf.h"

struct maintenance_conf {
    bool enabled;
    struct conf_items allow; /* struct cidr: who passes all the same */
    uint32_t status;
    uint64_t retry_after_ms; /* 0: nothing is said of it */
    struct page_conf *page;  /* NULL: as of any fault of that status */
};

extern const struct conf_type maintenance_type;

/* Whether it keeps that client out; NULL is fine. */
bool maintenance_holds(const struct maintenance_conf *conf, const struct ip *client);
