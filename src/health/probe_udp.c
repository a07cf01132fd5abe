#include "health/probe_kind.h"

static const struct check_udp_conf *conf_of(const struct probe *p)
{
    return p->target.conf->udp;
}

static void write_text(const struct probe *p, struct text *out)
{
    text_add_slice(out, slice_of(conf_of(p)->send));
}

static enum probe_step on_sent(struct probe *p)
{
    (void)p;
    return PROBE_GOES_ON;
}

/* A datagram is an answer as a whole. */
static enum probe_step on_bytes(struct probe *p, struct slice bytes)
{
    text_search_init(&p->search, slice_of(conf_of(p)->answer));
    if (text_search_feed(&p->search, bytes)) return PROBE_IS_GOOD;
    return probe_says(p, "what the server answers does not have \"%.60s\"", conf_of(p)->answer);
}

static enum probe_step on_close(struct probe *p)
{
    return probe_says(p, "the server closed"); /* no datagram says so */
}

static void say_awaited(const struct probe *p, struct text *out)
{
    text_printf(out, "word that has \"%.40s\"", conf_of(p)->answer);
}

const struct probe_kind probe_udp_kind = { .is_of_datagrams = true,
                                           .write = write_text,
                                           .sent = on_sent,
                                           .hears_first = true,
                                           .on_bytes = on_bytes,
                                           .on_close = on_close,
                                           .awaited = say_awaited };
