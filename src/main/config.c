#include "main/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/secret.h"
#include "conf/decode.h"
#include "conf/tree_change.h"

#define FILE_MAX (4u << 20)

static const struct pool_conf *pool_named(const struct config *c, const char *name)
{
    const struct pool_conf *pools = c->proxy.pools.data;
    for (uint32_t i = 0; name && i < c->proxy.pools.count; i++)
        if (pools[i].name && strcmp(pools[i].name, name) == 0) return &pools[i];
    return NULL;
}

/* Whether what leads to the pool fits its kind. */
static void check_kind(struct conf_decode *d, const struct conf_node *node, const struct config *c,
                       const char *name, const char *from, bool is_egress)
{
    const struct pool_conf *p = pool_named(c, name);
    if (!p || (p->kind == POOL_EGRESS) == is_egress) return;
    if (is_egress)
        conf_decode_fault(d, node, NULL, "give that pool `kind: egress` and local addresses for servers",
                          "%s leaves by pool \"%s\", which has servers to go to", from, name);
    else
        conf_decode_fault(d, node, NULL, "lead it to a pool of servers, or through a route with `egress:`",
                          "%s leads to pool \"%s\", which has addresses to leave by", from, name);
}

/* The n-th element of a list or map. */
static const struct conf_node *child(const struct conf_node *node, uint32_t n)
{
    const struct conf_node *at = node ? node->first_child : NULL;
    while (at && n--) at = at->next;
    return at;
}

static void check_routes(struct conf_decode *d, const struct conf_node *node, const struct config *c,
                         const struct listener_conf *l)
{
    const struct route_conf *routes = l->routes.data;
    char from[160];
    for (uint32_t i = 0; i < l->routes.count; i++) {
        const struct route_conf *r = &routes[i];
        const struct conf_node *at = child(conf_node_get(node, "routes"), i);
        snprintf(from, sizeof(from), "route \"%s\"", r->name ? r->name : "");
        check_kind(d, at, c, r->pool, from, false);
        if (r->mirror) check_kind(d, at, c, r->mirror->pool, from, false);
        if (r->egress) check_kind(d, at, c, r->egress->pool, from, true);
    }
    snprintf(from, sizeof(from), "listener \"%s\"", l->name ? l->name : "");
    check_kind(d, node, c, l->pool, from, false);
}

static void check_kinds(struct conf_decode *d, const struct conf_node *node, const struct config *c)
{
    const struct listener_conf *listeners = c->proxy.listeners.data;
    const struct split_conf *splits = c->proxy.splits.data;
    for (uint32_t i = 0; i < c->proxy.listeners.count; i++)
        check_routes(d, child(conf_node_get(node, "listeners"), i), c, &listeners[i]);
    for (uint32_t i = 0; i < c->proxy.splits.count; i++) {
        const struct split_variant_conf *variants = splits[i].variants.data;
        for (uint32_t j = 0; j < splits[i].variants.count; j++)
            check_kind(d, conf_node_get(node, "splits"), c, variants[j].pool, "a split's variant", false);
    }
}

static void check_config(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct config *c = object;
    const struct listener_conf *listeners = c->proxy.listeners.data;
    check_kinds(d, node, c);
    for (uint32_t i = 0; i < c->proxy.listeners.count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (address_equal(&listeners[i].bind, &listeners[j].bind))
                conf_decode_fault(d, conf_node_get(node, "listeners"), NULL, "give each its own address",
                                  "listeners \"%s\" and \"%s\" have the same address", listeners[j].name,
                                  listeners[i].name);
}

static const struct conf_field config_fields[] = {
    { "listeners", CONF_NAMED(struct config, proxy.listeners, &listener_conf_type), .min = 1, .max = 1000,
      .flags = CONF_REQUIRED, .help = "Where connections are accepted, and where they go." },
    { "pools", CONF_MAP(struct config, proxy.pools, &pool_conf_type), .min = 1, .max = 10000,
      .flags = CONF_REQUIRED, .help = "Servers that can answer the same request." },
    { "splits", CONF_MAP(struct config, proxy.splits, &split_conf_type), .max = 1000,
      .help = "A/B experiments: which part of whose requests goes to which pool." },
    { "resolver", CONF_OBJECT(struct config, proxy.resolver, &resolver_conf_type),
      .help = "How names are resolved for egress routes." },
    { "admin", CONF_OPTIONAL(struct config, admin, &admin_conf_type),
      .help = "The address of the API, the metrics and the health checks; there is none without it." },
    { "access_log", CONF_OPTIONAL(struct config, proxy.access_log, &access_log_conf_type),
      .help = "One line for each exchange; none without it." },
    { "logs", CONF_OPTIONAL(struct config, logs, &logs_conf_type),
      .help = "nginx's logs that are watched, and what is done about what they say." },
    { "core", CONF_OPTIONAL(struct config, core, &core_conf_type),
      .help = "What a crash leaves behind; without it the host's settings hold." },
    { "profile", CONF_OBJECT(struct config, profile, &profiler_conf_type),
      .help = "What weir looks at in itself all the time." },
    { "gate", CONF_OPTIONAL(struct config, proxy.gate, &gate_conf_type), .help = "Who may pass at all." },
    { "limits", CONF_OBJECT(struct config, proxy.limits, &proxy_limits_type),
      .help = "What the whole process may use." },
    { "timeouts", CONF_OBJECT(struct config, proxy.timeouts, &proxy_timeouts_type),
      .help = "Time-outs of the whole process." },
    { "workers", CONF_U32(struct config, proxy.workers), .max = 64, .preset = "0",
      .help = "How many threads carry traffic; 0 is one for each core that the process may use." },
    { 0 },
};

const struct conf_type config_type = {
    .name = "configuration", .size = sizeof(struct config), .fields = config_fields, .check = check_config
};

int config_decode(struct config **out, const struct conf_tree *tree, struct conf_faults *faults)
{
    struct conf_arena *arena = conf_arena_new();
    struct config *c = conf_arena_alloc(arena, sizeof(*c));
    if (conf_decode(tree, &config_type, c, arena, faults) < 0) {
        conf_arena_free(arena);
        return -1;
    }
    c->arena = arena;
    *out = c;
    return 0;
}

/* What a file's text is changed by before it is decoded. */
struct changes {
    const char *const *texts;
    uint32_t count;
    struct err *err;
};

static int apply(struct conf_tree *tree, const struct changes *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (conf_tree_change(tree, &config_type, c->texts[i], c->err) < 0) return -1;
    return 0;
}

/* -1 without *faults_text: a change does not fit, and its err says why. */
static int parse(struct config **out, const char *name, struct slice text, const struct changes *changes,
                 char **faults_text)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    size_t len = strlen(name);
    bool is_json = len > 5 && strcmp(name + len - 5, ".json") == 0, is_changed = false;
    *faults_text = NULL;
    if (!faults) abort();
    int result = is_json ? conf_read_json(&tree, name, text, faults)
                         : conf_read_yaml(&tree, name, text, faults);
    if (result == 0 && changes) is_changed = apply(&tree, changes) < 0;
    if (is_changed) result = -1;
    if (result == 0) result = config_decode(out, &tree, faults);
    if (result < 0 && !is_changed) *faults_text = conf_faults_print(faults, &tree, false);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

int config_parse(struct config **out, const char *name, struct slice text, char **faults)
{
    return parse(out, name, text, NULL, faults);
}

/* All of the file, and a byte for the end; the size of a pipe is not known beforehand. */
static int read_file(const char *path, char **text, size_t *len, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(err, "cannot open %s: %s", path, strerror(errno));
    char *memory = malloc(FILE_MAX + 1);
    if (!memory) {
        close(fd);
        return err_set(err, "out of memory for %s", path);
    }
    ssize_t got = 1;
    for (*len = 0; got > 0 && *len <= FILE_MAX; *len += got > 0 ? (size_t)got : 0)
        got = read(fd, memory + *len, FILE_MAX + 1 - *len);
    int cause = errno;
    close(fd);
    if (got < 0 || *len > FILE_MAX) {
        free(memory);
        return got < 0 ? err_set(err, "cannot read %s: %s", path, strerror(cause))
                       : err_set(err, "%s is over %u bytes: a configuration never is", path, FILE_MAX);
    }
    *text = memory;
    return 0;
}

static int read_and_parse(struct config **out, const char *path, const struct changes *changes, char **faults,
                          struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    *faults = NULL;
    if (read_file(path, &text, &len, err) < 0 || !text) return -1;
    int result = parse(out, path, (struct slice){ text, len }, changes, faults);
    explicit_bzero(text, len);
    free(text);
    if (result < 0 && *faults) err_set(err, "%s has mistakes", path);
    return result;
}

static int load(struct config **out, const char *path, const struct changes *changes, char **faults,
                struct err *err)
{
    secret_wipe_begin();
    int result = read_and_parse(out, path, changes, faults, err);
    secret_wipe_end();
    if (result == 0 && (*out)->core && (*out)->core->contents == CORE_FULL)
        conf_arena_show_secrets((*out)->arena);
    return result;
}

int config_load(struct config **out, const char *path, char **faults, struct err *err)
{
    return load(out, path, NULL, faults, err);
}

int config_load_changed(struct config **out, const char *path, const char *const *changes, uint32_t count,
                        char **faults, struct err *err)
{
    struct changes c = { changes, count, err };
    return load(out, path, &c, faults, err);
}

int config_load_or_say(struct config **out, const char *path, const char *command)
{
    struct err err = { "" };
    char *faults = NULL;
    if (config_load(out, path, &faults, &err) == 0) return EX_OK;
    if (faults)
        fputs(faults, stderr);
    else
        fprintf(stderr, "weir %s: %s\n", command, err.text);
    free(faults);
    return EX_CONFIG;
}

void config_free(struct config *c)
{
    if (c) conf_arena_free(c->arena);
}
