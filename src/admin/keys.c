#include "admin/routes.h"
#include "auth/key_source.h"
#include "net/loop.h"

#define ANSWER_TEXT_MAX ((size_t)4 << 20)

struct key_row {
    const char *url;
    uint64_t keys, age_ms, next_ms, failures;
    const char *error;
};

static const struct shape_field row_fields[] = {
    SHAPE_ROW(key_row, url, STRING, "Where they are published."),
    SHAPE_ROW(key_row, keys, COUNT, "How many there are of those that came last."),
    SHAPE_ROW(key_row, age_ms, COUNT, "How long ago they came; null: none have yet, and no token is taken.",
              .may_be_null = true),
    SHAPE_ROW(key_row, next_ms, COUNT,
              "In what time they are asked for again; null: they are being asked for.", .may_be_null = true),
    SHAPE_ROW(key_row, failures, COUNT, "How often in a row nothing came, or nothing that has keys."),
    SHAPE_ROW(key_row, error, STRING, "Why; null: what came last is good.", .may_be_null = true),
    { 0 },
};
const struct shape key_row_shape = { "Keys", sizeof(struct key_row), row_fields };

static void print_row(void *context, const struct key_source_state *s)
{
    const struct key_row row = { .url = s->url,
                                 .keys = s->keys,
                                 .age_ms = s->has_come ? s->age_ms : SHAPE_NULL,
                                 .next_ms = s->is_fetching ? SHAPE_NULL : s->next_ms,
                                 .failures = s->failures,
                                 .error = *s->error ? s->error : NULL };
    shape_print(&key_row_shape, &row, context);
}

void keys_list(const struct admin_request *rq, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "keys");
    json_array(&j);
    key_sources_each(loop_now_ms(rq->loop), print_row, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}
