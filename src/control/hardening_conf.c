#include "control/hardening_conf.h"

#include <stddef.h>

static const struct conf_field hardening_fields[] = {
    { "enabled", CONF_BOOL(struct hardening_conf, enabled), .preset = "true",
      .help = "With false, or `hardening: false`, weir keeps all that it was started with, the right to gain "
              "more (no_new_privs) too." },
    { "seccomp", CONF_BOOL(struct hardening_conf, seccomp), .preset = "true",
      .help = "System calls that weir never makes are refused it, and counted." },
    { "landlock", CONF_BOOL(struct hardening_conf, landlock), .preset = "true",
      .help = "weir changes no file in folders of the system (/usr, /etc, /boot, …) but what this "
              "configuration names there, and starts no program "
              "from folders for data (/tmp, /var, /run, …)." },
    { 0 },
};

const struct conf_type hardening_conf_type = { .name = "hardening",
                                               .size = sizeof(struct hardening_conf),
                                               .fields = hardening_fields,
                                               .short_form = "enabled" };
