#include "command/check_names.h"

#include <stdio.h>

#include "base/log.h"
#include "control/discovery.h"
#include "discovery/sources.h"
#include "net/loop.h"
#include "net/mailbox.h"

/* So many are printed of one. */
#define SAID_MAX 8u
#define MAILS 64u

static void say_found(const struct source *s)
{
    printf("  %.*s is", SLICE_ARGS(s->place.text));
    for (uint32_t i = 0; i < s->count && i < SAID_MAX; i++) {
        char text[ADDRESS_TEXT_MAX], ip_text[INET6_ADDRSTRLEN];
        const struct address *a = &s->found[i].address;
        struct ip ip = address_ip(a);
        bool has_port = a->sa.any.sa_family == AF_UNIX || address_port(a);
        printf("%s %s", i ? "," : "", has_port ? address_print(a, text) : ip_print(&ip, ip_text));
    }
    if (s->count > SAID_MAX) printf(" and %u more", s->count - SAID_MAX);
    printf(" now\n");
}

static void say(const struct source *s)
{
    if (s->count)
        say_found(s);
    else
        printf("  %.*s leads to no server now: %s; weir starts without and goes on asking\n",
               SLICE_ARGS(s->place.text), s->reason[0] ? s->reason : "there was no answer in time");
}

static bool needs_names(const struct config *config)
{
    const struct pool_conf *pools = config->proxy.pools.data;
    for (uint32_t i = 0; i < config->proxy.pools.count; i++)
        if (found_is_needed(&pools[i])) return true;
    return false;
}

static int ask(const struct config *config, struct loop *loop, struct jobs *jobs, struct err *err)
{
    struct discovery *d;
    const struct discovery_options o = { .loop = loop, .jobs = jobs, .started = config };
    if (discovery_new(&d, &o, err) < 0) return -1;
    discovery_use(d, config);
    discovery_await_first(d, NULL);
    const struct sources *all = discovery_sources(d);
    for (const struct source *s = sources_next(all, NULL); s; s = sources_next(all, s)) say(s);
    discovery_stop(d);
    jobs_stop(jobs);
    loop_turn(loop, 0);
    discovery_free(d);
    return 0;
}

void check_names_say(const struct config *config)
{
    struct budget budget = { .limit = 16 << 20 };
    struct loop loop;
    struct mailbox *box = NULL;
    struct jobs *jobs = NULL;
    struct err err = { "" };
    if (!needs_names(config)) return;
    log_set_level(LOG_ERROR); /* what is to be said is said here */
    int result = loop_init(&loop, &budget, &err);
    if (result == 0) {
        result = mailbox_new(&box, &loop, NULL, MAILS, &err);
        if (result == 0) result = jobs_new(&jobs, box, &err);
        if (result == 0) result = ask(config, &loop, jobs, &err);
        jobs_free(jobs);
        mailbox_free(box);
        loop_turn(&loop, 0);
        loop_fini(&loop);
    }
    if (result < 0) fprintf(stderr, "weir check: names in pools were not asked for: %s\n", err.text);
}
