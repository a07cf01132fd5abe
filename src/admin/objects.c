/* Objects of the configuration, each read and written by itself. The path behind /api/v1/config is its path in the document; the write is an
 * edit of the text that is in force (conf/tree_edit.h), from which on it is a configuration like any other: checked, kept, undone.
 * docs/decisions/0055-objects-of-the-configuration.md. */
#include <stdlib.h>

#include "admin/call.h"
#include "admin/config_ask.h"
#include "admin/routes.h"
#include "conf/tree_walk.h"

#define PREFIX "/api/v1/config/"
#define LOCATION_MAX 2048u
#define SHOW_WAIT_MS 60000u

static const char *verb_of(const struct admin_request *rq)
{
    switch (rq->route->method) {
    case HTTP_POST: return "create";
    case HTTP_PUT: return "put";
    case HTTP_PATCH: return "merge";
    default: return "remove";
    }
}

/* unreserved of RFC 3986 2.3 */
static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

static void add_escaped(struct text *t, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (is_plain(s.data[i])) {
            text_add_char(t, s.data[i]);
        } else {
            text_printf(t, "%%%02X", (unsigned char)s.data[i]);
        }
    }
}

/* The steps of the document, and the address of what they lead to. `name`: what the path does not say. */
static void write_path(const struct admin_request *rq, struct slice name, struct json *j,
                       struct text *location)
{
    const char *rest = rq->route->path + sizeof(PREFIX) - 2;
    struct slice segment;
    bool is_param;
    uint32_t at = 0;
    TEXT_LITERAL(location, "/api/v1/config");
    json_array(j);
    while (router_next_segment(&rest, &segment, &is_param)) {
        struct slice step = is_param ? rq->params[at++] : segment;
        json_slice(j, step);
        text_add_char(location, '/');
        add_escaped(location, step);
    }
    if (name.data) {
        json_slice(j, name);
        text_add_char(location, '/');
        add_escaped(location, name);
    }
    json_array_end(j);
}

static void ask(const struct admin_request *rq, struct slice name, struct answer *out)
{
    char memory[LOCATION_MAX];
    struct text location = text_over(memory, sizeof(memory));
    struct json j;
    json_init(&j, (size_t)rq->route->body_max + CALL_BODY_MAX, false);
    json_object(&j);
    json_key(&j, "verb");
    json_string(&j, verb_of(rq));
    json_key(&j, "path");
    write_path(rq, name, &j, &location);
    if (rq->route->takes_text) {
        json_key(&j, "value");
        json_raw(&j, rq->body);
    }
    json_object_end(&j);
    size_t len;
    char *edit = json_take(&j, &len);
    if (!edit || location.is_cut) {
        answer_problem(out, 503, "There is no memory for this; try again.");
    } else {
        const char *changes[] = { edit };
        struct reload_ask what = { .changes = changes, .change_count = 1 };
        config_ask(rq, &what, strdup(text_cstr(&location)), out);
    }
    if (edit) explicit_bzero(edit, len);
    free(edit);
}

/* The steps of the document, without those of the API. */
static uint32_t read_path(const struct admin_request *rq, struct slice steps[RELOAD_PATH_MAX])
{
    const char *rest = rq->route->path + sizeof(PREFIX) - 2;
    struct slice segment;
    bool is_param;
    uint32_t count = 0, at = 0;
    while (count < RELOAD_PATH_MAX && router_next_segment(&rest, &segment, &is_param))
        steps[count++] = is_param ? rq->params[at++] : segment;
    return count;
}

static void on_shown(void *context, struct answer *a)
{
    struct call_ticket *ticket = context;
    call_answer(*ticket, a);
    free(ticket);
}

void objects_show(const struct admin_request *rq, struct answer *out)
{
    struct slice steps[RELOAD_PATH_MAX];
    struct call_ticket *ticket = calloc(1, sizeof(*ticket));
    const struct reload_part part = {
        .path = steps, .count = read_path(rq, steps), .done = on_shown, .context = ticket
    };
    if (ticket && rq->reloader && rq->reloader->look_at(rq->reloader, &part)) {
        *ticket = call_wait(rq, SHOW_WAIT_MS, NULL, NULL);
        return;
    }
    answer_problem(out, 503, "Too much is being worked on; try again.");
    free(ticket);
}

/* What a new object is called, by itself. Without data: `out` says that it must say so. */
static struct slice name_in(const struct admin_request *rq, const struct conf_node *body, struct answer *out)
{
    const struct conf_type *type = rq->route->object;
    struct slice name = conf_node_name(body, type);
    if (name.len) return name;
    if (type->name_from)
        answer_problem(out, 400, "A new %s needs a `name`, or a `%s` to be called by, that is a text.",
                       type->name, type->name_from);
    else
        answer_problem(out, 400, "A new %s needs a `name` that is a text.", type->name);
    return SLICE_NONE;
}

void objects_write(const struct admin_request *rq, struct answer *out)
{
    struct conf_tree tree;
    struct conf_faults *faults;
    if (!rq->route->takes_text) {
        ask(rq, SLICE_NONE, out);
        return;
    }
    if (!(faults = calloc(1, sizeof(*faults)))) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
        return;
    }
    struct slice name = SLICE_NONE;
    bool is_new = rq->route->method == HTTP_POST;
    if (conf_read_json(&tree, "request body", rq->body, faults) < 0) {
        answer_faults(out, faults, &tree);
    } else if (tree.root->kind == CONF_NODE_NULL) {
        answer_problem(out, 400, "The body is null; send the %s, or DELETE it.", rq->route->object->name);
    } else {
        if (is_new) name = name_in(rq, tree.root, out);
        if (!is_new || name.data) ask(rq, name, out);
    }
    conf_tree_free(&tree);
    free(faults);
}
