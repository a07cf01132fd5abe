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
    struct err err;
    memset(p, 0, sizeof(*p));
    p->count = count;
    p->lines = aligned_alloc(64, PEERS_MAX * sizeof(struct balance_peer));
    assert_non_null(p->lines);
    memset(p->lines, 0, PEERS_MAX * sizeof(struct balance_peer));
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        p->pointers[i] = &p->lines[i];
        p->weights[i] = weights && i < count ? weights[i] : 1;
        p->name_hashes[i] = balance_hash((struct slice){ (const char *)&i, sizeof(i) });
    }
    struct balance_set set = { p->pointers, p->weights, p->name_hashes, count };
    p->balance.method = peers_method(method);
    if (p->balance.method->build(&set, NULL, &p->table, &err) < 0) fail_msg("%s", err.text);
    p->balance.table = p->table;
    peers_restart(p, 1);
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
                               .rng = &p->rng };
    balance_pick(&p->balance, &q, &choice);
    return choice;
}

void peers_pick_many(struct peers *p, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        p->hash = balance_hash((struct slice){ (const char *)&i, sizeof(i) });
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
