#include "logs/fault_kind.h"

static const struct fault_info infos[FAULT_KIND_COUNT] = {
    [FAULT_NONE] = { "none", "", "nothing is wrong", END_OK, ORIGIN_NONE, FAULT_NOTE },
#define X(id, text, end, from, heavy, happened, todo) \
    [FAULT_##id] = { .name = (text),                  \
                     .own = (happened),               \
                     .remedy = (todo),                \
                     .reason = END_##end,             \
                     .origin = ORIGIN_##from,         \
                     .weight = FAULT_##heavy },
    FAULT_KINDS(X)
#undef X
};

static const char *const evidence_texts[] = {
#define X(id, text) text,
    FAULT_EVIDENCE(X)
#undef X
};

const struct fault_info *fault_info(enum fault_kind kind)
{
    return &infos[(unsigned)kind < FAULT_KIND_COUNT ? kind : FAULT_NONE];
}

const char *fault_what(enum fault_kind kind)
{
    const struct fault_info *info = fault_info(kind);
    return info->own ? info->own : end_reason_info(info->reason)->means;
}

const char *fault_origin_name(enum fault_kind kind)
{
    enum end_origin origin = fault_info(kind)->origin;
    if (origin == ORIGIN_WEIR) return "nginx";
    return origin == ORIGIN_NONE ? "-" : end_origin_name(origin);
}

enum fault_kind fault_by_name(struct slice name)
{
    for (unsigned i = FAULT_NONE + 1; i < FAULT_KIND_COUNT; i++)
        if (slice_equal(name, slice_of(infos[i].name))) return (enum fault_kind)i;
    return FAULT_NONE;
}

const char *fault_evidence_text(enum fault_evidence evidence)
{
    return (unsigned)evidence < FAULT_EVIDENCE_COUNT ? evidence_texts[evidence] : "";
}
