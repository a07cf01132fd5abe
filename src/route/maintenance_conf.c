#include "route/maintenance_conf.h"

#define DAY_MS (24 * 3600 * 1000)

static const struct conf_field fields[] = {
    { "enabled", CONF_BOOL(struct maintenance_conf, enabled), .flags = CONF_REQUIRED,
      .help = "Whether it is out of service now. `weir maintenance on` and `off`, and a PATCH of the API, "
              "switch it." },
    { "allow", CONF_LIST(struct maintenance_conf, allow, &conf_cidr_type), .max = 1000,
      .help = "Address blocks of clients that are served all the same." },
    { "status", CONF_U32(struct maintenance_conf, status), .min = 400, .max = 599, .preset = "503",
      .help = "The status of the answer." },
    { "retry_after", CONF_MSEC(struct maintenance_conf, retry_after_ms), .min = 1000, .max = 30LL * DAY_MS,
      .preset = "5m", .flags = CONF_MAY_BE_OFF,
      .help = "When to come again: said in Retry-After, in whole seconds." },
    { "page", CONF_OPTIONAL(struct maintenance_conf, page, &page_conf_type),
      .help = "What it says; else as `errors` has it, or in a sentence." },
    { 0 },
};

const struct conf_type maintenance_type = {
    .name = "maintenance", .size = sizeof(struct maintenance_conf), .fields = fields, .short_form = "enabled"
};

bool maintenance_holds(const struct maintenance_conf *conf, const struct ip *client)
{
    if (!conf || !conf->enabled) return false;
    const struct cidr *blocks = conf->allow.data;
    for (uint32_t i = 0; i < conf->allow.count; i++)
        if (cidr_contains(&blocks[i], client)) return false;
    return true;
}
