#include "route/gate.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/prefix_map.h"
#include "route/gate_file.h"
#include "tls/small_file.h"

struct gate_rules {
    struct prefix_map *map;
    uint32_t file_blocks;
};

static int add_listed(struct prefix_list *list, const struct conf_items *blocks, enum gate_verdict verdict,
                      struct err *err)
{
    const struct cidr *block = blocks->data;
    for (uint32_t i = 0; i < blocks->count; i++)
        if (prefix_list_add(list, &block[i], (uint8_t)verdict, err) < 0) return -1;
    return 0;
}

static int add_files(struct prefix_list *list, const struct conf_items *paths, enum gate_verdict verdict,
                     struct err *err)
{
    const char *const *path = paths->data;
    for (uint32_t i = 0; i < paths->count; i++)
        if (gate_file_read(path[i], (uint8_t)verdict, list, err) < 0) return -1;
    return 0;
}

static int collect(struct prefix_list *list, const struct gate_conf *conf, struct gate_rules *rules,
                   const char **key, struct err *err)
{
    *key = NULL;
    if (add_listed(list, &conf->allow, GATE_PASS, err) < 0 ||
        add_listed(list, &conf->deny, GATE_DENIED, err) < 0)
        return -1;
    uint32_t listed = list->count;
    *key = "allow_files";
    if (add_files(list, &conf->allow_files, GATE_PASS, err) < 0) return -1;
    *key = "deny_files";
    if (add_files(list, &conf->deny_files, GATE_DENIED, err) < 0) return -1;
    rules->file_blocks = list->count - listed;
    *key = NULL;
    return 0;
}

struct gate_rules *gate_rules_new(const struct gate_conf *conf, const char **key, struct err *err)
{
    bool has_allow = conf->allow.count || conf->allow_files.count;
    struct prefix_list list = { 0 };
    *key = NULL;
    struct gate_rules *r = calloc(1, sizeof(*r));
    int result = r ? collect(&list, conf, r, key, err) : err_set(err, "out of memory for a gate");
    if (result == 0) {
        r->map = prefix_map_new(list.items, list.count, has_allow ? GATE_NOT_ALLOWED : GATE_PASS);
        if (!r->map) result = err_set(err, "out of memory for %u address blocks", list.count);
    }
    free(list.items);
    if (result == 0) return r;
    gate_rules_free(r);
    return NULL;
}

void gate_rules_free(struct gate_rules *rules)
{
    if (!rules) return;
    prefix_map_free(rules->map);
    free(rules);
}

enum gate_verdict gate_check(const struct gate_rules *rules, const struct ip *ip)
{
    return (enum gate_verdict)prefix_map_value(rules->map, ip);
}

uint32_t gate_rules_file_blocks(const struct gate_rules *rules)
{
    return rules->file_blocks;
}

/* files that change */

void gate_conf_each_file(const struct gate_conf *conf, void (*each)(void *context, const char *path),
                         void *context)
{
    const char *const *allow = conf->allow_files.data, *const *deny = conf->deny_files.data;
    for (uint32_t i = 0; i < conf->allow_files.count; i++) each(context, allow[i]);
    for (uint32_t i = 0; i < conf->deny_files.count; i++) each(context, deny[i]);
}

struct stamping {
    uint64_t sum;
    bool is_fresh;
};

static void add_stamp(void *context, const char *path)
{
    struct stamping *s = context;
    struct file_stamp stamp = file_stamp_take(path);
    s->is_fresh |= stamp.is_fresh;
    s->sum = XXH3_64bits_withSeed(&stamp, sizeof(stamp), s->sum);
}

uint64_t gate_conf_stamp(const struct gate_conf *conf)
{
    struct stamping s = { 0 };
    gate_conf_each_file(conf, add_stamp, &s);
    return s.is_fresh ? 0 : s.sum | 1;
}

struct gate_slot *gate_slot_new(struct gate_rules *rules)
{
    struct gate_slot *slot = calloc(1, sizeof(*slot));
    if (!slot) return NULL;
    atomic_init(&slot->rules, rules);
    return slot;
}

void gate_slot_free(struct gate_slot *slot)
{
    gate_rules_free(atomic_load_explicit(&slot->rules, memory_order_relaxed));
    free(slot);
}

struct gate_rules *gate_slot_set(struct gate_slot *slot, struct gate_rules *rules)
{
    atomic_store_explicit(&slot->has_changed, true, memory_order_relaxed);
    return atomic_exchange_explicit(&slot->rules, rules, memory_order_acq_rel);
}
