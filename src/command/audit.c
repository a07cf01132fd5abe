#include "command/audit.h"

#include <stdlib.h>
#include <sysexits.h>

#include "base/printable.h"
#include "base/text.h"
#include "command/api_client.h"
#include "command/document.h"

struct audit_options {
    struct api_options api;
    bool is_json;
};

#define ROW(member) .offset = offsetof(struct audit_options, member)

static const struct option_row options[] = {
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "what the API says" },
    OPTION_API(struct audit_options, api),
    { 0 },
};

const struct syntax audit_syntax = {
    .command = "audit",
    .usage =
        "audit [--json] [OPTION]...\n\n"
        "Who changed what of a running weir, the oldest first: by the API, a command or a signal; also what "
        "was refused.\n"
        "Weir keeps the latest 512, and with `state:` in its configuration all in audit.log there.\n",
    .options = options,
    .notes = "Exit codes: 0 told, 64 wrong usage, 69 weir is not reached, 77 wrong token.\n",
};

static void show(const struct conf_node *e)
{
    char line[1024];
    struct text t = text_over(line, sizeof(line));
    const char *from = document_text(e, "from_generation"), *to = document_text(e, "to_generation");
    const char *by = document_text(e, "by");
    text_printf(&t, "%s  %-7s  %s (%s, %s)  %s", document_text(e, "time"), document_text(e, "outcome"),
                document_text(e, "who"), strcmp(by, "nothing") == 0 ? "no token" : by,
                document_text(e, "peer"), document_text(e, "what"));
    if (document_get(e, "detail") && strcmp(document_text(e, "detail"), "-") != 0)
        text_printf(&t, "  %s", document_text(e, "detail"));
    if (strcmp(from, to) != 0) text_printf(&t, "  generation %s to %s", from, to);
    text_cstr(&t);
    printable_mask(line);
    puts(line);
}

static int print_trail(const struct audit_options *o, struct slice answer, struct err *err)
{
    struct conf_tree tree;
    const struct conf_node *rows[512];
    uint32_t count = 0;
    if (o->is_json) return document_print(answer, stdout);
    if (document_read(&tree, answer, err) < 0) return EX_PROTOCOL;
    const struct conf_node *entries = document_get(tree.root, "entries");
    for (const struct conf_node *n = entries ? entries->first_child : NULL; n && count < 512; n = n->next)
        rows[count++] = n;
    while (count--) show(rows[count]);
    conf_tree_free(&tree);
    return fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}

int audit_command(int argc, char **argv)
{
    struct audit_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    char *answer = NULL;
    size_t len = 0;
    const struct api_request rq = { .method = HTTP_GET, .path = "/api/v1/audit/trail?limit=512" };
    int code = options_parse(&audit_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) code = api_client_ask(&to, &rq, &answer, &len, &err);
    if (code == EX_OK) code = print_trail(&o, (struct slice){ answer, len }, &err);
    free(answer);
    if (code != EX_OK && *err.text) fprintf(stderr, "weir audit: %s\n", err.text);
    return code;
}
