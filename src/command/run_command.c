#include "command/run_command.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/address.h"
#include "base/json.h"
#include "conf/decode.h"
#include "control/config.h"
#include "control/hardening.h"
#include "control/heritage.h"
#include "control/run.h"
#include "control/start.h"
#include "discovery/place.h"
#include "tls/memory.h"

#define SERVERS_MAX 1024
#define TEXT_MAX (256u << 10)

struct run_options {
    const char *config, *listen, *admin, *workers, *user;
    const char *to[SERVERS_MAX];
    uint32_t to_count;
    bool is_tcp;
};

#define ROW(member) .offset = offsetof(struct run_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE", ROW(config),
      .help = "the configuration: see `weir check`, `weir schema` and docs/configuration.md" },
    { OPTION_TEXT, .name = "listen", .argument = "ADDR", ROW(listen), .once = "more listeners need a file",
      .help = "where to accept: 127.0.0.1:18999, [::1]:80, :80 (every address), unix:/path" },
    { OPTION_TEXTS, .name = "to", .argument = "ADDR", ROW(to), .max = SERVERS_MAX,
      .count_at = offsetof(struct run_options, to_count),
      .help = "a server, or a name that leads to servers; again for more" },
    { OPTION_FLAG, .name = "tcp", ROW(is_tcp), .help = "pass bytes, do not look at HTTP" },
    { OPTION_TEXT, .name = "admin", .argument = "ADDR", ROW(admin),
      .help = "the API, metrics and health checks" },
    { OPTION_TEXT, .name = "user", .argument = "NAME", ROW(user),
      .help = "when root starts it: as whom it goes on, NAME or NAME:GROUP, with the right to bind low ports "
              "alone" },
    { OPTION_TEXT, .name = "workers", .argument = "N", ROW(workers),
      .help = "threads that carry traffic; one a core unless given" },
    { 0 },
};

const struct syntax run_syntax = {
    .command = "run",
    .usage =
        "run [-c] FILE\n"
        "       weir run --listen ADDR --to ADDR [--to ADDR ...] [--tcp] [--admin ADDR] [--user NAME] "
        "[--workers N]\n\n"
        "Carries traffic until SIGTERM or SIGINT; then it lets what is going on come to its end "
        "(`timeouts: {drain}`,\n"
        "30s), and a second signal ends it at once. SIGUSR1 opens the access log anew, SIGHUP also reads\n"
        "FILE again and puts it in force, as `weir reload` does, and SIGUSR2 starts the program anew, as "
        "`weir "
        "upgrade` does.\n",
    .options = options,
    .notes = "Exit codes: 0 ended as asked, 64 wrong usage, 71 the system refused something, 78 wrong "
             "configuration.\n",
};

static int check_address(const char *option, const char *text, bool any_host)
{
    struct address address;
    struct err err;
    if (address_parse(slice_of(text), any_host, &address, &err) == 0) return 0;
    if (!any_host && place_parse(slice_of(text), &address, &err) == 0) return 0;
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
    } places[SERVERS_MAX + 4];
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
    if (o->user) {
        json_key(j, "user");
        add_option(t, "--user", o->user);
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
    int code = t->json.is_failed ? options_fault(&run_syntax, "the command line is too long: write a file")
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
                return options_fault(&run_syntax,
                                     "--to %s is given twice: one server more does not come of it", o->to[i]);
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
    if (o->config && (o->listen || o->to_count || o->is_tcp || o->admin || o->user || o->workers))
        return options_fault(&run_syntax,
                             "--config and the other options exclude each other: the file says it all");
    if (o->config) return EX_OK;
    if (!o->listen)
        return options_fault(&run_syntax, "give a file with --config FILE, or --listen ADDR and --to ADDR");
    if (!o->to_count) return options_fault(&run_syntax, "--to ADDR is missing: where shall it go?");
    if (o->workers && !is_number(o->workers))
        return options_fault(&run_syntax, "--workers %s is not a number", o->workers);
    if (check_address("--listen", o->listen, true) < 0) return EX_USAGE;
    if (o->admin && check_address("--admin", o->admin, true) < 0) return EX_USAGE;
    return check_servers(o);
}

/* Whoever started it to take over hears why it will not, and says it; else it is for people. */
static void say_not_started(const struct heritage *h, const char *why)
{
    bool is_ended = *why && why[strlen(why) - 1] == '\n';
    if (!heritage_refuse(h, why))
        fprintf(stderr, "%s%s%s", is_ended ? "" : "weir run: ", why, is_ended ? "" : "\n");
}

static int load(const struct run_options *o, const struct heritage *h, struct start *start)
{
    int code = EX_OK;
    if (!o->config && (code = config_of_options(o, &start->config)) != EX_OK) return code; /* which is said */
    code = o->config ? start_load(start, o->config, h->folder) : start_as_user(start);
    if (code != EX_OK)
        say_not_started(h, start->faults ? start->faults : "there is no memory for the configuration");
    return code;
}

static int carry_traffic(const struct run_options *o)
{
    struct start start = { 0 };
    struct heritage heritage;
    struct err err;
    int code = heritage_open(&heritage, &err) < 0 ? EX_OSERR : EX_OK;
    if (code != EX_OK)
        say_not_started(&heritage, err.text);
    else
        code = load(o, &heritage, &start);
    const struct run_setup setup = {
        .config = start.config, .path = o->config, .start = &start, .heritage = &heritage
    };
    if (code == EX_OK) {
        hardening_begin(start.config);
        code = run(&setup);
    }
    heritage_close(&heritage);
    start_fini(&start);
    return code;
}

int run_command(int argc, char **argv)
{
    struct run_options o = { 0 };
    struct words words;
    int code = options_parse(&run_syntax, argc, argv, &o, &words);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    bool is_word = !o.config && words.count;
    if (is_word) o.config = words.items[0];
    code = options_too_many(&run_syntax, &words, is_word);
    if (code == EX_OK) code = check_run_options(&o);
    if (code) return code;
    tls_memory_install(); /* before anything is read that names certificates */
    return carry_traffic(&o);
}
