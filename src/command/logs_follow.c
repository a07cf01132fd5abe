#include "command/logs_follow.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/printable.h"
#include "command/api_client.h"
#include "command/document.h"
#include "command/event_stream.h"
#include "command/table.h"

struct follow_options {
    struct api_options api;
    const char *source, *where, *log_format;
    bool is_json;
};

struct viewer {
    const struct follow_options *options;
    struct event_stream *events;
    bool is_terminal;
};

#define ROW(member) .offset = offsetof(struct follow_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, .name = "log-format", .argument = "F", ROW(log_format),
      .help = "of a file: combined, json, auto (the preset), or a log_format's text" },
    { OPTION_TEXT, .name = "where", .argument = "EXPRESSION", ROW(where),
      .help = "only these: 'status>=500 && path~\"^/login\"'" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "one JSON object a line" },
    OPTION_API(struct follow_options, api),
    { 0 },
};

const struct syntax logs_follow_syntax = {
    .command = "logs follow",
    .usage =
        "logs follow SOURCE|FILE [OPTION]...\n\n"
        "Shows the records of a log as they come: of one that a running weir watches (`logs: sources:`), or "
        "of "
        "a file, which is\n"
        "followed as it grows and is rotated; a pattern such as '/var/log/nginx/*.log' takes several. Ctrl-C "
        "ends it.\n",
    .options = options,
};

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, struct follow_options *o)
{
    struct words words;
    int code = options_parse(&logs_follow_syntax, argc, argv, o, &words);
    if (code != EX_OK) return code;
    if (words.count != 1)
        return options_fault(&logs_follow_syntax,
                             "name one file, or one source; GET /api/v1/logs lists those");
    o->source = words.items[0];
    return EX_OK;
}

/* showing */

static void show_time(const struct conf_node *record)
{
    double s = document_number(record, "time");
    time_t at = isfinite(s) ? (time_t)s : 0;
    char text[32] = "-";
    struct tm tm;
    if (at) strftime(text, sizeof(text), "%H:%M:%S", localtime_r(&at, &tm));
    printf("%-8s ", text);
}

/* A text of somebody else's, without what would steer a terminal. */
static void show(int width, const struct conf_node *record, const char *key)
{
    char text[2048];
    snprintf(text, sizeof(text), "%s", document_text(record, key));
    table_clean(text);
    printf("%-*s ", width, text);
}

static void show_record(const struct conf_node *record)
{
    show_time(record);
    show(15, record, "client");
    show(3, record, "status");
    show(6, record, "method");
    show(1, record, "target");
    if (document_get(record, "request_ms")) printf(" %.1f ms ", document_number(record, "request_ms"));
    if (document_get(record, "upstream")) show(1, record, "upstream");
    putchar('\n');
}

static void show_summary(const struct conf_node *s)
{
    FILE *terminal = printable_past(2);
    fprintf(terminal, "\r\033[K%.0f records/s  %.0f errors/s  %.0f bytes behind",
            document_number(s, "records"), document_number(s, "errors"), document_number(s, "lag_bytes"));
    if (document_number(s, "missed") > 0) fprintf(terminal, "  %.0f not shown", document_number(s, "missed"));
}

static void show_event(void *context, const char *kind, struct slice data)
{
    struct viewer *v = context;
    struct conf_tree tree;
    bool is_record = strcmp(kind, "record") == 0;
    if (v->options->is_json) {
        if (is_record) printf("%.*s\n", SLICE_ARGS(data));
        return;
    }
    if (!is_record && !v->is_terminal) return;
    if (document_read(&tree, data, NULL) < 0) return;
    if (is_record && v->is_terminal) fputs("\r\033[K", printable_past(2));
    if (is_record)
        show_record(tree.root);
    else
        show_summary(tree.root);
    conf_tree_free(&tree);
}

/* A file of that name, or a pattern or path that can be no source's name. */
static bool is_file(const char *source)
{
    return strpbrk(source, "/*?[") || access(source, F_OK) == 0;
}

static void on_events(void *context, struct slice bytes)
{
    struct viewer *v = context;
    event_stream_on_piece(v->events, bytes);
}

static int follow_file(struct viewer *v)
{
    struct err err = { "" };
    struct logs_follow_file what = { v->options->source, v->options->log_format, v->options->where, on_events,
                                     v };
    int code = logs_follow_file(&what, &err);
    if (code != EX_OK) fprintf(stderr, "weir logs follow: %s\n", err.text);
    return code;
}

/* asking */

static int follow_source(struct viewer *v)
{
    const struct follow_options *o = v->options;
    struct err err = { "" };
    struct api_target to;
    char path[8192];
    int code = api_target_find(&o->api, &to, &err);
    struct text t = text_over(path, sizeof(path));
    TEXT_LITERAL(&t, "/api/v1/logs/");
    api_client_escape(&t, o->source);
    TEXT_LITERAL(&t, "/stream");
    if (o->where) {
        TEXT_LITERAL(&t, "?where=");
        api_client_escape(&t, o->where);
    }
    text_cstr(&t);
    if (code == EX_OK && t.is_cut) return options_fault(&logs_follow_syntax, "--where is too long");
    if (code == EX_OK) code = api_client_stream(&to, path, event_stream_on_piece, v->events, &err);
    if (code != EX_OK && *err.text) fprintf(stderr, "weir logs follow: %s\n", err.text);
    return code;
}

int logs_follow(int argc, char **argv)
{
    struct follow_options o = { 0 };
    int code = parse_options(argc, argv, &o);
    if (code != EX_OK || !o.source) return code < 0 ? EX_OK : code;
    struct viewer v = { .options = &o, .is_terminal = isatty(1) && isatty(2) };
    v.events = event_stream_new(show_event, &v);
    if (!v.events) return EX_OSERR;
    code = is_file(o.source) ? follow_file(&v) : follow_source(&v);
    free(v.events);
    return code;
}
