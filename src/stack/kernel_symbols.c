#include "stack/kernel_symbols.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define SYMBOLS_MAX (1u << 20)
#define TEXT_MAX (64u << 20)

struct kernel_symbol {
    uint64_t address;
    uint32_t name;
};

struct kernel_symbols {
    struct kernel_symbol *items;
    char *text;
    uint32_t count, cap, text_len, text_cap;
};

static bool reserve(struct kernel_symbols *k, size_t name_len)
{
    if (k->count == k->cap) {
        uint32_t cap = k->cap ? 2 * k->cap : 65536;
        struct kernel_symbol *items = cap <= SYMBOLS_MAX ? realloc(k->items, cap * sizeof(*items)) : NULL;
        if (!items) return false;
        k->items = items;
        k->cap = cap;
    }
    if (k->text_cap - k->text_len < name_len + 1) {
        uint32_t cap = k->text_cap ? 2 * k->text_cap : 1u << 20;
        char *text = cap <= TEXT_MAX ? realloc(k->text, cap) : NULL;
        if (!text) return false;
        k->text = text;
        k->text_cap = cap;
    }
    return true;
}

/* "ffffffff81000000 T _stext"; false: no room. */
static bool take_line(struct kernel_symbols *k, const char *line)
{
    char *end;
    uint64_t address = strtoull(line, &end, 16);
    if (!address || *end != ' ' || !strchr("tTwW", end[1]) || end[2] != ' ') return true;
    const char *name = end + 3;
    size_t len = strcspn(name, "\t\n");
    if (!reserve(k, len) || !k->text || !k->items) return false;
    memcpy(k->text + k->text_len, name, len);
    k->text[k->text_len + len] = 0;
    k->items[k->count++] = (struct kernel_symbol){ address, k->text_len };
    k->text_len += (uint32_t)len + 1;
    return true;
}

static int compare_addresses(const void *left, const void *right)
{
    const struct kernel_symbol *a = left, *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

struct kernel_symbols *kernel_symbols_read(const char *path)
{
    char line[1024];
    FILE *f = fopen(path, "re");
    struct kernel_symbols *k = f ? calloc(1, sizeof(*k)) : NULL;
    while (k && fgets(line, sizeof(line), f) && take_line(k, line)) {}
    if (f) fclose(f);
    if (k && k->count) {
        qsort(k->items, k->count, sizeof(*k->items), compare_addresses);
        return k;
    }
    kernel_symbols_free(k);
    return NULL;
}

void kernel_symbols_free(struct kernel_symbols *k)
{
    if (!k) return;
    free(k->items);
    free(k->text);
    free(k);
}

struct slice kernel_symbols_find(const struct kernel_symbols *k, uint64_t pc)
{
    uint32_t low = 0, count = k ? k->count : 0;
    if (!count || pc < k->items[0].address) return SLICE_NONE;
    while (count > 1) {
        uint32_t half = count / 2;
        if (k->items[low + half].address <= pc) low += half;
        count -= half;
    }
    return slice_of(k->text + k->items[low].name);
}
