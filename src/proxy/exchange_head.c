/* The head as the exchange's own. */
#include "base/bug.h"
#include "base/text.h"
#include "http/path.h"
#include "proxy/exchange_steps.h"
#include "proxy/route_set.h"

int exchange_copy_fields(struct exchange *x, const struct http_field *from, uint32_t count,
                         struct http_field **to)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += from[i].name_len + from[i].value_len;
    struct http_field *fields = arena_alloc(&x->arena, (count + 1) * sizeof(*fields));
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!fields || !memory) return -1;
    struct text t = text_over(memory, size + 1);
    for (uint32_t i = 0; i < count; i++) {
        const struct http_field *f = &from[i];
        fields[i] = *f;
        fields[i].name = text_put(&t, (struct slice){ f->name, f->name_len }).data;
        fields[i].value = text_put(&t, (struct slice){ f->value, f->value_len }).data;
    }
    if (bug_if(EXCHANGE, t.len != size)) return -1; /* half a field says something else */
    *to = fields;
    return 0;
}

int exchange_copy_head(struct exchange *x, const struct http_head *head)
{
    size_t size = head->method_text.len + head->authority.len + head->scheme.len + head->upgrade.len +
                  http_path_room(head->target);
    char *memory = arena_alloc(&x->arena, size + 1);
    if (!memory) return -1;
    struct text t = text_over(memory, size + 1);
    x->head = *head;
    x->head.method_text = text_put(&t, head->method_text);
    x->head.authority = text_put(&t, head->authority);
    x->head.scheme = text_put(&t, head->scheme);
    x->head.upgrade = text_put(&t, head->upgrade);
    x->path_fault = (uint8_t)http_path_put(&x->routes->conf->paths, head->target, &t, &x->head.target);
    if (bug_if(EXCHANGE, t.is_cut)) return -1;
    x->head.field_count = 0;
    if (exchange_copy_fields(x, head->fields, head->field_count, &x->head.fields) < 0) return -1;
    x->head.field_count = head->field_count;
    return 0;
}
