#include "proxy/mirror_route.h"

#include <stdlib.h>

#include "proxy/proxy.h"
#include "proxy/site.h"
#include "route/route_conf.h"

static void add_meters(struct mirror_route *m, struct metric_registry *r, const char *listener,
                       const char *route)
{
    struct metric_label labels[] = { { "listener", listener }, { "route", route }, { "end", NULL } };
    for (unsigned i = 1; i < END_REASON_COUNT; i++) {
        labels[2].value = end_reason_info((enum end_reason)i)->name;
        m->meter_ends[i] = metric_counter(r, "weir_mirror_copies_total",
                                          "Copies of requests, by how they ended.", labels, 3);
    }
    const char *skipped = "weir_mirror_skipped_total";
    const char *skipped_help =
        "Requests that were drawn and not copied, by reason: a body over the limit, as many "
        "copies going on as there may be, or an original that ended before its request did.";
    labels[2] = (struct metric_label){ "reason", "body" };
    m->meter_skipped_body = metric_counter(r, skipped, skipped_help, labels, 3);
    labels[2].value = "busy";
    m->meter_skipped_busy = metric_counter(r, skipped, skipped_help, labels, 3);
    labels[2].value = "unfinished";
    m->meter_skipped_unfinished = metric_counter(r, skipped, skipped_help, labels, 3);
    const char *compared = "weir_mirror_compared_total";
    const char *compared_help =
        "Copies that were answered as their originals were, by whether the status is the "
        "same.";
    labels[2] = (struct metric_label){ "status", "same" };
    m->meter_same = metric_counter(r, compared, compared_help, labels, 3);
    labels[2].value = "differs";
    m->meter_differs = metric_counter(r, compared, compared_help, labels, 3);
    m->meter_copy_seconds = metric_histogram(r, "weir_mirror_first_byte_seconds",
                                             "From a copy's start to the first byte of its response.", labels,
                                             2);
    m->meter_original_seconds = metric_histogram(
        r, "weir_mirror_original_first_byte_seconds",
        "The same for the originals of those copies that were answered.", labels, 2);
}

int mirror_route_new(struct mirror_route **out, struct site *site, const char *listener, const char *route,
                     const struct route_mirror_conf *conf, struct err *err)
{
    struct mirror_route *m = calloc(1, sizeof(*m));
    if (!m) return err_set(err, "out of memory for its mirror");
    m->conf = conf;
    m->pool = site_pool_by_name(site, slice_of(conf->pool));
    if (!m->pool) {
        free(m);
        return err_set(err, "there is no pool \"%s\" to mirror to", conf->pool);
    }
    add_meters(m, site->proxy->metrics, listener, route);
    *out = m;
    return 0;
}

void mirror_route_free(struct mirror_route *m)
{
    free(m);
}
