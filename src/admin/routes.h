/* admin/routes.h: the table of the API, and the handlers that it names, one file for each noun. */
#pragma once

#include "admin/router.h"

extern const struct admin_route admin_routes[];

/* health.c */
void health_live(const struct admin_request *rq, struct answer *out);
void health_ready(const struct admin_request *rq, struct answer *out);
/* index.c */
void index_list(const struct admin_request *rq, struct answer *out);
/* dashboard.c */
void dashboard_file(const struct admin_request *rq, struct answer *out);
/* metrics.c */
void metrics_print(const struct admin_request *rq, struct answer *out);
/* listeners.c */
extern const struct shape listener_shape, route_shape;
void listeners_list(const struct admin_request *rq, struct answer *out);
void routes_list(const struct admin_request *rq, struct answer *out);
/* maintenance.c */
extern const struct shape maintenance_shape;
extern const struct conf_type maintenance_patch_type;
void maintenance_list(const struct admin_request *rq, struct answer *out);
void maintenance_change(const struct admin_request *rq, struct answer *out);
/* pools.c */
extern const struct shape pool_shape, server_shape;
void pools_list(const struct admin_request *rq, struct answer *out);
void pools_show(const struct admin_request *rq, struct answer *out);
void servers_list(const struct admin_request *rq, struct answer *out);
void servers_show(const struct admin_request *rq, struct answer *out);
/* server_change.c */
extern const struct shape server_change_shape;
extern const struct conf_type server_patch_type;
void servers_patch(const struct admin_request *rq, struct answer *out);
/* exchanges.c */
extern const struct shape exchange_shape;
extern const struct admin_query exchange_query[];
void exchanges_list(const struct admin_request *rq, struct answer *out);
void exchanges_show(const struct admin_request *rq, struct answer *out);
/* events.c */
extern const struct shape event_shape;
extern const struct conf_type marker_type;
extern const struct admin_query event_query[];
void events_list(const struct admin_request *rq, struct answer *out);
void events_stream(const struct admin_request *rq, struct answer *out);
void events_post(const struct admin_request *rq, struct answer *out);
/* event_report.c */
extern const struct admin_query event_report_query[];
extern const struct shape event_report_shape;
void events_report(const struct admin_request *rq, struct answer *out);
/* exchange_stream.c */
extern const struct admin_query exchange_stream_query[];
void exchanges_stream(const struct admin_request *rq, struct answer *out);
/* splits.c */
extern const struct shape split_shape, split_report_shape;
void splits_list(const struct admin_request *rq, struct answer *out);
extern const struct conf_type split_patch_type;
void splits_patch(const struct admin_request *rq, struct answer *out); /* split_guard.c */
void splits_report(const struct admin_request *rq, struct answer *out);
/* explain.c */
extern const struct shape explain_shape;
void explain_show(const struct admin_request *rq, struct answer *out);
/* logs.c */
extern const struct shape log_source_shape;
extern const struct admin_query log_summary_query[], log_top_query[], log_stream_query[];
void logs_list(const struct admin_request *rq, struct answer *out);
void logs_summary(const struct admin_request *rq, struct answer *out);
void logs_top(const struct admin_request *rq, struct answer *out);
void logs_series(const struct admin_request *rq, struct answer *out);
void logs_stream(const struct admin_request *rq, struct answer *out);
/* rules.c */
extern const struct shape rule_shape, denial_shape;
void rules_list(const struct admin_request *rq, struct answer *out);
void denials_list(const struct admin_request *rq, struct answer *out);
void denials_show(const struct admin_request *rq, struct answer *out);
void denials_delete(const struct admin_request *rq, struct answer *out);
/* pprof.c */
extern const struct admin_query pprof_query[];
void pprof_index(const struct admin_request *rq, struct answer *out);
void pprof_profile(const struct admin_request *rq, struct answer *out);
void pprof_wall(const struct admin_request *rq, struct answer *out);
void pprof_block(const struct admin_request *rq, struct answer *out);
void pprof_mutex(const struct admin_request *rq, struct answer *out);
void pprof_trace(const struct admin_request *rq, struct answer *out);
void pprof_cmdline(const struct admin_request *rq, struct answer *out);
void pprof_symbol(const struct admin_request *rq, struct answer *out);
void pprof_symbol_post(const struct admin_request *rq, struct answer *out);
/* flames.c */
extern const struct admin_query flame_query[];
void flame_show(const struct admin_request *rq, struct answer *out);
/* live.c */
extern const struct admin_query live_query[];
void pprof_goroutine(const struct admin_request *rq, struct answer *out);
void pprof_threadcreate(const struct admin_request *rq, struct answer *out);
void pprof_heap(const struct admin_request *rq, struct answer *out);
void pprof_allocs(const struct admin_request *rq, struct answer *out);
/* stats.c */
extern const struct shape stats_shape;
void stats_show(const struct admin_request *rq, struct answer *out);
/* traffic.c */
extern const struct shape traffic_shape;
extern const struct admin_query traffic_query[];
void traffic_show(const struct admin_request *rq, struct answer *out);
/* trace.c */
extern const struct admin_query trace_query[];
void trace_show(const struct admin_request *rq, struct answer *out);
/* invariants.c */
extern const struct shape invariants_shape;
void invariants_show(const struct admin_request *rq, struct answer *out);

/* leaks.c */
extern const struct shape leaks_shape;
void leaks_show(const struct admin_request *rq, struct answer *out);
/* workers.c */
extern const struct shape worker_shape;
void workers_list(const struct admin_request *rq, struct answer *out);
/* config.c */
extern const struct admin_query reload_query[], generation_query[];
extern const struct conf_type rollback_type;
void config_show(const struct admin_request *rq, struct answer *out);
void config_put(const struct admin_request *rq, struct answer *out);
void config_reload(const struct admin_request *rq, struct answer *out);
void config_rollback(const struct admin_request *rq, struct answer *out);
void generations_list(const struct admin_request *rq, struct answer *out);
void generations_show(const struct admin_request *rq, struct answer *out);
/* objects.c */
void objects_show(const struct admin_request *rq, struct answer *out);
void objects_write(const struct admin_request *rq, struct answer *out);
/* upgrade.c */
void upgrade_post(const struct admin_request *rq, struct answer *out);
/* sources.c */
void sources_list(const struct admin_request *rq, struct answer *out);
/* keys.c */
extern const struct shape key_row_shape;
void keys_list(const struct admin_request *rq, struct answer *out);
void certificates_list(const struct admin_request *rq, struct answer *out);
void acme_list(const struct admin_request *rq, struct answer *out);
void certificates_reload(const struct admin_request *rq, struct answer *out);
/* trail.c */
extern const struct admin_query trail_query[];
void trail_list(const struct admin_request *rq, struct answer *out);
/* sign_in.c */
extern const struct shape session_shape;
extern const struct conf_type sign_in_type;
void session_show(const struct admin_request *rq, struct answer *out);
void session_post(const struct admin_request *rq, struct answer *out);
void session_delete(const struct admin_request *rq, struct answer *out);
/* openapi.c */
void openapi_show(const struct admin_request *rq, struct answer *out);
