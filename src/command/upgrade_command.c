#include "command/upgrade_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/api_client.h"
#include "command/document.h"

/* Longer than weir itself waits (timeouts: upgrade). */
#define WAIT_MS 700000u

struct upgrade_command_options {
    struct api_options api;
    bool is_json;
};

static const struct option_row options[] = {
    OPTION_JSON(struct upgrade_command_options, is_json),
    OPTION_API(struct upgrade_command_options, api),
    { 0 },
};

const struct syntax upgrade_syntax = {
    .command = "upgrade",
    .usage =
        "upgrade [-c FILE] [--json]\n\n"
        "Has a running weir start its program anew, from the same path and with the same arguments, as "
        "SIGUSR2 does: the\n"
        "new process takes over the listening sockets, and the old one ends when what it had begun has "
        "(`timeouts:\n"
        "{drain}`). If the new one does not come to that, for whatever reason, the old one goes on, and it "
        "is said why.\n",
    .options = options,
    .notes =
        "Exit codes: 0 the new process carries traffic, 64 wrong usage, 69 weir is not reached, 70 the old "
        "one goes on,\n77 wrong token.\n",
};

/* A reason may have several lines. */
static void tell_refusal(const struct conf_node *problem)
{
    const char *reason = document_text(problem, "detail");
    bool is_ended = *reason && reason[strlen(reason) - 1] == '\n';
    fprintf(stderr, "weir upgrade: nothing has changed: %s%s", reason, is_ended ? "" : "\n");
}

static int tell(struct slice text, int code, bool is_json)
{
    struct conf_tree tree;
    struct err err;
    if (document_read(&tree, text, &err) < 0) {
        fprintf(stderr, "weir upgrade: %s\n", err.text);
        return EX_PROTOCOL;
    }
    if (code == EX_DATAERR) {
        tell_refusal(tree.root);
        code = EX_SOFTWARE;
    } else if (is_json) {
        code = document_print(text, stdout);
    } else {
        printf("Process %s has taken over; process %s ends when what it had begun has.\n",
               document_text(tree.root, "pid"), document_text(tree.root, "predecessor"));
    }
    conf_tree_free(&tree);
    return code;
}

int upgrade_command(int argc, char **argv)
{
    struct upgrade_command_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    char *text = NULL;
    size_t len = 0;
    int code = options_parse(&upgrade_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    const struct api_request rq = {
        .method = HTTP_POST, .path = "/api/v1/upgrade", .wait_ms = WAIT_MS, .keeps_problem = true
    };
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) code = api_client_ask(&to, &rq, &text, &len, &err);
    if (text)
        code = tell((struct slice){ text, len }, code, o.is_json);
    else
        fprintf(stderr, "weir upgrade: %s\n", err.text);
    free(text);
    return code;
}
