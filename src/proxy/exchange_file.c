/* A route that answers from a folder: what the request means below it, on which conditions, which part; then it goes on as a
 * server's response does. */
#include "base/bug.h"
#include "base/text.h"
#include "files/file_condition.h"
#include "files/file_name.h"
#include "files/file_range.h"
#include "http/date.h"
#include "http/h1_parse.h"
#include "proxy/exchange_steps.h"
#include "proxy/file_answer.h"
#include "proxy/route_set.h"

#define FIELDS_MAX 9u
/* The clock of files turns with the kernel's ticks, and dates with seconds: what changed after it was looked at could have the
 * same time. */
#define SETTLES_S 2

struct reply {
    struct http_head head;
    struct http_field fields[FIELDS_MAX];
    char etag[24], modified[32], length[24], range[72];
    uint64_t begin, end; /* of the body, if it has one */
    bool has_body;
};

static void put(struct reply *r, const char *name, struct slice value)
{
    if (bug_if(EXCHANGE, r->head.field_count >= FIELDS_MAX)) return;
    struct slice key = slice_of(name);
    r->fields[r->head.field_count++] = (struct http_field){ .name = name,
                                                            .name_len = (uint16_t)key.len,
                                                            .id = (uint8_t)http_field_id_of(key),
                                                            .value = value.data,
                                                            .value_len = (uint32_t)value.len };
}

static const struct files_conf *conf_of(const struct exchange *x)
{
    return x->route->conf->files;
}

/* what it says of the file */

static struct file_state state_of(const struct exchange *x, struct reply *r)
{
    const struct file_found *found = &x->file->found;
    int64_t now_s = (int64_t)(loop_wall_ns(&x->worker->loop) / NS_PER_S);
    bool is_settled = found->modified_s + SETTLES_S < now_s;
    struct text etag = text_over(r->etag, sizeof(r->etag));
    text_printf(&etag, "%s\"%016llx\"", is_settled ? "" : "W/", (unsigned long long)found->tag);
    return (struct file_state){ text_slice(&etag), found->modified_s, is_settled };
}

static void say_state(const struct exchange *x, struct reply *r, const struct file_state *state)
{
    struct http_date date = { 0 };
    put(r, "ETag", state->etag);
    if (conf_of(x)->precompressed.count) put(r, "Vary", SLICE("Accept-Encoding"));
    if (state->modified_s < 0) return; /* before 1970: there are clocks like that */
    struct slice text = http_date_at(&date, (uint64_t)state->modified_s * NS_PER_S);
    memcpy(r->modified, text.data, text.len);
    put(r, "Last-Modified", (struct slice){ r->modified, text.len });
}

static void say_length(struct reply *r, uint64_t length)
{
    struct text t = text_over(r->length, sizeof(r->length));
    text_add_u64(&t, length);
    put(r, "Content-Length", text_slice(&t));
    r->head.content_length = length;
}

static void say_content(const struct exchange *x, struct reply *r)
{
    const struct file_found *found = &x->file->found;
    bool is_part = r->head.status == 206;
    put(r, "Content-Type", slice_of(x->file->type));
    if (found->coding != CODING_IDENTITY)
        put(r, "Content-Encoding", slice_of(coding_name((enum coding)found->coding)));
    put(r, "Accept-Ranges", SLICE("bytes"));
    if (is_part) {
        struct text t = text_over(r->range, sizeof(r->range));
        text_printf(&t, "bytes %llu-%llu/%llu", (unsigned long long)r->begin,
                    (unsigned long long)(r->end - 1), (unsigned long long)found->size);
        put(r, "Content-Range", text_slice(&t));
    }
    say_length(r, r->end - r->begin);
    r->has_body = x->head.method == HTTP_GET;
}

/* answers */

/* It becomes the exchange's response, as a server's would. */
static void begin(struct exchange *x, struct reply *r)
{
    r->head.fields = r->fields;
    r->head.version = HTTP_VERSION_1_1;
    r->head.reason = slice_of(http_status_text(r->head.status));
    r->head.body = r->has_body ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    exchange_begin_response(x, &r->head, r->has_body ? HTTP_MORE : 0);
    if (r->has_body && x->state == EXCHANGE_RESPONSE) file_answer_send(x->file, r->begin, r->end);
}

static enum file_range range_of(const struct exchange *x, const struct file_state *state, struct reply *r)
{
    const struct http_field *range = http_head_find_name(&x->head, SLICE("range"));
    r->begin = 0;
    r->end = x->file->found.size;
    if (!range || x->head.method != HTTP_GET || !file_condition_takes_range(&x->head, state))
        return FILE_RANGE_ALL;
    return file_range_read(http_field_value(range), x->file->found.size, &r->begin, &r->end);
}

static void answer(struct exchange *x, struct reply *r)
{
    struct file_state state = state_of(x, r);
    enum file_verdict verdict = file_condition(&x->head, &state);
    enum file_range range = verdict == FILE_WANTED ? range_of(x, &state, r) : FILE_RANGE_ALL;
    if (verdict == FILE_PRECONDITION_FAILED) {
        exchange_fail(x, END_PRECONDITION_FAILED);
        return;
    }
    if (range == FILE_RANGE_OUTSIDE) {
        exchange_fail(x, END_RANGE_OUTSIDE);
        return;
    }
    say_state(x, r, &state);
    r->head.status = verdict == FILE_NOT_MODIFIED ? 304 : range == FILE_RANGE_PART ? 206 : 200;
    if (verdict == FILE_WANTED) say_content(x, r);
    begin(x, r);
}

/* To the same path with a slash: without it, what the folder's page names beside itself would be looked for one folder
 * above. The path is the client's own, not the rewritten one. */
static void redirect(struct exchange *x, struct reply *r)
{
    struct slice path = http_target_path(x->head.target), query = http_target_query(x->head.target);
    size_t room = x->head.target.len + 2;
    char *memory = arena_alloc(&x->arena, room);
    if (!memory) {
        exchange_fail(x, END_NO_MEMORY);
        return;
    }
    /* "//host" would be another site. */
    bool is_own = path.len && *path.data == '/' &&
                  (path.len < 2 || (path.data[1] != '/' && path.data[1] != '\\'));
    if (!is_own) {
        exchange_fail_with(x, END_FILE_NOT_FOUND, "its path has an empty segment");
        return;
    }
    struct text t = text_over(memory, room);
    text_add_slice(&t, path);
    text_add_char(&t, '/');
    if (query.len) text_add_char(&t, '?');
    text_add_slice(&t, query);
    r->head.status = 301;
    put(r, "Location", text_slice(&t));
    say_length(r, 0);
    r->has_body = x->head.method == HTTP_GET;
    begin(x, r);
}

static void refuse(struct exchange *x, enum file_result result)
{
    static const uint8_t reasons[] = {
        [FILE_NONE] = END_FILE_NOT_FOUND,
        [FILE_DENIED] = END_FILE_DENIED,
        [FILE_LEADS_OUT] = END_FILE_DENIED,
        [FILE_NO_ROOT] = END_FILE_NO_ROOT,
        [FILE_NO_DESCRIPTORS] = END_NO_DESCRIPTORS,
        [FILE_FAILED] = END_FILE_UNREADABLE,
        [FILE_NOT_KNOWN] = END_INTERNAL,
    };
    (void)bug_if(EXCHANGE, result == FILE_NOT_KNOWN);
    exchange_fail_with(x, (enum end_reason)reasons[result], file_result_text(result));
}

static void on_found(struct file_answer *f)
{
    struct exchange *x = f->stream.owner;
    exchange_note(x);
    if (bug_if(EXCHANGE, x->state != EXCHANGE_FILE)) return;
    enum file_result result = (enum file_result)f->found.result;
    struct reply *r = arena_alloc(&x->arena, sizeof(*r));
    if (r) memset(r, 0, sizeof(*r));
    if (!r)
        exchange_fail(x, END_NO_MEMORY);
    else if (result == FILE_FOUND)
        answer(x, r);
    else if (result == FILE_NEEDS_SLASH)
        redirect(x, r);
    else
        refuse(x, result);
    exchange_advance(x);
}

/* the stream's events */

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    return exchange_take_response(x, data, len, flags);
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    exchange_fail_with(x, fault->reason, fault->detail);
    exchange_advance(x);
}

static const struct http_stream_events events = { .on_body = on_body,
                                                  .may_take = exchange_may_take_response,
                                                  .on_error = on_error };

/* the beginning */

static void choose_codings(const struct exchange *x, struct file_plan *plan)
{
    const struct files_conf *conf = conf_of(x);
    const uint32_t *codings = conf->precompressed.data;
    struct coding_wishes wishes = { 0 };
    for (uint32_t i = 0; conf->precompressed.count && i < x->head.field_count; i++) {
        const struct http_field *f = &x->head.fields[i];
        if (slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("accept-encoding")))
            coding_wishes_add(&wishes, http_field_value(f));
    }
    for (uint32_t i = 0; i < conf->precompressed.count; i++)
        if (coding_weight(&wishes, (enum coding)codings[i]))
            plan->codings[plan->coding_count++] = (uint8_t)codings[i];
}

const char *exchange_file_name(const struct files_conf *conf, struct slice target, struct text *out)
{
    const char *why = file_name_put(http_target_path(target), conf->hidden, out);
    if (!why && out->len == out->cap) why = "no file's name is as long as that";
    if (!why) (void)text_cstr(out);
    return why;
}

enum step exchange_answer_from_file(struct exchange *x)
{
    const struct files_conf *conf = conf_of(x);
    struct slice target = x->target.len ? x->target : x->head.target;
    if (x->head.method != HTTP_GET && x->head.method != HTTP_HEAD)
        return exchange_fail_with(x, END_METHOD_NOT_ALLOWED, "files are asked for by GET and HEAD alone");
    if (!file_answer_may_begin(x->worker))
        return exchange_fail_with(x, END_NO_DESCRIPTORS, "as many files are open as may be");
    x->file = arena_alloc(&x->arena, sizeof(*x->file));
    char *memory = arena_alloc(&x->arena, target.len + 2);
    if (!x->file || !memory) {
        x->file = NULL;
        return exchange_fail(x, END_NO_MEMORY);
    }
    memset(x->file, 0, sizeof(*x->file));
    file_answer_init(x->file, x->worker, x, &events);
    x->file->on_found = on_found;
    struct text name = text_over(memory, target.len + 2);
    const char *why = exchange_file_name(conf, target, &name);
    if (why) return exchange_fail_with(x, END_FILE_NOT_FOUND, why);
    struct file_plan plan = { .root = conf->root,
                              .name = memory,
                              .index = conf->index.data,
                              .index_count = conf->index.count,
                              .fallback = conf->fallback };
    choose_codings(x, &plan);
    exchange_request_is(x, REQUEST_UNWANTED);
    if (file_answer_find(x->file, &plan, conf) < 0) return exchange_fail(x, END_NO_MEMORY);
    return exchange_enter(x, EXCHANGE_FILE);
}

uint32_t exchange_file_fields(struct exchange *x, struct http_field *out)
{
    if (!x->file || x->end != END_RANGE_OUTSIDE) return 0;
    char *memory = arena_alloc(&x->arena, 32);
    if (!memory) return 0;
    struct text t = text_over(memory, 32); /* RFC 9110 15.5.17 */
    text_printf(&t, "bytes */%llu", (unsigned long long)x->file->found.size);
    *out = (struct http_field){ .name = "Content-Range",
                                .name_len = sizeof("Content-Range") - 1,
                                .value = memory,
                                .value_len = (uint32_t)t.len };
    return 1;
}
