#include "admin/routes.h"

#include "admin/audit.h"
#include "admin/certifier.h"
#include "admin/finder.h"
#include "admin/reloader.h"
#include "admin/upgrader.h"
#include "logs/source_conf.h"
#include "pool/pool_conf.h"
#include "proxy/explain.h"
#include "proxy/proxy_conf.h"
#include "route/gate_conf.h"
#include "route/route_conf.h"
#include "route/split.h"
#include "tls/tls_conf.h"

#define PLAIN "text/plain; charset=utf-8"
#define HTML "text/html; charset=utf-8"
#define BYTES "application/octet-stream"

/* Rows of one object of the configuration. */
#define OBJECT_WRITE(type) \
    .query = reload_query, .answer = &reload_outcome_shape, .object = &(type), .body_max = 1u << 20
#define OBJECT_READ(path, summary)                                        \
    {                                                                     \
        HTTP_GET, path, ROLE_VIEW, objects_show, summary, .is_part = true \
    }
#define OBJECTS(path, what, type, new)                                                                \
    OBJECT_READ(path, "What the configuration in force says of each " what ", without secrets"),      \
    {                                                                                                 \
        HTTP_POST, path, ROLE_ADMIN, objects_write, "Adds a " what " to the configuration",           \
            OBJECT_WRITE(type), .takes_text = true, .text_type = "application/json", .creates = true, \
                                .example = (new)                                                      \
    }
#define OBJECT(path, what, type, whole, patch)                                                     \
    OBJECT_READ(path, "What the configuration in force says of a " what ", without secrets"),      \
        { HTTP_PUT,                                                                                \
          path,                                                                                    \
          ROLE_ADMIN,                                                                              \
          objects_write,                                                                           \
          "Writes a " what " of the configuration: in place of what "                              \
          "there is, or new",                                                                      \
          OBJECT_WRITE(type),                                                                      \
          .takes_text = true,                                                                      \
          .text_type = "application/json",                                                         \
          .creates = true,                                                                         \
          .example = (whole) },                                                                    \
        { HTTP_PATCH,                                                                              \
          path,                                                                                    \
          ROLE_ADMIN,                                                                              \
          objects_write,                                                                           \
          "Changes keys of a " what " of the configuration",                                       \
          OBJECT_WRITE(type),                                                                      \
          .takes_text = true,                                                                      \
          .text_type = "application/merge-patch+json",                                             \
          .example = (patch) },                                                                    \
    {                                                                                              \
        HTTP_DELETE, path, ROLE_ADMIN, objects_write, "Takes a " what " out of the configuration", \
            OBJECT_WRITE(type)                                                                     \
    }

const struct admin_route admin_routes[] = {
    { HTTP_GET, "/", ROLE_NONE, index_list, "The dashboard for a browser; for others what there is, as text",
      .content_type = PLAIN },
    { HTTP_GET, "/ui/{file}", ROLE_NONE, dashboard_file, "What the dashboard is made of",
      .content_type = PLAIN },
    { HTTP_GET, "/healthz", ROLE_NONE, health_live, "Whether weir lives", .content_type = PLAIN,
      .is_open = true },
    { HTTP_GET, "/readyz", ROLE_NONE, health_ready, "Whether weir takes new traffic; 503 if not",
      .content_type = PLAIN, .is_open = true },
    { HTTP_GET, "/metrics", ROLE_VIEW, metrics_print,
      "Metrics in Prometheus' text format, or in OpenMetrics or Protocol Buffers if asked for",
      .content_type = PLAIN },
    { HTTP_GET, "/api/v1/openapi.json", ROLE_VIEW, openapi_show, "This API as OpenAPI 3.1" },
    { HTTP_GET, "/api/v1/session", ROLE_NONE, session_show, "Who asks, and what he may do",
      .answer = &session_shape },
    { HTTP_POST, "/api/v1/session", ROLE_NONE, session_post,
      "Signs a browser in with a token: the answer sets a cookie", .answer = &session_shape,
      .body = &sign_in_type, .example = "{\"token\": \"the-token\"}" },
    { HTTP_DELETE, "/api/v1/session", ROLE_NONE, session_delete, "Signs it out", .answer = &session_shape },
    { HTTP_GET, "/api/v1/config", ROLE_VIEW, config_show, "The configuration in force, without secrets" },
    { HTTP_PUT, "/api/v1/config", ROLE_ADMIN, config_put,
      "Puts this configuration in force, as YAML or JSON; on any mistake the one before stays",
      .query = reload_query, .answer = &reload_outcome_shape, .takes_text = true, .body_max = 4u << 20,
      .text_type = "application/yaml",
      .example =
          "listeners: {web: {bind: \":8080\", pool: web}}\npools: {web: {servers: [\"10.0.0.1:8080\"]}}" },
    { HTTP_POST, "/api/v1/reload", ROLE_OPERATE, config_reload,
      "Reads the configuration's file again, and puts it in force", .query = reload_query,
      .answer = &reload_outcome_shape, .example = "dry_run=true" },
    { HTTP_GET, "/api/v1/config/generations", ROLE_VIEW, generations_list,
      "Configurations that were in force and are kept, the newest first", .answer = &reload_generation_shape,
      .list = "generations" },
    { HTTP_GET, "/api/v1/config/generations/{generation}", ROLE_VIEW, generations_show,
      "One of them, without secrets; or what it changes of another", .query = generation_query },
    { HTTP_POST, "/api/v1/config/rollback", ROLE_ADMIN, config_rollback,
      "Puts one that is kept in force again", .query = reload_query, .answer = &reload_outcome_shape,
      .body = &rollback_type, .example = "{\"generation\": 1}" },
    OBJECTS("/api/v1/config/pools", "pool", pool_conf_type,
            "{\"name\": \"spare\", \"servers\": [\"10.0.0.9:8080\"]}"),
    OBJECT("/api/v1/config/pools/{pool}", "pool", pool_conf_type, "{\"servers\": [\"10.0.0.9:8080\"]}",
           "{\"idle_connections\": 64}"),
    OBJECTS("/api/v1/config/pools/{pool}/servers", "server of a pool", server_conf_type,
            "{\"name\": \"nine\", \"address\": \"10.0.0.9:8080\"}"),
    OBJECT("/api/v1/config/pools/{pool}/servers/{server}", "server of a pool", server_conf_type,
           "{\"address\": \"10.0.0.9:8080\", \"weight\": 2}", "{\"weight\": 2}"),
    OBJECTS("/api/v1/config/splits", "split", split_conf_type,
            "{\"name\": \"trial\", \"unit\": \"client\", \"variants\": {\"old\": {\"pool\": \"web\", "
            "\"weight\": 90}, \"new\": {\"pool\": \"web\", \"weight\": 10}}}"),
    OBJECT("/api/v1/config/splits/{split}", "split", split_conf_type,
           "{\"unit\": \"client\", \"variants\": {\"old\": {\"pool\": \"web\", \"weight\": 90}, \"new\": "
           "{\"pool\": \"web\", \"weight\": 10}}}",
           "{\"unit\": \"client\"}"),
    OBJECTS("/api/v1/config/listeners", "listener", listener_conf_type,
            "{\"name\": \"more\", \"bind\": \"127.0.0.1:0\", \"pool\": \"web\"}"),
    OBJECT("/api/v1/config/listeners/{listener}", "listener", listener_conf_type,
           "{\"bind\": \"127.0.0.1:0\", \"pool\": \"web\"}", "{\"maintenance\": false}"),
    OBJECTS("/api/v1/config/listeners/{listener}/routes", "route of a listener", route_conf_type,
            "{\"name\": \"images\", \"path_prefix\": \"/images\", \"pool\": \"web\"}"),
    OBJECT("/api/v1/config/listeners/{listener}/routes/{route}", "route of a listener", route_conf_type,
           "{\"path_prefix\": \"/images\", \"pool\": \"web\"}", "{\"path_prefix\": \"/pictures\"}"),
    OBJECTS("/api/v1/config/listeners/{listener}/tls/certificates", "certificate of a listener",
            tls_server_certificate_type, "{\"cert\": \"/etc/weir/two.pem\", \"key\": \"/etc/weir/two.key\"}"),
    OBJECT("/api/v1/config/listeners/{listener}/tls/certificates/{certificate}", "certificate of a listener",
           tls_server_certificate_type, "{\"cert\": \"/etc/weir/one.pem\", \"key\": \"/etc/weir/one.key\"}",
           "{\"key\": \"/etc/weir/other.key\"}"),
    OBJECT("/api/v1/config/logs", "watch over logs", logs_conf_type,
           "{\"sources\": {\"edge\": {\"path\": \"/var/log/nginx/access.log\"}}}",
           "{\"state\": \"/var/lib/weir/logs\"}"),
    OBJECTS("/api/v1/config/logs/sources", "log", source_conf_type,
            "{\"name\": \"more\", \"path\": \"/var/log/nginx/more.log\"}"),
    OBJECT("/api/v1/config/logs/sources/{source}", "log", source_conf_type,
           "{\"path\": \"/var/log/nginx/access.log\", \"from\": \"end\"}", "{\"from\": \"end\"}"),
    OBJECTS("/api/v1/config/logs/rules", "rule over logs", rule_conf_type,
            "{\"name\": \"guessing\", \"when\": \"rate(status==401) by client > 30/m\"}"),
    OBJECT("/api/v1/config/logs/rules/{rule}", "rule over logs", rule_conf_type,
           "{\"when\": \"rate(status==401) by client > 30/m\", \"do\": {\"for\": \"10m\"}}",
           "{\"dry\": false}"),
    OBJECT("/api/v1/config/gate", "gate", gate_conf_type, "{\"deny\": [\"192.0.2.0/24\"]}",
           "{\"deny\": [\"192.0.2.0/24\", \"198.51.100.0/24\"]}"),
    OBJECT_READ("/api/v1/config/gate/deny", "Blocks that may not pass"),
    { HTTP_POST, "/api/v1/config/gate/deny", ROLE_ADMIN, objects_write,
      "Adds a block to those that may not pass", OBJECT_WRITE(conf_cidr_type),
      .text_type = "application/json", .takes_text = true, .creates = true, .example = "\"203.0.113.0/24\"" },
    OBJECT_READ("/api/v1/config/gate/deny/{block}", "That block, if it is one that may not pass"),
    { HTTP_DELETE, "/api/v1/config/gate/deny/{block}", ROLE_ADMIN, objects_write,
      "Takes one of them out again", OBJECT_WRITE(conf_cidr_type) },
    OBJECT_READ("/api/v1/config/gate/allow", "Blocks that alone may pass"),
    { HTTP_POST, "/api/v1/config/gate/allow", ROLE_ADMIN, objects_write,
      "Adds a block to those that may pass", OBJECT_WRITE(conf_cidr_type), .text_type = "application/json",
      .takes_text = true, .creates = true, .example = "\"127.0.0.0/8\"" },
    OBJECT_READ("/api/v1/config/gate/allow/{block}", "That block, if it is one that alone may pass"),
    { HTTP_DELETE, "/api/v1/config/gate/allow/{block}", ROLE_ADMIN, objects_write,
      "Takes one of them out again", OBJECT_WRITE(conf_cidr_type) },
    { HTTP_POST, "/api/v1/upgrade", ROLE_ADMIN, upgrade_post,
      "Starts the binary anew, which takes over all listening sockets; this process ends when what it has "
      "begun has",
      .answer = &upgrade_outcome_shape },
    { HTTP_GET, "/api/v1/certificates", ROLE_VIEW, certificates_list,
      "Certificates that are served, and what became of those in their files",
      .answer = &certificate_row_shape, .list = "certificates" },
    { HTTP_GET, "/api/v1/acme", ROLE_VIEW, acme_list,
      "Certificates that a CA issues by ACME: when they are ordered next, and what became of the last order",
      .answer = &acme_row_shape, .list = "certificates" },
    { HTTP_GET, "/api/v1/keys", ROLE_VIEW, keys_list,
      "Keys of tokens that are fetched: when they came, when they are asked for again, and what failed",
      .answer = &key_row_shape, .list = "keys" },
    { HTTP_POST, "/api/v1/certificates/reload", ROLE_OPERATE, certificates_reload,
      "Reads all certificates, keys of tickets and CAs again; what has a mistake stays as it is",
      .answer = &certificates_outcome_shape },
    { HTTP_GET, "/api/v1/sources", ROLE_VIEW, sources_list,
      "Who is asked where servers are, what is known, and since when it is stale",
      .answer = &source_row_shape, .list = "sources" },
    { HTTP_GET, "/api/v1/stats", ROLE_VIEW, stats_show, "The whole process in figures",
      .answer = &stats_shape },
    { HTTP_GET, "/api/v1/invariants", ROLE_VIEW, invariants_show,
      "Whether what is counted is what there is: sums that always hold", .answer = &invariants_shape },
    { HTTP_GET, "/api/v1/stats/leaks", ROLE_VIEW, leaks_show, "What leaks, and what grows",
      .answer = &leaks_shape },
    { HTTP_GET, "/api/v1/workers", ROLE_VIEW, workers_list,
      "The threads that have loops: the workers, what each has, and which is or was stuck",
      .answer = &worker_shape, .list = "workers" },
    { HTTP_GET, "/api/v1/traffic", ROLE_VIEW, traffic_show,
      "Requests, errors and latency of late, and over the last minutes, hour or day", .query = traffic_query,
      .answer = &traffic_shape, .example = "kind=server&sort=errors&limit=10" },
    { HTTP_GET, "/api/v1/listeners", ROLE_VIEW, listeners_list, "Listeners and their traffic",
      .answer = &listener_shape, .list = "listeners" },
    { HTTP_GET, "/api/v1/maintenance", ROLE_VIEW, maintenance_list, "What is out for maintenance",
      .answer = &maintenance_shape, .list = "maintenance" },
    { HTTP_PATCH, "/api/v1/maintenance", ROLE_OPERATE, maintenance_change,
      "Puts a listener or a route out for maintenance, or back: another configuration comes into force",
      .query = reload_query, .answer = &reload_outcome_shape, .body = &maintenance_patch_type,
      .example = "{\"listener\": \"web\", \"enabled\": true}" },
    { HTTP_GET, "/api/v1/routes", ROLE_VIEW, routes_list, "Routes in the order of the configuration",
      .answer = &route_shape, .list = "routes" },
    { HTTP_GET, "/api/v1/pools", ROLE_VIEW, pools_list, "Pools with their servers", .answer = &pool_shape,
      .list = "pools" },
    { HTTP_GET, "/api/v1/pools/{pool}", ROLE_VIEW, pools_show, "One pool", .answer = &pool_shape },
    { HTTP_GET, "/api/v1/pools/{pool}/servers", ROLE_VIEW, servers_list, "The servers of a pool",
      .answer = &server_shape, .list = "servers" },
    { HTTP_GET, "/api/v1/pools/{pool}/servers/{server}", ROLE_VIEW, servers_show, "One server",
      .answer = &server_shape },
    { HTTP_PATCH, "/api/v1/pools/{pool}/servers/{server}", ROLE_OPERATE, servers_patch,
      "Changes what the operator says of a server; takes effect at once", .answer = &server_shape,
      .dry_answer = &server_change_shape, .query = reload_query, .body = &server_patch_type,
      .example = "{\"admin\": \"drain\"}" },
    { HTTP_GET, "/api/v1/splits", ROLE_VIEW, splits_list, "A/B splits and their variants",
      .answer = &split_shape, .list = "splits" },
    { HTTP_PATCH, "/api/v1/splits/{split}", ROLE_OPERATE, splits_patch,
      "Takes the guarded variant of a split in hand, or lets the guard go on", .answer = &split_shape,
      .body = &split_patch_type, .example = "{\"guard\": \"pause\"}" },
    { HTTP_GET, "/api/v1/splits/{split}/report", ROLE_VIEW, splits_report,
      "How the variants of a split do, with confidence intervals", .answer = &split_report_shape },
    { HTTP_POST, "/api/v1/explain", ROLE_VIEW, explain_show,
      "Where a request would go, and why; nothing is sent", .answer = &explain_shape,
      .body = &explain_conf_type, .example = "{\"url\": \"http://127.0.0.1/path\"}" },
    { HTTP_GET, "/api/v1/logs", ROLE_VIEW, logs_list, "The logs that are watched",
      .answer = &log_source_shape, .list = "sources" },
    { HTTP_GET, "/api/v1/logs/{source}/summary", ROLE_VIEW, logs_summary,
      "What a log says, in figures, over a window of time", .query = log_summary_query,
      .example = "window=5m" },
    { HTTP_GET, "/api/v1/logs/{source}/top", ROLE_VIEW, logs_top,
      "The most frequent clients, paths, … of a log", .query = log_top_query,
      .example = "by=path&window=1h" },
    { HTTP_GET, "/api/v1/logs/{source}/series", ROLE_VIEW, logs_series,
      "Records and errors of each of the last 60 minutes" },
    { HTTP_GET, "/api/v1/logs/{source}/stream", ROLE_VIEW, logs_stream,
      "Records as they come, as server-sent events", .query = log_stream_query,
      .content_type = "text/event-stream", .has_effect = true, .example = "where=status%3E%3D500" },
    { HTTP_GET, "/api/v1/rules", ROLE_VIEW, rules_list,
      "Rules over logs, and what they did or would have done", .answer = &rule_shape, .list = "rules" },
    { HTTP_GET, "/api/v1/denials", ROLE_VIEW, denials_list, "Who may not pass the gate for a while",
      .answer = &denial_shape, .list = "denials" },
    { HTTP_GET, "/api/v1/denials/{id}", ROLE_VIEW, denials_show,
      "One of them, by its number or by the address or network that it is", .answer = &denial_shape },
    { HTTP_DELETE, "/api/v1/denials/{id}", ROLE_OPERATE, denials_delete, "Lets somebody pass again",
      .has_no_body = true },
    { HTTP_GET, "/api/v1/events", ROLE_VIEW, events_list,
      "What happened of late, newest first; as server-sent events if the Accept field asks for them",
      .query = event_query, .answer = &event_shape, .list = "events",
      .example = "name=server_state&limit=10" },
    { HTTP_POST, "/api/v1/events", ROLE_OPERATE, events_post, "Notes that something happened, like a deploy",
      .answer = &event_shape, .list = "events", .body = &marker_type, .says_itself = true,
      .example = "{\"name\": \"deploy v42\"}" },
    { HTTP_GET, "/api/v1/events/stream", ROLE_VIEW, events_stream,
      "What happens from now on, as server-sent events", .query = event_query,
      .content_type = "text/event-stream", .has_effect = true },
    { HTTP_GET, "/api/v1/events/{event}/report", ROLE_VIEW, events_report,
      "What has changed with an event: routes and servers before it and after it",
      .query = event_report_query, .answer = &event_report_shape, .example = "kind=route" },
    { HTTP_GET, "/api/v1/audit/trail", ROLE_VIEW, trail_list,
      "Who changed what, newest first, and what was refused", .query = trail_query, .answer = &audit_shape,
      .list = "entries", .example = "limit=20" },
    { HTTP_GET, "/api/v1/exchanges", ROLE_VIEW, exchanges_list, "The latest exchanges, newest first",
      .answer = &exchange_shape, .list = "exchanges", .query = exchange_query,
      .example = "failed=true&limit=10" },
    { HTTP_GET, "/api/v1/exchanges/stream", ROLE_VIEW, exchanges_stream,
      "Exchanges as they end, as server-sent events", .query = exchange_stream_query,
      .content_type = "text/event-stream", .has_effect = true, .example = "where=status%3E%3D500" },
    { HTTP_GET, "/api/v1/exchanges/{id}", ROLE_VIEW, exchanges_show,
      "One exchange by weir's id, 16 hexadecimal digits", .answer = &exchange_shape },
    { HTTP_GET, "/debug/flame", ROLE_OPERATE, flame_show,
      "CPU time as a flame graph, now or of the last hour", .query = flame_query, .content_type = HTML,
      .has_effect = true, .example = "seconds=5" },
    { HTTP_GET, "/debug/trace", ROLE_OPERATE, trace_show,
      "Turns and exchanges of some seconds, for ui.perfetto.dev", .query = trace_query,
      .content_type = "application/json", .has_effect = true, .example = "seconds=1" },
    { HTTP_GET, "/debug/pprof", ROLE_OPERATE, pprof_index, "Which profiles there are, as a page",
      .content_type = HTML },
    { HTTP_GET, "/debug/pprof/", ROLE_OPERATE, pprof_index, "Which profiles there are, as a page",
      .content_type = HTML, .is_alias = true },
    { HTTP_GET, "/debug/pprof/profile", ROLE_OPERATE, pprof_profile, "CPU time by stack, in pprof's format",
      .query = pprof_query, .content_type = BYTES, .has_effect = true, .example = "seconds=5" },
    { HTTP_GET, "/debug/pprof/wall", ROLE_OPERATE, pprof_wall, "Time on and off the CPU by stack",
      .query = pprof_query, .content_type = BYTES, .has_effect = true, .example = "seconds=5" },
    { HTTP_GET, "/debug/pprof/block", ROLE_OPERATE, pprof_block, "Time off the CPU by stack",
      .query = pprof_query, .content_type = BYTES, .has_effect = true, .example = "seconds=5" },
    { HTTP_GET, "/debug/pprof/mutex", ROLE_OPERATE, pprof_mutex, "Time in which locks were waited for",
      .query = pprof_query, .content_type = BYTES, .has_effect = true, .example = "seconds=5" },
    { HTTP_GET, "/debug/pprof/heap", ROLE_OPERATE, pprof_heap, "Memory in use by stack", .query = live_query,
      .content_type = BYTES, .has_effect = true },
    { HTTP_GET, "/debug/pprof/allocs", ROLE_OPERATE, pprof_allocs, "Memory that was taken by stack",
      .query = live_query, .content_type = BYTES, .has_effect = true },
    { HTTP_GET, "/debug/pprof/goroutine", ROLE_OPERATE, pprof_goroutine,
      "Threads, exchanges, connections: what is live", .query = live_query, .content_type = BYTES,
      .has_effect = true },
    { HTTP_GET, "/debug/pprof/threadcreate", ROLE_OPERATE, pprof_threadcreate, "Threads by stack",
      .query = live_query, .content_type = BYTES, .has_effect = true },
    { HTTP_GET, "/debug/pprof/trace", ROLE_OPERATE, pprof_trace, "Go's trace: 501", .query = pprof_query,
      .content_type = PLAIN },
    { HTTP_GET, "/debug/pprof/cmdline", ROLE_OPERATE, pprof_cmdline, "The command line",
      .content_type = PLAIN },
    { HTTP_GET, "/debug/pprof/symbol", ROLE_VIEW, pprof_symbol, "Whether there are names of functions",
      .content_type = PLAIN },
    { HTTP_POST, "/debug/pprof/symbol", ROLE_VIEW, pprof_symbol_post, "Addresses to names of functions",
      .content_type = PLAIN, .takes_text = true, .text_type = "text/plain", .example = "0x401000" },
    { 0 },
};
