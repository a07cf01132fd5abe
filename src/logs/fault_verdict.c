#include "logs/fault_verdict.h"

static bool is_good(uint32_t status)
{
    return status && status < 400;
}

/* Whether a line decides over the one before it. */
static bool is_heavier(enum fault_kind kind, uint32_t status, bool has_other)
{
    const struct fault_info *info = fault_info(kind);
    bool is_clients = info->origin == ORIGIN_CLIENT;
    /* Whoever leaves once nginx has found fault leaves because of it. */
    if (info->reason == END_CLIENT_ABORT && has_other) return status == 499 || is_good(status);
    switch (info->weight) {
    case FAULT_NOTE: return !has_other;
    /* try_files and the like look for files that need not be there; a full disk is worth telling whatever came of it. */
    case FAULT_LOCAL: return !is_good(status) || !is_clients;
    case FAULT_TRY:
    case FAULT_FINAL: break;
    }
    return true;
}

int fault_verdict_join(struct fault_verdict *by_record, struct fault_answer answer,
                       const struct fault_waiting *lines, uint32_t count)
{
    int decisive = -1;
    for (uint32_t i = 0; i < count; i++)
        if (is_heavier(lines[i].kind, answer.status, decisive >= 0)) decisive = (int)i;
    if (decisive < 0) return -1;
    enum fault_kind kind = lines[decisive].kind;
    enum fault_weight weight = fault_info(kind)->weight;
    bool is_other_answer = by_record->kind == FAULT_UPSTREAM_5XX && weight == FAULT_TRY;
    bool is_explained = kind == FAULT_RATE_DELAYED &&
                        (by_record->kind == FAULT_SLOW_CLIENT || by_record->kind == FAULT_UNCLEAR_SLOW);
    bool is_note = weight == FAULT_NOTE && by_record->kind != FAULT_NONE && !is_explained;
    if (is_other_answer || is_note) return -1; /* the record knows of what came later */
    if (weight == FAULT_TRY && is_good(answer.status) && !answer.is_only) kind = FAULT_MENDED;
    by_record->kind = kind;
    by_record->evidence = FAULT_BIT(ERROR_LOG);
    by_record->wants = 0;
    return decisive;
}
