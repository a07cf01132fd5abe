#include "command/events.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/number.h"
#include "base/printable.h"
#include "command/api_client.h"
#include "command/document.h"
#include "command/event_report.h"
#include "command/event_stream.h"

#define NOTE_MAX 4096u
#define ID_MAX 20u
#define EVENT_MAX (64u << 10)

struct events_options {
    struct api_options api;
    const char *mark;
    bool is_follow, is_json;
    uint64_t seen; /* id of the one that was shown last */
};

#define ROW(member) .offset = offsetof(struct events_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, .name = "mark", .argument = "NAME", ROW(mark),
      .help = "note that something happened: --mark 'deploy v42'" },
    { OPTION_FLAG, 'f', .name = "follow", ROW(is_follow), .help = "go on with those that come" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "one JSON object a line" },
    OPTION_API(struct events_options, api),
    { 0 },
};

const struct syntax events_syntax = {
    .command = "events",
    .usage = "events [--follow] [--json] [OPTION]...\n"
             "       weir events --mark NAME [OPTION]...\n"
             "       weir events report [OPTION]... ID\n\n"
             "What happened to a running weir of late, the oldest first: servers that changed their state, "
             "configurations,\n"
             "certificates, upgrades, who is denied, and what was noted by --mark, which the dashboard draws "
             "into its charts.\n"
             "Weir keeps the latest 512; of those before it says how many they were. `report` says what has "
             "changed with one of them: requests, errors "
             "and latency "
             "of routes\n"
             "and servers before it and after it (docs/before-and-after.md). --json shows the ids.\n",
    .options = options,
    .notes =
        "Exit codes: 0 told, 64 wrong usage, 65 weir refuses it, 69 weir is not reached, 77 wrong token.\n",
};

static void show(const struct conf_node *e)
{
    printf("%s  %-5s  %s", document_text(e, "time"), document_text(e, "level"), document_text(e, "event"));
    const struct conf_node *fields = document_get(e, "fields");
    for (const struct conf_node *n = fields ? fields->first_child : NULL; n; n = n->next) {
        char text[1024];
        if (n->kind == CONF_NODE_SCALAR && !n->text.len) continue; /* that there is no detail says nothing */
        snprintf(text, sizeof(text), "  %.*s: %.*s", SLICE_ARGS(n->key), SLICE_ARGS(n->text));
        printable_mask(text);
        fputs(text, stdout);
    }
    putchar('\n');
}

/* Ids have no gaps: those before the first are no longer kept, those in between did not come or were too long. */
static void say_omitted(struct events_options *o, const struct conf_node *e)
{
    uint64_t id = 0;
    if (!number_u64(slice_of(document_text(e, "id")), &id) || id <= o->seen) return;
    uint64_t omitted = id - o->seen - 1;
    o->seen = id;
    if (!omitted) return;
    if (o->is_json)
        printf("{\"omitted\":%llu,\"before\":%llu}\n", (unsigned long long)omitted, (unsigned long long)id);
    else
        printf("(%llu before this %s not kept any more)\n", (unsigned long long)omitted,
               omitted == 1 ? "is" : "are");
}

/* One line, like those that come. */
static void show_json(const struct conf_node *e)
{
    struct json j;
    json_init(&j, EVENT_MAX, false);
    document_write(e, &j);
    if (!j.is_failed) printf("%.*s\n", (int)j.len, j.data);
    json_fini(&j);
}

static void on_event(void *context, const char *kind, struct slice data)
{
    struct events_options *o = context;
    struct conf_tree tree;
    (void)kind;
    if (document_read(&tree, data, NULL) < 0) return;
    say_omitted(o, tree.root);
    if (o->is_json)
        printf("%.*s\n", SLICE_ARGS(data));
    else
        show(tree.root);
    conf_tree_free(&tree);
}

static int print_list(struct events_options *o, struct slice answer, struct err *err)
{
    struct conf_tree tree;
    if (document_read(&tree, answer, err) < 0) return EX_PROTOCOL;
    const struct conf_node *events = document_get(tree.root, "events");
    const struct conf_node *rows[512];
    uint32_t count = 0;
    for (const struct conf_node *n = events ? events->first_child : NULL; n && count < 512; n = n->next)
        rows[count++] = n;
    while (count--) {
        if (!o->mark) say_omitted(o, rows[count]);
        (o->is_json ? show_json : show)(rows[count]);
    }
    conf_tree_free(&tree);
    return fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}

static int ask(struct events_options *o, const struct api_target *to, struct err *err)
{
    struct json j;
    char *answer = NULL;
    size_t len = 0;
    json_init(&j, NOTE_MAX, false);
    struct api_request rq = { .method = HTTP_GET, .path = "/api/v1/events?limit=512" };
    if (o->mark) {
        json_object(&j);
        json_key(&j, "name");
        json_string(&j, o->mark);
        json_object_end(&j);
        rq = (struct api_request){ .method = HTTP_POST, .path = "/api/v1/events", .body = { j.data, j.len } };
    }
    int code = EX_USAGE;
    if (j.is_failed)
        err_set(err, "the name is too long");
    else
        code = api_client_ask(to, &rq, &answer, &len, err);
    json_fini(&j);
    if (code == EX_OK) code = print_list(o, (struct slice){ answer, len }, err);
    free(answer);
    return code;
}

static int report(const struct events_options *o, const struct api_target *to, const char *id,
                  struct err *err)
{
    char path[256], *answer = NULL;
    size_t len = 0;
    struct conf_tree tree;
    struct text t = text_over(path, sizeof(path));
    TEXT_LITERAL(&t, "/api/v1/events/");
    api_client_escape(&t, id);
    TEXT_LITERAL(&t, "/report");
    const struct api_request rq = { .method = HTTP_GET, .path = text_cstr(&t) };
    int code = api_client_ask(to, &rq, &answer, &len, err);
    const struct slice json = { answer, len };
    if (code == EX_OK && o->is_json)
        code = document_print(json, stdout);
    else if (code == EX_OK && document_read(&tree, json, err) < 0)
        code = EX_PROTOCOL;
    else if (code == EX_OK) {
        code = event_report_tell(tree.root, stdout) < 0 || fflush(stdout) == EOF ? EX_IOERR : EX_OK;
        conf_tree_free(&tree);
    }
    free(answer);
    return code;
}

/* What is wrong with the words; EX_OK: nothing. */
static int check_words(const struct events_options *o, const struct words *words)
{
    if (!words->count) return EX_OK;
    if (strcmp(words->items[0], "report") != 0)
        return options_fault(&events_syntax, "what is \"%s\"? Write report, or nothing", words->items[0]);
    if (words->count < 2)
        return options_fault(&events_syntax, "of which event? `weir events --json` shows their ids");
    if (strlen(words->items[1]) > ID_MAX)
        return options_fault(&events_syntax, "no event has an id that long");
    if (o->mark || o->is_follow)
        return options_fault(&events_syntax, "report is another call than --mark and --follow");
    return options_too_many(&events_syntax, words, 2);
}

static int follow(struct events_options *o, const struct api_target *to, struct err *err)
{
    struct event_stream *events = event_stream_new(on_event, o);
    if (!events) return EX_OSERR;
    int code = api_client_stream(to, "/api/v1/events/stream?after=0", event_stream_on_piece, events, err);
    free(events);
    return code;
}

int events_command(int argc, char **argv)
{
    struct events_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    struct words words;
    int code = options_parse(&events_syntax, argc, argv, &o, &words);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = check_words(&o, &words);
    if (code != EX_OK) return code;
    if (o.mark && o.is_follow)
        return options_fault(&events_syntax, "--mark notes one and ends; --follow is another call");
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK)
        code = words.count   ? report(&o, &to, words.items[1], &err)
               : o.is_follow ? follow(&o, &to, &err)
                             : ask(&o, &to, &err);
    if (code != EX_OK && *err.text) fprintf(stderr, "weir events: %s\n", err.text);
    return code;
}
