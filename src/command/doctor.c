#include "command/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sysexits.h>

#include "acme/folder.h"
#include "base/clock.h"
#include "base/json.h"
#include "command/doctor_sources.h"
#include "command/document.h"
#include "control/config.h"
#include "host/host_check.h"
#include "host/host_file.h"
#include "pool/pool_conf.h"
#include "self/landlock.h"
#include "tls/store.h"

#define EXIT_WARNINGS 1
#define EXIT_FAILURES 2
#define DISKS_MAX 2u
#define REPORT_MAX (1u << 20)
#define WIDTH 100u
#define LABEL_MAX 26u
#define INDENT 8u /* of what is said below a label */

struct doctor_options {
    const char *config, *root;
    bool is_json;
};

static const struct option_row options[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE",
      .offset = offsetof(struct doctor_options, config),
      .help = "hold the host against what this configuration asks for" },
    { OPTION_FLAG, .name = "json", .offset = offsetof(struct doctor_options, is_json),
      .help = "as JSON, with every finding" },
    { OPTION_TEXT, .name = "root", .argument = "DIR", .offset = offsetof(struct doctor_options, root),
      .help = "look at a copy of a host's /proc, /sys and /etc below DIR" },
    { 0 },
};

const struct syntax doctor_syntax = {
    .command = "doctor",
    .usage =
        "doctor [--json] [-c FILE] [--root DIR]\n\n"
        "Looks at the host as a load balancer needs it: limits, sockets, memory, cores, devices, disks. Says "
        "what it\n"
        "found, why that matters and the command that mends it. Changes nothing. docs/doctor.md has every "
        "check.\n",
    .options = options,
    .notes = "Exit codes: 0 nothing worse than a note, 1 warnings, 2 failures, 64 wrong usage, 71 out of "
             "memory, 74 "
             "the\noutput was refused, 78 wrong configuration.\n",
};

/* as text */

/* Words broken at WIDTH; every line but the first begins with `indent` blanks. */
static void print_wrapped(FILE *out, const char *text, uint32_t indent)
{
    uint32_t column = indent;
    while (*text) {
        uint32_t len = (uint32_t)strcspn(text, " ");
        if (column > indent && column + 1 + len > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, len, out);
        column += len;
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

static uint32_t label_width(const struct host_report *r)
{
    uint32_t width = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct host_finding *f = &r->items[i];
        uint32_t len = (uint32_t)strlen(f->id) + (*f->subject ? 1 + (uint32_t)strlen(f->subject) : 0);
        if (len > width) width = len;
    }
    return width > LABEL_MAX ? LABEL_MAX : width;
}

static void print_finding(FILE *out, const struct host_finding *f, uint32_t width)
{
    char label[160];
    uint32_t indent = INDENT + width + 2;
    snprintf(label, sizeof(label), "%s%s%s", f->id, *f->subject ? " " : "", f->subject);
    fprintf(out, "  %-4s  %-*s  ", host_verdict_name(f->verdict), (int)width, label);
    if (strlen(label) > width) fprintf(out, "\n%*s", (int)indent, "");
    print_wrapped(out, f->sentence, indent);
    if (f->verdict == HOST_OK) return;
    fprintf(out, "%*s", (int)INDENT, "");
    print_wrapped(out, f->why, INDENT);
    if (*f->remedy) fprintf(out, "%*s$ %s\n", (int)INDENT, "", f->remedy); /* in one line, to be copied */
}

static void print_summary(FILE *out, const struct host_report *r)
{
    uint32_t counts[HOST_VERDICTS] = { 0 };
    for (uint32_t i = 0; i < r->count; i++) counts[r->items[i].verdict]++;
    fprintf(out, "\n%u to mend, %u to look at, %u to know, %u in order\n", counts[HOST_FAIL],
            counts[HOST_WARN], counts[HOST_NOTE], counts[HOST_OK]);
}

static int print_text(FILE *out, const struct host_report *r)
{
    uint32_t width = label_width(r);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct host_finding *f = &r->items[i];
        if (!i || f->group != r->items[i - 1].group) fprintf(out, "%s%s\n", i ? "\n" : "", f->group);
        print_finding(out, f, width);
    }
    print_summary(out, r);
    return fflush(out) == 0 ? EX_OK : EX_IOERR;
}

/* as JSON */

static void add_finding(struct json *j, const struct host_finding *f)
{
    json_object(j);
    json_key(j, "id");
    json_string(j, f->id);
    json_key(j, "group");
    json_string(j, f->group);
    json_key(j, "subject");
    json_string(j, *f->subject ? f->subject : NULL);
    json_key(j, "verdict");
    json_string(j, host_verdict_name(f->verdict));
    json_key(j, "sentence");
    json_string(j, f->sentence);
    json_key(j, "why");
    json_string(j, f->why);
    json_key(j, "remedy");
    json_string(j, *f->remedy ? f->remedy : NULL);
    json_object_end(j);
}

static int print_json(FILE *out, const struct host_report *r)
{
    struct json j;
    json_init(&j, REPORT_MAX, true);
    json_object(&j);
    json_key(&j, "worst");
    json_string(&j, host_verdict_name(host_worst(r)));
    json_key(&j, "findings");
    json_array(&j);
    for (uint32_t i = 0; i < r->count; i++) add_finding(&j, &r->items[i]);
    json_array_end(&j);
    json_object_end(&j);
    int code = j.is_failed ? EX_OSERR : document_print((struct slice){ j.data, j.len }, out);
    json_fini(&j);
    return code;
}

/* what the host is asked for */

/* [::] is left out: without IPv6 the kernel still takes IPv4 there. */
static bool is_ipv6(const struct address *address)
{
    return address->sa.any.sa_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(&address->sa.in6.sin6_addr);
}

static void plan_server(struct host_plan *plan, const struct server_conf *server)
{
    if (server->max_connections > plan->server_connections) {
        plan->server = server->name;
        plan->server_connections = server->max_connections;
    }
    if (is_ipv6(&server->address)) plan->uses_ipv6 = true;
}

static void plan_pool(struct host_plan *plan, const struct pool_conf *pool)
{
    const struct server_conf *servers = pool->servers.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->servers.count; i++) {
        if (!address_port(&servers[i].address)) continue; /* a unix socket */
        plan_server(plan, &servers[i]);
        count++;
    }
    if (!count || (plan->pool && plan->pool_servers <= count)) return;
    plan->pool = pool->name;
    plan->pool_servers = count;
}

static void plan_pools(struct host_plan *plan, const struct conf_items *pools)
{
    const struct pool_conf *pool = pools->data;
    for (uint32_t i = 0; i < pools->count; i++)
        if (pool[i].kind == POOL_SERVERS) plan_pool(plan, &pool[i]);
}

static void plan_bind(struct host_plan *plan, const struct address *bind)
{
    uint16_t port = address_port(bind);
    if (port && plan->port_count < HOST_PORTS_MAX) plan->ports[plan->port_count++] = port;
    if (is_ipv6(bind)) plan->uses_ipv6 = true;
}

static void plan_listeners(struct host_plan *plan, const struct config *config)
{
    const struct listener_conf *listeners = config->proxy.listeners.data;
    for (uint32_t i = 0; i < config->proxy.listeners.count; i++) plan_bind(plan, &listeners[i].bind);
    if (config->admin) plan_bind(plan, &config->admin->bind);
}

static void make_plan(struct host_plan *plan, const struct config *config)
{
    const struct hardening_conf *h = &config->hardening;
    *plan = (struct host_plan){ .workers = config->proxy.workers,
                                .connections = config->proxy.limits.connections,
                                .keeps_files = !h->enabled || !h->landlock,
                                .keeps_calls = !h->enabled || !h->seccomp };
    plan_pools(plan, &config->proxy.pools);
    plan_listeners(plan, config);
}

/* what is no file */

static enum host_clock look_at_clock(void)
{
    struct timex timex = { 0 };
    if (adjtimex(&timex) < 0) return HOST_CLOCK_UNKNOWN;
    return timex.status & STA_UNSYNC ? HOST_CLOCK_FREE : HOST_CLOCK_SYNCHRONIZED;
}

static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || !path[1]) return false;
    slash[slash == path] = 0;
    return true;
}

/* `path` becomes what of it exists: the directory may be made at the first start. */
static void look_at_disk(struct host_disk *disk, char *path, const char *use)
{
    struct statvfs room;
    *disk = (struct host_disk){ .path = path, .use = use };
    while (statvfs(path, &room) < 0)
        if (!go_up(path)) return;
    disk->is_known = true;
    disk->bytes = (uint64_t)room.f_blocks * room.f_frsize;
    disk->bytes_free = (uint64_t)room.f_bavail * room.f_frsize;
    disk->inodes = room.f_files;
    disk->inodes_free = room.f_favail;
}

/* The directory of cores by core(5); false if they go to no place that is known. */
static bool find_cores(char *out, size_t size)
{
    if (host_read("", "/proc/sys/kernel/core_pattern", out, size) < 0) return false;
    if (strstr(out, "systemd-coredump")) {
        snprintf(out, size, "/var/lib/systemd/coredump");
        return true;
    }
    return *out == '/' && go_up(out);
}

static void find_logs(const struct config *config, char *out, size_t size)
{
    const struct access_log_conf *log = config ? config->proxy.access_log : NULL;
    bool is_file = log && log->path && log->path[0] == '/';
    snprintf(out, size, "%s", is_file ? log->path : "/var/log");
    if (is_file) go_up(out);
}

static uint32_t look_at_disks(const struct config *config, char (*paths)[HOST_PATH_MAX],
                              struct host_disk *out)
{
    uint32_t count = 0;
    find_logs(config, paths[0], HOST_PATH_MAX);
    look_at_disk(&out[count++], paths[0], "logs");
    if (find_cores(paths[1], HOST_PATH_MAX)) look_at_disk(&out[count++], paths[1], "cores");
    return count;
}

/* certificates */

struct certificates {
    struct host_certificate *items;
    uint32_t count, room;
};

static int end_first(const void *a, const void *b)
{
    const struct host_certificate *x = a, *y = b;
    return x->until_s < y->until_s ? -1 : x->until_s > y->until_s;
}

/* The caller's to free. */
static char *why_missing(const struct tls_certificate_conf *file)
{
    struct acme_attempts attempts;
    char error[ACME_ERROR_ROOM], *why = NULL;
    acme_folder_read_attempts_of(file->file, &attempts, error);
    if (asprintf(&why, "%s", *error ? error : "the CA was not asked yet") < 0) return NULL;
    return why;
}

static void add_certificates(struct certificates *all, const struct tls_conf *conf)
{
    const struct tls_certificate_conf *files = conf->certificates.data;
    struct tls_store *store = tls_slot_get(conf->slot);
    for (uint32_t i = 0; i < tls_store_count(store) && all->count < all->room; i++) {
        const struct tls_certificate *c = tls_store_certificate(store, i);
        struct host_certificate *item = &all->items[all->count++];
        *item = (struct host_certificate){ .path = tls_certificate_conf_cert(&files[i]),
                                           .is_renewed = files[i].file != NULL };
        if (c) {
            item->from_s = c->not_before;
            item->until_s = c->not_after;
        } else {
            item->missing = why_missing(&files[i]);
        }
    }
    tls_store_put(store);
}

/* False: out of memory. */
static bool find_certificates(const struct config *config, struct certificates *all)
{
    const struct listener_conf *listeners = config->proxy.listeners.data;
    uint32_t count = config->proxy.listeners.count;
    for (uint32_t i = 0; i < count; i++)
        if (listeners[i].tls) all->room += listeners[i].tls->certificates.count;
    all->items = calloc(all->room + 1, sizeof(*all->items));
    if (!all->items) return false;
    for (uint32_t i = 0; i < count; i++)
        if (listeners[i].tls) add_certificates(all, listeners[i].tls);
    qsort(all->items, all->count, sizeof(*all->items), end_first);
    return true;
}

/* the command */

/* Of this host alone: a copy of another one's files says nothing of what runs there. False: out of memory. */
static bool find_sources(const struct doctor_options *o, struct doctor_sources *sources,
                         struct host_facts *facts)
{
    if (o->root) {
        facts->sources_unknown = "only what runs on this host can be asked";
        return true;
    }
    if (!doctor_ask_sources(sources, o->config)) return false;
    facts->sources = sources->items;
    facts->source_count = sources->count;
    if (!sources->has_answer) facts->sources_unknown = sources->err.text;
    return true;
}

static int examine(const struct doctor_options *o, const struct config *config, struct host_report *report)
{
    struct host_plan plan;
    struct host_disk disks[DISKS_MAX];
    char paths[DISKS_MAX][HOST_PATH_MAX];
    struct certificates certificates = { 0 };
    struct doctor_sources sources = { 0 };
    struct host_facts facts = { .root = o->root ? o->root : "", .disks = disks };
    int result = 0;
    if (!o->root) {
        facts.clock = look_at_clock();
        facts.knows_landlock = true;
        facts.landlock_version = landlock_version();
        facts.disk_count = look_at_disks(config, paths, disks);
    }
    if (config) {
        make_plan(&plan, config);
        facts.plan = &plan;
        if (!find_certificates(config, &certificates)) return -1;
        facts.certificates = certificates.items;
        facts.certificate_count = certificates.count;
        facts.now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
        plan.places = proxy_conf_count_places(&config->proxy);
        if (plan.places && !find_sources(o, &sources, &facts)) result = -1;
    }
    if (result == 0) result = host_check(&facts, report);
    doctor_sources_fini(&sources);
    for (uint32_t i = 0; i < certificates.count; i++) free((char *)(uintptr_t)certificates.items[i].missing);
    free(certificates.items);
    return result;
}

static int tell_report(const struct doctor_options *o, const struct host_report *report)
{
    static const int codes[HOST_VERDICTS] = { EX_OK, EX_OK, EXIT_WARNINGS, EXIT_FAILURES };
    int code = o->is_json ? print_json(stdout, report) : print_text(stdout, report);
    return code == EX_OK ? codes[host_worst(report)] : code;
}

static int diagnose(const struct doctor_options *o)
{
    struct config *config = NULL;
    int code = o->config ? config_load_or_say(&config, o->config, "doctor") : EX_OK;
    if (code != EX_OK) return code;
    struct host_report *report = calloc(1, sizeof(*report));
    code = !report || examine(o, config, report) < 0 ? EX_OSERR : tell_report(o, report);
    free(report);
    config_free(config);
    return code;
}

int doctor_command(int argc, char **argv)
{
    struct doctor_options o = { 0 };
    int code = options_parse(&doctor_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    return diagnose(&o);
}
