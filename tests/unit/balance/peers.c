#include "peers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "balance/method.h"

const struct balance_method *peers_method(const char *name)
{
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    fail_msg("there is no method %s", name);
    return NULL;
}

void peers_init(struct peers *p, const char *method, uint32_t count, const uint32_t *weights)
{
    peers_init_with(p, method, NULL, count, weights);
}

void peers_init_with(struct peers *p, const char *method, const void *conf, uint32_t count,
                     const uint32_t *weights)
{
    memset(p, 0, sizeof(*p));
    p->count = count;
    p->conf = conf;
    p->now_ns = UINT64_C(1000000000);
    p->lines = aligned_alloc(64, PEERS_MAX * sizeof(struct balance_peer));
    assert_non_null(p->lines);
    memset(p->lines, 0, PEERS_MAX * sizeof(struct balance_peer));
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        p->pointers[i] = &p->lines[i];
        p->weights[i] = weights && i < count ? weights[i] : 1;
        peers_name(p, i, i);
    }
    p->balance.method = peers_method(method);
    peers_rebuild(p);
    peers_restart(p, 1);
}

void peers_rebuild(struct peers *p)
{
    struct err err;
    struct balance_set set = { p->pointers, p->weights, p->name_hashes, p->count };
    if (p->table) p->balance.method->drop(p->table);
    if (p->balance.method->build(&set, p->conf, &p->table, &err) < 0) fail_msg("%s", err.text);
    p->balance.table = p->table;
}

void peers_name(struct peers *p, uint32_t peer, uint32_t name)
{
    p->name_hashes[peer] = balance_hash((struct slice){ (const char *)&name, sizeof(name) });
}

uint64_t peers_key(uint64_t key)
{
    return balance_hash((struct slice){ (const char *)&key, sizeof(key) });
}

void peers_restart(struct peers *p, uint64_t seed)
{
    const struct balance_method *m = p->balance.method;
    free(p->balance.state);
    p->balance.state = calloc(1, m->state_size + p->count * m->state_size_per_peer + 1);
    assert_non_null(p->balance.state);
    rng_seed(&p->rng, seed);
    memset(p->seen, 0, sizeof(p->seen));
}

void peers_fini(struct peers *p)
{
    p->balance.method->drop(p->table);
    free(p->balance.state);
    free(p->lines);
}

struct balance_choice peers_pick(struct peers *p)
{
    struct balance_choice choice;
    struct balance_query q = { .peers = p->pointers,
                               .peer_count = p->count,
                               .tried = p->tried,
                               .tried_count = p->tried_count,
                               .hash = p->hash,
                               .now_ns = p->now_ns,
                               .rng = &p->rng };
    balance_pick(&p->balance, &q, &choice);
    return choice;
}

void peers_pick_many(struct peers *p, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        p->hash = peers_key(i);
        uint32_t peer = peers_pick(p).peer;
        assert_true(peer < p->count);
        p->seen[peer]++;
    }
}

void peers_load(struct peers *p, uint32_t peer, uint32_t in_flight)
{
    atomic_store(&p->lines[peer].in_flight, in_flight);
}

void peers_cap(struct peers *p, uint32_t peer, uint32_t cap)
{
    atomic_store(&p->lines[peer].cap, cap);
}

void peers_out(struct peers *p, uint32_t peer, bool is_out)
{
    atomic_store(&p->lines[peer].is_out, is_out);
}

uint32_t peers_lease(struct peers *p)
{
    uint32_t peer = peers_pick(p).peer;
    assert_true(peer < p->count);
    atomic_fetch_add(&p->lines[peer].in_flight, 1);
    return peer;
}

void peers_release(struct peers *p, uint32_t peer)
{
    atomic_fetch_sub(&p->lines[peer].in_flight, 1);
}

bool shares_fit(const uint64_t *seen, const uint32_t *shares, uint32_t count)
{
    double all = 0, sum = 0, chi2 = 0, freedom = -1;
    for (uint32_t i = 0; i < count; i++) {
        all += (double)seen[i];
        sum += shares[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        double expected = all * shares[i] / sum;
        if (shares[i] == 0) {
            if (seen[i]) return false;
            continue;
        }
        chi2 += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
        freedom++;
    }
    double spread = 2 / (9 * freedom);
    return chi2 < freedom * pow(1 - spread + 2.326 * sqrt(spread), 3);
}
