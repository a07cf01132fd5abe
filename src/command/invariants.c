#include "command/invariants.h"

#include <stdlib.h>
#include <sysexits.h>

#include "command/api_client.h"
#include "command/document.h"
#include "command/table.h"

#define EX_BROKEN 1

struct invariants_options {
    struct api_options api;
    bool is_json;
};

static const struct option_row options[] = {
    OPTION_JSON(struct invariants_options, is_json),
    OPTION_API(struct invariants_options, api),
    { 0 },
};

const struct syntax invariants_syntax = {
    .command = "invariants",
    .usage = "invariants [--json]\n\n"
             "Says whether what a running weir counts is what there is: exchanges, connections, servers' "
             "slots, queues, retry "
             "budgets,\n"
             "memory, configurations. Each of them is counted as it comes and goes; here it is found once "
             "more by looking at all "
             "that\n"
             "there is, and put beside the count. Workers are not stopped for it: where more moved meanwhile "
             "than the two differ "
             "by,\n"
             "it cannot be told (\"moving\"); ask again.\n",
    .options = options,
    .notes = "Exit codes: 0 all hold, 1 something was lost or given back twice; 64 wrong usage, 69 weir is "
             "not reached.\n",
};

static int show_sums(const struct conf_node *sums)
{
    struct table t;
    table_init(&t, 4, 1U << 2 | 1U << 3);
    table_add(&t, "sum");
    table_add(&t, "verdict");
    table_add(&t, "counted");
    table_add(&t, "found");
    for (const struct conf_node *n = sums->first_child; n; n = n->next) {
        table_add(&t, "%s", document_text(n, "name"));
        table_add(&t, "%s", document_text(n, "verdict"));
        table_add(&t, "%.0f", document_number(n, "counted"));
        table_add(&t, "%.0f", document_number(n, "found"));
    }
    int result = table_print(&t, stdout);
    table_fini(&t);
    return result < 0 ? EX_IOERR : EX_OK;
}

static void show_broken(const struct conf_node *broken)
{
    for (const struct conf_node *n = broken->first_child; n; n = n->next) {
        char says[1024];
        snprintf(says, sizeof(says), "%.*s", SLICE_ARGS(n->text));
        table_clean(says);
        printf("%s\n", says);
    }
}

static void show_snapshots(const struct conf_node *snapshots)
{
    for (const struct conf_node *n = snapshots->first_child; n; n = n->next) {
        if (document_is_true(n, "is_in_force")) continue;
        printf("Generation %s is not freed yet: %s workers have it, and %s exchanges are counted in it.\n",
               document_text(n, "generation"), document_text(n, "workers"), document_text(n, "stragglers"));
    }
}

static int show(const struct invariants_options *o, struct slice answer, struct err *err)
{
    struct conf_tree tree;
    if (document_read(&tree, answer, err) < 0) return EX_PROTOCOL;
    const struct conf_node *sums = document_get(tree.root, "sums"),
                           *broken = document_get(tree.root, "broken"),
                           *snapshots = document_get(tree.root, "snapshots");
    int code = EX_PROTOCOL;
    if (!sums || !broken || !snapshots) {
        err_set(err, "the answer is of another version of weir");
    } else if (o->is_json) {
        code = document_print(answer, stdout);
    } else {
        puts(broken->first_child ? "What is counted is not what there is:"
                                 : "All that is counted is what there is.");
        show_broken(broken);
        show_snapshots(snapshots);
        putchar('\n');
        code = show_sums(sums);
    }
    if (code == EX_OK && broken->first_child) code = EX_BROKEN;
    conf_tree_free(&tree);
    return code;
}

int invariants_command(int argc, char **argv)
{
    struct invariants_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    char *answer = NULL;
    size_t len = 0;
    const struct api_request rq = { .method = HTTP_GET, .path = "/api/v1/invariants" };
    int code = options_parse(&invariants_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) code = api_client_ask(&to, &rq, &answer, &len, &err);
    if (code == EX_OK) code = show(&o, (struct slice){ answer, len }, &err);
    free(answer);
    if (*err.text) fprintf(stderr, "weir invariants: %s\n", err.text);
    return code;
}
