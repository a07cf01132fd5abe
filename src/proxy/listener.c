#include "proxy/listener.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/worker.h"

static const enum end_reason refusals[] = { END_GATE_DENIED,    END_CLIENT_CONNECTIONS, END_CONNECTION_LIMIT,
                                            END_NO_DESCRIPTORS, END_NO_MEMORY,          END_OVERLOADED };
/* Of sessions of datagrams. */
static const enum end_reason udp_refusals[] = { END_RATE_LIMITED, END_DRAINED, END_NO_PORTS };

static const char *const drop_names[] = {
#define X(id, name) name,
    UDP_DROPS(X)
#undef X
};

const char *udp_drop_name(enum udp_drop drop)
{
    return drop_names[drop];
}

static void add_refusals(struct listener *l, struct metric_registry *m, const enum end_reason *reasons,
                         size_t count)
{
    struct metric_label labels[2] = { { "listener", l->name }, { "reason", NULL } };
    for (size_t i = 0; i < count; i++) {
        labels[1].value = end_reason_info(reasons[i])->name;
        l->meter_refused[reasons[i]] = metric_counter(
            m, "weir_connections_refused_total", "Client connections closed at once, by reason.", labels, 2);
    }
}

static void add_udp_meters(struct listener *l, struct metric_registry *m)
{
    struct metric_label labels[2] = { { "listener", l->name }, { "reason", NULL } };
    l->udp.received = metric_counter(m, "weir_datagrams_received_total", "Datagrams taken from clients.",
                                     labels, 1);
    l->udp.sent = metric_counter(m, "weir_datagrams_sent_total", "Servers' datagrams for clients.", labels,
                                 1);
    for (unsigned i = 0; i < UDP_DROP_COUNT; i++) {
        labels[1].value = udp_drop_name((enum udp_drop)i);
        l->udp.dropped[i] = metric_counter(m, "weir_datagrams_dropped_total",
                                           "Datagrams that went nowhere, by reason.", labels, 2);
    }
    add_refusals(l, m, udp_refusals, sizeof(udp_refusals) / sizeof(*udp_refusals));
}

static void add_meters(struct listener *l, struct metric_registry *m)
{
    struct metric_label labels[2] = { { "listener", l->name }, { "end", NULL } };
    l->meter_accepted = metric_counter(m, "weir_connections_accepted_total", "Client connections let in.",
                                       labels, 1);
    l->meter_bytes_in = metric_counter(m, "weir_received_bytes_total", "Bytes taken from clients.", labels,
                                       1);
    l->meter_bytes_out = metric_counter(m, "weir_sent_bytes_total", "Bytes given to clients.", labels, 1);
    l->meter_seconds = metric_histogram(
        m, "weir_exchange_duration_seconds",
        "From a request's first byte to its response's last; a tunnel's life.", labels, 1);
    l->meter_errors = metric_counter(m, "weir_exchange_errors_total",
                                     "Exchanges and tunnels that failed, and not by the client's doing: 5xx, "
                                     "or broken by a server or weir.",
                                     labels, 1);
    for (unsigned i = 1; i < END_REASON_COUNT; i++) {
        labels[1] = (struct metric_label){ "end", end_reason_info((enum end_reason)i)->name };
        l->meter_ends[i] = metric_counter(m, "weir_exchanges_total",
                                          "Exchanges and tunnels, by how they ended.", labels, 2);
    }
    static const char *const classes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
    for (unsigned i = 0; i < 6; i++) {
        labels[1] = (struct metric_label){ "class", classes[i] };
        l->meter_classes[i] = metric_counter(m, "weir_responses_total",
                                             "Responses, by the class of their status.", labels, 2);
    }
    for (unsigned i = 0; i < GRPC_STATUSES; i++) {
        labels[1] = (struct metric_label){ "status", grpc_status_text((enum grpc_status)i) };
        l->meter_grpc[i] = metric_counter(m, "weir_grpc_responses_total",
                                          "Answers to gRPC clients, by grpc-status.", labels, 2);
    }
    compression_add_meters(&l->compression, m, l->name);
    add_refusals(l, m, refusals, sizeof(refusals) / sizeof(*refusals));
}

int listener_new(struct listener **out, struct proxy *p, const char *name, bool is_udp, struct err *err)
{
    struct listener *l = calloc(1, sizeof(*l));
    size_t room = p->worker_count * sizeof(*l->workers);
    if (l && (l->workers = aligned_alloc(alignof(struct listener_worker), room))) {
        memset(l->workers, 0, room);
        l->id = names_intern(&p->names, name);
    }
    if (!l || !l->id) {
        if (l) free(l->workers);
        free(l);
        return err_set(err, "out of memory for listener \"%s\"", name);
    }
    l->name = names_of(&p->names, l->id);
    l->proxy = p;
    metric_scope_open(p->metrics, &l->meters);
    add_meters(l, p->metrics);
    if (is_udp) add_udp_meters(l, p->metrics);
    metric_scope_close(p->metrics, &l->meters);
    for (uint32_t i = 0; i < p->worker_count; i++) listener_worker_init(&l->workers[i], l);
    *out = l;
    return 0;
}

void listener_free(struct listener *l)
{
    if (!l) return;
    metric_scope_retire(l->proxy->metrics, &l->meters);
    free(l->workers);
    free(l);
}
