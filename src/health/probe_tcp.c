#include "health/probe_kind.h"

#define ANSWER_MAX (64u << 10)

static const struct check_tcp_conf *conf_of(const struct probe *p)
{
    return p->target.conf->tcp;
}

static void write_text(const struct probe *p, struct text *out)
{
    text_add_slice(out, slice_of(conf_of(p)->send));
}

static enum probe_step on_sent(struct probe *p)
{
    return conf_of(p)->answer ? PROBE_GOES_ON : PROBE_IS_GOOD;
}

static enum probe_step on_bytes(struct probe *p, struct slice bytes)
{
    if (!conf_of(p)->answer) return PROBE_GOES_ON;
    if (!p->has_head) text_search_init(&p->search, slice_of(conf_of(p)->answer));
    p->has_head = true;
    if (text_search_feed(&p->search, bytes)) return PROBE_IS_GOOD;
    if (p->received < ANSWER_MAX) return PROBE_GOES_ON;
    return probe_says(p, "what the server says does not have \"%.60s\" in its first 64 KiB",
                      conf_of(p)->answer);
}

static enum probe_step on_close(struct probe *p)
{
    if (!p->received) return probe_says(p, "the server closed without a word");
    return probe_says(p, "the server closed, and what it said does not have \"%.60s\"", conf_of(p)->answer);
}

static void say_awaited(const struct probe *p, struct text *out)
{
    text_printf(out, "word that has \"%.40s\"", conf_of(p)->answer);
}

const struct probe_kind probe_tcp_kind = { .write = write_text,
                                           .sent = on_sent,
                                           .hears_first = true,
                                           .on_bytes = on_bytes,
                                           .on_close = on_close,
                                           .awaited = say_awaited,
                                           .resets = true };
