#define XXH_INLINE_ALL
#include "route/sni_table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NAME_MAX_BYTES 253u

/* Of "*.example.com" it is ".example.com". */
struct named {
    const char *name; /* in the configuration, in whatever case; NULL: a free place */
    uint32_t len, route;
};

struct sni_table {
    struct named *names;
    uint32_t mask, rest;
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

int sni_check_name(const char *name, struct err *err)
{
    const char *rest = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    size_t len = strlen(rest);
    bool is_good = len > 0 && strlen(name) <= NAME_MAX_BYTES && rest[0] != '.' && rest[len - 1] != '.';
    for (size_t i = 0; i < len && is_good; i++) {
        unsigned char c = (unsigned char)rest[i];
        is_good = c < 0x80 && (isalnum(c) || c == '-' || c == '_' || (c == '.' && rest[i + 1] != '.'));
    }
    if (is_good) return 0;
    return err_set(err,
                   "\"%.100s\" is no name that a client could ask for; write db.example.com or *.example.com",
                   name);
}

static struct named *place_of(const struct sni_table *t, struct slice name)
{
    char folded[NAME_MAX_BYTES + 1];
    size_t len = name.len < sizeof(folded) ? name.len : sizeof(folded);
    for (size_t i = 0; i < len; i++) folded[i] = lower(name.data[i]);
    for (uint64_t at = XXH3_64bits(folded, len);; at++) {
        struct named *n = &t->names[at & t->mask];
        if (!n->name || slice_equal_fold((struct slice){ n->name, n->len }, name)) return n;
    }
}

static struct slice key_of(const char *name)
{
    return slice_of(name[0] == '*' ? name + 1 : name);
}

static struct sni_table *make(const struct route_conf *routes, uint32_t count)
{
    struct sni_table *t = calloc(1, sizeof(*t));
    uint64_t names = 1, places = 4;
    for (uint32_t i = 0; i < count; i++) names += routes[i].sni.count;
    while (places < 2 * names) places *= 2;
    struct named *table = calloc(places, sizeof(*table));
    if (!t || !table) {
        free(t);
        free(table);
        return NULL;
    }
    *t = (struct sni_table){ table, (uint32_t)(places - 1), SNI_ROUTE_NONE };
    return t;
}

/* False: it is there already. */
static bool add(struct sni_table *t, const char *name, uint32_t route)
{
    struct slice key = key_of(name);
    struct named *n = place_of(t, key);
    if (n->name) return false;
    *n = (struct named){ key.data, (uint32_t)key.len, route };
    return true;
}

struct sni_table *sni_table_new(const struct route_conf *routes, uint32_t count)
{
    struct sni_table *t = make(routes, count);
    for (uint32_t i = 0; t && i < count; i++) {
        const char *const *names = routes[i].sni.data;
        if (!routes[i].sni.count && t->rest == SNI_ROUTE_NONE) t->rest = i;
        for (uint32_t k = 0; k < routes[i].sni.count; k++) add(t, names[k], i);
    }
    return t;
}

void sni_table_each_twice(const struct route_conf *routes, uint32_t count,
                          void (*told)(void *context, uint32_t route, const char *name), void *context)
{
    struct sni_table *t = make(routes, count);
    for (uint32_t i = 0; t && i < count; i++) {
        const char *const *names = routes[i].sni.data;
        for (uint32_t k = 0; k < routes[i].sni.count; k++)
            if (!add(t, names[k], i)) told(context, i, names[k]);
    }
    sni_table_free(t);
}

void sni_table_free(struct sni_table *t)
{
    if (!t) return;
    free(t->names);
    free(t);
}

uint32_t sni_table_find(const struct sni_table *t, struct slice name)
{
    if (!name.len || name.len > NAME_MAX_BYTES || name.data[0] == '.') return t->rest;
    const struct named *n = place_of(t, name);
    for (size_t dot = 1; !n->name && dot < name.len; dot++)
        if (name.data[dot] == '.') n = place_of(t, (struct slice){ name.data + dot, name.len - dot });
    return n->name ? n->route : t->rest;
}

uint32_t sni_table_rest(const struct sni_table *t)
{
    return t->rest;
}
