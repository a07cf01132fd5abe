#include "admin/example.h"

#include <stddef.h>
#include <string.h>

static const struct example_param params[] = {
    { "block", "192.0.2.0%2F24", "The block, as it is written in the configuration; its slash as %2F." },
    { "certificate", "%2Fetc%2Fweir%2Fone.pem",
      "The path of its `cert`, or the first of its names where a CA issues it; slashes as %2F." },
    { "event", "1", "Its id, as in the list of events." },
    { "file", "dash.css", "Its name." },
    { "generation", "1", "Its number." },
    { "id", "0000000000000001", "As in the list." },
    { "listener", "web", "The listener's name." },
    { "pool", "web", "The pool's name." },
    { "route", "images", "The route's name." },
    { "rule", "guessing", "The rule's name, or its condition where it has none." },
    { "server", "one", "The server's name, or its address where it has none." },
    { "source", "edge", "The log's name." },
    { "split", "checkout", "The split's name." },
};

const struct example_param *example_param(struct slice name)
{
    for (size_t i = 0; i < sizeof(params) / sizeof(*params); i++)
        if (slice_equal(name, slice_of(params[i].name))) return &params[i];
    return NULL;
}

static void add_path(const struct admin_route *r, struct text *out)
{
    const char *rest = r->path;
    struct slice segment;
    bool is_param;
    if (strcmp(r->path, "/") == 0) TEXT_LITERAL(out, "/");
    while (router_next_segment(&rest, &segment, &is_param)) {
        const struct example_param *p = is_param ? example_param(segment) : NULL;
        text_add_char(out, '/');
        text_add_slice(out, p ? slice_of(p->value) : segment);
    }
}

void example_print(const struct admin_route *r, struct text *out)
{
    const char *method = http_method_name(r->method);
    bool has_body = r->body || r->takes_text;
    TEXT_LITERAL(out, "curl ");
    if (r->role > ROLE_NONE) TEXT_LITERAL(out, "-H \"Authorization: Bearer $TOKEN\" ");
    if (r->method != HTTP_GET) text_printf(out, "-X %s ", method);
    if (has_body)
        text_printf(out, "-H 'Content-Type: %s' --data-binary '%s' ",
                    r->text_type ? r->text_type : "application/json", r->example ? r->example : "");
    TEXT_LITERAL(out, "'http://127.0.0.1:9091");
    add_path(r, out);
    if (!has_body && r->example) text_printf(out, "?%s", r->example);
    TEXT_LITERAL(out, "'");
}
