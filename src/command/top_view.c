#include "command/top_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/printable.h"

static const struct {
    const char *name, *title;
} kinds[TOP_KINDS] = {
    { "listener", "listeners" }, { "route", "routes" }, { "pool", "pools" }, { "server", "servers" }
};

const char *top_kind_name(enum top_kind kind)
{
    return kinds[kind].name;
}

const char *top_kind_title(enum top_kind kind)
{
    return kinds[kind].title;
}

enum top_kind top_kind_by_name(const char *name)
{
    int i = 0;
    while (i < TOP_KINDS && strcmp(name, kinds[i].name) != 0 && strcmp(name, kinds[i].title) != 0) i++;
    return (enum top_kind)i;
}

/* asking */

static void add_parameter(struct text *path, const char *name, const char *value)
{
    if (!value || !*value) return;
    text_printf(path, "&%s=", name);
    api_client_escape(path, value);
}

bool top_view_path(const struct top_view *v, struct text *path)
{
    if (v->is_detail) {
        TEXT_LITERAL(path, "/api/v1/exchanges?failed=true&limit=50");
        add_parameter(path, v->kind == TOP_SERVERS ? "pool" : "listener", v->of);
        add_parameter(path, top_kind_name(v->kind), v->name);
    } else {
        text_printf(path, "/api/v1/traffic?kind=%s&limit=%u", top_kind_name(v->kind), v->limit);
        add_parameter(path, "of", v->of);
        add_parameter(path, "sort", v->sort);
        add_parameter(path, "search", v->search);
    }
    text_cstr(path);
    return !path->is_cut;
}

int top_ask(const struct api_target *to, const char *path, struct top_answer *out, struct err *err)
{
    struct api_request rq = { .method = HTTP_GET, .path = path, .wait_ms = 3000 };
    struct conf_tree tree;
    char *body = NULL;
    size_t len = 0;
    int code = api_client_ask(to, &rq, &body, &len, err);
    if (code == EX_OK && document_read(&tree, (struct slice){ body, len }, err) < 0) code = EX_PROTOCOL;
    free(body);
    if (code != EX_OK) return code;
    top_answer_free(out);
    *out = (struct top_answer){ tree, true };
    return EX_OK;
}

void top_answer_free(struct top_answer *a)
{
    if (a->has_tree) conf_tree_free(&a->tree);
    a->has_tree = false;
}

/* rows */

static const struct conf_node *list_of(const struct top_answer *a)
{
    if (!a->has_tree) return NULL;
    const struct conf_node *list = document_get(a->tree.root, "rows");
    if (!list) list = document_get(a->tree.root, "exchanges");
    return list && list->kind == CONF_NODE_LIST ? list : NULL;
}

uint32_t top_row_count(const struct top_answer *a)
{
    const struct conf_node *list = list_of(a);
    uint32_t count = 0;
    for (const struct conf_node *n = list ? list->first_child : NULL; n; n = n->next) count++;
    return count;
}

const struct conf_node *top_row(const struct top_answer *a, uint32_t index)
{
    const struct conf_node *list = list_of(a), *n = list ? list->first_child : NULL;
    while (n && index--) n = n->next;
    return n;
}

/* lines */

/* As wide as it is said, to the left; what is longer is cut. */
static void add_cell(struct text *out, const char *value, uint32_t width)
{
    char clean[TOP_NAME_MAX];
    uint32_t used = 0;
    snprintf(clean, sizeof(clean), "%s", value);
    printable_mask(clean);
    for (const char *p = clean; *p && used < width; used++) {
        size_t len = 1;
        while (((unsigned char)p[len] & 0xc0) == 0x80) len++;
        text_add(out, p, len);
        p += len;
    }
    for (; used < width + 1; used++) text_add_char(out, ' ');
}

static void add_number(struct text *out, double value, int decimals, int width)
{
    if (isfinite(value))
        text_printf(out, "%*.*f ", width, decimals, value);
    else
        text_printf(out, "%*s ", width, "-");
}

void top_print_head(enum top_kind kind, struct text *out)
{
    add_cell(out, top_kind_title(kind), 24);
    if (kind == TOP_ROUTES || kind == TOP_SERVERS)
        add_cell(out, kind == TOP_ROUTES ? "listener" : "pool", 12);
    if (kind == TOP_SERVERS) add_cell(out, "state", 11);
    text_printf(out, "%9s %8s %6s %8s %8s %8s ", "req/s", "err/s", "err %", "p50 ms", "p95 ms", "p99 ms");
    if (kind == TOP_SERVERS) text_printf(out, "%6s %6s %6s why", "weight", "now", "conns");
}

static void add_server(struct text *out, const struct conf_node *s)
{
    add_number(out, document_number(s, "weight"), 0, 6);
    add_number(out, document_number(s, "in_flight"), 0, 6);
    add_number(out, document_number(s, "open_connections"), 0, 6);
    add_cell(out, document_text(s, document_get(s, "health_detail") ? "health_detail" : "health_reason"), 60);
}

void top_print_row(enum top_kind kind, const struct conf_node *row, double seconds, struct text *out)
{
    double requests = document_number(row, "requests"), errors = document_number(row, "errors");
    const struct conf_node *server = document_get(row, "server");
    add_cell(out, document_text(row, "name"), 24);
    if (kind == TOP_ROUTES || kind == TOP_SERVERS) add_cell(out, document_text(row, "of"), 12);
    if (kind == TOP_SERVERS) add_cell(out, document_text(server, "state"), 11);
    add_number(out, requests / seconds, 1, 9);
    add_number(out, errors / seconds, 1, 8);
    add_number(out, requests > 0 ? 100 * errors / requests : NAN, 2, 6);
    add_number(out, document_number(row, "p50_ms"), 2, 8);
    add_number(out, document_number(row, "p95_ms"), 2, 8);
    add_number(out, document_number(row, "p99_ms"), 2, 8);
    if (kind == TOP_SERVERS) add_server(out, server);
}

void top_print_exchange(const struct conf_node *e, struct text *out)
{
    const char *start = document_text(e, "start"), *clock = strchr(start, 'T');
    add_cell(out, clock ? clock + 1 : start, 12);
    add_cell(out, document_text(e, "id"), 16);
    add_cell(out, document_text(e, "method"), 6);
    add_cell(out, document_text(e, "target"), 24);
    add_cell(out, document_text(e, "why"), 200);
}

bool top_row_is_unwell(const struct conf_node *row)
{
    const struct conf_node *server = document_get(row, "server");
    const char *state = document_text(server, "state");
    if (document_number(row, "errors") > 0) return true;
    return server && strcmp(state, "up") != 0 && strcmp(state, "warming") != 0;
}
