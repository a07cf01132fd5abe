#include "control/acme_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *acme_plan_folder(const struct config *config, char out[4096])
{
    if (config->acme && config->acme->folder) return config->acme->folder;
    if (!config->state) return NULL;
    snprintf(out, 4096, "%s/acme", config->state);
    return out;
}

static uint32_t count_all(const struct config *config)
{
    const struct listener_conf *l = config->proxy.listeners.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++)
        if (l[i].tls) count += l[i].tls->certificates.count;
    return count;
}

static void add(struct acme_plan *plan, const struct tls_certificate_conf *c)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (strcmp(plan->certificates[i]->file, c->file) == 0) return;
    plan->certificates[plan->count++] = c;
}

bool acme_plan_use(struct acme_keeper *k, const struct config *config)
{
    char room[4096];
    const struct listener_conf *l = config->proxy.listeners.data;
    struct acme_plan plan = { .arena = config->arena, .conf = config->acme };
    plan.folder = acme_plan_folder(config, room);
    plan.certificates = calloc(count_all(config) + 1, sizeof(*plan.certificates));
    if (!plan.certificates) return false;
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++) {
        const struct tls_certificate_conf *c = l[i].tls ? l[i].tls->certificates.data : NULL;
        for (uint32_t n = 0; c && n < l[i].tls->certificates.count; n++)
            if (c[n].file) add(&plan, &c[n]);
    }
    bool is_taken = acme_keeper_use(k, plan.count ? &plan : NULL);
    free(plan.certificates);
    return is_taken;
}
