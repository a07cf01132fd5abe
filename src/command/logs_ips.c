#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/logs_run.h"
#include "logs/top.h"

#define ADDRESSES_MAX (1u << 20)
#define ADDRESSES_PRESET (1u << 18)

struct ips {
    struct logs_run run; /* first */
    struct top *top;
    uint64_t without;
};

/* Element `at` of a list; from the end if it is negative. */
static struct slice list_element(struct slice list, int at)
{
    struct slice element, found = SLICE_NONE;
    int count = 0;
    struct slice rest = list;
    while (slice_next_element(&rest, &element)) count++;
    int wanted = at < 0 ? count + at : at;
    rest = list;
    for (int i = 0; slice_next_element(&rest, &element); i++)
        if (i == wanted) found = element;
    return found;
}

static void mask(struct ip *ip, unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
        if (keep < 8) ip->bytes[i] &= (uint8_t)(0xff00u >> keep);
    }
}

static void add_address(void *context, const struct log_entry *e)
{
    static const struct ip none;
    struct ips *s = context;
    const struct logs_options *o = s->run.options;
    struct ip ip = e->client;
    if (o->client == LOG_XFF) {
        struct slice named = list_element(e->values[LOG_XFF], o->field_at);
        if (!entry_ip(named, &ip) && !ip_parse_node(named, &ip)) ip = none;
    }
    if (memcmp(&ip, &none, sizeof(ip)) == 0) {
        s->without++;
        return;
    }
    mask(&ip, ip_is_v4(&ip) ? 96 + o->v4_bits : o->v6_bits);
    top_add(s->top, XXH3_64bits(ip.bytes, sizeof(ip.bytes)), (struct slice){ (const char *)ip.bytes, 16 }, 1);
}

/* "192.0.2.0/24", or the address alone where it is whole. */
static void print_block(const struct logs_options *o, struct slice key, struct text *out)
{
    char printed[INET6_ADDRSTRLEN];
    struct ip ip;
    memcpy(ip.bytes, key.data, sizeof(ip.bytes));
    bool is_v4 = ip_is_v4(&ip);
    unsigned bits = is_v4 ? o->v4_bits : o->v6_bits;
    text_add_slice(out, slice_of(ip_print(&ip, printed)));
    if (bits < (is_v4 ? 32u : 128u)) text_printf(out, "/%u", bits);
}

static bool is_v4_key(struct slice key)
{
    struct ip ip;
    memcpy(ip.bytes, key.data, sizeof(ip.bytes));
    return ip_is_v4(&ip);
}

static void print_nft(const struct logs_options *o, const struct top_entry *entries, uint32_t count,
                      struct text *out)
{
    for (int family = 0; family < 2; family++) {
        bool is_first = true;
        text_printf(out, "add set inet filter weir_v%u { type ipv%u_addr; flags interval; }\n",
                    family ? 6 : 4, family ? 6 : 4);
        for (uint32_t i = 0; i < count; i++) {
            if (is_v4_key(entries[i].key) == (family == 1)) continue;
            if (is_first)
                text_printf(out, "add element inet filter weir_v%u { ", family ? 6 : 4);
            else
                TEXT_LITERAL(out, ", ");
            print_block(o, entries[i].key, out);
            is_first = false;
        }
        if (!is_first) TEXT_LITERAL(out, " }\n");
    }
}

static void print_addresses(const struct logs_options *o, const struct top_entry *entries, uint32_t count,
                            struct text *out)
{
    if (o->output == LOGS_NFT) {
        print_nft(o, entries, count, out);
        return;
    }
    if (o->output == LOGS_CSV) TEXT_LITERAL(out, "address,count,error\n");
    if (o->output == LOGS_WEIR) TEXT_LITERAL(out, "gate:\n  deny:\n");
    if (o->output == LOGS_JSON) TEXT_LITERAL(out, "[");
    for (uint32_t i = 0; i < count; i++) {
        unsigned long long n = entries[i].count, error = entries[i].error;
        if (o->output == LOGS_PEOPLE) text_printf(out, "%12llu  ", n);
        if (o->output == LOGS_NGINX_DENY) TEXT_LITERAL(out, "deny ");
        if (o->output == LOGS_WEIR) TEXT_LITERAL(out, "    - \"");
        if (o->output == LOGS_JSON) text_printf(out, "%s{\"address\":\"", i ? "," : "");
        print_block(o, entries[i].key, out);
        switch (o->output) {
        case LOGS_CSV: text_printf(out, ",%llu,%llu\n", n, error); break;
        case LOGS_NGINX_DENY: TEXT_LITERAL(out, ";\n"); break;
        case LOGS_WEIR: TEXT_LITERAL(out, "\"\n"); break;
        case LOGS_JSON: text_printf(out, "\",\"count\":%llu,\"error\":%llu}", n, error); break;
        default: text_add_char(out, '\n');
        }
    }
    if (o->output == LOGS_JSON) TEXT_LITERAL(out, "]\n");
}

static int print_ips(const struct ips *s, const struct logs_options *o)
{
    uint32_t max = o->top ? o->top : ADDRESSES_MAX;
    struct top_entry *entries = calloc(top_count(s->top) + 1, sizeof(*entries));
    char *memory = logs_output_memory();
    int code = EX_OSERR;
    if (entries && memory) {
        struct text t = text_over(memory, LOGS_TEXT_MAX);
        uint32_t count = top_list(s->top, entries, top_count(s->top) < max ? top_count(s->top) : max);
        while (count && entries[count - 1].count < o->min) count--;
        print_addresses(o, entries, count, &t);
        code = logs_print_text(&t);
    }
    if (top_floor(s->top) >= (o->min ? o->min : 1))
        fprintf(stderr,
                "weir logs: there are more addresses than are kept; those with up to %llu records may be "
                "missing, and counts may be too high by as much\n",
                (unsigned long long)top_floor(s->top));
    if (s->without)
        fprintf(stderr, "weir logs: %llu records have no such address\n", (unsigned long long)s->without);
    free(entries);
    free(memory);
    return code;
}

int logs_ips(const struct logs_options *o)
{
    struct ips *s = calloc(1, sizeof(*s));
    if (s) s->top = top_new(ADDRESSES_PRESET, 16);
    if (!s || !s->top) {
        free(s);
        fputs("weir logs: out of memory\n", stderr);
        return EX_OSERR;
    }
    s->run.job.on_entry = add_address;
    int code = logs_run_job(o, &s->run);
    if (code == EX_OK) code = logs_run_end(&s->run, print_ips(s, o));
    top_free(s->top);
    free(s);
    return code;
}
