#include "acme/document.h"

#include <stdlib.h>
#include <string.h>

#include "base/printable.h"

#define URL_MAX 2000u
#define DETAIL_MAX 300u
#define SUBPROBLEMS_MAX 5u
#define ERRORS "urn:ietf:params:acme:error:"

bool acme_document_read(struct acme_document *d, struct slice body)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return false;
    bool is_good = conf_read_json(&d->tree, "the CA's answer", body, faults) == 0 && d->tree.root &&
                   d->tree.root->kind == CONF_NODE_MAP;
    free(faults);
    d->root = d->tree.root;
    if (!is_good) conf_tree_free(&d->tree);
    return is_good;
}

void acme_document_close(struct acme_document *d)
{
    conf_tree_free(&d->tree);
    d->root = NULL;
}

static const struct conf_node *get(const struct conf_node *map, const char *key)
{
    return map && map->kind == CONF_NODE_MAP ? conf_node_get(map, key) : NULL;
}

static const char *text_of(const struct conf_node *n)
{
    bool is_text = n && n->kind == CONF_NODE_SCALAR && n->is_quoted;
    return is_text && strlen(n->text.data) == n->text.len ? n->text.data : NULL;
}

const char *acme_document_text(const struct conf_node *map, const char *key)
{
    return text_of(get(map, key));
}

const struct conf_node *acme_document_list(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = get(map, key);
    return n && n->kind == CONF_NODE_LIST ? n->first_child : NULL;
}

const struct conf_node *acme_document_object(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = get(map, key);
    return n && n->kind == CONF_NODE_MAP ? n : NULL;
}

bool acme_is_url(const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len > URL_MAX || len < 9 || memcmp(text, "https://", 8) != 0) return false;
    if (strchr("/?#@:", text[8])) return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f || strchr("\"<>\\^`{|}", text[i])) return false;
    return true;
}

/* problems */

static void print_clipped(const char *text, struct text *out)
{
    struct slice s = slice_of(text);
    if (s.len > DETAIL_MAX) s.len = DETAIL_MAX;
    printable_add(out, s);
}

static void print_one(const struct conf_node *problem, struct text *out)
{
    const char *detail = acme_document_text(problem, "detail"), *type = acme_document_text(problem, "type");
    if (!detail) detail = acme_document_text(problem, "title");
    print_clipped(detail ? detail : "the CA does not say why", out);
    if (!type) return;
    if (strncmp(type, ERRORS, strlen(ERRORS)) == 0) type += strlen(ERRORS);
    TEXT_LITERAL(out, " (");
    print_clipped(type, out);
    TEXT_LITERAL(out, ")");
}

void acme_problem_print(const struct conf_node *problem, struct text *out)
{
    uint32_t count = 0;
    print_one(problem, out);
    for (const struct conf_node *n = acme_document_list(problem, "subproblems"); n && count < SUBPROBLEMS_MAX;
         n = n->next, count++) {
        const char *name = acme_document_text(acme_document_object(n, "identifier"), "value");
        TEXT_LITERAL(out, "; ");
        if (name) {
            print_clipped(name, out);
            TEXT_LITERAL(out, ": ");
        }
        print_one(n, out);
    }
}

bool acme_problem_is(const struct conf_node *problem, const char *name)
{
    const char *type = acme_document_text(problem, "type");
    return type && strncmp(type, ERRORS, strlen(ERRORS)) == 0 && strcmp(type + strlen(ERRORS), name) == 0;
}
