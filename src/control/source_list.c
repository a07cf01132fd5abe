#include "control/source_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/finder.h"
#include "pool/found_servers.h"

#define ANSWER_TEXT_MAX ((size_t)16 << 20)

/* What one row needs, for the largest. */
struct room {
    const char **pools, **addresses;
    char (*texts)[ADDRESS_TEXT_MAX];
};

static bool has_source(const struct sources *sources, const struct pool_conf *conf, const struct source *s)
{
    const struct server_conf *servers = conf->servers.data;
    for (uint32_t i = 0; i < conf->servers.count; i++)
        if (place_is_one(&servers[i].address) && sources_find(sources, &servers[i].address) == s) return true;
    return false;
}

static uint32_t find_pools(const struct sources *sources, const struct proxy *p, const struct source *s,
                           const char **out)
{
    uint32_t count = 0;
    const struct pool_conf *pools = p ? p->site->conf->pools.data : NULL;
    for (uint32_t i = 0; p && i < p->site->conf->pools.count; i++)
        if (has_source(sources, &pools[i], s)) out[count++] = pools[i].name;
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

static void print_row(const struct sources *sources, const struct proxy *p, const struct source *s,
                      const struct room *room, uint64_t now_ms, struct json *j)
{
    char text[PLACE_TEXT_MAX + 1];
    snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(s->place.text));
    for (uint32_t i = 0; i < s->count; i++) room->addresses[i] = print_found(&s->found[i], room->texts[i]);
    bool is_due = !s->is_asking && timer_is_armed(&s->timer);
    const struct source_row row = {
        .source = text,
        .kind = place_kind_name(s->place.kind),
        .pools = { room->pools, find_pools(sources, p, s, room->pools) },
        .addresses = { room->addresses, s->count },
        .answered_ms = ms_since(s->fresh.good_ms, now_ms),
        .stale_ms = ms_since(s->fresh.stale_since_ms, now_ms),
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
        print_row(sources, p, s, room, now_ms, j);
    json_array_end(j);
    json_object_end(j);
}

void source_list(const struct sources *sources, const struct proxy *proxy, uint64_t now_ms,
                 struct answer *out)
{
    struct json j;
    struct room room = { .addresses = calloc(FOUND_MAX, sizeof(char *)),
                         .texts = calloc(FOUND_MAX, sizeof(*room.texts)) };
    room.pools = calloc((proxy ? proxy->site->conf->pools.count : 0) + 1, sizeof(char *));
    json_init(&j, ANSWER_TEXT_MAX, true);
    if (room.pools && room.addresses && room.texts) {
        print(sources, proxy, &room, now_ms, &j);
        answer_json(out, 200, &j);
    } else {
        json_fini(&j);
        answer_problem(out, 503, "There is no memory for that; try again.");
    }
    free(room.pools);
    free(room.addresses);
    free(room.texts);
}
