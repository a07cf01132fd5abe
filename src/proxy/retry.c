#include "proxy/retry.h"

#include "http/stream.h"

/* What was wrong; POOL_RETRY_NONE: nothing that another attempt could mend. */
static enum pool_retry why_again(const struct retry_facts *f)
{
    if (f->reason == END_ANSWER_GIVEN_UP) return POOL_RETRY_STATUS;
    if (f->reason == END_TOTAL_TIMEOUT || f->reason == END_GRPC_TIMEOUT) return POOL_RETRY_NONE;
    if (end_reason_info(f->reason)->is_connect || f->is_unprocessed) return POOL_RETRY_UNREACHED;
    if (f->reason == END_TRY_TIMEOUT) return POOL_RETRY_SLOW;
    if (!http_is_break(f->reason) || f->has_received) return POOL_RETRY_NONE;
    bool is_stale = f->is_kept || f->reason == END_LEFT_BEHIND;
    return is_stale && !f->was_replaced ? POOL_RETRY_STALE : POOL_RETRY_RESET;
}

/* That a kept connection dies is between weir and the server: it is replaced whatever is configured, once. */
static bool is_replacement(const struct retry_facts *f, enum pool_retry why)
{
    return retry_is_free(why) && f->is_kept && !f->was_replaced;
}

static bool is_configured(const struct retry_conf *conf, const struct retry_facts *f, enum pool_retry why)
{
    if (is_replacement(f, why)) return true;
    if (f->attempts >= conf->attempts) return false;
    if (conf->total_ms && f->since_start_ms >= conf->total_ms) return false;
    if (why == POOL_RETRY_UNREACHED) return retry_conf_names(conf, RETRY_ON_CONNECT);
    return why != POOL_RETRY_RESET || retry_conf_names(conf, RETRY_ON_RESET);
}

enum pool_retry retry_decide(const struct retry_conf *conf, const struct retry_facts *f)
{
    enum pool_retry why = why_again(f);
    if (why == POOL_RETRY_NONE || f->is_begun || !f->is_whole) return POOL_RETRY_NONE;
    if (why != POOL_RETRY_UNREACHED && !f->is_repeatable) return POOL_RETRY_NONE;
    return is_configured(conf, f, why) ? why : POOL_RETRY_NONE;
}

bool retry_is_free(enum pool_retry why)
{
    return why == POOL_RETRY_UNREACHED || why == POOL_RETRY_STALE;
}
