/* proxy/explain.h: where a request would go, and why, told step by step: the decisions are those of choose.h and of the
 * balance method itself, on the counters as they are. Nothing is sent, counted or changed. Control thread, or a
 * proxy that does not run. */
#pragma once

#include "base/json.h"
#include "conf/field.h"
#include "proxy/proxy.h"

/* `{"method": "GET", "url": "http://example.com/x", "headers": ["X-Env: beta"], "client": "192.0.2.7",
 * "listener": "web"}` */
struct explain_conf {
    const char *method, *url;
    struct conf_items headers; /* const char *: "Name: value" */
    const char *client;
    const char *listener; /* NULL: the first that speaks HTTP */
};

extern const struct conf_type explain_conf_type;

/* One JSON object. -1 with the sentence: the request is none. */
MUST_CHECK int explain(const struct proxy *p, const struct explain_conf *conf, struct json *out,
                       struct err *err);
