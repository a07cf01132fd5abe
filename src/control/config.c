#include "control/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/secret.h"
#include "conf/decode.h"
#include "conf/tree_change.h"
#include "conf/variables.h"
#include "control/acme_check.h"
#include "control/config_check.h"
#include "record/tracing_conf.h"
#include "tls/memory.h"

#define SHOWN_MAX ((size_t)16 << 20)

static void check_config(struct conf_decode *d, const struct conf_node *node, void *object)
{
    config_check(d, node, object);
    acme_check(d, node, object);
}

static const struct conf_field config_fields[] = {
    { "include", CONF_STRINGS(struct config, include), .min = 1, .max = 64, .flags = CONF_OR_ONE,
      .help = "Files that are part of this one, like `conf.d/*.yaml`: names beside it, in which * and ? "
              "stand for anything. "
              "Their listeners, pools and splits come beside its own, each name once; any other key stands "
              "in one file "
              "alone. They may include others. Of a file, not of what is sent by the API." },
    { "listeners", CONF_NAMED(struct config, proxy.listeners, &listener_conf_type), .min = 1, .max = 1000,
      .flags = CONF_REQUIRED, .help = "Where connections are accepted, and where they go." },
    { "pools", CONF_MAP(struct config, proxy.pools, &pool_conf_type), .max = 10000,
      .help = "Servers that can answer the same request; none, where weir answers everything itself." },
    { "splits", CONF_MAP(struct config, proxy.splits, &split_conf_type), .max = 1000,
      .help = "A/B experiments: which part of whose requests goes to which pool." },
    { "resolver", CONF_OBJECT(struct config, proxy.resolver, &resolver_conf_type),
      .help = "How names are resolved: those in pools, and those that egress routes go to." },
    { "admin", CONF_OPTIONAL(struct config, admin, &admin_conf_type),
      .help = "The address of the API, the metrics and the health checks; there is none without it." },
    { "access_log", CONF_OPTIONAL(struct config, proxy.access_log, &access_log_conf_type),
      .help = "One line for each exchange; none without it." },
    { "tracing", CONF_OPTIONAL(struct config, proxy.tracing, &tracing_conf_type),
      .help = "OpenTelemetry's traces of requests, sent to a collector; none without it." },
    { "logs", CONF_OPTIONAL(struct config, logs, &logs_conf_type),
      .help = "nginx's logs that are watched, and what is done about what they say." },
    { "state", CONF_STRING(struct config, state), .min = 1, .max = 4000,
      .help = "A folder for what is to outlive the process: configurations that came into force, so that an "
              "edit by the "
              "API holds after a restart, and any can be put in force again. Made if there is none." },
    { "user", CONF_STRING(struct config, user), .min = 1, .max = 130,
      .help = "As whom weir goes on once its configuration is read, `weir` or `weir:group`, when it is "
              "started by "
              "root: of root's rights it keeps the one to bind ports below 1024. Without it weir stays who "
              "started "
              "it. Certificates, logs and `state` have to be within that user's reach." },
    { "messages", CONF_OBJECT(struct config, messages, &messages_conf_type),
      .help = "In which form weir's own messages are, and where they go." },
    { "hardening", CONF_OBJECT(struct config, hardening, &hardening_conf_type),
      .help = "What weir gives up for good at its start, as far as the kernel does it; `false` turns all of "
              "it off." },
    { "acme", CONF_OPTIONAL(struct config, acme, &acme_conf_type),
      .help = "The CA that issues the certificates of listeners that have `acme:` in place of files, and how "
              "it is "
              "asked (RFC 8555)." },
    { "core", CONF_OPTIONAL(struct config, core, &core_conf_type),
      .help = "What a crash leaves behind; without it the host's settings hold." },
    { "profile", CONF_OBJECT(struct config, profile, &profiler_conf_type),
      .help = "What weir looks at in itself all the time." },
    { "gate", CONF_OPTIONAL(struct config, proxy.gate, &gate_conf_type), .help = "Who may pass at all." },
    { "limits", CONF_OBJECT(struct config, proxy.limits, &proxy_limits_type),
      .help = "What the whole process may use." },
    { "overload", CONF_OBJECT(struct config, proxy.overload, &overload_conf_type),
      .help = "From when on a worker has more to do than it can, and refuses a part of it." },
    { "timeouts", CONF_OBJECT(struct config, proxy.timeouts, &proxy_timeouts_type),
      .help = "Time-outs of the whole process." },
    { "workers", CONF_U32(struct config, proxy.workers), .max = 64, .preset = "0",
      .help = "How many threads carry traffic; 0 is one for each core that the process may use." },
    { 0 },
};

const struct conf_type config_type = { .name = "configuration",
                                       .size = sizeof(struct config),
                                       .fields = config_fields,
                                       .check = check_config,
                                       .checks_partly = true };

/* Made with the rest of it, not when it is asked for: that is on the control thread, which has no time for it. False: there is no
 * memory. */
static bool describe(struct config *c)
{
    struct json j;
    json_init(&j, SHOWN_MAX, true);
    conf_encode(&config_type, c, &j);
    struct slice text = { j.data, j.len };
    if (!j.is_failed) c->shown = conf_arena_slice(c->arena, text);
    json_fini(&j);
    return j.is_full || c->shown.len;
}

static int decode_as(struct config **out, const struct conf_tree *tree, const struct conf_type *type,
                     struct conf_faults *faults)
{
    struct conf_arena *arena = conf_arena_new();
    struct config *c = conf_arena_alloc(arena, sizeof(*c)); /* NULL is found there to be no memory */
    if (conf_decode(tree, type, c, arena, faults) < 0) {
        conf_arena_free(arena);
        return -1;
    }
    c->arena = arena;
    c->include = (struct conf_items){ 0 };
    *out = c;
    return 0;
}

int config_decode(struct config **out, const struct conf_tree *tree, struct conf_faults *faults)
{
    if (decode_as(out, tree, &config_type, faults) < 0) return -1;
    if (describe(*out)) return 0;
    config_free(*out);
    *out = NULL;
    conf_fault_no_memory(faults);
    return -1;
}

/* One reading: what the text is changed by before it is decoded, and what is said of it. */
struct reading {
    const char *const *changes;
    uint32_t change_count;
    struct err *err;
    char *faults;
    struct config_notes *notes;             /* NULL: not asked for */
    bool is_for_admin;                      /* nothing but `admin` is looked at */
    const struct config_listener *listener; /* NULL: faults are a text */
};

static int apply(struct conf_tree *tree, const struct reading *r)
{
    for (uint32_t i = 0; i < r->change_count; i++)
        if (conf_tree_change(tree, &config_type, r->changes[i], r->err) < 0) return -1;
    return 0;
}

static void take_notes(struct config_notes *notes, const struct conf_faults *found,
                       const struct conf_tree *tree)
{
    if (!found->count) return;
    notes->text = conf_faults_print(found, tree, false);
    notes->lines = conf_faults_print(found, tree, true);
}

static const struct conf_field admin_alone_fields[] = {
    { "admin", CONF_OPTIONAL(struct config, admin, &admin_conf_type) },
    { 0 },
};
static const struct conf_type admin_alone_type = { .name = "configuration",
                                                   .size = sizeof(struct config),
                                                   .fields = admin_alone_fields };

/* Of the whole file, what says how to reach weir. */
static void keep_admin_alone(struct conf_tree *tree)
{
    if (!tree->root) return;
    struct conf_node **at = &tree->root->first_child;
    if (tree->root->kind != CONF_NODE_MAP) return;
    while (*at) {
        if (slice_equal((*at)->key, SLICE("admin")))
            at = &(*at)->next;
        else
            *at = (*at)->next;
    }
}

/* For the sake of further faults: what comes of it is of no use. */
static void find_more_faults(const struct conf_tree *tree, struct conf_faults *faults)
{
    struct config *c;
    if (config_decode(&c, tree, faults) == 0) config_free(c);
}

static int say_no_memory(const struct reading *r)
{
    return err_set(r->err, "%s", CONFIG_NO_MEMORY);
}

/* -1 without r->faults: a change does not fit, or there is no memory, as its err says. */
static int parse(struct config **out, const char *name, struct slice text, struct reading *r)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(2, sizeof(*faults));
    bool is_changed = false;
    if (!faults) return say_no_memory(r);
    struct conf_faults *notes = faults + 1;
    bool hears_notes = r->listener && r->listener->on_notes;
    if (r->notes || hears_notes) faults->notes = notes;
    notes->kind = "warning";
    int result = config_read_tree(&tree, name, text, faults);
    if (r->is_for_admin) keep_admin_alone(&tree);
    bool is_filled = (result == 0 || tree.is_decodable) && conf_variables_fill(&tree, faults) == 0;
    if (!is_filled) result = -1;
    if (result == 0) is_changed = apply(&tree, r) < 0;
    if (is_changed) result = -1;
    if (result == 0)
        result = r->is_for_admin ? decode_as(out, &tree, &admin_alone_type, faults)
                                 : config_decode(out, &tree, faults);
    else if (is_filled && !r->change_count)
        find_more_faults(&tree, faults);
    if (result < 0 && r->listener && !is_changed && !faults->is_short)
        r->listener->on_faults(r->listener->context, faults, &tree);
    else if (result < 0 && !is_changed && !faults->is_short)
        r->faults = conf_faults_print(faults, &tree, false);
    if (result < 0 && !is_changed && !r->faults && !r->listener) say_no_memory(r);
    if (result == 0 && r->notes) take_notes(r->notes, notes, &tree);
    if (result == 0 && hears_notes) r->listener->on_notes(r->listener->context, notes, &tree);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

static void obey_core(const struct config *c)
{
    if (!c->core || c->core->contents != CORE_FULL) return;
    conf_arena_show_secrets(c->arena);
    tls_memory_show();
}

int config_parse_noted(struct config **out, const char *name, struct slice text, struct config_notes *notes,
                       char **faults)
{
    struct reading r = { .notes = notes };
    if (notes) *notes = (struct config_notes){ 0 };
    secret_wipe_begin();
    int result = parse(out, name, text, &r);
    secret_wipe_end();
    *faults = r.faults;
    if (result == 0) obey_core(*out);
    return result;
}

int config_parse(struct config **out, const char *name, struct slice text, char **faults)
{
    return config_parse_noted(out, name, text, NULL, faults);
}

int config_parse_told(struct config **out, const char *name, struct slice text,
                      const struct config_listener *to)
{
    struct reading r = { .listener = to };
    secret_wipe_begin();
    int result = parse(out, name, text, &r);
    secret_wipe_end();
    if (result == 0) obey_core(*out);
    return result;
}

static int load(struct config **out, const char *path, struct reading *r, char **faults)
{
    char *text = NULL;
    size_t len = 0;
    if (config_gather(path, &text, &len, &r->faults, r->err) < 0 || !text) {
        if (r->faults) err_set(r->err, "%s has mistakes", path);
        *faults = r->faults;
        return -1;
    }
    secret_wipe_begin();
    int result = parse(out, path, (struct slice){ text, len }, r);
    config_text_free(text, len);
    secret_wipe_end();
    if (result < 0 && r->faults) err_set(r->err, "%s has mistakes", path);
    *faults = r->faults;
    if (result == 0) obey_core(*out);
    return result;
}

int config_load(struct config **out, const char *path, char **faults, struct err *err)
{
    struct reading r = { .err = err };
    return load(out, path, &r, faults);
}

int config_load_told(struct config **out, const char *path, const struct config_listener *to, char **faults,
                     struct err *err)
{
    struct reading r = { .err = err, .listener = to };
    return load(out, path, &r, faults);
}

int config_load_admin(struct config **out, const char *path, char **faults, struct err *err)
{
    struct reading r = { .err = err, .is_for_admin = true };
    return load(out, path, &r, faults);
}

int config_load_noted(struct config **out, const char *path, struct config_notes *notes, char **faults,
                      struct err *err)
{
    struct reading r = { .err = err, .notes = notes };
    *notes = (struct config_notes){ 0 };
    return load(out, path, &r, faults);
}

int config_load_changed(struct config **out, const char *path, const char *const *changes, uint32_t count,
                        char **faults, struct err *err)
{
    struct reading r = { .changes = changes, .change_count = count, .err = err };
    return load(out, path, &r, faults);
}

static int say(int result, const char *command, char *faults, const struct err *err)
{
    if (result == 0) return EX_OK;
    if (faults)
        fputs(faults, stderr);
    else
        fprintf(stderr, "weir %s: %s\n", command, err->text);
    free(faults);
    return EX_CONFIG;
}

int config_load_or_say(struct config **out, const char *path, const char *command)
{
    struct err err = { "" };
    char *faults = NULL;
    int result = config_load(out, path, &faults, &err);
    return say(result, command, faults, &err);
}

int config_load_noted_or_say(struct config **out, const char *path, const char *command,
                             struct config_notes *notes)
{
    struct err err = { "" };
    char *faults = NULL;
    int result = config_load_noted(out, path, notes, &faults, &err);
    return say(result, command, faults, &err);
}

void config_notes_free(struct config_notes *notes)
{
    free(notes->text);
    free(notes->lines);
}

void config_free(struct config *c)
{
    if (c) conf_arena_free(c->arena);
}
