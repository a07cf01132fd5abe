#include "files/file_condition.h"

#include "http/date.h"

static bool is_weak(struct slice tag)
{
    return slice_starts_with(tag, SLICE("W/"));
}

static struct slice opaque(struct slice tag)
{
    return is_weak(tag) ? (struct slice){ tag.data + 2, tag.len - 2 } : tag;
}

/* RFC 9110 8.8.3.2 */
static bool is_same(struct slice a, struct slice b, bool is_strong)
{
    if (is_strong && (is_weak(a) || is_weak(b))) return false;
    return slice_equal(opaque(a), opaque(b));
}

/* Whether a field of this name is there; *names: whether one of its tags is the file's, or it is "*". */
static bool has_tags(const struct http_head *request, struct slice name, struct slice etag, bool is_strong,
                     bool *names)
{
    bool is_there = false;
    *names = false;
    for (uint32_t i = 0; i < request->field_count; i++) {
        const struct http_field *f = &request->fields[i];
        struct slice rest = http_field_value(f), tag;
        if (f->is_dropped || !slice_equal_fold((struct slice){ f->name, f->name_len }, name)) continue;
        is_there = true;
        if (slice_equal(slice_trim(rest), SLICE("*"))) *names = true;
        while (!*names && slice_next_element(&rest, &tag)) *names = is_same(tag, etag, is_strong);
    }
    return is_there;
}

/* What is no date is as if it were not there. */
static bool has_date(const struct http_head *request, struct slice name, int64_t *seconds)
{
    const struct http_field *f = http_head_find_name(request, name);
    return f && http_date_parse(http_field_value(f), seconds);
}

enum file_verdict file_condition(const struct http_head *request, const struct file_state *state)
{
    bool names;
    int64_t date;
    if (has_tags(request, SLICE("if-match"), state->etag, true, &names)) {
        if (!names) return FILE_PRECONDITION_FAILED;
    } else if (has_date(request, SLICE("if-unmodified-since"), &date) && state->modified_s > date) {
        return FILE_PRECONDITION_FAILED;
    }
    if (has_tags(request, SLICE("if-none-match"), state->etag, false, &names))
        return names ? FILE_NOT_MODIFIED : FILE_WANTED;
    if (has_date(request, SLICE("if-modified-since"), &date) && state->modified_s <= date)
        return FILE_NOT_MODIFIED;
    return FILE_WANTED;
}

bool file_condition_takes_range(const struct http_head *request, const struct file_state *state)
{
    const struct http_field *f = http_head_find_name(request, SLICE("if-range"));
    struct slice value = slice_trim(http_field_value(f));
    int64_t date;
    if (!f) return true;
    if (value.len && (*value.data == '"' || is_weak(value))) return is_same(value, state->etag, true);
    return http_date_parse(value, &date) && date == state->modified_s && state->is_modified_strong;
}
