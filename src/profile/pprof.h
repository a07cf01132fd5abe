/* profile/pprof.h: a profile in pprof's own format: profile.proto, gzipped (google/pprof, proto/profile.proto), which
 * `go tool pprof`, Grafana Pyroscope, Speedscope and others read. Pure. */
#pragma once

#include "base/err.h"
#include "profile/profile.h"

/* *out is for the caller to free. -1: out of memory. */
MUST_CHECK int pprof_write(const struct profile *p, char **out, size_t *len, struct err *err);
