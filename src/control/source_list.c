#include "control/source_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/finder.h"
#include "pool/found_servers.h"
#include "proxy/proxy_conf.h"
#include "proxy/site.h"

#define ANSWER_TEXT_MAX ((size_t)16 << 20)

/* That a pool asks a source. */
struct use {
    const struct source *source;
    uint32_t pool;
};

/* What one row needs, for the largest; and all uses, those of a source together, in the order of the pools. */
struct room {
    const char **pools, **addresses;
    char (*texts)[ADDRESS_TEXT_MAX];
    struct use *uses;
    uint32_t use_count;
};

static int compare_uses(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    if (a->source != b->source) return (uintptr_t)a->source < (uintptr_t)b->source ? -1 : 1;
    return (a->pool > b->pool) - (a->pool < b->pool);
}

/* Each pool asks its places, and one of them perhaps twice. */
static void find_uses(struct room *room, const struct sources *sources, const struct proxy_conf *conf)
{
    const struct pool_conf *pools = conf->pools.data;
    for (uint32_t i = 0; i < conf->pools.count; i++) {
        const struct server_conf *servers = pools[i].servers.data;
        for (uint32_t k = 0; k < pools[i].servers.count; k++) {
            if (!place_is_one(&servers[k].address)) continue;
            const struct source *s = sources_find(sources, &servers[k].address);
            if (s) room->uses[room->use_count++] = (struct use){ s, i };
        }
    }
    if (room->use_count) qsort(room->uses, room->use_count, sizeof(*room->uses), compare_uses);
}

/* The first of a source's uses; room->use_count: it has none. */
static uint32_t first_use(const struct room *room, const struct source *s)
{
    const struct use wanted = { s, 0 };
    uint32_t low = 0, high = room->use_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_uses(&room->uses[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t find_pools(const struct room *room, const struct proxy *p, const struct source *s)
{
    uint32_t count = 0, last = UINT32_MAX;
    const struct pool_conf *pools = p ? p->site->conf->pools.data : NULL;
    for (uint32_t i = first_use(room, s); i < room->use_count && room->uses[i].source == s; i++) {
        if (room->uses[i].pool != last) room->pools[count++] = pools[room->uses[i].pool].name;
        last = room->uses[i].pool;
    }
    return count;
}

static const char *print_found(const struct found *f, char out[ADDRESS_TEXT_MAX])
{
    struct ip ip = address_ip(&f->address);
    bool has_port = f->address.sa.any.sa_family == AF_UNIX || address_port(&f->address);
    return has_port ? address_print(&f->address, out) : ip_print(&ip, out);
}

static uint64_t ms_since(uint64_t then_ms, uint64_t now_ms)
{
    if (!then_ms) return SHAPE_NULL;
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void print_row(const struct proxy *p, const struct source *s, const struct room *room, uint64_t now_ms,
                      struct json *j)
{
    char text[PLACE_TEXT_MAX + 1];
    snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(s->place.text));
    for (uint32_t i = 0; i < s->count; i++) room->addresses[i] = print_found(&s->found[i], room->texts[i]);
    bool is_due = !s->is_asking && timer_is_armed(&s->timer);
    const struct source_row row = {
        .source = text,
        .kind = place_kind_name(s->place.kind),
        .pools = { room->pools, find_pools(room, p, s) },
        .addresses = { room->addresses, s->count },
        .answered_ms = ms_since(s->fresh.good_ms, now_ms),
        .stale_ms = ms_since(s->fresh.doubtful_since_ms, now_ms),
        .reason = s->reason[0] ? s->reason : NULL,
        .next_ms = is_due && s->timer.deadline_ms > now_ms ? s->timer.deadline_ms - now_ms : SHAPE_NULL,
        .cut = s->is_cut,
    };
    shape_print(&source_row_shape, &row, j);
}

static void print(const struct sources *sources, const struct proxy *p, const struct room *room,
                  uint64_t now_ms, struct json *j)
{
    json_object(j);
    json_key(j, "sources");
    json_array(j);
    for (const struct source *s = sources_next(sources, NULL); s; s = sources_next(sources, s))
        print_row(p, s, room, now_ms, j);
    json_array_end(j);
    json_object_end(j);
}

static bool make_room(struct room *room, const struct proxy_conf *conf)
{
    *room = (struct room){ .addresses = calloc(FOUND_MAX, sizeof(char *)),
                           .texts = calloc(FOUND_MAX, sizeof(*room->texts)),
                           .pools = calloc((conf ? conf->pools.count : 0) + 1, sizeof(char *)),
                           .uses = calloc((conf ? proxy_conf_count_places(conf) : 0) + 1,
                                          sizeof(*room->uses)) };
    return room->addresses && room->texts && room->pools && room->uses;
}

void source_list(const struct sources *sources, const struct proxy *proxy, uint64_t now_ms,
                 struct answer *out)
{
    struct json j;
    struct room room;
    const struct proxy_conf *conf = proxy ? proxy->site->conf : NULL;
    if (make_room(&room, conf)) {
        json_init(&j, ANSWER_TEXT_MAX, true);
        if (conf) find_uses(&room, sources, conf);
        print(sources, proxy, &room, now_ms, &j);
        answer_json(out, 200, &j);
    } else {
        answer_problem(out, 503, "There is no memory for that; try again.");
    }
    free(room.uses);
    free(room.pools);
    free(room.addresses);
    free(room.texts);
}
