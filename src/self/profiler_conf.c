#include "self/profiler_conf.h"

#include <stddef.h>

static const struct conf_field profiler_fields[] = {
    { "continuous", CONF_BOOL(struct profiler_conf, is_continuous), .preset = "false",
      .help = "Keeps a CPU profile of each ten seconds of the last hour, for `weir flame --at 14:03`." },
    { "hz", CONF_U32(struct profiler_conf, hz), .min = 1, .max = 1000, .preset = "19",
      .help = "Samples in a second of CPU time." },
    { "leaks", CONF_MSEC(struct profiler_conf, leaks_ms), .min = 100, .max = 3600000, .preset = "10s",
      .help = "How often what is live is counted, for `weir leaks`." },
    { "stalls", CONF_MSEC(struct profiler_conf, stalls_ms), .min = 100, .max = 600000, .preset = "1s",
      .help =
          "A worker whose loop has not turned for so long is named, with its stack, in the log, in metrics "
          "and by `/api/v1/workers`." },
    { 0 },
};

const struct conf_type profiler_conf_type = { .name = "profile",
                                              .size = sizeof(struct profiler_conf),
                                              .fields = profiler_fields,
                                              .short_form = "continuous" };
