#include "command/leaks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/api_client.h"
#include "command/document.h"
#include "command/table.h"
#include "self/growth.h"

#define ANSWER_MS 35000u
#define EX_LEAKS 1

struct leaks_options {
    struct api_options api;
    bool is_json;
};

static const struct option_row options[] = {
    OPTION_JSON(struct leaks_options, is_json),
    OPTION_API(struct leaks_options, api),
    { 0 },
};

const struct syntax leaks_syntax = {
    .command = "leaks",
    .usage =
        "leaks [--json]\n\n"
        "Says whether a running weir leaks anything. It counts what is live every ten seconds (`profile: "
        "{leaks: 10s}`) and walks\n"
        "what its connections lead to: what is counted and not reached is lost. Descriptors that belong to "
        "no "
        "connection and\n"
        "the heap are judged by their trend at the same load, over the last hour.\n",
    .options = options,
    .notes = "Exit codes: 0 nothing leaks, 1 something does; 64 wrong usage, 69 weir is not reached.\n",
};

/* showing */

static void show_number(int width, const struct conf_node *node, const char *key)
{
    double value = document_number(node, key);
    if (isfinite(value))
        printf("%*.0f", width, value);
    else
        printf("%*s", width, "-");
}

static void show_head(const struct conf_node *root, const struct conf_node *leaks)
{
    double seconds = document_number(root, "span_seconds"), audits = document_number(root, "audits");
    if (!leaks->first_child && audits < GROWTH_POINTS_MIN) {
        printf("Nothing is lost. Whether something grows cannot be told yet: %.0f looks in %.0f s, of at "
               "least %u.\n",
               audits, seconds, GROWTH_POINTS_MIN);
        return;
    }
    if (!leaks->first_child) {
        printf("Nothing leaks, as far as %.0f looks in %.0f s can tell.\n", audits, seconds);
        return;
    }
    printf("It leaks:");
    for (const struct conf_node *n = leaks->first_child; n; n = n->next)
        printf("%s %.*s", n == leaks->first_child ? "" : ",", SLICE_ARGS(n->text));
    printf(" (%.0f looks in %.0f s).\n", audits, seconds);
}

static void show_kinds(const struct conf_node *kinds)
{
    printf("\n  %-20s%14s%8s  %-10s%14s\n", "", "live", "lost", "verdict", "per hour");
    for (const struct conf_node *n = kinds->first_child; n; n = n->next) {
        printf("  %-20s", document_text(n, "kind"));
        show_number(14, n, "live");
        show_number(8, n, "lost");
        printf("  %-10s", document_text(n, "verdict"));
        show_number(14, n, "per_hour");
        putchar('\n');
    }
}

static void show_sites(const struct conf_node *sites)
{
    if (!sites->first_child) return;
    printf("\nWho holds more memory than at the start, or an hour ago:\n");
    for (const struct conf_node *n = sites->first_child; n; n = n->next) {
        char stack[2048];
        snprintf(stack, sizeof(stack), "%s", document_text(n, "stack"));
        table_clean(stack);
        if (!*stack) snprintf(stack, sizeof(stack), "(by whom is not known)");
        printf("  %8.1f MiB  %s\n", document_number(n, "grown_bytes") / 1048576, stack);
    }
}

static int show(const struct conf_node *root, bool is_json, const char *text)
{
    const struct conf_node *leaks = document_get(root, "leaks"), *kinds = document_get(root, "kinds"),
                           *sites = document_get(root, "heap_sites");
    if (!leaks || !kinds || !sites) {
        fputs("weir leaks: the answer is of another version of weir\n", stderr);
        return EX_PROTOCOL;
    }
    if (is_json) {
        puts(text);
    } else {
        show_head(root, leaks);
        show_kinds(kinds);
        show_sites(sites);
    }
    return leaks->first_child ? EX_LEAKS : EX_OK;
}

int leaks_command(int argc, char **argv)
{
    struct leaks_options o = { 0 };
    struct api_target to;
    struct conf_tree tree;
    struct err err = { "" };
    char *text = NULL;
    size_t len = 0;
    struct api_request rq = { .method = HTTP_GET, .path = "/api/v1/stats/leaks", .wait_ms = ANSWER_MS };
    int code = options_parse(&leaks_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) code = api_client_ask(&to, &rq, &text, &len, &err);
    if (code == EX_OK && document_read(&tree, (struct slice){ text, len }, &err) < 0) code = EX_PROTOCOL;
    if (code != EX_OK) {
        fprintf(stderr, "weir leaks: %s\n", err.text);
    } else {
        code = show(tree.root, o.is_json, text);
        conf_tree_free(&tree);
    }
    free(text);
    return code;
}
