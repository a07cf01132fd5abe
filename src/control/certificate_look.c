#include "control/certificate_look.h"

#include <stdlib.h>

#include "base/clock.h"
#include "conf/arena.h"

void certificate_faults_free(struct certificate_fault *first)
{
    while (first) {
        struct certificate_fault *next = first->next;
        free(first);
        first = next;
    }
}

uint32_t certificate_look_count(const struct config *config)
{
    const struct listener_conf *l = config->proxy.listeners.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++) count += l[i].tls != NULL;
    return count;
}

struct finding {
    struct certificate_fault **last;
    int64_t now_s;
    bool is_whole;
};

static void on_fault(void *context, const struct tls_store_fault *told)
{
    struct finding *f = context;
    struct certificate_fault *fault = calloc(1, sizeof(*fault));
    if (!fault) { /* the certificate stays all the same */
        f->is_whole = false;
        return;
    }
    fault->told = *told;
    fault->at_s = f->now_s;
    *f->last = fault;
    f->last = &fault->next;
}

static void read_seat(struct certificate_look *l, struct certificate_seat *seat)
{
    const struct tls_conf *conf = seat->listener->tls;
    struct finding finding = { &seat->faults, l->now_s, true };
    const struct tls_store_asked asked = {
        .now_s = l->now_s, .reads_all = l->reads_all, .on_fault = on_fault, .context = &finding
    };
    bool has_come = seat->again_s && l->now_s >= seat->again_s;
    if (!l->reads_all && !has_come && tls_conf_stamp(conf) == seat->stamp) return;
    struct tls_store *before = tls_slot_get(conf->slot);
    seat->store = tls_store_renew(before, conf, &asked);
    bool is_whole = seat->store && finding.is_whole;
    l->was_short |= !is_whole;
    seat->stamp = is_whole ? tls_store_stamp(seat->store) : 0;
    seat->again_s = seat->store ? tls_store_again(seat->store) : 0;
    tls_store_put(before);
}

static void add_file(void *set, const char *path)
{
    file_watch_set_add(set, path);
}

/* Watched first: what changes while it is read is looked at again. */
static void run(struct job *job)
{
    struct certificate_look *l = (struct certificate_look *)job;
    /* Not the loop's, whose turn may have been held up: what was made just now would not be valid yet. */
    l->now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
    l->watched = file_watch_set_new(l->files);
    for (uint32_t i = 0; i < l->count; i++)
        tls_conf_each_file(l->seats[i].listener->tls, add_file, l->watched);
    for (uint32_t i = 0; i < l->count; i++) read_seat(l, &l->seats[i]);
}

struct certificate_look *certificate_look_new(const struct config *config, const struct file_watch *files,
                                              const struct certificate_seat *known)
{
    struct certificate_look *l = calloc(1, sizeof(*l));
    const struct listener_conf *listeners = config->proxy.listeners.data;
    if (!l) return NULL;
    l->seats = calloc(certificate_look_count(config) + 1, sizeof(*l->seats));
    if (!l->seats) {
        free(l);
        return NULL;
    }
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++) {
        if (!listeners[i].tls) continue;
        l->seats[l->count] = (struct certificate_seat){ .listener = &listeners[i],
                                                        .stamp = known[l->count].stamp,
                                                        .again_s = known[l->count].again_s };
        l->count++;
    }
    l->job.run = run;
    l->config = config;
    l->files = files;
    l->arena = conf_arena_get(config->arena);
    return l;
}

void certificate_look_free(struct certificate_look *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        tls_store_put(l->seats[i].store);
        certificate_faults_free(l->seats[i].faults);
    }
    file_watch_set_free(l->watched);
    conf_arena_free(l->arena);
    free(l->seats);
    free(l);
}
