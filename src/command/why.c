#include "command/why.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/number.h"
#include "command/api_client.h"
#include "command/document.h"
#include "command/table.h"

#define PATH_MAX_BYTES 2048u
#define BAR_COLUMNS 40u

struct why_options {
    struct api_options api;
    const char *which;
    bool is_json;
};

#define ROW(member) .offset = offsetof(struct why_options, member)

static const struct option_row options[] = {
    OPTION_JSON(struct why_options, is_json),
    OPTION_API(struct why_options, api),
    { 0 },
};

const struct syntax why_syntax = {
    .command = "why",
    .usage = "why ID | last | last-failed | last-502 | last-5xx | slowest [OPTION]...\n\n"
             "Tells the story of one exchange of a running weir, each sentence with its time: who asked, "
             "which route took\n"
             "it by which rule, which servers were tried and why these, what came of it, and what the client "
             "got. ID is\n"
             "weir's own, 16 hexadecimal digits, or an X-Request-Id. last-502 is the latest with that "
             "status, last-failed\n"
             "the latest that failed and not by the client's doing, slowest the one that took longest of "
             "those that are\n"
             "kept.\n",
    .options = options,
    .notes = "Exit codes: 0 told, 64 wrong usage, 65 there is no such exchange (any more), 69 weir is not "
             "reached, 76 it\n"
             "is no weir that answers, 77 wrong token.\n",
};

/* which one */

static bool is_id(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (!isxdigit((unsigned char)text[i])) return false;
    return len == 16;
}

/* "502" and "5xx" behind "last-". */
static bool add_status(struct text *t, const char *text)
{
    uint64_t status = 0;
    bool is_class = strlen(text) == 3 && strcmp(text + 1, "xx") == 0 && *text >= '1' && *text <= '5';
    if (!is_class && (!number_u64(slice_of(text), &status) || status < 100 || status > 599)) return false;
    text_printf(t, "?limit=1&%s=%s", is_class ? "class" : "status", text);
    return true;
}

/* The path that lists the one that is meant; false: nothing is. */
static bool make_path(const char *which, struct text *t)
{
    TEXT_LITERAL(t, "/api/v1/exchanges");
    if (is_id(which)) {
        text_printf(t, "/%s", which);
    } else if (strcmp(which, "slowest") == 0) {
        TEXT_LITERAL(t, "?limit=1&order=slowest");
    } else if (strcmp(which, "last") == 0) {
        TEXT_LITERAL(t, "?limit=1");
    } else if (strcmp(which, "last-failed") == 0) {
        TEXT_LITERAL(t, "?limit=1&failed=true");
    } else if (strncmp(which, "last-", 5) == 0) {
        if (!add_status(t, which + 5)) return false;
    } else {
        TEXT_LITERAL(t, "?limit=1&request_id=");
        api_client_escape(t, which);
    }
    text_cstr(t);
    return !t->is_cut;
}

static int ask(const struct api_target *to, const char *path, char **answer, size_t *len, struct err *err)
{
    struct api_request rq = { .method = HTTP_GET, .path = path };
    return api_client_ask(to, &rq, answer, len, err);
}

/* EX_DATAERR: the list is empty. */
static int first_id(struct slice list, char out[PATH_MAX_BYTES], struct err *err)
{
    struct conf_tree tree;
    if (document_read(&tree, list, err) < 0) return EX_PROTOCOL;
    const struct conf_node *exchanges = document_get(tree.root, "exchanges");
    const struct conf_node *first = exchanges ? exchanges->first_child : NULL;
    bool is_good = first && is_id(document_text(first, "id"));
    if (is_good) snprintf(out, PATH_MAX_BYTES, "/api/v1/exchanges/%s", document_text(first, "id"));
    conf_tree_free(&tree);
    return is_good ? EX_OK : EX_DATAERR;
}

static int say_none(const char *which, struct err *err)
{
    bool is_kind = strncmp(which, "last", 4) == 0 || strcmp(which, "slowest") == 0;
    err_set(
        err,
        is_kind
            ? "no exchange is kept that is %s; weir keeps the latest of all, and longer those that failed or "
              "were slow"
            : "no exchange is kept with the request id \"%s\"; weir keeps the latest of all, and longer "
              "those "
              "that failed or were slow",
        which);
    return EX_DATAERR;
}

static int find(const struct why_options *o, const struct api_target *to, char **answer, size_t *len,
                struct err *err)
{
    char path[PATH_MAX_BYTES];
    struct text t = text_over(path, sizeof(path));
    make_path(o->which, &t);
    int code = ask(to, path, answer, len, err);
    if (code != EX_OK || is_id(o->which)) return code;
    code = first_id((struct slice){ *answer, *len }, path, err);
    free(*answer);
    *answer = NULL;
    if (code == EX_DATAERR) return say_none(o->which, err);
    return code == EX_OK ? ask(to, path, answer, len, err) : code;
}

/* telling it */

static void tell_sentences(const struct conf_node *e, struct table *t)
{
    const struct conf_node *story = document_get(e, "story");
    for (const struct conf_node *n = story ? story->first_child : NULL; n; n = n->next) {
        double at = document_number(n, "at_ms");
        if (isnan(at))
            table_add(t, "...");
        else
            table_add(t, "%.2f ms", at);
        table_add(t, "%s", document_text(n, "text"));
    }
}

/* From `from` to `to` of `total`, as a bar. */
static const char *bar(double from, double to, double total, char out[BAR_COLUMNS + 1])
{
    unsigned first = (unsigned)(from / total * BAR_COLUMNS), end = (unsigned)ceil(to / total * BAR_COLUMNS);
    if (first >= BAR_COLUMNS) first = BAR_COLUMNS - 1;
    if (end > BAR_COLUMNS) end = BAR_COLUMNS;
    if (end <= first) end = first + 1;
    for (unsigned i = 0; i < BAR_COLUMNS; i++) out[i] = i >= first && i < end ? '#' : '.';
    out[BAR_COLUMNS] = 0;
    return out;
}

/* Where the time went: each phase where it lies. */
static void tell_phases(const struct conf_node *e, struct table *t)
{
    static const struct {
        const char *key, *text;
    } phases[] = { { "head_ms", "its head came" },
                   { "picked_ms", "choosing, waiting, earlier attempts" },
                   { "connected_ms", "connecting" },
                   { "sent_ms", "sending the request" },
                   { "first_byte_ms", "waiting for the answer" } };
    const struct conf_node *when = document_get(e, "phases");
    double total = document_number(e, "total_ms"), from = 0;
    char drawn[BAR_COLUMNS + 1];
    if (!(total > 0)) return;
    for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
        double to = document_number(when, phases[i].key);
        if (!(to > from) || to > total) continue;
        table_add(t, "%s", phases[i].text);
        table_add(t, "%.2f ms", to - from);
        table_add(t, "%s", bar(from, to, total, drawn));
        from = to;
    }
    if (from >= total) return;
    table_add(t, isnan(document_number(when, "first_byte_ms")) ? "until it was over" : "the answer");
    table_add(t, "%.2f ms", total - from);
    table_add(t, "%s", bar(from, total, total, drawn));
}

static int tell(struct slice answer)
{
    struct err err;
    struct conf_tree tree;
    struct table sentences, phases;
    if (document_read(&tree, answer, &err) < 0) {
        fprintf(stderr, "weir why: %s; try --json\n", err.text);
        return EX_PROTOCOL;
    }
    table_init(&sentences, 2, 1);
    table_init(&phases, 3, 2);
    tell_sentences(tree.root, &sentences);
    tell_phases(tree.root, &phases);
    printf("exchange %s of %s\n\n", document_text(tree.root, "id"), document_text(tree.root, "start"));
    int result = table_print(&sentences, stdout);
    putchar('\n');
    if (table_print(&phases, stdout) < 0) result = -1;
    table_fini(&sentences);
    table_fini(&phases);
    conf_tree_free(&tree);
    return result < 0 || fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, struct why_options *o)
{
    struct words words;
    char memory[PATH_MAX_BYTES];
    struct text path = text_over(memory, sizeof(memory));
    int code = options_parse(&why_syntax, argc, argv, o, &words);
    if (code != EX_OK) return code;
    if (words.count != 1)
        return options_fault(&why_syntax,
                             "name one exchange: its id, an X-Request-Id, last-failed, or slowest");
    o->which = words.items[0];
    if (!make_path(o->which, &path))
        return options_fault(&why_syntax, "what is \"%.64s\"? Behind last- stand failed, 502, or 5xx",
                             o->which);
    return EX_OK;
}

int why_command(int argc, char **argv)
{
    struct why_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    char *answer = NULL;
    size_t len = 0;
    int code = parse_options(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) code = find(&o, &to, &answer, &len, &err);
    if (code != EX_OK)
        fprintf(stderr, "weir why: %s\n", err.text);
    else
        code = o.is_json ? document_print((struct slice){ answer, len }, stdout)
                         : tell((struct slice){ answer, len });
    free(answer);
    return code;
}
