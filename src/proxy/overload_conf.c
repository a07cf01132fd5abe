#include "proxy/overload_conf.h"

static const struct conf_field fields[] = {
    { "lag", CONF_MSEC(struct overload_conf, lag_ms), .min = 1, .max = 60000, .preset = "1s",
      .flags = CONF_MAY_BE_OFF,
      .help =
          "How long what comes may wait until its worker turns to it. A worker that keeps everybody "
          "waiting for longer refuses a part of what comes, with 503: of routes of low `priority` first." },
    { "window", CONF_MSEC(struct overload_conf, window_ms), .min = 100, .max = 600000, .preset = "1s",
      .help = "For how long everybody must have waited that long: a peak that is worked off within it "
              "refuses nobody." },
    { 0 },
};

const struct conf_type overload_conf_type = {
    .name = "overload", .size = sizeof(struct overload_conf), .fields = fields, .short_form = "lag"
};
