/* logs/fault_verdict.h: what a request's record and the lines that the error log has of it say together. Pure. */
#pragma once

#include "logs/fault_join.h"
#include "logs/fault_record.h"

/* `by_record`: what the record says alone; it becomes what both say. Returns which of the lines decided, -1 if none did. Lines
 * of attempts that failed while the client got a good answer make it "mended". `is_only`: the record says that there was one attempt,
 * and that what it answered was passed on. */
struct fault_answer {
    uint32_t status;
    bool is_only;
};
int fault_verdict_join(struct fault_verdict *by_record, struct fault_answer answer,
                       const struct fault_waiting *lines, uint32_t count);
