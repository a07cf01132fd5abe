#include "proxy/proxy.h"

#include <string.h>

const char *proxy_name_of(void *proxy, uint32_t id)
{
    const struct proxy *p = proxy;
    return names_of(&p->names, id);
}

struct pool *proxy_pool_by_name(const struct proxy *p, const char *name)
{
    for (uint32_t i = 0; i < p->pool_count; i++)
        if (strcmp(p->pools[i]->name, name) == 0) return p->pools[i];
    return NULL;
}
