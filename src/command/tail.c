#include "command/tail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/api_client.h"
#include "command/document.h"
#include "command/event_stream.h"
#include "command/table.h"

struct tail_options {
    struct api_options api;
    const char *where;
    bool is_json;
};

struct viewer {
    const struct tail_options *options;
    double skipped; /* as far as it was said */
};

#define ROW(member) .offset = offsetof(struct tail_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, .name = "where", .argument = "EXPRESSION", ROW(where),
      .help = "only these: 'status>=500 && pool==web', 'request_time>500ms', 'client in 10.0.0.0/8'" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "one JSON object a line" },
    OPTION_API(struct tail_options, api),
    { 0 },
};

const struct syntax tail_syntax = {
    .command = "tail",
    .usage = "tail [--where EXPRESSION] [OPTION]...\n\n"
             "Shows exchanges of a running weir as they end. EXPRESSION is that of `weir logs --where` "
             "(docs/logs.md), over\n"
             "status, bytes, request_time, upstream_time, time, client, method, path, target, listener, "
             "route, pool, server,\n"
             "variant, end, origin and request_id. Traffic waits for nobody who looks on: what comes faster "
             "than it can be\n"
             "shown is left out, and how much that was is said. Ctrl-C ends it.\n",
    .options = options,
    .notes = "Exit codes: 0 weir has ended, 64 wrong usage, 65 the expression is refused, 69 weir is not "
             "reached, 77 "
             "wrong token.\n",
};

static const char *clean(const struct conf_node *e, const char *key, char *out, size_t size)
{
    snprintf(out, size, "%s", document_text(e, key));
    table_clean(out);
    return out;
}

static void show_exchange(const struct conf_node *e)
{
    char a[256], b[256];
    const char *start = document_text(e, "start"), *clock = strchr(start, 'T');
    printf("%.12s  ", clock ? clock + 1 : start);
    printf("%s  %-15s ", clean(e, "id", a, sizeof(a)), clean(e, "client", b, sizeof(b)));
    printf("%3s  ", clean(e, "status", a, sizeof(a)));
    printf("%s %s  ", clean(e, "method", a, sizeof(a)), clean(e, "target", b, sizeof(b)));
    printf("%.1f ms  ", document_number(e, "total_ms"));
    printf("%s", clean(e, "route", a, sizeof(a)));
    const struct conf_node *attempts = document_get(e, "attempts");
    for (const struct conf_node *n = attempts ? attempts->first_child : NULL; n; n = n->next)
        printf(" > %s", clean(n, "server", a, sizeof(a)));
    if (strcmp(document_text(e, "end"), "ok") != 0) printf("  %s", clean(e, "means", a, sizeof(a)));
    putchar('\n');
}

static void show_skipped(struct viewer *v, const struct conf_node *summary)
{
    double skipped = document_number(summary, "skipped");
    if (!(skipped > v->skipped)) return;
    fprintf(stderr, "weir tail: %.0f more came faster than they could be shown\n", skipped - v->skipped);
    v->skipped = skipped;
}

static void on_event(void *context, const char *kind, struct slice data)
{
    struct viewer *v = context;
    struct conf_tree tree;
    bool is_exchange = strcmp(kind, "exchange") == 0;
    if (v->options->is_json && is_exchange) {
        printf("%.*s\n", SLICE_ARGS(data));
        return;
    }
    if (document_read(&tree, data, NULL) < 0) return;
    if (is_exchange)
        show_exchange(tree.root);
    else
        show_skipped(v, tree.root);
    conf_tree_free(&tree);
}

static int follow(const struct tail_options *o, struct event_stream *events)
{
    struct err err = { "" };
    struct api_target to;
    char path[8192];
    struct text t = text_over(path, sizeof(path));
    int code = api_target_find(&o->api, &to, &err);
    TEXT_LITERAL(&t, "/api/v1/exchanges/stream");
    if (o->where) {
        TEXT_LITERAL(&t, "?where=");
        api_client_escape(&t, o->where);
    }
    text_cstr(&t);
    if (code == EX_OK && t.is_cut) return options_fault(&tail_syntax, "--where is too long");
    if (code == EX_OK) code = api_client_stream(&to, path, event_stream_on_piece, events, &err);
    if (code != EX_OK && *err.text) fprintf(stderr, "weir tail: %s\n", err.text);
    return code;
}

int tail_command(int argc, char **argv)
{
    struct tail_options o = { 0 };
    int code = options_parse(&tail_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    struct viewer v = { .options = &o };
    struct event_stream *events = event_stream_new(on_event, &v);
    if (!events) return EX_OSERR;
    code = follow(&o, events);
    free(events);
    return code;
}
