#include "command/config_command.h"

#include <getopt.h>
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

const char config_help[] =
    "Usage: weir config history [--json]\n"
    "       weir config diff [A] [B] [--json]\n"
    "       weir config rollback N [--dry-run] [--json]\n\n"
    "Configurations that were in force, which a weir with `state:` keeps. history lists them; diff says what "
    "B changes\n"
    "of A: B is the one in force and A the one before it, unless given; rollback puts generation N in force "
    "again, and\n"
    "keeps it over restarts until the file changes.\n\n"
    "      --dry-run         only say what would change\n"
    "      --json            the answer as JSON\n"
    "  -c, --config FILE     the configuration, for the admin address and the token\n"
    "      --admin ADDR      the admin address; 127.0.0.1:9091 if nothing says another\n"
    "      --token TOKEN     the admin token; or WEIR_TOKEN\n\n"
    "Exit codes: 0 done, 64 wrong usage, 65 there is no such generation, 69 weir is not reached, 77 wrong "
    "token, 78 it "
    "is\nrefused.\n";

static int usage_fault(const char *text)
{
    fprintf(stderr, "weir config: %s\nTry: weir config --help\n", text);
    return EX_USAGE;
}

static int parse_words(int argc, char **argv, struct config_options *o)
{
    static const struct {
        const char *name;
        int min, max;
    } verbs[] = { { "history", 0, 0 }, { "diff", 0, 2 }, { "rollback", 1, 1 } };
    if (optind == argc) return usage_fault("history, diff or rollback?");
    o->verb = argv[optind++];
    size_t i = 0, count = sizeof(verbs) / sizeof(*verbs);
    while (i < count && strcmp(verbs[i].name, o->verb) != 0) i++;
    if (i == count) return usage_fault("there are history, diff and rollback");
    if (argc - optind < verbs[i].min)
        return usage_fault("which generation? `weir config history` lists them");
    if (argc - optind > verbs[i].max) return usage_fault("that is a word too many");
    for (; optind < argc; optind++) {
        char *end;
        unsigned long number = strtoul(argv[optind], &end, 10);
        if (*argv[optind] < '1' || *argv[optind] > '9' || *end || number > UINT32_MAX)
            return usage_fault("a generation is a number from 1");
        o->numbers[o->count++] = number;
    }
    return EX_OK;
}

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, struct config_options *o)
{
    static const struct option options[] = {
        { "dry-run", no_argument, NULL, 'd' },
        { "json", no_argument, NULL, 'j' },
        { "config", required_argument, NULL, 'c' },
        { "admin", required_argument, NULL, 'a' },
        { "token", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'd': o->is_dry = true; break;
        case 'j': o->is_json = true; break;
        case 'c': o->api.config = optarg; break;
        case 'a': o->api.admin = optarg; break;
        case 't': o->api.token = optarg; break;
        case 'h': fputs(config_help, stdout); return -1;
        default: return usage_fault("what is meant?");
        }
    }
    return parse_words(argc, argv, o);
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
    return reload_report_ask("config", to, &rq, o->is_json);
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
    int code = parse_options(argc, argv, &o);
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
