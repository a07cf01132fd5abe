#include "command/doctor_sources.h"

#include <stdlib.h>
#include <sysexits.h>

#include "command/api_client.h"
#include "command/document.h"

/* It answers at once if it runs. */
#define WAIT_MS 2000

static uint32_t count_children(const struct conf_node *list)
{
    uint32_t count = 0;
    for (const struct conf_node *n = list ? list->first_child : NULL; n; n = n->next) count++;
    return count;
}

static bool take(struct doctor_sources *s)
{
    const struct conf_node *rows = document_get(s->tree.root, "sources");
    s->items = calloc(count_children(rows) + 1, sizeof(*s->items));
    for (const struct conf_node *row = s->items && rows ? rows->first_child : NULL; row; row = row->next) {
        bool is_good = !document_get(row, "reason");
        s->items[s->count++] = (struct host_source){
            .name = document_text(row, "source"),
            .reason = is_good ? NULL : document_text(row, "reason"),
            .stale_s = is_good ? 0 : (uint64_t)document_number(row, "stale_ms") / 1000,
            .kept = count_children(document_get(row, "addresses")),
        };
    }
    return s->items != NULL;
}

bool doctor_ask_sources(struct doctor_sources *s, const char *path)
{
    const struct api_options options = { .config = path };
    const struct api_request rq = { .method = HTTP_GET, .path = "/api/v1/sources", .wait_ms = WAIT_MS };
    struct api_target target;
    char *body = NULL;
    size_t len = 0;
    if (api_target_find(&options, &target, &s->err) != EX_OK) return true;
    if (api_client_ask(&target, &rq, &body, &len, &s->err) != EX_OK) return true;
    s->has_answer = document_read(&s->tree, (struct slice){ body, len }, &s->err) == 0;
    free(body);
    return !s->has_answer || take(s);
}

void doctor_sources_fini(struct doctor_sources *s)
{
    if (s->has_answer) conf_tree_free(&s->tree);
    free(s->items);
}
