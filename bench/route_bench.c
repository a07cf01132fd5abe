/* What a match costs, by how many routes there are and of what kind. Prints ns per match. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "http/template.h"
#include "route/route.h"

#define ROUTES_MAX 10000u
#define MATCHES 2000000u
#define REQUESTS 4096u

enum shape { HOSTS_AND_PREFIXES, ONE_HOST, CONDITIONS, SAME_PATH, REGEXES };

static const char *const shape_names[] = { "hosts (a tenth wildcards), prefixes and full paths",
                                           "one host, prefixes of depth 1 to 6",
                                           "the same, half with a header and a method",
                                           "one path, as many header values", "as many regular expressions" };

static char hosts[ROUTES_MAX][64], paths[ROUTES_MAX][96], values[ROUTES_MAX][16];
static struct route_condition conditions[ROUTES_MAX];
static const char *const get[] = { "GET" };

static void make_row(struct route_row *row, enum shape shape, uint32_t i, struct rng *rng)
{
    size_t len = 0;
    uint32_t depth = 1 + rng_below(rng, 6);
    *row = (struct route_row){ .name = "r", .index = i };
    snprintf(values[i], sizeof(values[i]), "v%u", i);
    conditions[i] = (struct route_condition){ "X-Variant", values[i] };
    for (uint32_t d = 0; d < depth; d++)
        len += (size_t)snprintf(paths[i] + len, sizeof(paths[i]) - len, "/s%u", rng_below(rng, 30));
    snprintf(paths[i] + len, sizeof(paths[i]) - len, "/%u", i);
    snprintf(hosts[i], sizeof(hosts[i]), "%sh%u.example.com", i % 10 == 0 ? "*." : "", i / 4);
    if (shape == HOSTS_AND_PREFIXES) row->host = hosts[i];
    if (shape == SAME_PATH) snprintf(paths[i], sizeof(paths[i]), "/same");
    if (shape == REGEXES) {
        snprintf(paths[i], sizeof(paths[i]), "^/r%u/[0-9]+$", i);
        row->path_regex = paths[i];
    } else if (i % 4 == 0 && shape == HOSTS_AND_PREFIXES) {
        row->path = paths[i];
    } else {
        row->path_prefix = paths[i];
    }
    if (shape == SAME_PATH || (shape == CONDITIONS && i % 2)) {
        row->headers = &conditions[i];
        row->header_count = 1;
    }
    if (shape == CONDITIONS && i % 4 == 1) {
        row->methods = get;
        row->method_count = 1;
    }
}

static void run(enum shape shape, uint32_t count)
{
    static struct route_row rows[ROUTES_MAX];
    static struct route_request requests[REQUESTS];
    static struct http_head heads[REQUESTS];
    static struct http_field fields[REQUESTS][6];
    static char targets[REQUESTS][128], names[REQUESTS][64];
    struct rng rng;
    struct err err;
    rng_seed(&rng, 1);
    for (uint32_t i = 0; i < count; i++) make_row(&rows[i], shape, i, &rng);
    struct route_table *t = route_table_new(rows, count, &err);
    struct route_scratch *scratch = route_scratch_new();
    if (!t || !scratch) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint32_t r = rng_below(&rng, count);
        const char *host = rows[r].host ? rows[r].host : "www.example.com";
        snprintf(names[i], sizeof(names[i]), "%s%s", host[0] == '*' ? "a" : "",
                 host[0] == '*' ? host + 1 : host);
        if (shape == REGEXES)
            snprintf(targets[i], sizeof(targets[i]), "/r%u/17", r);
        else
            snprintf(targets[i], sizeof(targets[i]), "%s%s", paths[r], rows[r].path ? "" : "/x");
        static const char *const common[] = { "User-Agent", "Accept", "Accept-Encoding", "Cookie",
                                              "X-Request-Id" };
        for (uint32_t f = 0; f < 5; f++)
            fields[i][f] = (struct http_field){ .name = common[f],
                                                .name_len = (uint16_t)strlen(common[f]),
                                                .value = "x",
                                                .value_len = 1,
                                                .id = (uint8_t)http_field_id_of(slice_of(common[f])) };
        fields[i][5] = (struct http_field){
            .name = "X-Variant", .name_len = 9, .value = values[r], .value_len = (uint32_t)strlen(values[r])
        };
        heads[i] = (struct http_head){
            .method = HTTP_GET, .method_text = SLICE("GET"), .fields = fields[i], .field_count = 6
        };
        requests[i] = (struct route_request){ .host = slice_of(names[i]),
                                              .path = slice_of(targets[i]),
                                              .head = &heads[i] };
    }
    uint32_t matches = shape == REGEXES || shape == SAME_PATH ? MATCHES / count + 2000 : MATCHES, missed = 0;
    uint64_t start_ns = clock_now_ns();
    for (uint32_t i = 0; i < matches; i++) {
        struct route_choice c;
        missed += route_match(t, &requests[i % REQUESTS], scratch, &c) == ROUTE_NONE;
    }
    double ns = (double)(clock_now_ns() - start_ns) / matches;
    printf("%6u routes  %8.1f ns  %s%s\n", count, ns, shape_names[shape], missed ? "  (some missed!)" : "");
    route_table_free(t);
    route_scratch_free(scratch);
}

int main(void)
{
    for (unsigned shape = 0; shape <= REGEXES; shape++)
        for (uint32_t count = 10; count <= ROUTES_MAX; count *= 10)
            if (count <= 1000 || shape <= CONDITIONS) run((enum shape)shape, count);
    return 0;
}
