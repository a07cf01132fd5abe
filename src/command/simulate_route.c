#define XXH_INLINE_ALL
#include <xxhash.h>

#include "command/simulate_route.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/choose.h"
#include "proxy/site.h"

/* What a request's target may be at most, and become once it is canonical: each byte encoded, and a slash. */
#define TARGET_MAX 8192u
#define TARGET_ROOM (3 * TARGET_MAX + 16)

static int find_listener(struct simulate_route *r, const struct proxy *p, const char *name, struct err *err)
{
    for (uint32_t i = 0; i < p->site->listener_count && !r->listener; i++) {
        const struct route_set *l = &p->site->listeners[i];
        if (l->conf->protocol == LISTENER_HTTP && (!name || strcmp(l->listener->name, name) == 0))
            r->listener = l;
    }
    if (!name || r->listener) return 0;
    return err_set(err, "there is no listener \"%s\" that speaks HTTP", name);
}

int simulate_route_open(struct simulate_route *r, const struct proxy *p, const struct pool *pool,
                        const char *listener, struct err *err)
{
    *r = (struct simulate_route){ .pool = pool };
    if (find_listener(r, p, listener, err) < 0) return -1;
    if (!r->listener) return 0;
    r->scratch = route_scratch_new();
    r->canonical = malloc(TARGET_ROOM);
    return r->scratch && r->canonical ? 0 : err_set(err, "out of memory");
}

void simulate_route_close(struct simulate_route *r)
{
    route_scratch_free(r->scratch);
    free(r->canonical);
}

struct request {
    struct http_field fields[3];
    struct http_head head;
};

static void read_request(const struct log_entry *e, struct request *rq)
{
    static const struct {
        enum log_field field;
        const char *name;
    } known[] = { { LOG_AGENT, "user-agent" }, { LOG_REFERER, "referer" }, { LOG_XFF, "x-forwarded-for" } };
    uint32_t count = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct slice v = e->values[known[i].field];
        if (!v.len || slice_equal(v, SLICE("-"))) continue;
        rq->fields[count++] = (struct http_field){ .name = known[i].name,
                                                   .name_len = (uint16_t)strlen(known[i].name),
                                                   .value = v.data,
                                                   .value_len = (uint32_t)v.len,
                                                   .id = (uint8_t)http_field_id_of(slice_of(known[i].name)) };
    }
    rq->head = (struct http_head){ .fields = rq->fields,
                                   .field_count = count,
                                   .target = e->values[LOG_TARGET],
                                   .authority = e->values[LOG_HOST],
                                   .method = http_method_of(e->method),
                                   .method_text = e->method };
}

static uint64_t key_of(const struct pool *p, const struct http_head *head, const struct log_entry *e)
{
    const struct http_template *key = balance_method_key(p->roster->conf->balance.option->object,
                                                         p->roster->conf->balance.conf);
    struct http_template_input in = { .head = head, .client = &e->client };
    return key ? balance_key_hash(key, &in) : XXH3_64bits(e->client.bytes, sizeof(e->client.bytes));
}

static bool is_chosen(const struct simulate_route *r, struct http_head *head, const struct log_entry *e)
{
    if (e->is_binary || !head->target.len || head->target.len > TARGET_MAX) return false;
    struct choose_request asked = {
        .head = head, .peer = e->client, .client = e->client, .scratch = r->scratch
    };
    struct text t = text_over(r->canonical, TARGET_ROOM);
    asked.path_fault = http_path_put(&r->listener->conf->paths, head->target, &t, &head->target);
    struct choose_result c;
    choose(r->listener, &asked, &c);
    return c.refusal == END_NONE && c.pool && c.pool->pool == r->pool;
}

bool simulate_route_takes(const struct simulate_route *r, const struct log_entry *e, uint64_t *hash)
{
    struct request rq;
    read_request(e, &rq);
    bool is_taken = !r->listener || is_chosen(r, &rq.head, e);
    *hash = key_of(r->pool, &rq.head, e);
    return is_taken;
}
