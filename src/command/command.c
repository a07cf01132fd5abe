#include "command/command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "command/config_command.h"
#include "command/demo.h"
#include "command/doctor.h"
#include "command/dump.h"
#include "command/explain.h"
#include "command/flame.h"
#include "command/leaks.h"
#include "command/logs.h"
#include "command/perf.h"
#include "command/postmortem.h"
#include "command/reload_command.h"
#include "command/reload_report.h"
#include "command/simulate.h"
#include "command/split_report.h"
#include "conf/decode.h"
#include "control/config.h"
#include "control/run.h"
#include "control/start.h"
#include "control/version.h"
#include "logs/source.h"

#define SERVERS_MAX 1024
#define TEXT_MAX (256u << 10)

static int usage_fault(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int usage_fault(const char *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "weir %s: ", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: weir %s --help\n", command);
    return EX_USAGE;
}

const struct command *command_by_name(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

static int print_help(const char *name)
{
    fputs(command_by_name(name)->help, stdout);
    return EX_OK;
}

/* run */

struct run_options {
    const char *config, *listen, *admin, *workers;
    const char *to[SERVERS_MAX];
    uint32_t to_count;
    bool is_tcp;
};

static int check_address(const char *option, const char *text, bool any_host)
{
    struct address address;
    struct err err;
    if (address_parse(slice_of(text), any_host, &address, &err) == 0) return 0;
    fprintf(stderr, "weir run: %s %s: %s\n", option, text, err.text);
    return -1;
}

/* The options as the file that they stand for, and where in it each has its value: a line of its own, as the text is
 * indented. */
struct options_text {
    struct json json;
    uint32_t count;
    struct {
        const char *option, *value;
        size_t end; /* of the value in the text */
    } places[SERVERS_MAX + 3];
};

static void add_option(struct options_text *t, const char *option, const char *value)
{
    if (strcmp(option, "--workers") == 0)
        json_raw(&t->json, slice_of(value));
    else
        json_string(&t->json, value);
    t->places[t->count].option = option;
    t->places[t->count].value = value;
    t->places[t->count++].end = t->json.len;
}

static void add_listener(struct options_text *t, const struct run_options *o)
{
    struct json *j = &t->json;
    json_key(j, "listeners");
    json_object(j);
    json_key(j, "default");
    json_object(j);
    json_key(j, "bind");
    add_option(t, "--listen", o->listen);
    json_key(j, "protocol");
    json_string(j, o->is_tcp ? "tcp" : "http");
    json_key(j, "pool");
    json_string(j, "default");
    json_object_end(j);
    json_object_end(j);
}

static void add_pool(struct options_text *t, const struct run_options *o)
{
    struct json *j = &t->json;
    json_key(j, "pools");
    json_object(j);
    json_key(j, "default");
    json_object(j);
    json_key(j, "servers");
    json_array(j);
    for (uint32_t i = 0; i < o->to_count; i++) add_option(t, "--to", o->to[i]);
    json_array_end(j);
    json_object_end(j);
    json_object_end(j);
}

static void write_options(struct options_text *t, const struct run_options *o)
{
    struct json *j = &t->json;
    json_init(j, TEXT_MAX, true);
    json_object(j);
    add_listener(t, o);
    add_pool(t, o);
    if (o->admin) {
        json_key(j, "admin");
        json_object(j);
        json_key(j, "bind");
        add_option(t, "--admin", o->admin);
        json_object_end(j);
    }
    if (o->workers) {
        json_key(j, "workers");
        add_option(t, "--workers", o->workers);
    }
    json_object_end(j);
}

static uint32_t line_of(const struct options_text *t, size_t offset)
{
    uint32_t line = 1;
    for (size_t i = 0; i < offset; i++) line += t->json.data[i] == '\n';
    return line;
}

static void say_fault(const struct options_text *t, const struct conf_fault *f)
{
    uint32_t i = 0;
    while (i < t->count && line_of(t, t->places[i].end) != f->place.line) i++;
    fputs("weir run: ", stderr);
    if (i < t->count) fprintf(stderr, "%s %s: ", t->places[i].option, t->places[i].value);
    fprintf(stderr, "%s%s%s\n", f->message, *f->remedy ? "; " : "", f->remedy);
}

static int decode_options(const struct options_text *t, struct config **config)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return EX_OSERR;
    int result = conf_read_json(&tree, "options", (struct slice){ t->json.data, t->json.len }, faults);
    if (result == 0) result = config_decode(config, &tree, faults);
    for (uint32_t i = 0; i < faults->count; i++) say_fault(t, &faults->items[i]);
    conf_tree_free(&tree);
    free(faults);
    return result < 0 ? EX_USAGE : EX_OK;
}

static int config_of_options(const struct run_options *o, struct config **config)
{
    struct options_text *t = calloc(1, sizeof(*t));
    if (!t) return EX_OSERR;
    write_options(t, o);
    int code = t->json.is_failed ? usage_fault("run", "the %s is too long: write a file", "command line")
                                 : decode_options(t, config);
    json_fini(&t->json);
    free(t);
    return code;
}

static int check_servers(const struct run_options *o)
{
    for (uint32_t i = 0; i < o->to_count; i++) {
        if (check_address("--to", o->to[i], false) < 0) return EX_USAGE;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(o->to[i], o->to[j]) == 0)
                return usage_fault("run", "--to %s is given twice: one server more does not come of it",
                                   o->to[i]);
    }
    return EX_OK;
}

/* As JSON has it, which the options are turned into: without leading zeros. */
static bool is_number(const char *text)
{
    size_t len = strlen(text);
    return len && len < 10 && strspn(text, "0123456789") == len && (*text != '0' || len == 1);
}

static int check_run_options(const struct run_options *o)
{
    if (o->config && (o->listen || o->to_count || o->is_tcp || o->admin || o->workers))
        return usage_fault("run", "%s and the other options exclude each other: the file says it all",
                           "--config");
    if (o->config) return EX_OK;
    if (!o->listen)
        return usage_fault("run", "give a file with %s FILE, or --listen ADDR and --to ADDR", "--config");
    if (!o->to_count) return usage_fault("run", "%s is missing: where shall it go?", "--to ADDR");
    if (o->workers && !is_number(o->workers))
        return usage_fault("run", "--workers %s is not a number", o->workers);
    if (check_address("--listen", o->listen, true) < 0) return EX_USAGE;
    if (o->admin && check_address("--admin", o->admin, true) < 0) return EX_USAGE;
    return check_servers(o);
}

static int run_command(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "listen", required_argument, NULL, 'l' },
        { "to", required_argument, NULL, 't' },     { "tcp", no_argument, NULL, 'T' },
        { "admin", required_argument, NULL, 'a' },  { "workers", required_argument, NULL, 'w' },
        { "help", no_argument, NULL, 'h' },         { 0 },
    };
    struct run_options o = { 0 };
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c': o.config = optarg; break;
        case 'l':
            if (o.listen)
                return usage_fault("run", "%s can be given once: more listeners need a file", "--listen");
            o.listen = optarg;
            break;
        case 't':
            if (o.to_count == SERVERS_MAX) return usage_fault("run", "more than 1024 times %s", "--to");
            o.to[o.to_count++] = optarg;
            break;
        case 'T': o.is_tcp = true; break;
        case 'a': o.admin = optarg; break;
        case 'w': o.workers = optarg; break;
        case 'h': return print_help("run");
        default: fprintf(stderr, "Try: weir run --help\n"); return EX_USAGE;
        }
    }
    if (optind < argc) return usage_fault("run", "what is \"%s\"?", argv[optind]);
    int code = check_run_options(&o);
    if (code) return code;
    struct start start = { 0 };
    code = o.config ? start_load(&start, o.config, "run") : config_of_options(&o, &start.config);
    const struct run_setup setup = { .config = start.config, .path = o.config, .start = &start };
    if (code == EX_OK) code = run(&setup);
    start_fini(&start);
    return code;
}

/* the others */

/* Those that take nothing but --help. */
static int no_options(const char *name, int argc, char **argv)
{
    if (argc == 1) return -1;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return print_help(name);
    return usage_fault(name, "what is \"%s\"?", argv[1]);
}

static int demo_command(int argc, char **argv)
{
    int code = no_options("demo", argc, argv);
    return code >= 0 ? code : demo();
}

static int version_command(int argc, char **argv)
{
    int code = no_options("version", argc, argv);
    if (code >= 0) return code;
    printf("weir %s\n", WEIR_VERSION);
    return EX_OK;
}

/* What the file leads to and does not say itself: nginx's configuration, for the format of a log. */
static int check_logs(const struct config *config, const char *path)
{
    struct log_format *format = malloc(sizeof(*format));
    const struct source_conf *sources = config->logs ? config->logs->sources.data : NULL;
    int code = format ? EX_OK : EX_OSERR;
    for (uint32_t i = 0; code != EX_OSERR && sources && i < config->logs->sources.count; i++) {
        struct err err;
        if (source_find_format(&sources[i], format, &err) == 0) continue;
        fprintf(stderr, "weir check: %s: log source \"%s\": %s\n", path, sources[i].name, err.text);
        code = EX_CONFIG;
    }
    free(format);
    return code;
}

/* What weir would change, if it got the file as it is. */
static int check_against_running(const char *path, const struct api_options *api)
{
    struct api_target to;
    struct err err = { "" };
    char *text = NULL;
    size_t len = 0;
    struct api_request rq = { .method = HTTP_PUT, .path = "/api/v1/config?dry_run=true", .is_text = true };
    int code = api_target_find(api, &to, &err);
    if (code == EX_OK && config_read(path, &text, &len, &err) < 0) code = EX_CONFIG;
    rq.body = (struct slice){ text, len };
    if (code == EX_OK)
        code = reload_report_ask("check", &to, &rq, false);
    else
        fprintf(stderr, "weir check: %s\n", err.text);
    config_text_free(text, len);
    return code;
}

struct check_options {
    const char *path;
    struct api_options api;
    bool is_against_running;
};

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_check(int argc, char **argv, struct check_options *o)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "against-running", no_argument, NULL, 'r' },
        { "admin", required_argument, NULL, 'a' },  { "token", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },         { 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c': o->path = optarg; break;
        case 'r': o->is_against_running = true; break;
        case 'a': o->api.admin = optarg; break;
        case 't': o->api.token = optarg; break;
        case 'h': print_help("check"); return -1;
        default: fprintf(stderr, "Try: weir check --help\n"); return EX_USAGE;
        }
    }
    if (!o->path && optind < argc) o->path = argv[optind++];
    if (optind < argc) return usage_fault("check", "what is \"%s\"?", argv[optind]);
    if (!o->path) return usage_fault("check", "which %s?", "file");
    if (!o->is_against_running && (o->api.admin || o->api.token))
        return usage_fault("check", "%s says which weir --against-running asks",
                           o->api.admin ? "--admin" : "--token");
    return EX_OK;
}

static int check_command(int argc, char **argv)
{
    struct check_options o = { 0 };
    struct config *config = NULL;
    struct config_notes notes;
    int code = parse_check(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    code = config_load_noted_or_say(&config, o.path, "check", &notes);
    if (code != EX_OK) return code;
    if (notes.text) fputs(notes.text, stderr);
    config_notes_free(&notes);
    code = check_logs(config, o.path);
    if (code == EX_OK)
        printf("%s is correct: %u listeners, %u pools\n", o.path, config->proxy.listeners.count,
               config->proxy.pools.count);
    config_free(config);
    o.api.config = o.path;
    return code == EX_OK && o.is_against_running ? check_against_running(o.path, &o.api) : code;
}

static int schema_command(int argc, char **argv)
{
    static const struct option options[] = { { "markdown", no_argument, NULL, 'm' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    bool is_markdown = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') return print_help("schema");
        if (option != 'm') {
            fprintf(stderr, "Try: weir schema --help\n");
            return EX_USAGE;
        }
        is_markdown = true;
    }
    if (optind < argc) return usage_fault("schema", "what is \"%s\"?", argv[optind]);
    char *memory = malloc(TEXT_MAX);
    if (!memory) return EX_OSERR;
    bool is_whole = true;
    if (is_markdown) {
        struct text t = text_over(memory, TEXT_MAX);
        conf_manual(&config_type, &t);
        is_whole = !t.is_cut && fwrite(t.data, 1, t.len, stdout) == t.len;
    } else {
        struct json j;
        json_init(&j, TEXT_MAX, true);
        conf_schema(&config_type, &j);
        is_whole = !j.is_failed && fwrite(j.data, 1, j.len, stdout) == j.len && fputc('\n', stdout) != EOF;
        json_fini(&j);
    }
    free(memory);
    return is_whole ? EX_OK : EX_IOERR;
}

const char *command_nearest(const char *name)
{
    const char *names[32];
    size_t count = 0;
    for (const struct command *c = commands; c->name && count < 32; c++) names[count++] = c->name;
    return conf_nearest(slice_of(name), names, count);
}

const struct command commands[] = {
    { "run", "carry traffic",
      "Usage: weir run -c FILE\n"
      "       weir run --listen ADDR --to ADDR [--to ADDR ...] [--tcp] [--admin ADDR] [--workers N]\n\n"
      "Carries traffic until SIGTERM or SIGINT; then it lets what is going on come to its end (`timeouts: "
      "{drain}`,\n"
      "30s), and a second signal ends it at once. SIGUSR1 opens the access log anew, SIGHUP also reads\n"
      "FILE again and puts it in force, as `weir reload` does.\n\n"
      "  -c, --config FILE   the configuration: see `weir check`, `weir schema` and docs/configuration.md\n"
      "      --listen ADDR   where to accept: 127.0.0.1:18999, [::1]:80, :80 (every address), unix:/path\n"
      "      --to ADDR       a server; again for more\n"
      "      --tcp           pass bytes, do not look at HTTP\n"
      "      --admin ADDR    the API, metrics and health checks\n"
      "      --workers N     threads that carry traffic; one a core unless given\n\n"
      "Exit codes: 0 ended as asked, 64 wrong usage, 71 the system refused something, 78 wrong "
      "configuration.\n",
      run_command },
    { "demo", "see it work: weir in front of three small servers of its own",
      "Usage: weir demo\n\n"
      "Runs weir on 127.0.0.1:18999, with the API on 127.0.0.1:9091, in front of three small servers within "
      "the same\n"
      "process, and prints what to try. Ctrl-C ends it.\n",
      demo_command },
    { "check", "read a configuration and name every mistake in it",
      "Usage: weir check [-c] FILE [--against-running]\n\n"
      "      --against-running   say what it would change of a running weir; nothing changes there\n"
      "      --admin ADDR        that weir's admin address; the file's if nothing says another\n"
      "      --token TOKEN       its admin token; or the file's, or WEIR_TOKEN\n\n"
      "Exit codes: 0 correct, 69 weir is not reached, 78 mistakes: each on stderr as file:line:column, with "
      "the "
      "line and\na remedy.\n"
      "What is correct and yet hardly meant is said there too, as a warning.\n",
      check_command },
    { "reload", "put the changed file of a running weir in force", reload_help, reload_command },
    { "config", "list, compare and put back configurations that were in force", config_help, config_command },
    { "explain", "say where a request would go, and why", explain_help, explain_command },
    { "split", "report how the variants of an A/B split do", split_help, split_command },
    { "schema", "print the JSON Schema of the configuration",
      "Usage: weir schema [--markdown]\n\n"
      "Prints the JSON Schema (2020-12) of the configuration for editors, or with --markdown the reference "
      "manual.\n",
      schema_command },
    { "simulate", "show what a change would do to a log's requests, or to made ones",
      "Usage: weir simulate --help\n", simulate_command },
    { "logs", "statistics of nginx's log files", "Usage: weir logs --help\n", logs_command },
    { "flame", "a flame graph of a running weir: now, of the last hour, or what changed", flame_help,
      flame_command },
    { "perf", "watch a process or a unit: profiles, memory, descriptors, sockets", perf_help, perf_command },
    { "leaks", "say whether a running weir leaks anything", leaks_help, leaks_command },
    { "postmortem", "tell from a core file what weir was doing", postmortem_help, postmortem_command },
    { "dump", "write a core file of a living weir", dump_help, dump_command },
    { "doctor", "say what of this host gets in the way, and how to mend it", doctor_help, doctor_command },
    { "version", "print the version", "Usage: weir version\n", version_command },
    { 0 },
};
