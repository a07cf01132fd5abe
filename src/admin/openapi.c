#include <stdio.h>

#include "admin/example.h"
#include "admin/routes.h"
#include "conf/decode.h"

/* Each writes one member of the object that is open. */

static void put_member(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    json_string(j, value);
}

static void put_reference(struct json *j, const char *section, const char *name)
{
    json_key(j, "$ref");
    json_printf(j, "#/components/%s/%s", section, name);
}

/* What belongs together, by how its paths begin; the last is of all others. */
static const struct {
    const char *path, *tag, *help;
} groups[] = {
    { "/api/v1/session", "session", "Signing a browser in, and out." },
    { "/api/v1/config", "configuration", "What is in force, what was, and putting another in its place." },
    { "/api/v1/reload", "configuration", NULL },
    { "/api/v1/upgrade", "configuration", NULL },
    { "/api/v1/maintenance", "configuration", NULL },
    { "/api/v1/certificates", "certificates", "Certificates and keys, and where they come from." },
    { "/api/v1/acme", "certificates", NULL },
    { "/api/v1/keys", "certificates", NULL },
    { "/api/v1/listeners", "routing", "Where requests come in, and where they go." },
    { "/api/v1/routes", "routing", NULL },
    { "/api/v1/pools", "routing", NULL },
    { "/api/v1/sources", "routing", NULL },
    { "/api/v1/splits", "routing", NULL },
    { "/api/v1/explain", "routing", NULL },
    { "/api/v1/traffic", "traffic", "What went through, in figures and one by one." },
    { "/api/v1/exchanges", "traffic", NULL },
    { "/api/v1/events", "events", "What happened, who did it, and what it has changed." },
    { "/api/v1/audit", "events", NULL },
    { "/api/v1/logs", "logs", "Logs that are watched, and rules over them." },
    { "/api/v1/rules", "logs", NULL },
    { "/api/v1/denials", "logs", NULL },
    { "/debug", "profiles", "What weir itself does: profiles and traces." },
    { "", "process", "How the process is." },
};
#define GROUPS (sizeof(groups) / sizeof(*groups))

static const char *tag_of(const struct admin_route *r)
{
    size_t i = 0;
    while (strncmp(r->path, groups[i].path, strlen(groups[i].path)) != 0) i++;
    return groups[i].tag;
}

static void put_tags(struct json *j)
{
    json_key(j, "tags");
    json_array(j);
    for (size_t i = 0; i < GROUPS; i++) {
        if (!groups[i].help) continue;
        json_object(j);
        put_member(j, "name", groups[i].tag);
        put_member(j, "description", groups[i].help);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_parameter(struct json *j, struct slice name, const char *in, const char *type,
                          const char *help)
{
    const struct example_param *example = strcmp(in, "path") == 0 ? example_param(name) : NULL;
    json_object(j);
    json_key(j, "name");
    json_slice(j, name);
    put_member(j, "in", in);
    json_key(j, "required");
    json_bool(j, strcmp(in, "path") == 0);
    json_key(j, "schema");
    json_object(j);
    put_member(j, "type", type);
    json_object_end(j);
    if (example) put_member(j, "example", example->value);
    if (example) help = example->help;
    if (help) put_member(j, "description", help);
    json_object_end(j);
}

static void put_parameters(struct json *j, const struct admin_route *r)
{
    const char *rest = r->path;
    struct slice segment;
    bool is_param;
    json_key(j, "parameters");
    json_array(j);
    while (router_next_segment(&rest, &segment, &is_param))
        if (is_param) put_parameter(j, segment, "path", "string", NULL);
    for (const struct admin_query *q = r->query; q && q->name; q++)
        put_parameter(j, slice_of(q->name), "query", q->type, q->help);
    json_array_end(j);
}

static void put_body(struct json *j, const struct admin_route *r)
{
    json_key(j, "requestBody");
    json_object(j);
    json_key(j, "required");
    json_bool(j, true);
    json_key(j, "content");
    json_object(j);
    json_key(j, r->text_type ? r->text_type : "application/json");
    json_object(j);
    json_key(j, "schema");
    if (r->body) {
        conf_schema(r->body, j);
    } else {
        json_object(j);
        if (!r->object) put_member(j, "type", "string");
        json_object_end(j);
    }
    if (r->text_type) {
        json_key(j, "example");
        r->object ? json_raw(j, slice_of(r->example)) : json_string(j, r->example);
    }
    json_object_end(j);
    json_object_end(j);
    json_object_end(j);
}

/* {"pools": [Pool, …]} */
static void put_list_schema(struct json *j, const struct admin_route *r)
{
    put_member(j, "type", "object");
    json_key(j, "required");
    json_array(j);
    json_string(j, r->list);
    json_array_end(j);
    json_key(j, "properties");
    json_object(j);
    json_key(j, r->list);
    json_object(j);
    put_member(j, "type", "array");
    json_key(j, "items");
    json_object(j);
    put_reference(j, "schemas", r->answer->name);
    json_object_end(j);
    json_object_end(j);
    json_object_end(j);
}

/* Either, by the query. */
static void put_either(struct json *j, const struct shape *one, const struct shape *other)
{
    const struct shape *const shapes[] = { one, other };
    json_key(j, "oneOf");
    json_array(j);
    for (size_t i = 0; i < 2; i++) {
        json_object(j);
        put_reference(j, "schemas", shapes[i]->name);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_schema(struct json *j, const struct admin_route *r)
{
    json_key(j, "schema");
    json_object(j);
    if (r->dry_answer)
        put_either(j, r->answer, r->dry_answer);
    else if (r->list)
        put_list_schema(j, r);
    else if (r->answer)
        put_reference(j, "schemas", r->answer->name);
    else if (!r->is_part)
        put_member(j, "type", r->content_type ? "string" : "object");
    json_object_end(j);
}

/* Without its parameters. */
static void put_content(struct json *j, const struct admin_route *r)
{
    const char *type = r->content_type ? r->content_type : "application/json", *end = strchr(type, ';');
    json_key(j, "content");
    json_object(j);
    json_key_slice(j, (struct slice){ type, end ? (size_t)(end - type) : strlen(type) });
    json_object(j);
    put_schema(j, r);
    json_object_end(j);
    json_object_end(j);
}

static void put_problem(struct json *j, const char *status)
{
    json_key(j, status);
    json_object(j);
    put_reference(j, "responses", "Problem");
    json_object_end(j);
}

static void put_created(struct json *j, const struct admin_route *r)
{
    json_key(j, "201");
    json_object(j);
    put_member(j, "description", "It is new; `Location` says where it is");
    put_content(j, r);
    json_object_end(j);
}

static void put_responses(struct json *j, const struct admin_route *r)
{
    json_key(j, "responses");
    json_object(j);
    json_key(j, r->has_no_body ? "204" : "200");
    json_object(j);
    put_member(j, "description", r->summary);
    if (!r->has_no_body) put_content(j, r);
    json_object_end(j);
    if (r->creates) put_created(j, r);
    put_problem(j, "4XX");
    put_problem(j, "default");
    json_object_end(j);
}

/* "get_pools_pool_servers": unique, for generated clients. */
static void put_operation_id(struct json *j, const struct admin_route *r, const char *method)
{
    char id[128];
    size_t len = (size_t)snprintf(id, sizeof(id), "%s", method);
    const char *rest = r->path;
    struct slice segment;
    bool is_param;
    while (router_next_segment(&rest, &segment, &is_param)) {
        if (slice_equal(segment, SLICE("api")) || slice_equal(segment, SLICE("v1"))) continue;
        len += (size_t)snprintf(id + len, sizeof(id) - len, "_%.*s", SLICE_ARGS(segment));
    }
    for (size_t i = 0; i < len; i++)
        if (id[i] == '.') id[i] = '_';
    put_member(j, "operationId", id);
}

static void put_description(struct json *j, const struct admin_route *r)
{
    char memory[1024];
    struct text t = text_over(memory, sizeof(memory));
    text_printf(&t, "%s.", r->summary);
    if (r->role == ROLE_NONE)
        TEXT_LITERAL(&t, " Anybody who reaches the address may ask.");
    else
        text_printf(&t, " Who asks needs at least the role `%s`, if there are tokens.",
                    admin_role_name(r->role));
    if (r->has_effect) TEXT_LITERAL(&t, " In a browser no page of another site can ask for it.");
    put_member(j, "description", text_cstr(&t));
}

/* As tools that show such documents know it. */
static void put_example(struct json *j, const struct admin_route *r)
{
    char memory[1024];
    struct text t = text_over(memory, sizeof(memory));
    example_print(r, &t);
    json_key(j, "x-codeSamples");
    json_array(j);
    json_object(j);
    put_member(j, "lang", "Shell");
    put_member(j, "label", "curl");
    put_member(j, "source", text_cstr(&t));
    json_object_end(j);
    json_array_end(j);
}

static void put_operation(struct json *j, const struct admin_route *r)
{
    char method[16];
    size_t len = 0;
    for (const char *name = http_method_name(r->method); name[len]; len++)
        method[len] = (char)(name[len] | 32);
    method[len] = 0;
    json_key(j, method);
    json_object(j);
    put_operation_id(j, r, method);
    put_member(j, "summary", r->summary);
    put_description(j, r);
    json_key(j, "tags");
    json_array(j);
    json_string(j, tag_of(r));
    json_array_end(j);
    put_example(j, r);
    put_member(j, "x-weir-role", admin_role_name(r->role));
    if (r->role == ROLE_NONE) {
        json_key(j, "security");
        json_array(j);
        json_array_end(j);
    }
    put_parameters(j, r);
    if (r->body || r->takes_text) put_body(j, r);
    put_responses(j, r);
    json_object_end(j);
}

static void put_paths(struct json *j, const struct admin_route *routes)
{
    json_key(j, "paths");
    json_object(j);
    for (const struct admin_route *r = routes; r->path; r++) {
        if (r->is_alias) continue;
        /* Rows of one path stand together. */
        if (r == routes || strcmp(r[-1].path, r->path) != 0) {
            json_key(j, r->path);
            json_object(j);
        }
        put_operation(j, r);
        if (!r[1].path || strcmp(r[1].path, r->path) != 0) json_object_end(j);
    }
    json_object_end(j);
}

static bool is_first_of_shape(const struct admin_route *routes, const struct admin_route *r)
{
    for (; routes < r; routes++)
        if (routes->answer == r->answer) return false;
    return true;
}

static const struct shape_field problem_fields[] = {
    { "type", SHAPE_STRING, 0, .help = "about:blank: the title is that of the status." },
    { "title", SHAPE_STRING, 0, .help = "The status in words." },
    { "status", SHAPE_COUNT, 0, .help = "The status again." },
    { "detail", SHAPE_STRING, 0, .help = "A sentence: what is wrong, where, and what to do." },
    { "errors", SHAPE_LIST, 0, .is_optional = true,
      .of =
          &(const struct shape){
              "Fault", 0,
              (const struct shape_field[]){
                  { "line", SHAPE_COUNT, 0, .is_optional = true, .help = "In the request's body, from 1." },
                  { "column", SHAPE_COUNT, 0, .is_optional = true, .help = "In characters, from 1." },
                  { "pointer", SHAPE_STRING, 0, .is_optional = true,
                    .help = "In place of these, of an object of the configuration: in the request's body "
                            "(RFC 6901)." },
                  { "elsewhere", SHAPE_STRING, 0, .is_optional = true,
                    .help = "Or outside of what was sent: in the configuration that would come of it." },
                  { "detail", SHAPE_STRING, 0, .help = "What is wrong there." },
                  { "remedy", SHAPE_STRING, 0, .is_optional = true, .help = "What to do." },
                  { 0 },
              } },
      .help = "Every fault with its place." },
    { 0 },
};
static const struct shape problem_shape = { "Problem", 0, problem_fields };

static void put_schemas(struct json *j, const struct admin_route *routes)
{
    json_key(j, "schemas");
    json_object(j);
    json_key(j, problem_shape.name);
    shape_schema(&problem_shape, j);
    for (const struct admin_route *r = routes; r->path; r++) {
        if (!r->answer || !is_first_of_shape(routes, r)) continue;
        json_key(j, r->answer->name);
        shape_schema(r->answer, j);
    }
    for (const struct admin_route *r = routes; r->path; r++) {
        if (!r->dry_answer) continue;
        json_key(j, r->dry_answer->name);
        shape_schema(r->dry_answer, j);
    }
    json_object_end(j);
}

static void put_problem_response(struct json *j)
{
    json_key(j, "responses");
    json_object(j);
    json_key(j, "Problem");
    json_object(j);
    put_member(j, "description", "What went wrong (RFC 9457)");
    json_key(j, "content");
    json_object(j);
    json_key(j, "application/problem+json");
    json_object(j);
    json_key(j, "schema");
    json_object(j);
    put_reference(j, "schemas", problem_shape.name);
    json_object_end(j);
    json_object_end(j);
    json_object_end(j);
    json_object_end(j);
    json_object_end(j);
}

static void put_security_scheme(struct json *j, const char *name, const char *help)
{
    json_key(j, name);
    json_object(j);
    put_member(j, "type", "http");
    put_member(j, "scheme", name);
    put_member(j, "description", help);
    json_object_end(j);
}

/* What POST /api/v1/session sets. */
static void put_cookie_scheme(struct json *j)
{
    json_key(j, "session");
    json_object(j);
    put_member(j, "type", "apiKey");
    put_member(j, "in", "cookie");
    put_member(j, "name", SESSION_COOKIE);
    put_member(j, "description", "A browser that was signed in by POST /api/v1/session.");
    json_object_end(j);
}

static void put_components(struct json *j, const struct admin_route *routes)
{
    json_key(j, "components");
    json_object(j);
    put_schemas(j, routes);
    put_problem_response(j);
    json_key(j, "securitySchemes");
    json_object(j);
    put_security_scheme(j, "bearer",
                        "A token of `admin:`, if there is any; x-weir-role of an operation is what its role "
                        "must be at least.");
    put_security_scheme(j, "basic", "The same token as the password, with any user name.");
    put_cookie_scheme(j);
    json_object_end(j);
    json_object_end(j);
}

/* Any one of them: no scheme at all where no token is set. */
static void put_security(struct json *j)
{
    static const char *const names[] = { "bearer", "basic", "session", NULL };
    json_key(j, "security");
    json_array(j);
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        json_object(j);
        if (names[i]) {
            json_key(j, names[i]);
            json_array(j);
            json_array_end(j);
        }
        json_object_end(j);
    }
    json_array_end(j);
}

/* Where this document was asked for. */
static void put_servers(struct json *j)
{
    json_key(j, "servers");
    json_array(j);
    json_object(j);
    put_member(j, "url", "/");
    put_member(j, "description", "The admin address.");
    json_object_end(j);
    json_array_end(j);
}

void openapi_show(const struct admin_request *rq, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    put_member(&j, "openapi", "3.1.0");
    json_key(&j, "info");
    json_object(&j);
    put_member(&j, "title", "weir admin API");
    put_member(&j, "version", WEIR_VERSION);
    put_member(&j, "description", "Looks at a running weir and changes it.");
    json_key(&j, "contact");
    json_object(&j);
    put_member(&j, "name", "Whoever runs this weir");
    json_object_end(&j);
    json_object_end(&j);
    put_servers(&j);
    put_tags(&j);
    put_security(&j);
    put_paths(&j, rq->routes);
    put_components(&j, rq->routes);
    json_object_end(&j);
    answer_json(out, 200, &j);
}
