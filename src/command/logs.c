#include "command/logs.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/quantity.h"
#include "command/logs_follow.h"
#include "command/logs_run.h"

/* What a command can write, a bit for each enum logs_output. */
#define OUTPUTS_OF_REPORTS (1u << LOGS_TEXT | 1u << LOGS_JSON)
#define OUTPUTS_OF_LINES (1u << LOGS_TEXT)
#define OUTPUTS_OF_ADDRESSES ((1u << LOGS_OUTPUTS) - 1)

static const char *const output_names[] = { "", "txt", "json", "csv", "nft", "nginx-deny", "weir" };

static const struct {
    const char *name;
    int (*run)(const struct logs_options *o);
    unsigned outputs;
} actions[] = {
    { "stats", logs_stats, OUTPUTS_OF_REPORTS }, { "ips", logs_ips, OUTPUTS_OF_ADDRESSES },
    { "slow", logs_slow, OUTPUTS_OF_REPORTS },   { "errors", logs_errors, OUTPUTS_OF_REPORTS },
    { "paths", logs_paths, OUTPUTS_OF_REPORTS }, { "grep", logs_grep, OUTPUTS_OF_LINES },
    { "why", logs_why, OUTPUTS_OF_REPORTS },
};

/* options */

/* "2026-03-12T10:00:00Z", seconds since 1970, or "10m": so long ago. */
static int parse_moment(const char *text, uint64_t *out_s, struct err *err)
{
    uint64_t ms;
    struct slice s = slice_of(text);
    *out_s = entry_time_iso_s(s);
    if (*out_s || entry_u64(s, out_s)) return 0;
    if (quantity_parse_ms(s, &ms, err) < 0)
        return err_set(err, " is no moment; write one like 2026-03-12T10:00:00Z, or 10m for ten minutes ago");
    uint64_t now_s = clock_wall_ns() / NS_PER_S, ago_s = ms / 1000;
    *out_s = ago_s < now_s ? now_s - ago_s : 1; /* 0 is for what is not given */
    return 0;
}

static int take_since(void *target, const char *text, struct err *err)
{
    struct logs_options *o = target;
    return parse_moment(text, &o->from_s, err);
}

static int take_until(void *target, const char *text, struct err *err)
{
    struct logs_options *o = target;
    return parse_moment(text, &o->to_s, err);
}

/* "/24,/64" */
static int take_group(void *target, const char *text, struct err *err)
{
    struct logs_options *o = target;
    char *end = NULL;
    unsigned long v4 = 32, v6 = 128;
    const char *p = text;
    if (*p == '/') {
        v4 = strtoul(p + 1, &end, 10);
        p = end;
        if (*p == ',' && p[1] == '/') {
            v6 = strtoul(p + 2, &end, 10);
            p = end;
        }
    }
    if (*p || v4 < 1 || v4 > 32 || v6 < 1 || v6 > 128)
        return err_set(err, " is no pair of prefix lengths; write /24,/64");
    o->v4_bits = (unsigned)v4;
    o->v6_bits = (unsigned)v6;
    return 0;
}

/* "client", "xff", "xff:-1", "xff:0" */
static int take_field(void *target, const char *text, struct err *err)
{
    struct logs_options *o = target;
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    struct slice name = { text, len };
    char *end = NULL;
    o->client = slice_equal(name, SLICE("xff")) ? LOG_XFF : LOG_CLIENT;
    o->field_at = -1;
    if (colon) o->field_at = (int)strtol(colon + 1, &end, 10);
    bool is_known = o->client == LOG_XFF || slice_equal(name, SLICE("client"));
    if (is_known && (!colon || (*end == 0 && end != colon + 1))) return 0;
    return err_set(err, " is none; write client, or xff:-1 for the last address of X-Forwarded-For");
}

static int take_slow(void *target, const char *text, struct err *err)
{
    struct logs_options *o = target;
    return quantity_parse_ms(slice_of(text), &o->slow_ms, err);
}

#define ROW(member) .offset = offsetof(struct logs_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, .name = "log-format", .argument = "F", ROW(log_format),
      .help = "what the log looks like: combined, json, auto (the preset), or a log_format's text" },
    { OPTION_TEXT, .name = "nginx-conf", .argument = "FILE", ROW(nginx_conf),
      .help = "take the format from nginx's own configuration" },
    { OPTION_TEXT, .name = "where", .argument = "EXPRESSION", ROW(where),
      .help = "only these: 'status>=500 && path~\"^/login\"'" },
    { OPTION_TAKE, .name = "since", .argument = "T", .take = take_since,
      .help = "only from then: 2026-03-12T10:00:00Z, or 10m ago; logs are taken to be sorted by time, to\n"
              "within a minute, and are not read before and after" },
    { OPTION_TAKE, .name = "until", .argument = "T", .take = take_until, .help = "only until then" },
    { OPTION_U32, .name = "top", .argument = "N", ROW(top), .min = 1, .max = 1000,
      .help = "how many of each" },
    { OPTION_TEXT, .name = "format", .argument = "FORM", ROW(output_name),
      .help = "what to write: txt or json; of ips also csv, nft, nginx-deny, weir" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "the same as --format json" },
    { OPTION_FLAG, .name = "quiet", ROW(is_quiet), .help = "no progress on a terminal" },
    { OPTION_TITLE, .help = "ips (its txt is addresses alone; nft, nginx-deny and weir are what nft, nginx "
                            "and weir's gate read):" },
    { OPTION_TAKE, .name = "group", .argument = "/24,/64", .take = take_group, .help = "by networks" },
    { OPTION_TAKE, .name = "field", .argument = "xff:-1", .take = take_field,
      .help = "the last address of X-Forwarded-For instead of the client's" },
    { OPTION_U64, .name = "min", .argument = "N", ROW(min), .min = 1, .max = 9e15,
      .help = "only those with N records or more" },
    { OPTION_TITLE, .help = "why:" },
    { OPTION_TEXTS, .name = "error-log", .argument = "FILE",
      .offset = offsetof(struct logs_options, error_logs),
      .count_at = offsetof(struct logs_options, error_log_count), .max = LOGS_ERROR_LOGS_MAX,
      .help = "nginx's error log of the same time; may be given again, and is known among the files, too" },
    { OPTION_TAKE, .name = "slow", .argument = "T", .take = take_slow,
      .help = "a request that takes so long is slow: 1s is the preset" },
    { OPTION_FLAG, .name = "follow", ROW(is_following),
      .help = "tell each fault as it comes, of files as they grow and are rotated, until interrupted" },
    { 0 },
};

static const struct syntax *const subs[] = { &logs_follow_syntax, NULL };

const struct syntax logs_syntax = {
    .command = "logs",
    .usage = "logs stats|ips|slow|errors|paths|grep|why [OPTION]... FILE...\n"
             "       weir logs follow SOURCE [OPTION]...\n\n"
             "Reads nginx's logs: plain, .gz or .zst; - is standard input.\n\n"
             "  stats    everything in figures\n"
             "  ips      the clients' addresses, the most frequent first\n"
             "  slow     the slowest requests\n"
             "  errors   paths with a 5xx, the most frequent first\n"
             "  paths    paths, with numbers and ids folded\n"
             "  grep     the lines that --where takes\n"
             "  why      what went wrong: faults by name, with the evidence and what to do; of what --where "
             "takes,\n"
             "           if that is one request or a few, the whole story of each\n"
             "  follow   records as they come, of a log that a running weir watches; it has its own --help\n",
    .options = options,
    .subs = subs,
};

static int find_output(struct logs_options *o, unsigned outputs)
{
    char names[64];
    struct text t = text_over(names, sizeof(names));
    if (o->is_json) o->output_name = output_names[LOGS_JSON];
    if (!o->output_name) return EX_OK;
    for (unsigned i = LOGS_TEXT; i < LOGS_OUTPUTS; i++) {
        if (!(outputs & 1u << i)) continue;
        if (strcmp(o->output_name, output_names[i]) == 0) {
            o->output = (enum logs_output)i;
            return EX_OK;
        }
        text_printf(&t, "%s%s", t.len ? ", " : "", output_names[i]);
    }
    return options_fault(&logs_syntax,
                         "--format %s is not among what this writes: %s; what a log looks like is said by "
                         "--log-format",
                         o->output_name, text_cstr(&t));
}

static int act(unsigned i, const struct words *words, struct logs_options *o)
{
    int code = find_output(o, actions[i].outputs);
    if (code != EX_OK) return code;
    o->files = words->items + 1;
    o->file_count = words->count - 1;
    if (o->to_s && o->from_s > o->to_s)
        return options_fault(&logs_syntax, "--until is before --since: nothing lies between them");
    if (!o->file_count && !o->error_log_count)
        return options_fault(&logs_syntax, "no file is given; - is standard input");
    if (o->is_following && actions[i].run != logs_why)
        return options_fault(&logs_syntax,
                             "--follow is of why; `weir logs follow FILE` shows records as they come");
    if (o->is_following && (o->output == LOGS_JSON || o->from_s || o->to_s || o->top))
        return options_fault(&logs_syntax,
                             "--follow tells what comes from now on, for people: leave out --json, "
                             "--since, --until and --top");
    if (actions[i].run == logs_grep && !o->where)
        return options_fault(&logs_syntax, "grep needs --where EXPRESSION");
    return actions[i].run(o);
}

#define ACTIONS "stats, ips, slow, errors, paths, grep, why or follow"

int logs_command(int argc, char **argv)
{
    struct logs_options o = { .v4_bits = 32, .v6_bits = 128, .client = LOG_CLIENT };
    struct words words;
    if (argc > 1 && strcmp(argv[1], "follow") == 0) return logs_follow(argc - 1, argv + 1);
    int code = options_parse(&logs_syntax, argc, argv, &o, &words);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (!words.count) return options_fault(&logs_syntax, "say what is wanted: " ACTIONS);
    for (unsigned i = 0; i < sizeof(actions) / sizeof(*actions); i++)
        if (strcmp(words.items[0], actions[i].name) == 0) return act(i, &words, &o);
    return options_fault(&logs_syntax, "what is \"%s\"? write " ACTIONS, words.items[0]);
}
