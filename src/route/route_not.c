#include "route/route_not.h"

#include "conf/decode.h"
#include "http/h1_scan.h"
#include "http/path.h"
#include "route/route_table.h"

static bool is_token(const char *text)
{
    const char *c = text;
    while (h1_is(*c, H1_TOKEN)) c++;
    return !*c && c != text;
}

void route_check_methods(struct conf_decode *d, const struct conf_node *node,
                         const struct conf_items *methods)
{
    const char *const *method = methods->data;
    for (uint32_t i = 0; i < methods->count; i++) {
        char first = method[i][0];
        if (!is_token(method[i]))
            conf_decode_fault(d, node, "method", "", "\"%s\" cannot be a method", method[i]);
        else if (http_method_of(slice_of(method[i])) == HTTP_OTHER && first >= 'a' && first <= 'z')
            conf_decode_fault(d, node, "method", "write it in capitals",
                              "methods are told apart by case, and \"%s\" "
                              "would match nothing that is usual",
                              method[i]);
    }
}

static void check_paths(struct conf_decode *d, const struct conf_node *node, const char *key,
                        const struct conf_items *paths)
{
    const char *const *path = paths->data;
    for (uint32_t i = 0; i < paths->count; i++)
        if (path[i][0] != '/' || strpbrk(path[i], "?# "))
            conf_decode_fault(d, node, key, "begin it with a slash, and leave out what follows the path",
                              "\"%s\" can never be a request's path", path[i]);
}

static void check_not(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct route_not_conf *n = object;
    const char *const *hosts = n->hosts.data;
    struct err err;
    for (uint32_t i = 0; i < n->hosts.count; i++)
        if (route_check_host(slice_of(hosts[i]), &err) < 0)
            conf_decode_fault(d, node, "host", "", "%s", err.text);
    route_check_methods(d, node, &n->methods);
    check_paths(d, node, "path", &n->paths);
    check_paths(d, node, "path_prefix", &n->path_prefixes);
    if (!n->hosts.count && !n->paths.count && !n->path_prefixes.count && !n->methods.count &&
        !n->clients.count)
        conf_decode_fault(d, node, NULL, "add host, path, path_prefix, method or client",
                          "it leaves nothing out");
}

static void check_canonical(struct conf_decode *d, const struct conf_node *node, const char *key,
                            const struct conf_items *paths, const struct http_path_rules *rules)
{
    const char *const *path = paths->data;
    struct err err;
    for (uint32_t i = 0; i < paths->count; i++)
        if (path[i][0] == '/' && http_path_check(rules, path[i], strcmp(key, "path") != 0, &err) < 0)
            conf_decode_fault(d, node, key, "", "%s", err.text);
}

void route_not_check_paths(struct conf_decode *d, const struct conf_node *node,
                           const struct route_not_conf *n, const struct http_path_rules *rules)
{
    check_canonical(d, node, "path", &n->paths, rules);
    check_canonical(d, node, "path_prefix", &n->path_prefixes, rules);
}

#define LIST_MAX 256

static const struct conf_field fields[] = {
    { "host", CONF_STRINGS(struct route_not_conf, hosts), .max = LIST_MAX, .flags = CONF_OR_ONE,
      .help = "Hosts, like `api.example.com` or `*.example.com`." },
    { "path", CONF_STRINGS(struct route_not_conf, paths), .max = LIST_MAX, .flags = CONF_OR_ONE,
      .help = "Whole paths." },
    { "path_prefix", CONF_STRINGS(struct route_not_conf, path_prefixes), .max = LIST_MAX,
      .flags = CONF_OR_ONE, .help = "What paths begin with." },
    { "method", CONF_STRINGS(struct route_not_conf, methods), .max = 32, .flags = CONF_OR_ONE,
      .help = "Methods." },
    { "client", CONF_LIST(struct route_not_conf, clients, &conf_cidr_type), .max = 10000,
      .help = "Address blocks that requests come from." },
    { 0 },
};

const struct conf_type route_not_type = {
    .name = "exclusion", .size = sizeof(struct route_not_conf), .fields = fields, .check = check_not
};

/* The dot of the root says nothing (RFC 1034 3.1). */
static struct slice without_dot(const char *host)
{
    struct slice name = slice_of(host);
    if (name.len && name.data[name.len - 1] == '.') name.len--;
    return name;
}

/* `host` without its dot. */
static bool is_host(const char *pattern, struct slice host)
{
    struct slice end = without_dot(pattern);
    if (!slice_starts_with(end, SLICE("*."))) return slice_equal_fold(host, end);
    end = (struct slice){ end.data + 1, end.len - 1 };
    return host.len > end.len &&
           slice_equal_fold((struct slice){ host.data + host.len - end.len, end.len }, end);
}

static bool has_host(const struct conf_items *hosts, struct slice host)
{
    char folded[ROUTE_HOST_MAX];
    const char *const *pattern = hosts->data;
    if (!hosts->count) return false;
    struct slice name = { folded, route_fold_host(host, folded) };
    for (uint32_t i = 0; name.len && i < hosts->count; i++)
        if (is_host(pattern[i], name)) return true;
    return false;
}

static bool has_path(const struct conf_items *paths, struct slice path, bool is_prefix)
{
    const char *const *text = paths->data;
    for (uint32_t i = 0; i < paths->count; i++) {
        struct slice one = slice_of(text[i]);
        if (is_prefix ? slice_starts_with(path, one) : slice_equal(path, one)) return true;
    }
    return false;
}

static bool has_method(const struct conf_items *methods, const struct http_head *head)
{
    const char *const *method = methods->data;
    for (uint32_t i = 0; head && i < methods->count; i++)
        if (slice_equal(head->method_text, slice_of(method[i]))) return true;
    return false;
}

static bool has_client(const struct conf_items *clients, const struct ip *client)
{
    const struct cidr *block = clients->data;
    for (uint32_t i = 0; i < clients->count; i++)
        if (cidr_contains(&block[i], client)) return true;
    return false;
}

const char *route_not_holds(const struct route_not_conf *n, const struct route_request *rq)
{
    if (has_path(&n->paths, rq->path, false)) return "path";
    if (has_path(&n->path_prefixes, rq->path, true)) return "path_prefix";
    if (has_method(&n->methods, rq->head)) return "method";
    if (has_host(&n->hosts, rq->host)) return "host";
    return has_client(&n->clients, &rq->client) ? "client" : NULL;
}

bool route_host_is_within(const char *host, const char *outer)
{
    struct slice inner = without_dot(host);
    if (slice_equal_fold(inner, without_dot(outer))) return true;
    if (*host == '*') inner = (struct slice){ inner.data + 1, inner.len - 1 }; /* ".api.example.com" */
    return is_host(outer, inner);
}
