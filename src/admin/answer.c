#include "admin/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"
#include "http/message.h"

#define PROBLEM_MAX (256u << 10)

struct answer_shared {
    struct block_pool *blocks;
    uint32_t references;
    char *body;
    size_t len;
};

struct answer_shared *answer_shared_new(struct block_pool *blocks, char *body, size_t len)
{
    struct answer_shared *s = body ? malloc(sizeof(*s)) : NULL;
    if (s && block_pool_charge(blocks, len)) {
        *s = (struct answer_shared){ blocks, 1, body, len };
        return s;
    }
    free(s);
    free(body);
    return NULL;
}

void answer_shared_put(struct answer_shared *s)
{
    if (!s || --s->references) return;
    block_pool_refund(s->blocks, s->len);
    free(s->body);
    free(s);
}

void answer_fini(struct answer *a)
{
    if (a->shared)
        answer_shared_put(a->shared);
    else
        free(a->body);
    free(a->location);
    a->location = NULL;
    a->shared = NULL;
    a->body = NULL;
    a->body_len = 0;
}

static void take_body(struct answer *a, uint16_t status, const char *content_type, char *body, size_t len)
{
    answer_fini(a);
    a->status = status;
    a->content_type = content_type;
    a->body = body;
    a->body_len = len;
}

/* With a line's end behind it, for people with curl: it goes where the terminator was. NULL if the text
 * failed. */
static char *finish_text(struct json *text, size_t *len)
{
    char *body = json_take(text, len);
    if (body) body[(*len)++] = '\n';
    return body;
}

void answer_json(struct answer *a, uint16_t status, struct json *text)
{
    size_t len = 0;
    char *body = finish_text(text, &len);
    if (body)
        take_body(a, status, "application/json", body, len);
    else
        answer_problem(a, 500, "The answer is over %u MiB or memory is out; ask for less of it.",
                       ANSWER_MAX >> 20);
}

void answer_body(struct answer *a, const char *content_type, char *body, size_t len)
{
    if (body)
        take_body(a, 200, content_type, body, len);
    else
        answer_problem(a, 500, "There is no memory for the answer; try again.");
}

void answer_share(struct answer *a, const char *content_type, struct answer_shared *s)
{
    if (!s) {
        answer_body(a, content_type, NULL, 0);
        return;
    }
    take_body(a, 200, content_type, s->body, s->len);
    a->shared = s;
    s->references++;
}

void answer_text(struct answer *a, uint16_t status, const char *text)
{
    char *body = strdup(text);
    take_body(a, status, "text/plain; charset=utf-8", body, body ? strlen(body) : 0);
}

static void begin_problem(struct json *j, uint16_t status)
{
    json_init(j, PROBLEM_MAX, true);
    json_object(j);
    json_key(j, "type");
    json_string(j, "about:blank");
    json_key(j, "title");
    json_string(j, http_status_text(status));
    json_key(j, "status");
    json_u64(j, status);
}

static void end_problem(struct answer *a, uint16_t status, struct json *j)
{
    json_object_end(j);
    size_t len = 0;
    char *body = finish_text(j, &len);
    take_body(a, status, "application/problem+json", body, len);
}

void answer_problem(struct answer *a, uint16_t status, const char *format, ...)
{
    char detail[1024];
    struct json j;
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    snprintf(a->said, sizeof(a->said), "%.*s", (int)sizeof(a->said) - 1, detail);
    begin_problem(&j, status);
    json_key(&j, "detail");
    json_string(&j, detail);
    end_problem(a, status, &j);
}

void answer_error(struct answer *a, uint16_t status, const struct err *err)
{
    const char *text = err->text;
    size_t len = strlen(text);
    char first = text[0];
    bool is_ended = len && strchr(".?!", text[len - 1]);
    if (first >= 'a' && first <= 'z') first = (char)(first - 32);
    answer_problem(a, status, "%c%s%s", first, len ? text + 1 : "", is_ended ? "" : ".");
}

void answer_faults(struct answer *a, const struct conf_faults *faults, const struct conf_tree *tree)
{
    struct json j;
    char *lines = conf_faults_print(faults, tree, true);
    const char *end = lines ? strchr(lines, '\n') : NULL;
    size_t len = end ? (size_t)(end - lines) : lines ? strlen(lines) : 0;
    begin_problem(&j, 400);
    json_key(&j, "detail");
    json_slice(&j, (struct slice){ lines, len });
    snprintf(a->said, sizeof(a->said), "%.*s", len < sizeof(a->said) ? (int)len : (int)sizeof(a->said) - 1,
             lines ? lines : "");
    free(lines);
    json_key(&j, "errors");
    json_array(&j);
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct conf_fault *f = &faults->items[i];
        json_object(&j);
        json_key(&j, "line");
        json_u64(&j, f->place.line);
        json_key(&j, "column");
        json_u64(&j, f->place.column);
        json_key(&j, "detail");
        json_string(&j, f->message);
        if (f->remedy[0]) {
            json_key(&j, "remedy");
            json_string(&j, f->remedy);
        }
        json_object_end(&j);
    }
    json_array_end(&j);
    end_problem(a, 400, &j);
}
