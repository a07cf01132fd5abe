/* What the operator says of a server: at once, without a generation. Dry, it says which part of the traffic each server would have. */
#include <stdio.h>
#include <stdlib.h>

#include "admin/config_ask.h"
#include "admin/pools.h"
#include "admin/routes.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/decode.h"
#include "pool/membership.h"
#include "proxy/change.h"
#include "proxy/proxy.h"

struct server_patch {
    uint32_t admin; /* enum server_admin */
    uint32_t weight;
};

/* In the order of enum server_admin. */
static const char *const admin_names[] = { "enabled", "drain", "maintenance", NULL };
static const struct conf_type admin_type = { .name = "admin",
                                             .size = sizeof(uint32_t),
                                             .names = admin_names };

static const struct conf_field patch_fields[] = {
    { "admin", CONF_ENUM(struct server_patch, admin, &admin_type), .flags = CONF_LIVE,
      .help = "enabled: it takes traffic; drain: nothing new, what goes on ends by itself; maintenance: the "
              "same, "
              "said to be out of service." },
    { "weight", CONF_U32(struct server_patch, weight), .max = BALANCE_WEIGHT_MAX, .flags = CONF_LIVE,
      .help = "Its share of the traffic in proportion to the others', 0 for nothing new; until the "
              "configuration is "
              "read again." },
    { 0 },
};

const struct conf_type server_patch_type = { .name = "server change",
                                             .size = sizeof(struct server_patch),
                                             .fields = patch_fields };

/* -1: `out` says what is wrong. */
static int read_patch(const struct admin_request *rq, struct server_patch *patch, struct answer *out)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
        return -1;
    }
    struct conf_tree tree;
    struct conf_arena *arena = conf_arena_new();
    uint64_t set = 0;
    int result = conf_read_json(&tree, "request body", rq->body, faults);
    if (result == 0) result = conf_decode_patch(&tree, &server_patch_type, patch, arena, &set, faults);
    if (result < 0)
        answer_faults(out, faults, &tree);
    else if (!set)
        answer_problem(out, 400,
                       "The body changes nothing; send {\"admin\": \"drain\"} or {\"weight\": 5}, or both.");
    conf_tree_free(&tree);
    conf_arena_free(arena);
    free(faults);
    return result == 0 && set ? 0 : -1;
}

/* dry */

struct changed_key {
    const char *key, *before, *after;
};

struct changed_share {
    const char *server;
    double before, after;
};

struct change_answer {
    const char *pool, *server;
    struct shape_list changed, shares;
    uint64_t in_flight, available;
    bool dry_run, is_same, panic;
};

static const struct shape_field key_fields[] = {
    SHAPE_ROW(changed_key, key, STRING, "`admin` or `weight`."),
    SHAPE_ROW(changed_key, before, STRING, "What it is."),
    SHAPE_ROW(changed_key, after, STRING, "What it would be."),
    { 0 },
};
static const struct shape key_shape = { "ServerChangeKey", sizeof(struct changed_key), key_fields };

static const struct shape_field share_fields[] = {
    SHAPE_ROW(changed_share, server, STRING, "A server of the pool."),
    SHAPE_ROW(changed_share, before, NUMBER, "Its part of the pool's traffic now, in percent."),
    SHAPE_ROW(changed_share, after, NUMBER, "What that would be, once it has warmed up."),
    { 0 },
};
static const struct shape share_shape = { "ServerChangeShare", sizeof(struct changed_share), share_fields };

static const struct shape_field change_fields[] = {
    SHAPE_ROW(change_answer, dry_run, BOOL, "Nothing has changed: this is what would."),
    SHAPE_ROW(change_answer, is_same, BOOL, "Nothing would."),
    SHAPE_ROW(change_answer, pool, STRING, "The server's pool."),
    SHAPE_ROW(change_answer, server, STRING, "The server."),
    SHAPE_ROW(change_answer, changed, LIST, "Which of the operator's words would be others.",
              .of = &key_shape),
    SHAPE_ROW(change_answer, shares, LIST, "The pool's servers whose part of the traffic would be another.",
              .of = &share_shape),
    SHAPE_ROW(change_answer, in_flight, COUNT, "Requests that the server is at now."),
    SHAPE_ROW(change_answer, available, COUNT, "How many of the pool's servers might be chosen then."),
    SHAPE_ROW(change_answer, panic, BOOL, "None of them would be usable."),
    { 0 },
};
const struct shape server_change_shape = { "ServerChange", sizeof(struct change_answer), change_fields };

static double share_of(uint64_t weight, uint64_t sum)
{
    return sum ? 100.0 * (double)weight / (double)sum : 0;
}

static uint32_t compare_shares(const struct pool *p, const struct membership *after, uint64_t sum,
                               struct changed_share *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->roster->count; i++) {
        const struct server *s = p->roster->places[i].server;
        bool is_out = atomic_load_explicit(&s->peer.is_out, memory_order_relaxed);
        struct changed_share share = { s->name, share_of(is_out ? 0 : s->set_weight, p->set_weight),
                                       share_of(after[i].is_out ? 0 : after[i].weight, sum) };
        if (share.before != share.after) out[count++] = share;
    }
    return count;
}

static uint32_t compare_keys(const struct server_patch *before, const struct server_patch *after,
                             char weights[2][16], struct changed_key out[2])
{
    uint32_t count = 0;
    if (before->admin != after->admin)
        out[count++] = (struct changed_key){ "admin", admin_names[before->admin], admin_names[after->admin] };
    if (before->weight == after->weight) return count;
    snprintf(weights[0], 16, "%u", before->weight);
    snprintf(weights[1], 16, "%u", after->weight);
    out[count++] = (struct changed_key){ "weight", weights[0], weights[1] };
    return count;
}

static void foresee(const struct server *s, const struct server_patch *before,
                    const struct server_patch *after, struct answer *out)
{
    const struct pool *p = s->pool;
    const struct pool_word word = { (enum server_admin)after->admin, after->weight };
    struct changed_key keys[2];
    char weights[2][16];
    struct change_answer a = { .dry_run = true, .pool = p->name, .server = s->name };
    struct membership *members = pool_foresee(p, s, &word, &a.panic);
    struct changed_share *shares = calloc(p->roster->count, sizeof(*shares));
    uint64_t sum = 0;
    struct json j;
    for (uint32_t i = 0; members && i < p->roster->count; i++) {
        if (members[i].is_out) continue;
        sum += members[i].weight;
        a.available += members[i].weight > 0;
    }
    a.changed = (struct shape_list){ keys, compare_keys(before, after, weights, keys) };
    a.is_same = !a.changed.count;
    a.in_flight = atomic_load_explicit(&s->peer.in_flight, memory_order_relaxed);
    if (members && shares && !a.is_same)
        a.shares = (struct shape_list){ shares, compare_shares(p, members, sum, shares) };
    if (members && shares) {
        json_init(&j, ANSWER_MAX, true);
        shape_print(&server_change_shape, &a, &j);
        answer_json(out, 200, &j);
    } else {
        answer_problem(out, 503, "There is no memory to see what would change; try again.");
    }
    free(members);
    free(shares);
}

/* done */

static void set_server(struct server *s, const struct server_patch *patch)
{
    server_set_admin(s, (enum server_admin)patch->admin, clock_now_ns() / NS_PER_MS);
    atomic_store(&s->weight, patch->weight);
}

static void change(const struct admin_request *rq, struct server *s, const struct server_patch *before,
                   const struct server_patch *after, struct answer *out)
{
    struct err err;
    set_server(s, after);
    if (pool_rebuild(s->pool, &err) < 0) {
        set_server(s, before);
        answer_problem(out, 500, "Nothing was changed: %s.", err.text);
        return;
    }
    proxy_publish(rq->proxy, s->pool);
    char quoted[160];
    log_event(LOG_INFO, "server_changed", "pool=%s server=%s admin=%s weight=%u%s", s->pool->name,
              log_quote(s->name, quoted, sizeof(quoted)), server_admin_name((enum server_admin)after->admin),
              after->weight, rq->mention);
    server_answer(rq, s, out);
}

void servers_patch(const struct admin_request *rq, struct answer *out)
{
    struct server *s = server_asked_for(rq, out);
    if (!s) return;
    struct server_patch before = { atomic_load(&s->admin), atomic_load(&s->weight) };
    struct server_patch after = before;
    bool is_dry;
    if (!config_read_flag(rq->query[0], &is_dry))
        answer_problem(out, 400, "dry_run is true or false.");
    else if (read_patch(rq, &after, out) < 0)
        return;
    else if (is_dry)
        foresee(s, &before, &after, out);
    else
        change(rq, s, &before, &after, out);
}
