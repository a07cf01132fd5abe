#include <string.h>

#include "conf/decode.h"
#include "route/split_guard.h"

static int parse_allowance(struct slice text, void *out, struct err *err)
{
    if (!slice_equal(text, SLICE("off"))) return conf_percent_type.parse(text, out, err);
    *(uint32_t *)out = SPLIT_ALLOWS_ANY;
    return 0;
}

static void print_allowance(const void *value, struct text *out)
{
    if (*(const uint32_t *)value == SPLIT_ALLOWS_ANY)
        TEXT_LITERAL(out, "off");
    else
        conf_percent_type.print(value, out);
}

static const struct conf_type allowance_type = {
    .name = "percentage or off",
    .size = sizeof(uint32_t),
    .parse = parse_allowance,
    .print = print_allowance,
    .pattern_help = "0.5",
};

#define MUCH_LONGER_MS (60 * 60 * 1000)
#define QUANTILE(which) CONF_MSEC(struct split_guard_conf, quantile_ms[which])
#define QUANTILE_ROW .max = MUCH_LONGER_MS, .preset = "off", .flags = CONF_MAY_BE_OFF | CONF_OFF_IS_MAX

static const struct conf_field guard_fields[] = {
    { "variant", CONF_STRING(struct split_guard_conf, variant), .min = 1, .max = 64,
      .help = "Which variant is guarded, and compared with the first; the last if absent." },
    { "errors", CONF_CUSTOM(struct split_guard_conf, errors, &allowance_type), .preset = "off",
      .help = "By how many points its error share may be larger than the first's: 0.5 lets 1 % become 1.5 %. "
              "`off` does not look at it." },
    { "p50", QUANTILE(SPLIT_P50), QUANTILE_ROW,
      .help = "How much longer its median may be than the first's; `off` does not look at it." },
    { "p95", QUANTILE(SPLIT_P95), QUANTILE_ROW, .help = "How much longer its 95th percentile may be." },
    { "p99", QUANTILE(SPLIT_P99), QUANTILE_ROW, .help = "How much longer its 99th percentile may be." },
    { "ramp", CONF_LIST(struct split_guard_conf, ramp, &conf_percent_type), .max = SPLIT_GUARD_STEPS_MAX,
      .help =
          "The weights that it gets one after the other, ascending; what it gets, the first variant loses. "
          "It "
          "goes on from the weight in the file: steps up to that are behind it. None: its weight stays." },
    { "step_time", CONF_MSEC(struct split_guard_conf, step_ms), .min = 1000, .max = 604800000,
      .preset = "10m", .help = "How long a step lasts at least." },
    { "step_requests", CONF_U32(struct split_guard_conf, step_requests), .min = 1, .preset = "1000",
      .help = "How many requests of the variant a step takes at least." },
    { 0 },
};

const struct conf_type split_guard_conf_type = { .name = "guard",
                                                 .size = sizeof(struct split_guard_conf),
                                                 .fields = guard_fields };

/* SPLIT_NONE, and a fault: it cannot be that. */
static uint32_t find_variant(struct conf_decode *d, const struct conf_node *node,
                             const struct split_guard_conf *g, const struct conf_items *variants)
{
    const struct split_variant_conf *v = variants->data;
    uint32_t found = g->variant ? SPLIT_NONE : variants->count - 1;
    for (uint32_t i = 0; g->variant && i < variants->count; i++)
        if (strcmp(v[i].name, g->variant) == 0) found = i;
    if (found == SPLIT_NONE)
        conf_decode_fault(d, node, "guard", "name one of its variants",
                          "the split has no variant \"%s\" to guard", g->variant);
    else if (!found)
        conf_decode_fault(d, node, "guard", "name another one, or add one",
                          "\"%s\" is the first variant, which the others are compared with", v[0].name);
    return found ? found : SPLIT_NONE;
}

static void check_ramp(struct conf_decode *d, const struct conf_node *node, const struct split_guard_conf *g,
                       const struct split_variant_conf *variants)
{
    const uint32_t *steps = g->ramp.data;
    uint32_t room = variants[0].weight + variants[g->index].weight;
    for (uint32_t i = 0; i < g->ramp.count; i++) {
        if (!steps[i] || (i && steps[i] <= steps[i - 1])) {
            conf_decode_fault(d, node, "guard", "write them in order, each once, from above 0",
                              "the steps of `ramp` do not ascend");
            return;
        }
    }
    if (g->ramp.count && steps[g->ramp.count - 1] > room)
        conf_decode_fault(d, node, "guard", "end it there, or give the others less",
                          "the other variants leave \"%s\" %u.%02u%%, less than the last step of `ramp`",
                          variants[g->index].name, room / 100, room % 100);
}

void split_guard_check(struct conf_decode *d, const struct conf_node *node, struct split_guard_conf *g,
                       const struct conf_items *variants)
{
    g->index = find_variant(d, node, g, variants);
    if (g->index == SPLIT_NONE) return;
    if (!split_guard_figures(g))
        conf_decode_fault(d, node, "guard", "write `errors: 0.5`, `p95: 20ms`, `p50` or `p99`",
                          "the guard looks at no figure, so that it would let everything pass");
    check_ramp(d, node, g, variants->data);
}
