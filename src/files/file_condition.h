/* files/file_condition.h: on what condition a file is wanted (RFC 9110 13). Pure, any thread. */
#pragma once

#include "http/message.h"

/* What its answer says of its state. */
struct file_state {
    struct slice etag;       /* with its quotes, and W/ if it is weak */
    int64_t modified_s;      /* since 1970 */
    bool is_modified_strong; /* it was longer ago than the clock of files and the second of dates can miss */
};

enum file_verdict { FILE_WANTED, FILE_NOT_MODIFIED /* 304 */, FILE_PRECONDITION_FAILED /* 412 */ };

/* Of GET and HEAD, in the order of RFC 9110 13.2.2. */
enum file_verdict file_condition(const struct http_head *request, const struct file_state *state);
/* Whether Range counts (RFC 9110 13.1.5, 14.2): a part of what the client has. */
bool file_condition_takes_range(const struct http_head *request, const struct file_state *state);
