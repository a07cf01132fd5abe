#include "command/reload_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/document.h"
#include "command/table.h"

#define WAIT_MS 60000u

/* the outcome */

static void tell_keys(const struct conf_node *keys, FILE *out)
{
    const char *before = ": ";
    for (const struct conf_node *n = keys ? keys->first_child : NULL; n; n = n->next, before = ", ")
        fprintf(out, "%s%.*s", before, SLICE_ARGS(n->text));
}

static void tell_items(char sign, const char *what, const struct conf_node *items, FILE *out)
{
    for (const struct conf_node *n = items ? items->first_child : NULL; n; n = n->next) {
        bool is_within = document_get(n, "in") != NULL;
        fprintf(out, "  %c %s %s%s%s", sign, what, is_within ? document_text(n, "in") : "",
                is_within ? "/" : "", document_text(n, "name"));
        tell_keys(document_get(n, "keys"), out);
        fputc('\n', out);
    }
}

static void tell_section(const char *what, const struct conf_node *section, FILE *out)
{
    tell_items('+', what, document_get(section, "added"), out);
    tell_items('-', what, document_get(section, "removed"), out);
    tell_items('~', what, document_get(section, "changed"), out);
    double left_off = document_number(section, "left_off");
    if (left_off > 0) fprintf(out, "  and %.0f more of these\n", left_off);
}

static void tell_moved(const struct conf_node *moved, FILE *out)
{
    for (const struct conf_node *n = moved ? moved->first_child : NULL; n; n = n->next) {
        double share = document_number(n, "share");
        if (isnan(share))
            fprintf(out, "  keys of pool %s: another key is hashed, all may move\n",
                    document_text(n, "pool"));
        else
            fprintf(out, "  keys of pool %s: %.1f %% move\n", document_text(n, "pool"), 100 * share);
    }
}

static void tell_connections(const struct conf_node *outcome, FILE *out)
{
    double idle = document_number(outcome, "idle_connections_closed"),
           gone = document_number(outcome, "connections_of_removed_listeners");
    if (idle > 0) fprintf(out, "  idle connections to servers that go: %.0f\n", idle);
    if (gone > 0) fprintf(out, "  connections of listeners that go: %.0f\n", gone);
}

static void tell_list(const char *text, const struct conf_node *list, FILE *out)
{
    if (!list || !list->first_child) return;
    fputs(text, out);
    tell_keys(list, out);
    fputc('\n', out);
}

/* Under its head line. */
static void tell_changes(const struct conf_node *outcome, FILE *out)
{
    static const struct {
        const char *key, *what;
    } sections[] = { { "listeners", "listener" }, { "routes", "route" }, { "pools", "pool" },
                     { "servers", "server" },     { "splits", "split" }, { "sources", "log source" } };
    for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++)
        tell_section(sections[i].what, document_get(outcome, sections[i].key), out);
    tell_list("  ~ settings", document_get(outcome, "settings"), out);
    tell_moved(document_get(outcome, "moved_keys"), out);
    tell_connections(outcome, out);
    tell_list("  hold only after a restart", document_get(outcome, "needs_restart"), out);
}

static bool is_outcome(const struct conf_node *n)
{
    return document_get(n, "listeners") && document_get(n, "generation");
}

int reload_report_compare(const char *what, const struct conf_node *outcome, FILE *out)
{
    if (!is_outcome(outcome)) return EX_PROTOCOL;
    fprintf(out, "%s%s\n", what, document_is_true(outcome, "is_same") ? ": nothing." : ":");
    tell_changes(outcome, out);
    return EX_OK;
}

int reload_report_tell(const struct conf_node *outcome, FILE *out)
{
    if (!is_outcome(outcome)) return EX_PROTOCOL;
    bool is_dry = document_is_true(outcome, "dry_run");
    const char *generation = document_text(outcome, "generation");
    if (document_is_true(outcome, "is_same"))
        fprintf(
            out,
            "%s generation %s: nothing in the configuration changes; files that it names are read again.\n",
            is_dry ? "As in" : "In force as", generation);
    else if (is_dry)
        fprintf(out, "Would change of generation %s, which stays in force:\n", generation);
    else
        fprintf(out, "In force as generation %s:\n", generation);
    tell_changes(outcome, out);
    return EX_OK;
}

/* asking */

/* Line by line as `weir check` prints it. False: it is no problem of weir's. */
static bool tell_problem(const char *command, const struct conf_node *problem)
{
    const struct conf_node *detail = document_get(problem, "detail");
    if (!detail || detail->kind != CONF_NODE_SCALAR) return false;
    const char *text = detail->text.data;
    bool is_ended = detail->text.len && text[detail->text.len - 1] == '\n';
    /* Of mistakes in a configuration there may be many, with the lines that they are in; what is not there is one sentence. */
    if (document_number(problem, "status") == 404)
        fprintf(stderr, "weir %s: ", command);
    else
        fprintf(stderr, "weir %s: %s\n", command,
                document_get(problem, "title") ? document_text(problem, "title") : "refused");
    fprintf(stderr, "%s%s", text, is_ended ? "" : "\n");
    return true;
}

static int tell_answer(const char *command, const char *text, size_t len, bool is_json, int code)
{
    struct conf_tree tree;
    struct err err;
    if (document_read(&tree, (struct slice){ text, len }, &err) < 0) {
        fprintf(stderr, "weir %s: %s\n", command, err.text);
        return EX_PROTOCOL;
    }
    if (code != EX_OK) {
        bool is_missing = document_number(tree.root, "status") == 404;
        code = !tell_problem(command, tree.root) ? EX_PROTOCOL : is_missing ? EX_DATAERR : EX_CONFIG;
    } else if (is_json) {
        code = document_print((struct slice){ text, len }, stdout);
    } else if ((code = reload_report_tell(tree.root, stdout)) != EX_OK) {
        fprintf(stderr, "weir %s: the answer is of another version of weir\n", command);
    }
    conf_tree_free(&tree);
    return code;
}

int reload_report_ask(const char *command, const struct api_target *to, const struct api_request *rq,
                      bool is_json)
{
    struct api_request asked = *rq;
    struct err err = { "" };
    char *text = NULL;
    size_t len = 0;
    asked.keeps_problem = true;
    asked.wait_ms = WAIT_MS;
    int code = api_client_ask(to, &asked, &text, &len, &err);
    if (text)
        code = tell_answer(command, text, len, is_json, code);
    else
        fprintf(stderr, "weir %s: %s\n", command, err.text);
    free(text);
    return code;
}
