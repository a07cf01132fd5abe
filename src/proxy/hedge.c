#include "proxy/hedge.h"

enum hedge_bar hedge_bar(const struct retry_conf *conf, const struct hedge_facts *f)
{
    if (!conf->hedge) return HEDGE_BAR_OFF;
    if (!f->is_repeatable) return HEDGE_BAR_METHOD;
    if (f->is_named) return HEDGE_BAR_NAMED;
    if (f->is_upgrade) return HEDGE_BAR_UPGRADE;
    if (f->expects_continue) return HEDGE_BAR_EXPECTS;
    if (f->servers < 2) return HEDGE_BAR_ALONE;
    if (!f->latency_us) return HEDGE_BAR_UNKNOWN;
    if (f->attempts >= conf->attempts) return HEDGE_BAR_ATTEMPTS;
    if (conf->total_ms && f->since_start_ms >= conf->total_ms) return HEDGE_BAR_ATTEMPTS;
    if (f->was_hedged) return HEDGE_BAR_ONCE;
    if (!f->is_whole) return HEDGE_BAR_BODY;
    return f->is_begun ? HEDGE_BAR_BEGUN : HEDGE_BAR_NONE;
}

const char *hedge_bar_means(enum hedge_bar bar)
{
    static const char *const means[] = {
#define X(id, text) [HEDGE_BAR_##id] = text,
        HEDGE_BARS(X)
#undef X
    };
    return means[bar];
}

uint64_t hedge_after_ms(const struct hedge_conf *conf, uint32_t latency_us)
{
    uint64_t ms = (latency_us + UINT64_C(999)) / 1000;
    return ms > conf->at_least_ms ? ms : conf->at_least_ms;
}

bool hedge_is_good(const struct retry_conf *conf, uint16_t status)
{
    return status < 500 && !retry_conf_names(conf, status);
}
