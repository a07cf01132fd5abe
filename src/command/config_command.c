#include "command/config_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/document.h"
#include "command/reload_report.h"
#include "command/table.h"

#define GENERATIONS "/api/v1/config/generations"

struct config_options {
    struct api_options api;
    bool is_dry, is_json;
    const char *verb;
    unsigned long numbers[2];
    int count;
};

static const struct option_row options[] = {
    { OPTION_FLAG, .name = "dry-run", .offset = offsetof(struct config_options, is_dry),
      .help = "only say what would change" },
    OPTION_JSON(struct config_options, is_json),
    OPTION_API(struct config_options, api),
    { 0 },
};

const struct syntax config_syntax = {
    .command = "config",
    .usage =
        "config history [--json]\n"
        "       weir config diff [A] [B] [--json]\n"
        "       weir config rollback N [--dry-run] [--json]\n\n"
        "Configurations that were in force, which a weir with `state:` keeps. history lists them; diff says "
        "what B changes\n"
        "of A: B is the one in force and A the one before it, unless given; rollback puts generation N in "
        "force again, and\n"
        "keeps it over restarts until the file changes.\n",
    .options = options,
    .notes = "Exit codes: 0 done, 64 wrong usage, 65 there is no such generation, 69 weir is not reached, 77 "
             "wrong "
             "token, 78 it is\nrefused.\n",
};

static int take_words(const struct words *words, struct config_options *o)
{
    static const struct {
        const char *name;
        int min, max;
    } verbs[] = { { "history", 0, 0 }, { "diff", 0, 2 }, { "rollback", 1, 1 } };
    if (!words->count) return options_fault(&config_syntax, "history, diff or rollback?");
    o->verb = words->items[0];
    int given = words->count - 1;
    size_t i = 0, count = sizeof(verbs) / sizeof(*verbs);
    while (i < count && strcmp(verbs[i].name, o->verb) != 0) i++;
    if (i == count) return options_fault(&config_syntax, "there are history, diff and rollback");
    if (given < verbs[i].min)
        return options_fault(&config_syntax, "which generation? `weir config history` lists them");
    if (given > verbs[i].max) return options_fault(&config_syntax, "that is a word too many");
    for (int at = 1; at < words->count; at++) {
        const char *word = words->items[at];
        char *end;
        unsigned long number = strtoul(word, &end, 10);
        if (*word < '1' || *word > '9' || *end || number > UINT32_MAX)
            return options_fault(&config_syntax, "a generation is a number from 1");
        o->numbers[o->count++] = number;
    }
    return EX_OK;
}

/* What is kept, as weir lists it. */
struct history {
    struct conf_tree tree;
    char *text;
    size_t len;
    const struct conf_node *generations;
};

static int ask_history(const struct api_target *to, struct history *h)
{
    struct err err = { "" };
    const struct api_request rq = { .method = HTTP_GET, .path = GENERATIONS };
    *h = (struct history){ 0 };
    int code = api_client_ask(to, &rq, &h->text, &h->len, &err);
    if (code == EX_OK && document_read(&h->tree, (struct slice){ h->text, h->len }, &err) < 0)
        code = EX_PROTOCOL;
    if (code == EX_OK) h->generations = document_get(h->tree.root, "generations");
    if (code != EX_OK) fprintf(stderr, "weir config: %s\n", err.text);
    return code;
}

static void history_free(struct history *h)
{
    conf_tree_free(&h->tree);
    free(h->text);
}

static int print_history(const struct history *h, bool is_json)
{
    struct table t;
    if (is_json) return document_print((struct slice){ h->text, h->len }, stdout);
    table_init(&t, 4, 1);
    for (const struct conf_node *n = h->generations ? h->generations->first_child : NULL; n; n = n->next) {
        table_add(&t, "%s", document_text(n, "generation"));
        table_add(&t, "%s", document_text(n, "at"));
        table_add(&t, "%s", document_text(n, "by"));
        table_add(&t, "%s", document_is_true(n, "in_force") ? "in force" : "");
    }
    int result = table_print(&t, stdout);
    table_fini(&t);
    return result < 0 ? EX_IOERR : EX_OK;
}

/* The list has the newest first. 0: there is none. */
static unsigned long number_at(const struct history *h, unsigned long before)
{
    for (const struct conf_node *n = h->generations ? h->generations->first_child : NULL; n; n = n->next) {
        double number = document_number(n, "generation");
        if (number >= 1 && number < (double)before) return (unsigned long)number;
    }
    return 0;
}

static int compare(const struct api_target *to, const struct api_request *rq, unsigned long before,
                   unsigned long after)
{
    char what[96], *text = NULL;
    size_t len = 0;
    struct err err = { "" };
    struct conf_tree tree;
    snprintf(what, sizeof(what), "What generation %lu changes of generation %lu", after, before);
    int code = api_client_ask(to, rq, &text, &len, &err);
    if (code == EX_OK && document_read(&tree, (struct slice){ text, len }, &err) < 0) {
        code = EX_PROTOCOL;
    } else if (code == EX_OK) {
        code = reload_report_compare(what, tree.root, stdout);
        if (code != EX_OK) err_set(&err, "the answer is of another version of weir");
        conf_tree_free(&tree);
    }
    if (code != EX_OK) fprintf(stderr, "weir config: %s\n", err.text);
    free(text);
    return code;
}

static int diff(const struct api_target *to, struct config_options *o, const struct history *h)
{
    char path[128];
    unsigned long after = o->count == 2 ? o->numbers[1] : number_at(h, (unsigned long)UINT32_MAX + 1);
    unsigned long before = o->count ? o->numbers[0] : number_at(h, after);
    if (!after || !before) {
        puts("There is one generation, and nothing to compare it with.");
        return EX_OK;
    }
    snprintf(path, sizeof(path), GENERATIONS "/%lu?against=%lu", after, before);
    const struct api_request rq = { .method = HTTP_GET, .path = path };
    if (o->is_json) return reload_report_ask("config", to, &rq, true);
    return compare(to, &rq, before, after);
}

static int rollback(const struct api_target *to, const struct config_options *o)
{
    char body[64];
    int len = snprintf(body, sizeof(body), "{\"generation\": %lu}", o->numbers[0]);
    const struct api_request rq = { .method = HTTP_POST,
                                    .path = o->is_dry ? "/api/v1/config/rollback?dry_run=true"
                                                      : "/api/v1/config/rollback",
                                    .body = { body, (size_t)len } };
    return reload_report_ask("config", to, &rq, o->is_json);
}

int config_command(int argc, char **argv)
{
    struct config_options o = { 0 };
    struct api_target to;
    struct history h;
    struct err err = { "" };
    struct words words;
    int code = options_parse(&config_syntax, argc, argv, &o, &words);
    if (code == EX_OK) code = take_words(&words, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = api_target_find(&o.api, &to, &err);
    if (code != EX_OK) {
        fprintf(stderr, "weir config: %s\n", err.text);
        return code;
    }
    if (strcmp(o.verb, "rollback") == 0) return rollback(&to, &o);
    code = ask_history(&to, &h);
    if (code == EX_OK) code = strcmp(o.verb, "diff") == 0 ? diff(&to, &o, &h) : print_history(&h, o.is_json);
    history_free(&h);
    return code;
}
