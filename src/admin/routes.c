#include "admin/routes.h"

#include "proxy/explain.h"

#define PLAIN "text/plain; charset=utf-8"

const struct admin_route admin_routes[] = {
    { HTTP_GET, "/", index_list, "What there is, as text for people", .content_type = PLAIN },
    { HTTP_GET, "/healthz", health_live, "Whether weir lives", .content_type = PLAIN, .is_open = true },
    { HTTP_GET, "/readyz", health_ready, "Whether weir takes new traffic; 503 if not", .content_type = PLAIN,
      .is_open = true },
    { HTTP_GET, "/metrics", metrics_print,
      "Metrics in Prometheus' text format, or in OpenMetrics if asked for", .content_type = PLAIN },
    { HTTP_GET, "/api/v1/openapi.json", openapi_show, "This API as OpenAPI 3.1" },
    { HTTP_GET, "/api/v1/stats", stats_show, "The whole process in figures", .answer = &stats_shape },
    { HTTP_GET, "/api/v1/listeners", listeners_list, "Listeners and their traffic", .answer = &listener_shape,
      .list = "listeners" },
    { HTTP_GET, "/api/v1/routes", routes_list, "Routes in the order of the configuration",
      .answer = &route_shape, .list = "routes" },
    { HTTP_GET, "/api/v1/pools", pools_list, "Pools with their servers", .answer = &pool_shape,
      .list = "pools" },
    { HTTP_GET, "/api/v1/pools/{pool}", pools_show, "One pool", .answer = &pool_shape },
    { HTTP_GET, "/api/v1/pools/{pool}/servers", servers_list, "The servers of a pool",
      .answer = &server_shape, .list = "servers" },
    { HTTP_GET, "/api/v1/pools/{pool}/servers/{server}", servers_show, "One server",
      .answer = &server_shape },
    { HTTP_PATCH, "/api/v1/pools/{pool}/servers/{server}", servers_patch,
      "Changes what the operator says of a server; takes effect at once", .answer = &server_shape,
      .body = &server_patch_type },
    { HTTP_GET, "/api/v1/splits", splits_list, "A/B splits and their variants", .answer = &split_shape,
      .list = "splits" },
    { HTTP_GET, "/api/v1/splits/{split}/report", splits_report,
      "How the variants of a split do, with confidence intervals", .answer = &split_report_shape },
    { HTTP_POST, "/api/v1/explain", explain_show, "Where a request would go, and why; nothing is sent",
      .answer = &explain_shape, .body = &explain_conf_type },
    { HTTP_GET, "/api/v1/exchanges", exchanges_list, "The latest exchanges, newest first",
      .answer = &exchange_shape, .list = "exchanges", .query = exchange_query },
    { HTTP_GET, "/api/v1/exchanges/{id}", exchanges_show, "One exchange by weir's id, 16 hexadecimal digits",
      .answer = &exchange_shape },
    { 0 },
};
