#include "command/check.h"

#include <stdlib.h>
#include <sysexits.h>

#include "command/check_names.h"
#include "command/check_report.h"
#include "command/reload_report.h"
#include "control/config.h"
#include "logs/source.h"
#include "self/privileges.h"

struct check_options {
    const char *path;
    struct api_options api;
    bool is_against_running, is_json;
};

static const struct option_row options[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE", .offset = offsetof(struct check_options, path),
      .help = "the configuration" },
    { OPTION_FLAG, .name = "against-running", .offset = offsetof(struct check_options, is_against_running),
      .help = "say what it would change of a running weir; nothing changes there" },
    { OPTION_FLAG, .name = "json", .offset = offsetof(struct check_options, is_json),
      .help = "every mistake and warning as JSON, on stdout, for other programs" },
    { OPTION_TITLE, .help = "of which weir, unless the file says it:" },
    { OPTION_GROUP, .group = api_address_rows, .offset = offsetof(struct check_options, api) },
    { 0 },
};

const struct syntax check_syntax = {
    .command = "check",
    .usage = "check [-c] FILE [--against-running | --json]\n",
    .options = options,
    .notes =
        "Exit codes: 0 correct, 69 weir is not reached, 78 mistakes: each on stderr as "
        "file:line:column, with "
        "the line and\na remedy.\n"
        "What is correct and yet hardly meant is said there too, as a warning.\n"
        "--json has file, line, column, key (a JSON Pointer), detail and remedy of each, and asks for no "
        "name.\n"
        "Names and files in pools are asked for: what they lead to now is said, or why they cannot be asked, "
        "which is no\nmistake of the file.\n",
};

/* A mistake of a log source, by its name. */
static void say_source(struct check_report *report, const char *path, const char *name, const char *text)
{
    char key[256];
    if (!report) {
        fprintf(stderr, "weir check: %s: log source \"%s\": %s\n", path, name, text);
        return;
    }
    snprintf(key, sizeof(key), "/logs/sources/%s", name);
    check_report_add(report, CHECK_MISTAKE, key, text);
}

/* What the file leads to and does not say itself: nginx's configuration, for the format of a log. `report`: NULL: mistakes go to
 * stderr. */
static int check_logs(const struct config *config, const char *path, struct check_report *report)
{
    struct log_format *format = malloc(sizeof(*format));
    const struct source_conf *sources = config->logs ? config->logs->sources.data : NULL;
    int code = format ? EX_OK : EX_OSERR;
    for (uint32_t i = 0; code != EX_OSERR && sources && i < config->logs->sources.count; i++) {
        struct err err;
        if (source_find_format(&sources[i], format, &err) == 0) continue;
        say_source(report, path, sources[i].name, err.text);
        code = EX_CONFIG;
    }
    free(format);
    return code;
}

/* On another host than that where weir is to run this may be as it should be. */
static void check_user(const struct config *config, const char *path, struct check_report *report)
{
    struct err err;
    if (!config->user || privileges_look_for(config->user, &err) == 0) return;
    if (report)
        check_report_add(report, CHECK_WARNING, "/user", err.text);
    else
        fprintf(stderr, "%s: warning: %s\n", path, err.text);
}

static int check_as_json(const char *path)
{
    struct check_report report;
    struct config *config = NULL;
    struct err err = { "" };
    char *faults = NULL;
    check_report_init(&report, path);
    const struct config_listener to = { check_report_faults, check_report_notes, &report };
    int result = config_load_told(&config, path, &to, &faults, &err);
    if (result < 0 && !report.counts[CHECK_MISTAKE])
        check_report_add(&report, CHECK_MISTAKE, NULL,
                         faults      ? faults
                         : *err.text ? err.text
                                     : CONFIG_NO_MEMORY);
    int code = EX_OK;
    if (result == 0) {
        check_user(config, path, &report);
        code = check_logs(config, path, &report);
    }
    int said = check_report_end(&report, config);
    free(faults);
    config_free(config);
    return code == EX_OSERR ? code : said;
}

/* What weir would change, if it got the file as it is. */
static int check_against_running(const char *path, const struct api_options *api)
{
    struct api_target to;
    struct err err = { "" };
    char *text = NULL, *faults = NULL;
    size_t len = 0;
    struct api_request rq = { .method = HTTP_PUT, .path = "/api/v1/config?dry_run=true", .is_text = true };
    int code = api_target_find(api, &to, &err);
    if (code == EX_OK && config_gather(path, &text, &len, &faults, &err) < 0) code = EX_CONFIG;
    rq.body = (struct slice){ text, len };
    if (code == EX_OK)
        code = reload_report_ask("check", &to, &rq, false);
    else
        fprintf(stderr, "weir check: %s\n", err.text);
    config_text_free(text, len);
    free(faults); /* it was read without any a moment ago */
    return code;
}

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_check(int argc, char **argv, struct check_options *o)
{
    struct words words;
    int code = options_parse(&check_syntax, argc, argv, o, &words);
    if (code != EX_OK) return code;
    bool is_word = !o->path && words.count;
    if (is_word) o->path = words.items[0];
    code = options_too_many(&check_syntax, &words, is_word);
    if (code != EX_OK) return code;
    if (!o->path) return options_fault(&check_syntax, "which file?");
    if (o->is_json && o->is_against_running)
        return options_fault(&check_syntax, "--json and --against-running are two questions");
    if (!o->is_against_running && (o->api.admin || o->api.token))
        return options_fault(&check_syntax, "%s says which weir --against-running asks",
                             o->api.admin ? "--admin" : "--token");
    return EX_OK;
}

int check_command(int argc, char **argv)
{
    struct check_options o = { 0 };
    struct config *config = NULL;
    struct config_notes notes;
    int code = parse_check(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (o.is_json) return check_as_json(o.path);
    code = config_load_noted_or_say(&config, o.path, "check", &notes);
    if (code != EX_OK) return code;
    if (notes.text) fputs(notes.text, stderr);
    config_notes_free(&notes);
    check_user(config, o.path, NULL);
    code = check_logs(config, o.path, NULL);
    if (code == EX_OK)
        printf("%s is correct: %u listener%s, %u pool%s\n", o.path, config->proxy.listeners.count,
               config->proxy.listeners.count == 1 ? "" : "s", config->proxy.pools.count,
               config->proxy.pools.count == 1 ? "" : "s");
    if (code == EX_OK) check_names_say(config);
    config_free(config);
    o.api.config = o.path;
    return code == EX_OK && o.is_against_running ? check_against_running(o.path, &o.api) : code;
}
