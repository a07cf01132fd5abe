#include "command/maintenance_command.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/json.h"
#include "command/document.h"
#include "command/reload_report.h"
#include "command/table.h"

#define PLACE "/api/v1/maintenance"
#define BODY_MAX 1024

struct maintenance_options {
    struct api_options api;
    bool is_dry, is_json;
};

static const struct option_row options[] = {
    { OPTION_FLAG, .name = "dry-run", .offset = offsetof(struct maintenance_options, is_dry),
      .help = "only say what would change" },
    OPTION_JSON(struct maintenance_options, is_json),
    OPTION_API(struct maintenance_options, api),
    { 0 },
};

const struct syntax maintenance_syntax = {
    .command = "maintenance",
    .usage = "maintenance [on | off] [LISTENER [ROUTE]] [--dry-run] [--json]\n\n"
             "Puts a route, a listener, or all that speak HTTP out for maintenance, or back: clients get "
             "503, but for\n"
             "those whom `maintenance: {allow: …}` names. What they are told is in the configuration. "
             "Without on or off\n"
             "it says what is out. With `state:` it is kept over restarts until the file changes.\n",
    .options = options,
    .notes =
        "Exit codes: 0 done, 64 wrong usage, 65 there is no such listener or route, 69 weir is not reached,\n"
        "77 wrong token, 78 it is refused.\n",
};

/* A listener that is out takes its routes with it, whatever is said of them. */
static bool is_out(const struct conf_node *list, const char *listener)
{
    for (const struct conf_node *n = list ? list->first_child : NULL; n; n = n->next)
        if (!document_get(n, "route") && strcmp(document_text(n, "listener"), listener) == 0)
            return document_is_true(n, "enabled");
    return false;
}

static int tell(struct slice text)
{
    struct conf_tree tree;
    struct table t;
    struct err err;
    if (document_read(&tree, text, &err) < 0) {
        fprintf(stderr, "weir maintenance: %s\n", err.text);
        return EX_PROTOCOL;
    }
    table_init(&t, 3, 0);
    const struct conf_node *list = document_get(tree.root, "maintenance");
    for (const struct conf_node *n = list ? list->first_child : NULL; n; n = n->next) {
        const char *route = document_text(n, "route");
        table_add(&t, "%s", document_text(n, "listener"));
        table_add(&t, "%s", strcmp(route, "-") == 0 ? "" : route);
        if (document_is_true(n, "enabled"))
            table_add(&t, "out for maintenance");
        else
            table_add(&t, "%s",
                      is_out(list, document_text(n, "listener")) ? "out with its listener" : "served");
    }
    int result = table_print(&t, stdout);
    table_fini(&t);
    conf_tree_free(&tree);
    return result < 0 ? EX_IOERR : EX_OK;
}

static int list(const struct api_target *to, bool is_json)
{
    struct err err = { "" };
    char *text = NULL;
    size_t len = 0;
    const struct api_request rq = { .method = HTTP_GET, .path = PLACE };
    int code = api_client_ask(to, &rq, &text, &len, &err);
    struct slice whole = { text, len };
    if (code == EX_OK)
        code = is_json ? document_print(whole, stdout) : tell(whole);
    else
        fprintf(stderr, "weir maintenance: %s\n", err.text);
    free(text);
    return code;
}

/* Beginning with "on" or "off". */
static int change(const struct api_target *to, const struct maintenance_options *o, const struct words *words)
{
    static const char *const keys[] = { NULL, "listener", "route" };
    struct json j;
    json_init(&j, BODY_MAX, false);
    json_object(&j);
    json_key(&j, "enabled");
    json_bool(&j, strcmp(words->items[0], "on") == 0);
    for (int i = 1; i < words->count && i < 3; i++) {
        json_key(&j, keys[i]);
        json_string(&j, words->items[i]);
    }
    json_object_end(&j);
    const struct api_request rq = { .method = HTTP_PATCH,
                                    .path = o->is_dry ? PLACE "?dry_run=true" : PLACE,
                                    .body = { j.data, j.len } };
    int code = j.is_failed ? options_fault(&maintenance_syntax, "no listener or route has a name so long")
                           : reload_report_ask("maintenance", to, &rq, o->is_json);
    json_fini(&j);
    return code;
}

static int check_words(const struct words *words)
{
    bool is_known = !words->count || strcmp(words->items[0], "on") == 0 ||
                    strcmp(words->items[0], "off") == 0;
    if (!is_known) return options_fault(&maintenance_syntax, "on or off?");
    return words->count > 3 ? options_too_many(&maintenance_syntax, words, 3) : EX_OK;
}

int maintenance_command(int argc, char **argv)
{
    struct maintenance_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    struct words words = { 0 };
    int code = options_parse(&maintenance_syntax, argc, argv, &o, &words);
    if (code == EX_OK) code = check_words(&words);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) return words.count ? change(&to, &o, &words) : list(&to, o.is_json);
    fprintf(stderr, "weir maintenance: %s\n", err.text);
    return code;
}
