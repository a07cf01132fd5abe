#include "command/explain.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/text.h"
#include "command/api_client.h"
#include "command/document.h"
#include "command/table.h"
#include "conf/decode.h"
#include "control/config.h"
#include "proxy/explain.h"
#include "proxy/proxy_life.h"

#define HEADERS_MAX 100u
#define REQUEST_MAX (64u << 10) /* what the API takes */
#define EXPLANATION_MAX (32u << 20)
/* How many of the routes that were passed over are told. */
#define TOLD_MAX 4u
#define LINE_MAX_BYTES 2048

/* the story */

static void add_to_line(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Behind what is in `line` already, as much as there is room for. */
static void add_to_line(char *line, const char *format, ...)
{
    size_t len = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + len, LINE_MAX_BYTES - len, format, args);
    va_end(args);
}

static void add_passed_over(const struct conf_node *considered, char *line)
{
    uint32_t count = 0;
    for (const struct conf_node *n = considered ? considered->first_child : NULL; n; n = n->next, count++)
        if (count < TOLD_MAX)
            add_to_line(line, "%s%s (%s)", count ? ", " : "passed over: ", document_text(n, "route"),
                        document_text(n, "why"));
    if (count > TOLD_MAX) add_to_line(line, " and %u more (--json has them)", count - TOLD_MAX);
}

static void tell_request(const struct conf_node *e, struct table *t)
{
    const struct conf_node *request = document_get(e, "request");
    table_add(t, "listener");
    table_add(t, "%s", document_text(e, "listener"));
    table_add(t, "%s %s%s from %s", document_text(request, "method"), document_text(request, "host"),
              document_text(request, "target"), document_text(request, "client"));
}

static void tell_route(const struct conf_node *e, struct table *t)
{
    const struct conf_node *route = document_get(e, "route");
    char line[LINE_MAX_BYTES] = "";
    table_add(t, "route");
    table_add(t, "%s", document_text(route, "name"));
    if (route) {
        double conditions = document_number(route, "conditions");
        add_to_line(line, "host %s, path %s", document_text(route, "host"), document_text(route, "path"));
        if (conditions >= 1)
            add_to_line(line, ", %g more condition%s", conditions, conditions > 1 ? "s" : "");
    } else {
        add_to_line(line, "none takes it");
    }
    const struct conf_node *considered = document_get(e, "considered");
    if (considered && considered->first_child) add_to_line(line, "; ");
    add_passed_over(considered, line);
    table_add(t, "%s", line);
}

static void tell_auth(const struct conf_node *e, struct table *t)
{
    const struct conf_node *auth = document_get(e, "auth"), *ways = document_get(auth, "ways");
    char line[LINE_MAX_BYTES] = "";
    if (!auth) return;
    for (const struct conf_node *n = ways ? ways->first_child : NULL; n; n = n->next)
        add_to_line(line, "%s%.*s", n == ways->first_child ? "" : " or ", SLICE_ARGS(n->text));
    table_add(t, "auth");
    table_add(t, "%s", line);
    table_add(t, "asked by its %s; what follows is for whom that lets pass", document_text(auth, "place"));
}

static void tell_split(const struct conf_node *e, struct table *t)
{
    const struct conf_node *split = document_get(e, "split");
    if (!split) return;
    const char *by = document_text(split, "by"), *unit = document_text(split, "unit");
    double place = document_number(split, "place") / 100;
    char line[LINE_MAX_BYTES] = "";
    bool is_override = strcmp(by, "override") == 0;
    if (is_override)
        add_to_line(line, "the request asks for it, and may");
    else if (strcmp(by, "client") == 0)
        add_to_line(line, "by its client %s, for want of a unit", unit);
    else
        add_to_line(line, "by its unit \"%s\"", unit);
    if (!is_override && !isnan(place)) add_to_line(line, ": place %.2f of 100", place);
    table_add(t, "split");
    table_add(t, "%s = %s", document_text(split, "name"), document_text(split, "variant"));
    table_add(t, "%s", line);
}

static void tell_target(const struct conf_node *e, struct table *t)
{
    const struct conf_node *target = document_get(e, "target");
    const char *asked = document_text(document_get(e, "request"), "target");
    if (!target || strcmp(document_text(e, "target"), asked) == 0) return;
    table_add(t, "target");
    table_add(t, "%s", document_text(e, "target"));
    table_add(t, "rewritten");
}

static void tell_limits(const struct conf_node *e, struct table *t)
{
    const struct conf_node *limits = document_get(e, "limits");
    for (const struct conf_node *n = limits ? limits->first_child : NULL; n; n = n->next) {
        char line[LINE_MAX_BYTES] = "";
        add_to_line(line, "%s by %s of this %s: %s", document_text(n, "requests"), document_text(n, "key"),
                    document_text(n, "place"), document_text(n, "why"));
        double remaining = document_number(n, "remaining");
        if (remaining >= 1) add_to_line(line, ", and for %g more", remaining);
        table_add(t, "limit");
        table_add(t, "%s", document_text(n, "name"));
        table_add(t, "%s", line);
    }
}

static void tell_answer(const struct conf_node *e, struct table *t)
{
    const struct conf_node *answer = document_get(e, "answer");
    if (!answer) return;
    table_add(t, "answer");
    table_add(t, "%s", document_text(answer, "status"));
    table_add(t, "%s", document_text(answer, "why"));
}

static void tell_pool(const struct conf_node *e, struct table *t)
{
    if (!document_get(e, "pool")) return;
    char line[LINE_MAX_BYTES] = "";
    uint32_t count = 0, candidates = 0;
    const struct conf_node *servers = document_get(e, "servers");
    for (const struct conf_node *n = servers ? servers->first_child : NULL; n; n = n->next, count++)
        candidates += document_is_true(n, "is_candidate");
    if (document_get(e, "method")) add_to_line(line, "%s%s", document_text(e, "method"), count ? ", " : "");
    if (count) add_to_line(line, "%u of %u server%s can be chosen", candidates, count, count == 1 ? "" : "s");
    table_add(t, "pool");
    table_add(t, "%s", document_text(e, "pool"));
    table_add(t, "%s", line);
}

static void tell_retry(const struct conf_node *e, struct table *t)
{
    const struct conf_node *retry = document_get(e, "retry"), *on = document_get(retry, "on");
    char line[LINE_MAX_BYTES] = "";
    if (!retry) return;
    for (const struct conf_node *n = on ? on->first_child : NULL; n; n = n->next)
        add_to_line(line, "%s%.*s", n == on->first_child ? "after " : ", ", SLICE_ARGS(n->text));
    double per_try_ms = document_number(retry, "per_try_ms");
    if (per_try_ms > 0)
        add_to_line(line, "%s%g ms without an answer", *line ? ", or " : "after ", per_try_ms);
    if (!document_is_true(retry, "may_repeat"))
        add_to_line(line, "%sonly if no server can have seen it", *line ? "; " : "");
    add_to_line(line, "%sof a hundred requests %g may be sent again, and %g at first", *line ? "; " : "",
                document_number(retry, "budget_share"), document_number(retry, "budget_reserve"));
    table_add(t, "retry");
    table_add(t, "up to %g attempts", document_number(retry, "attempts"));
    table_add(t, "%s", line);
}

static void tell_hedge(const struct conf_node *e, struct table *t)
{
    const struct conf_node *retry = document_get(e, "retry");
    const struct conf_node *hedge = retry ? document_get(retry, "hedge") : NULL;
    char line[LINE_MAX_BYTES] = "";
    if (!hedge || hedge->kind != CONF_NODE_MAP) return;
    if (document_is_true(hedge, "may"))
        add_to_line(line, "another server is asked as well after %g ms without an answer",
                    document_number(hedge, "after_ms"));
    else
        add_to_line(line, "%s", document_text(hedge, "why_not"));
    table_add(t, "hedge");
    table_add(t, document_is_true(hedge, "may") ? "yes" : "no");
    table_add(t, "%s", line);
}

static void tell_server(const struct conf_node *e, struct table *t)
{
    const struct conf_node *server = document_get(e, "server"), *second = document_get(e, "runner_up");
    if (!server) return;
    const char *name = document_text(server, "name"), *address = document_text(server, "address");
    char line[LINE_MAX_BYTES] = "";
    if (strcmp(name, address) != 0) add_to_line(line, "at %s: ", address);
    add_to_line(line, "%s", document_text(server, "why"));
    if (second) add_to_line(line, "; else %s", document_text(second, "name"));
    table_add(t, "server");
    table_add(t, "%s", name);
    table_add(t, "%s", line);
}

int explain_tell(const struct conf_node *explanation, FILE *out)
{
    struct table t;
    table_init(&t, 3, 0);
    tell_request(explanation, &t);
    tell_route(explanation, &t);
    tell_auth(explanation, &t);
    tell_split(explanation, &t);
    tell_limits(explanation, &t);
    tell_answer(explanation, &t);
    tell_target(explanation, &t);
    tell_pool(explanation, &t);
    tell_server(explanation, &t);
    tell_retry(explanation, &t);
    tell_hedge(explanation, &t);
    int result = table_print(&t, out);
    table_fini(&t);
    return result;
}

/* the question */

struct explain_options {
    struct api_options api;
    const char *url, *listener, *method, *client;
    const char *headers[HEADERS_MAX];
    uint32_t header_count;
    bool is_live, is_json;
};

#define ROW(member) .offset = offsetof(struct explain_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE", ROW(api.config), .help = "the configuration" },
    { OPTION_FLAG, .name = "live", ROW(is_live),
      .help = "ask the weir that runs, at the `admin:` of FILE, or at 127.0.0.1:9091" },
    { OPTION_TEXT, .name = "admin", .argument = "ADDR", ROW(api.admin),
      .help = "ask the weir that runs with this admin address" },
    { OPTION_TEXT, .name = "token", .argument = "TOKEN", ROW(api.token),
      .help = "what its API wants to see; better WEIR_TOKEN, which `ps` does not show" },
    { OPTION_TEXT, .name = "listener", .argument = "NAME", ROW(listener),
      .help = "the listener that the request comes to; the first for HTTP if absent" },
    { OPTION_TEXT, .name = "method", .argument = "NAME", ROW(method), .help = "GET unless given" },
    { OPTION_TEXTS, 'H', .name = "header", .argument = "K:V", ROW(headers), .max = HEADERS_MAX,
      .count_at = offsetof(struct explain_options, header_count), .help = "a header field; again for more" },
    { OPTION_TEXT, .name = "client", .argument = "IP", ROW(client),
      .help = "where it comes from: 127.0.0.1 unless given" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "as JSON" },
    { 0 },
};

const struct syntax explain_syntax = {
    .command = "explain",
    .usage =
        "explain -c FILE [--live] [OPTION]... URL\n"
        "       weir explain --admin ADDR [OPTION]... URL\n\n"
        "Says which route, split, pool and server a request would get, each with its reason. Nothing is\n"
        "sent, counted or changed. By the file alone nothing is running: every server is idle and in its\n"
        "place. A running weir knows the load and the state of its servers. URL is http://host/path?query,\n"
        "or the path alone.\n",
    .options = options,
    .notes =
        "Exit codes: 0 told, 64 wrong usage, 65 no such request, 69 no weir answers, 76 it is no weir that\n"
        "answers, 77 the token, 78 wrong configuration.\n",
};

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, struct explain_options *o)
{
    struct words words;
    int code = options_parse(&explain_syntax, argc, argv, o, &words);
    if (code != EX_OK) return code;
    if (!words.count) return options_fault(&explain_syntax, "which request? Give its URL, or its path");
    o->url = words.items[0];
    if (words.count > 1)
        return options_fault(&explain_syntax, "what is \"%s\"? One URL at a time", words.items[1]);
    if (o->api.admin) o->is_live = true;
    if (!o->is_live && !o->api.config)
        return options_fault(&explain_syntax,
                             "give the configuration with -c FILE, or --live to ask the weir that runs");
    return EX_OK;
}

static void add_member(struct json *j, const char *key, const char *value)
{
    if (!value) return;
    json_key(j, key);
    json_string(j, value);
}

static void write_request(const struct explain_options *o, struct json *j)
{
    json_object(j);
    add_member(j, "url", o->url);
    add_member(j, "method", o->method);
    add_member(j, "client", o->client);
    add_member(j, "listener", o->listener);
    json_key(j, "headers");
    json_array(j);
    for (uint32_t i = 0; i < o->header_count; i++) json_string(j, o->headers[i]);
    json_array_end(j);
    json_object_end(j);
}

/* by a running weir */

static int ask_explanation(const struct explain_options *o, struct slice request, char **answer, size_t *len)
{
    struct err err = { "" };
    struct api_target target;
    struct api_request rq = { .method = HTTP_POST, .path = "/api/v1/explain", .body = request };
    int code = api_target_find(&o->api, &target, &err);
    if (code == EX_OK) code = api_client_ask(&target, &rq, answer, len, &err);
    if (code != EX_OK) fprintf(stderr, "weir explain: %s\n", err.text);
    return code;
}

/* by the file */

static int read_request(struct slice request, struct explain_conf *conf, struct conf_arena *arena)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return EX_OSERR;
    int result = conf_read_json(&tree, "request", request, faults);
    if (result == 0) result = conf_decode(&tree, &explain_conf_type, conf, arena, faults);
    for (uint32_t i = 0; i < faults->count; i++)
        fprintf(stderr, "weir explain: %s%s%s\n", faults->items[i].message,
                *faults->items[i].remedy ? "; " : "", faults->items[i].remedy);
    conf_tree_free(&tree);
    free(faults);
    return result < 0 ? EX_DATAERR : EX_OK;
}

static int explain_by(const struct config *config, const struct explain_conf *conf, char **answer,
                      size_t *len)
{
    struct err err = { "" };
    struct proxy *p = NULL;
    struct json j;
    int code = EX_OK;
    json_init(&j, EXPLANATION_MAX, true);
    if (proxy_new_detached(&p, &config->proxy, &err) < 0)
        code = EX_CONFIG;
    else if (explain(p, conf, &j, &err) < 0)
        code = EX_DATAERR;
    else if (!(*answer = json_take(&j, len)))
        code = EX_OSERR;
    if (code != EX_OK) fprintf(stderr, "weir explain: %s\n", *err.text ? err.text : "out of memory");
    json_fini(&j);
    proxy_free(p);
    return code;
}

static int explain_by_file(const char *path, struct slice request, char **answer, size_t *len)
{
    struct config *config = NULL;
    int code = config_load_or_say(&config, path, "explain");
    if (code != EX_OK) return code;
    struct conf_arena *arena = conf_arena_new();
    struct explain_conf *conf = conf_arena_alloc(arena, sizeof(*conf));
    code = read_request(request, conf, arena);
    if (code == EX_OK) code = explain_by(config, conf, answer, len);
    conf_arena_free(arena);
    config_free(config);
    return code;
}

/* the answer */

static int print_story(struct slice answer)
{
    struct err err;
    struct conf_tree tree;
    if (document_read(&tree, answer, &err) < 0) {
        fprintf(stderr, "weir explain: %s; try --json\n", err.text);
        return EX_PROTOCOL;
    }
    int result = explain_tell(tree.root, stdout);
    conf_tree_free(&tree);
    return result < 0 || fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}

int explain_command(int argc, char **argv)
{
    struct explain_options o = { 0 };
    int code = parse_options(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    struct json j;
    char *answer = NULL;
    size_t len = 0;
    json_init(&j, REQUEST_MAX, false);
    write_request(&o, &j);
    struct slice request = { j.data, j.len };
    if (j.is_failed)
        code = options_fault(&explain_syntax, "the request is over %u KiB", REQUEST_MAX >> 10);
    else
        code = o.is_live ? ask_explanation(&o, request, &answer, &len)
                         : explain_by_file(o.api.config, request, &answer, &len);
    if (code == EX_OK)
        code = o.is_json ? document_print((struct slice){ answer, len }, stdout)
                         : print_story((struct slice){ answer, len });
    free(answer);
    json_fini(&j);
    return code;
}
