#include "control/certificate_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_TEXT_MAX ((size_t)30 << 20)
#define TIME_TEXT_MAX 32u
#define DAY_S (24.0 * 3600)

/* One certificate of one listener. */
struct entry {
    const struct certificate_seat *seat;
    const struct tls_certificate_conf *conf;
    const struct tls_certificate *certificate;
    uint32_t number;
};

struct entries {
    struct entry *items;
    uint32_t count, room;
    struct tls_store **stores; /* held, of each seat */
    uint32_t store_count;
    const char **names; /* for one row */
    uint32_t name_room;
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(tls_certificate_conf_cert(x->conf), tls_certificate_conf_cert(y->conf));
    if (!order) order = strcmp(tls_certificate_conf_key(x->conf), tls_certificate_conf_key(y->conf));
    if (!order) order = strcmp(x->certificate->serial, y->certificate->serial);
    if (!order) order = strcmp(x->seat->listener->name, y->seat->listener->name);
    return order;
}

static bool is_one(const struct entry *x, const struct entry *y)
{
    return strcmp(tls_certificate_conf_cert(x->conf), tls_certificate_conf_cert(y->conf)) == 0 &&
           strcmp(tls_certificate_conf_key(x->conf), tls_certificate_conf_key(y->conf)) == 0 &&
           strcmp(x->certificate->serial, y->certificate->serial) == 0;
}

static bool collect(struct entries *e, const struct certificate_seat *seats, uint32_t count)
{
    uint32_t names = 0;
    e->stores = calloc(count + 1, sizeof(struct tls_store *));
    if (!e->stores) return false;
    for (uint32_t i = 0; i < count; i++) {
        e->stores[e->store_count++] = tls_slot_get(seats[i].listener->tls->slot);
        e->room += tls_store_count(e->stores[i]);
    }
    e->items = calloc(e->room + 1, sizeof(*e->items));
    if (!e->items) return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct tls_certificate_conf *confs = seats[i].listener->tls->certificates.data;
        for (uint32_t n = 0; n < tls_store_count(e->stores[i]); n++) {
            const struct tls_certificate *c = tls_store_certificate(e->stores[i], n);
            if (!c) continue; /* a CA is still to issue it */
            e->items[e->count++] = (struct entry){ &seats[i], &confs[n], c, n };
            if (c->name_count > names) names = c->name_count;
        }
    }
    e->name_room = names > count ? names : count;
    e->names = calloc(2 * (size_t)e->name_room + 1, sizeof(char *));
    if (!e->names) return false;
    qsort(e->items, e->count, sizeof(*e->items), compare);
    return true;
}

static const char *print_time(int64_t seconds, char out[TIME_TEXT_MAX])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &tm));
    return out;
}

static const struct certificate_fault *fault_of(const struct entry *e)
{
    const struct certificate_fault *f = e->seat->faults;
    while (f && !(f->told.is_certificate && f->told.certificate == e->number)) f = f->next;
    return f;
}

/* Of one certificate, which `count` listeners have. */
static void print_row(struct entries *e, const struct entry *first, uint32_t count, int64_t now_s,
                      struct json *j)
{
    static const char *const kinds[TLS_KEY_KINDS] = { "rsa", "ecdsa", "ed25519" };
    char from[TIME_TEXT_MAX], until[TIME_TEXT_MAX], since[TIME_TEXT_MAX], refused[TIME_TEXT_MAX];
    const struct tls_certificate *c = first->certificate;
    const struct certificate_fault *fault = NULL;
    const char **listeners = e->names + e->name_room, *name = c->names;
    for (uint32_t i = 0; i < c->name_count; i++, name += strlen(name) + 1) e->names[i] = name;
    for (uint32_t i = 0; i < count; i++) {
        listeners[i] = first[i].seat->listener->name;
        if (!fault) fault = fault_of(&first[i]);
    }
    const struct certificate_row row = {
        .cert = tls_certificate_conf_cert(first->conf),
        .kind = kinds[c->kind],
        .serial = c->serial,
        .issuer = c->issuer,
        .names = { e->names, c->name_count },
        .listeners = { listeners, count },
        .not_before = print_time(c->not_before, from),
        .not_after = print_time(c->not_after, until),
        .days = floor((double)(c->not_after - now_s) / DAY_S),
        .since = print_time(c->since_s, since),
        .refused_at = fault ? print_time(fault->at_s, refused) : NULL,
        .refusal = fault ? fault->told.err.text : NULL,
        .source = first->conf->file ? "acme" : "file",
    };
    shape_print(&certificate_row_shape, &row, j);
}

static void print(struct entries *e, int64_t now_s, struct json *j)
{
    json_object(j);
    json_key(j, "certificates");
    json_array(j);
    for (uint32_t i = 0, n; i < e->count; i += n) {
        /* A listener may have a pair twice. */
        for (n = 1; i + n < e->count && is_one(&e->items[i], &e->items[i + n]); n++) {}
        print_row(e, &e->items[i], n < e->name_room ? n : e->name_room, now_s, j);
    }
    json_array_end(j);
    json_object_end(j);
}

void certificate_list(const struct certificate_seat *seats, uint32_t count, int64_t now_s, struct answer *out)
{
    struct entries e = { 0 };
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    if (collect(&e, seats, count)) {
        print(&e, now_s, &j);
        answer_json(out, 200, &j);
    } else {
        json_fini(&j);
        answer_problem(out, 503, "There is no memory for that; try again.");
    }
    for (uint32_t i = 0; i < e.store_count; i++) tls_store_put(e.stores[i]);
    free(e.stores);
    free(e.items);
    free(e.names);
}
