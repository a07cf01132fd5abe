/* record/tracing_conf.h: `tracing:` as decoded: which exchanges become spans, and where those go. */
#pragma once

#include "base/address.h"
#include "conf/field.h"

#define TRACING_PATH_MAX 128u

/* "http://127.0.0.1:4318/v1/traces" */
struct trace_endpoint {
    struct address address;
    char host[ADDRESS_TEXT_MAX]; /* as the Host field has it */
    char path[TRACING_PATH_MAX];
};

struct tracing_conf {
    struct trace_endpoint endpoint;
    double sample; /* 0..1 */
    uint64_t slow_ms;
    const char *service;
};

extern const struct conf_type tracing_conf_type;
