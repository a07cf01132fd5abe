#include "control/core_conf.h"

#include "conf/decode.h"

static const char *const contents_names[] = { "lean", "full", NULL };
static const struct conf_type contents_type = { .name = "contents", .names = contents_names };

static const struct conf_field core_fields[] = {
    { "enabled", CONF_BOOL(struct core_conf, enabled), .preset = "true",
      .help = "Whether a crash leaves a core file, as far as the host's limits allow." },
    { "dir", CONF_STRING(struct core_conf, dir), .min = 1, .max = 4000,
      .help =
          "Where the summary of a crash is written, and the core file as well if kernel.core_pattern does "
          "not say otherwise; without it the directory that weir was started in." },
    { "contents", CONF_ENUM(struct core_conf, contents, &contents_type), .preset = "lean",
      .help = "lean leaves out the bytes of requests and responses, and secrets; full has everything." },
    { 0 },
};

static void check_core(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct core_conf *c = object;
    if (c->dir && c->dir[0] != '/')
        conf_decode_fault(d, node, "dir", "begin it with /", "the directory \"%.64s\" is not absolute",
                          c->dir);
}

const struct conf_type core_conf_type = { .name = "core",
                                          .size = sizeof(struct core_conf),
                                          .fields = core_fields,
                                          .short_form = "enabled",
                                          .check = check_core };
