/* logs/report.h: what was counted, as JSON for the API and `--json`, and as text for people. Each figure that is an
 * estimate comes with its bound. Pure. */
#pragma once

#include "base/json.h"
#include "base/text.h"
#include "logs/tally.h"

/* One key of a dimension as people write it: an address, a network in CIDR form, else its bytes. */
void report_key(enum period_dimension d, struct slice key, struct text *out);
/* Without what could upset a terminal: control bytes and what is no UTF-8 become question marks. */
void report_printable(struct slice s, struct text *out);
/* {"records":…,"bytes":…,"statuses":{…},"methods":{…},"clients":{"value","error"},"latency":{…},…,"top":{…}}: `top`
 * entries of each dimension. */
void report_json(const struct period *p, uint32_t top, struct json *out);
/* [{"key","count","error","share"}…] of one dimension, at most `max`. */
void report_top_json(const struct period *p, enum period_dimension d, uint32_t max, struct json *out);
/* {"count","samples":[…]} */
void report_malformed_json(const struct tally *t, struct json *out);
/* Tables. */
void report_text(const struct period *p, uint32_t top, struct text *out);
