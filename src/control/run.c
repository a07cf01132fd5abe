#include "control/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/poison.h"
#include "control/anchor.h"
#include "control/certificate_watch.h"
#include "control/control.h"
#include "control/core.h"
#include "control/departure.h"
#include "control/discovery.h"
#include "control/drain.h"
#include "control/early_stop.h"
#include "control/gate_watch.h"
#include "control/hardening.h"
#include "control/health_notes.h"
#include "control/heritage.h"
#include "control/latency_watch.h"
#include "control/limits.h"
#include "control/log_watch.h"
#include "control/reload.h"
#include "control/reload_signal.h"
#include "control/server_check.h"
#include "control/server_watch.h"
#include "control/service.h"
#include "control/signals.h"
#include "control/split_watch.h"
#include "control/start.h"
#include "control/traffic_watch.h"
#include "control/upgrade.h"
#include "control/version.h"
#include "crash/crash.h"
#include "net/jobs.h"
#include "net/socket_set.h"
#include "proxy/change.h"
#include "proxy/descriptors.h"
#include "proxy/listener.h"
#include "proxy/passwords.h"
#include "proxy/proxy_life.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "proxy/worker.h"
#include "record/access_log.h"
#include "self/invariants.h"
#include "self/leak_watch.h"
#include "self/process_metrics.h"
#include "self/profiler.h"
#include "self/stall_watch.h"
#include "self/start_pages.h"
#include "self/system_calls.h"

/* Who is told to end waits no longer for any of its threads. */
#define THREAD_END_MS 5000u
/* Within such a time, of one that does not wait for a disk; and how often it is given again. */
#define COMPUTING_NS (10 * NS_PER_MS)
#define COMPUTING_WAITS 12

static void fail(const char *event, const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    log_event(LOG_ERROR, event, "error=%s", log_quote(err->text, quoted, sizeof(quoted)));
}

/* what others say */

static void on_evidence(void *reader, const struct mail *m)
{
    struct control *c = reader;
    server_watch_evidence(c->servers, m->object, (enum server_evidence)m->number);
}

static void on_log_hit(void *reader, const struct mail *m)
{
    struct control *c = reader;
    log_watch_hit(c->logs, m->object);
}

static void on_log_verdict(void *reader, const struct mail *m)
{
    struct control *c = reader;
    log_watch_verdict(c->logs, m->object);
}

/* the end */

/* What comes of it is in the log, like all of an upgrade. */
static void ask_for_upgrade(struct control *c, struct audit_entry *who, uint32_t signal)
{
    who->outcome = c->upgrade ? AUDIT_UNANSWERED : AUDIT_FAILED;
    audit_note(c->audit, who, true);
    if (c->upgrade)
        upgrade_by_signal(c->upgrade);
    else
        log_event(LOG_WARN, "signal_ignored", "signal=%u reason=\"only `weir run` can be taken over from\"",
                  signal);
}

static void on_word(void *context, const struct signal_word *word)
{
    struct control *c = context;
    struct audit_entry who = signal_word_entry(word, c->proxy->generation);
    switch (word->number) {
    case SIGUSR1:
    case SIGHUP:
        if (c->proxy->access_log) access_log_reopen(c->proxy->access_log);
        heritage_reopen_logs(c->heritage);
        log_event(LOG_INFO, "logs_reopened", "signal=%u", word->number);
        if (word->number == SIGHUP)
            reload_by_signal(reload_reloader(c->reload), c->path, c->proxy, c->audit, &who);
        return;
    case SIGUSR2: ask_for_upgrade(c, &who, word->number); return;
    default: break;
    }
    audit_note(c->audit, &who, true);
    if (c->end_count++ == 0 && !atomic_load(&c->proxy->is_draining)) {
        departure_begin(c);
    } else {
        log_event(LOG_WARN, "stopping_now", "signal=%u", word->number);
        loop_stop(&c->loop);
    }
}

/* the beginning */

int control_folder(const struct control *c)
{
    return c->start && c->start->generations ? c->start->generations->folder : -1;
}

static int open_proxy(struct control *c, struct err *err)
{
    const struct proxy_conf *conf = &c->config->proxy;
    uint32_t workers = conf->workers ? conf->workers : limits_cores();
    uint64_t descriptors = limits_raise_descriptors();
    uint32_t possible = limits_connections(descriptors, workers);
    uint32_t for_clients = descriptors_for_clients(possible);
    uint32_t connections = conf->limits.connections && conf->limits.connections < for_clients
                               ? conf->limits.connections
                               : for_clients;
    uint64_t memory = conf->limits.memory_bytes ? conf->limits.memory_bytes : limits_memory() / 2;
    log_event(LOG_INFO, "starting",
              "version=%s pid=%d workers=%u descriptors=%llu connections=%u memory_bytes=%llu", WEIR_VERSION,
              (int)getpid(), workers, (unsigned long long)descriptors, connections,
              (unsigned long long)memory);
    if (conf->limits.connections > for_clients)
        log_event(LOG_WARN, "connections_limited", "asked=%u possible=%u remedy=\"raise LimitNOFILE\"",
                  conf->limits.connections, for_clients);
    struct proxy_options o = { .conf = conf,
                               .arena = c->config->arena,
                               .worker_count = workers,
                               .connection_limit = connections,
                               .descriptor_limit = possible,
                               .file_limit = possible / 4,
                               .udp_session_limit = limits_udp_sessions(),
                               .memory_limit = memory,
                               .given = c->heritage ? &c->heritage->sockets : NULL,
                               .finder = discovery_finder(c->discovery) };
    if (proxy_new(&c->proxy, &o, err) < 0) return -1;
    discovery_serve(c->discovery, c->proxy);
    departure_init(c);
    /* Nobody else has seen it yet. */
    if (c->start && c->start->generations)
        c->proxy->generation = c->proxy->site->generation = c->start->generation.number;
    c->proxy->budget.is_dumped = c->budget.is_dumped;
    c->proxy->begin_worker = system_calls_refuse_in_worker;
    process_metrics_add(c->proxy->metrics, WEIR_VERSION);
    return hardening_watch_open(&c->hardening, c->proxy, &c->loop, err);
}

static void on_found_servers(void *context, struct pool *p)
{
    struct control *c = context;
    server_checks_follow_pool(c->checks, p);
    reload_look_after_retired(c->reload);
}

/* Before anything is served: who comes first finds the servers there. */
static int open_discovery(struct control *c, struct err *err)
{
    struct early_stop stop;
    const struct discovery_options o = {
        .loop = &c->loop, .jobs = c->jobs, .started = c->config, .on_pool = on_found_servers, .context = c
    };
    if (discovery_new(&c->discovery, &o, err) < 0) return -1;
    signals_block();
    if (early_stop_open(&stop, &c->loop, err) < 0) return -1;
    discovery_use(c->discovery, c->config);
    discovery_await_first(c->discovery, &stop.is_asked);
    early_stop_close(&stop, &c->loop);
    c->is_stopped_early = stop.is_asked;
    return stop.is_asked ? err_set(err, "it was told to stop before it served anything") : 0;
}

static int open_logs(struct control *c, struct err *err)
{
    struct log_watch_options o = { .conf = c->config->logs,
                                   .arena = c->config->arena,
                                   .proxy = c->proxy,
                                   .loop = &c->loop,
                                   .control = c->box,
                                   .on_hit = on_log_hit,
                                   .on_verdict = on_log_verdict,
                                   .on_server = server_watch_changed,
                                   .context = c->servers };
    return log_watch_new(&c->logs, &o, err);
}

static int open_checks(struct control *c, struct err *err)
{
    const struct server_checks_options o = {
        .proxy = c->proxy, .loop = &c->loop, .on_change = server_watch_changed, .context = c->servers
    };
    return server_checks_new(&c->checks, &o, err);
}

static uint32_t count_log_sources(const struct config *config)
{
    return config->logs ? config->logs->sources.count : 0;
}

static int open_leaks(struct control *c, struct err *err)
{
    const struct leak_watch_options o = { .interval_ms = c->config->profile.leaks_ms,
                                          .log_sources = count_log_sources(c->config),
                                          .proxy = c->proxy,
                                          .loop = &c->loop,
                                          .control = c->box,
                                          .jobs = c->jobs };
    const struct invariants_options sums = { .proxy = c->proxy, .loop = &c->loop, .control = c->box };
    return leak_watch_new(&c->leaks, &o, err) < 0 ? -1 : invariants_new(&c->invariants, &sums, err);
}

/* To other weirs of this user that are started beside this one, and to systemd for those that come after it. */
static void offer_ports(struct control *c)
{
    const struct list *sets = &c->proxy->sockets;
    for (struct list *at = sets->next; at != sets; at = at->next)
        socket_set_offer(container_of(at, struct socket_set, link), &c->loop);
    struct socket_set *admin = admin_sockets(c->admin);
    if (admin) socket_set_offer(admin, &c->loop);
    service_keep_sockets(c->service, sets, admin);
}

static void on_other_config(void *context, const struct config *config)
{
    struct control *c = context;
    c->config = config;
    discovery_use(c->discovery, config);
    offer_ports(c);
    anchor_set(c->proxy, config);
    server_watch_warm_ups(c->servers);
    server_checks_follow(c->checks);
    certificate_watch_use(c->certificates, config);
    gate_watch_use(c->gates, config);
    split_watch_follow(c->splits);
    leak_watch_use(c->leaks, count_log_sources(config));
    admin_use(c->admin, config->admin, config->arena);
}

static int open_stalls(struct control *c, struct err *err)
{
    const struct stall_watch_options o = {
        .bound_ms = c->config->profile.stalls_ms, .proxy = c->proxy, .loop = &c->loop, .control = c->box
    };
    return stall_watch_new(&c->stalls, &o, err);
}

static int open_audit(struct control *c, struct err *err)
{
    c->audit = audit_new(&c->loop, c->jobs, c->proxy->metrics);
    return c->audit ? 0 : err_set(err, "out of memory for the audit trail");
}

static int open_reload(struct control *c, struct err *err)
{
    const struct reload_options o = { .proxy = c->proxy,
                                      .jobs = c->jobs,
                                      .loop = &c->loop,
                                      .config = c->config,
                                      .path = c->path,
                                      .generations = c->start ? c->start->generations : NULL,
                                      .logs = c->logs,
                                      .discovery = c->discovery,
                                      .on_change = on_other_config,
                                      .context = c };
    return reload_new(&c->reload, &o, err);
}

static int open_admin(struct control *c, struct err *err)
{
    if (!c->config->admin) return 0;
    size_t history = c->config->admin->history_bytes;
    if (history && traffic_watch_new(&c->traffic, c->proxy, &c->loop, history, err) < 0) return -1;
    const struct admin_objects objects = { .proxy = c->proxy,
                                           .watch = log_watch_of(c->logs),
                                           .rule_log = log_watch_rules(c->logs),
                                           .profiler = c->profiler,
                                           .jobs = c->jobs,
                                           .leaks = c->leaks,
                                           .stalls = c->stalls,
                                           .invariants = c->invariants,
                                           .reloader = reload_reloader(c->reload),
                                           .upgrader = c->upgrade ? upgrade_upgrader(c->upgrade) : NULL,
                                           .certifier = certificate_watch_certifier(c->certificates),
                                           .finder = discovery_api(c->discovery),
                                           .history = traffic_watch_history(c->traffic),
                                           .audit = c->audit,
                                           .arena = c->config->arena,
                                           .given = c->heritage ? &c->heritage->sockets : NULL };
    return admin_open(&c->admin, c->config->admin, &objects, &c->loop, err);
}

static int open_passwords(struct control *c, struct err *err)
{
    if (passwords_new(&c->passwords, &c->loop, c->box, c->proxy->metrics, limits_cores() / 4, err) < 0)
        return -1;
    c->proxy->passwords = c->passwords;
    return 0;
}

/* Before there are workers: none of them knows servers as they were not. */
static void resume_health(struct control *c)
{
    if (!c->heritage || c->heritage->health < 0) return;
    health_notes_resume(c->proxy, c->heritage->health, loop_now_ms(&c->loop));
    server_watch_ejected(c->servers);
}

static int open_all(struct control *c, struct err *err)
{
    if (mailbox_new(&c->box, &c->loop, c, 1024, err) < 0 || jobs_new(&c->jobs, c->box, err) < 0) return -1;
    if (open_discovery(c, err) < 0) return -1;
    if (signals_open(&c->signals, &c->loop, on_word, c, err) < 0 || open_proxy(c, err) < 0) return -1;
    if (server_watch_new(&c->servers, c->proxy, &c->loop, err) < 0 || open_checks(c, err) < 0) return -1;
    if (latency_watch_new(&c->latency, c->proxy, &c->loop, err) < 0) return -1;
    if (split_watch_new(&c->splits, c->proxy, &c->loop, c->jobs, control_folder(c), err) < 0) return -1;
    if (open_logs(c, err) < 0) return -1;
    if (open_audit(c, err) < 0 || open_reload(c, err) < 0) return -1;
    if (open_leaks(c, err) < 0 || open_stalls(c, err) < 0) return -1;
    if (certificate_watch_new(&c->certificates, &c->loop, c->jobs, c->proxy, err) < 0) return -1;
    if (gate_watch_new(&c->gates, &c->loop, c->jobs, c->proxy, err) < 0) return -1;
    if (open_passwords(c, err) < 0) return -1;
    /* The admin's socket is bound before anything accepts: a start either succeeds as a whole or not at all. */
    if (departure_open_upgrade(c, err) < 0) return -1;
    if (c->config->admin && profiler_new(&c->profiler, c->proxy, c->box, err) < 0) return -1;
    if (open_admin(c, err) < 0) return -1;
    if (c->start && start_stage(c->start, err) < 0) return -1;
    resume_health(c);
    if (proxy_prepare(c->proxy, c->box, on_evidence, err) < 0) return -1;
    if (c->profiler && profiler_keep(c->profiler, &c->config->profile, err) < 0) return -1;
    if (proxy_start(c->proxy, err) < 0) return -1;
    leak_watch_start(c->leaks);
    return 0;
}

/* What another process may have had until now: reading logs from where they were read to, the folder of `state:`. */
static int own(struct control *c, struct err *err)
{
    c->proxy->given = NULL;
    if (c->heritage) {
        heritage_close_rest(c->heritage);
        heritage_take_over(c->heritage, &c->loop);
    }
    if (log_watch_start(c->logs, err) < 0) return -1;
    if (c->start && start_keep(c->start, err) < 0) return -1;
    int folder = control_folder(c);
    split_watch_own(c->splits, folder, c->heritage != NULL);
    return folder < 0 ? 0 : audit_keep(c->audit, folder, err);
}

static void say_ready(const struct control *c)
{
    char text[ADDRESS_TEXT_MAX];
    for (uint32_t i = 0; i < c->proxy->listener_count; i++) {
        const struct listener *l = c->proxy->listeners[i];
        log_event(LOG_INFO, "listening", "listener=%s bind=%s protocol=%s", l->name,
                  address_print(&l->routes->conf->bind, text),
                  listener_protocol_name(l->routes->conf->protocol));
    }
    if (c->admin)
        log_event(LOG_INFO, "listening", "listener=admin bind=%s",
                  address_print(&c->config->admin->bind, text));
    log_event(LOG_INFO, "ready", "pid=%d", (int)getpid());
}

/* Who waits for a disk may come back to what would be freed by then: nobody waits for him. All traffic has ended, and what was to be
 * written had the same time for that. what: the files that he has to do with. */
static void need_end(bool has_ended, const char *thread, const char *what)
{
    if (has_ended) return;
    log_event(LOG_ERROR, "ended_waiting",
              "thread=%s waited_ms=%u reason=\"a file that is being read or written does not answer\" "
              "remedy=\"look at the disk, or the mount, of %s\"",
              thread, THREAD_END_MS, what);
    log_stop();
    _exit(EX_IOERR);
}

/* A hash cannot be broken off, and takes long where others want the cores. What it uses stays, and nobody waits for what comes of it. */
static void leave_hashes(struct control *c)
{
    if (passwords_await_end(c->passwords, THREAD_END_MS)) return;
    audit_free(c->audit);
    log_stop();
    _exit(EX_OK);
}

/* A job that computes, as one that looks up names of functions, comes to its end, late where others want the cores. */
static bool jobs_have_ended(const struct control *c)
{
    for (int i = 0; i < COMPUTING_WAITS; i++) {
        uint64_t before_ns = jobs_cpu_ns(c->jobs);
        if (jobs_await_end(c->jobs, THREAD_END_MS)) return true;
        if (jobs_cpu_ns(c->jobs) - before_ns < COMPUTING_NS) break;
    }
    return false;
}

static void close_all(struct control *c)
{
    stall_watch_stop(c->stalls);
    service_free(c->service);
    upgrade_stop(c->upgrade);
    admin_shut(c->admin); /* first: no question may come to what is stopping */
    log_watch_stop(c->logs);
    leak_watch_stop(c->leaks);
    invariants_stop(c->invariants);
    profiler_stop(c->profiler);
    reload_leave(c->reload);
    discovery_stop(c->discovery);
    certificate_watch_stop(c->certificates);
    gate_watch_stop(c->gates);
    passwords_stop(c->passwords);
    need_end(jobs_have_ended(c), "weir-jobs", "the configuration and of `state`");
    need_end(certificate_watch_await_end(c->certificates, THREAD_END_MS), "weir-acme", "`acme`'s folder");
    need_end(gate_watch_await_end(c->gates, THREAD_END_MS), "weir-keys", "the files of CAs");
    jobs_stop(c->jobs);
    server_checks_stop(c->checks);
    traffic_watch_stop(c->traffic);
    latency_watch_stop(c->latency);
    loop_turn(&c->loop, 0); /* what they had posted */
    split_watch_stop(c->splits);
    drain_stop(&c->drain);
    proxy_stop(c->proxy);
    if (c->proxy)
        need_end(access_log_await_end(c->proxy->access_log, THREAD_END_MS), "access-log", "`access_log`");
    leave_hashes(c);
    proxy_free(c->proxy);
    admin_close(c->admin);
    log_watch_free(c->logs);
    server_checks_free(c->checks);
    server_watch_free(c->servers);
    latency_watch_free(c->latency);
    traffic_watch_free(c->traffic);
    split_watch_free(c->splits);
    profiler_free(c->profiler);
    leak_watch_free(c->leaks);
    stall_watch_free(c->stalls);
    invariants_free(c->invariants);
    audit_free(c->audit);
    jobs_free(c->jobs);
    certificate_watch_free(c->certificates);
    gate_watch_free(c->gates);
    passwords_free(c->passwords);
    reload_free(c->reload);
    discovery_free(c->discovery);
    upgrade_free(c->upgrade);
    if (c->heritage) heritage_close(c->heritage);
    mailbox_free(c->box);
    signals_close(&c->signals, &c->loop);
    hardening_watch_close(&c->hardening, &c->loop);
    loop_turn(&c->loop, 0);
    loop_fini(&c->loop);
}

/* AddressSanitizer has handlers of its own, which stay unless ours are asked for. */
static void prepare_for_crashes(const struct config *config)
{
    const struct core_conf *core = config->core;
    struct crash_conf conf = { .version = WEIR_VERSION,
                               .is_lean = !core || core->contents == CORE_LEAN,
                               .dir = core && core->enabled ? core->dir : NULL };
    struct err err;
    core_prepare(core);
    if (IS_ADDRESS_SANITIZED && !core) return;
    if (crash_install(&conf, &err) < 0) {
        char quoted[ERR_TEXT_MAX + 64];
        log_event(LOG_WARN, "core_dir_unusable", "error=%s", log_quote(err.text, quoted, sizeof(quoted)));
    }
}

int run(const struct run_setup *setup)
{
    const struct config *config = setup->config;
    struct err err = { "" };
    struct control *c = calloc(1, sizeof(*c));
    if (!c) return EX_OSERR;
    prepare_for_crashes(config);
    c->config = config;
    c->path = setup->path;
    c->start = setup->start;
    signals_init(&c->signals);
    system_calls_watch();
    c->hardening.fd.fd = -1;
    c->budget.limit = 64 << 20; /* the admin API's own: traffic cannot starve it */
    c->budget.is_dumped = config->core && config->core->contents == CORE_FULL;
    c->heritage = setup->heritage;
    if (loop_init(&c->loop, &c->budget, &err) < 0) {
        fail("start_failed", &err);
        free(c);
        return EX_OSERR;
    }
    int result = open_all(c, &err);
    bool is_told = result < 0 && heritage_refuse(c->heritage, err.text);
    if (result == 0) result = own(c, &err);
    if (result == 0 && (log_start(&err) < 0 || stall_watch_start(c->stalls, &err) < 0)) result = -1;
    if (result == 0) {
        anchor_set(c->proxy, config);
        crash_set_story(anchor_tell, NULL);
        certificate_watch_use(c->certificates, config);
        gate_watch_use(c->gates, config);
        c->service = service_new(c->proxy, c->stalls, &c->loop);
        service_ready(c->service);
        if (c->heritage) service_expect_stored(c->service, c->heritage->unused, c->heritage->unused_count);
        offer_ports(c);
        say_ready(c); /* with all that it keeps open */
        server_watch_warm_ups(c->servers);
        server_checks_follow(c->checks);
        if (setup->on_ready) setup->on_ready(config);
        start_pages_release();
        loop_run(&c->loop);
        log_event(LOG_INFO, "stopped", "pid=%d", (int)getpid());
    } else if (c->is_stopped_early) {
        log_event(LOG_INFO, "stopped", "pid=%d", (int)getpid());
        result = 0;
    } else if (!is_told) {
        fail("start_failed", &err);
    }
    crash_set_story(NULL, NULL);
    anchor_clear();
    close_all(c);
    log_stop();
    crash_uninstall();
    free(c);
    return result == 0 ? EX_OK : EX_OSERR;
}
