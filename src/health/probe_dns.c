#include <stdlib.h>
#include <sys/random.h>

#include "health/dns_message.h"
#include "health/probe_kind.h"

static const struct check_dns_conf *conf_of(const struct probe *p)
{
    return p->target.conf->dns;
}

static struct dns_question question_of(const struct probe *p)
{
    const struct check_dns_conf *c = conf_of(p);
    return (struct dns_question){ .id = p->dns_id, .type = dns_type(c->type), .name = c->name };
}

/* The port, which the kernel chooses, and the id: nobody who does not see the question can answer it. */
static void begin(struct probe *p)
{
    if (getrandom(&p->dns_id, sizeof(p->dns_id), 0) != (ssize_t)sizeof(p->dns_id)) abort();
}

static void write_question(const struct probe *p, struct text *out)
{
    unsigned char message[DNS_QUESTION_MAX];
    const struct dns_question q = question_of(p);
    size_t len = dns_question_write(&q, message);
    text_add_slice(out, (struct slice){ (const char *)message, len });
}

static enum probe_step on_sent(struct probe *p)
{
    (void)p;
    return PROBE_GOES_ON;
}

static const char *rcode_name(uint8_t rcode)
{
    for (uint32_t i = 0; dns_rcode_names[i]; i++)
        if (i == rcode) return dns_rcode_names[i];
    return NULL;
}

/* What is no answer to this question may be anybody's who writes the server's address into it: the answer may still come. */
static enum probe_step on_bytes(struct probe *p, struct slice bytes)
{
    const struct dns_question q = question_of(p);
    struct dns_answer a;
    const char *fault = dns_answer_read(&q, bytes, &a);
    if (fault) {
        p->stray_count++;
        p->stray = fault;
        return PROBE_GOES_ON;
    }
    if (check_expects_rcode(conf_of(p), a.rcode)) return PROBE_IS_GOOD;
    const char *name = rcode_name(a.rcode);
    if (name)
        return probe_says(p, "%s %.80s was answered with %s", dns_type_names[conf_of(p)->type],
                          conf_of(p)->name, name);
    return probe_says(p, "%s %.80s was answered with the rcode %u", dns_type_names[conf_of(p)->type],
                      conf_of(p)->name, a.rcode);
}

static enum probe_step on_close(struct probe *p)
{
    return probe_says(p, "the server closed"); /* no datagram says so */
}

static void say_awaited(const struct probe *p, struct text *out)
{
    text_printf(out, "answer to %s %.80s", dns_type_names[conf_of(p)->type], conf_of(p)->name);
}

const struct probe_kind probe_dns_kind = { .is_of_datagrams = true,
                                           .begin = begin,
                                           .write = write_question,
                                           .sent = on_sent,
                                           .hears_first = true,
                                           .on_bytes = on_bytes,
                                           .on_close = on_close,
                                           .awaited = say_awaited };
