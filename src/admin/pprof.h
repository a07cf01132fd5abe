/* admin/pprof.h: answers as Go's net/http/pprof gives them, out of what weir finds out about itself. Control thread. */
#pragma once

#include "admin/call.h"
#include "self/profiler.h"

/* As Go's handlers answer faults: text, with the field that makes pprof print it. */
void pprof_fault(struct answer *out, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The first two parameters of the query, seconds and hz; false: out says what is wrong with them. */
bool pprof_read_window(const struct admin_request *rq, double preset_s, struct profiler_request *what,
                       struct answer *out);

/* How bytes that were found are sent. */
enum pprof_kind { PPROF_PACKED, PPROF_TEXT };
/* The call waits, and is answered by what the asker is told. How long it waits is for the caller to say, by call_wait(). */
struct asker pprof_asker(const struct admin_request *rq, enum pprof_kind kind);
/* A profile of a window, told to what->asker. Not taken: refuse() says so in its way. */
void pprof_ask(const struct admin_request *rq, const struct profiler_request *what,
               void (*refuse)(struct answer *out, uint16_t status, const struct err *err),
               struct answer *out);
