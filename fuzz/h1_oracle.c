#include "h1_oracle.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

struct run {
    llhttp_t parser; /* first */
    struct oracle *o;
    bool is_bodiless;
};

static struct oracle *oracle_of(llhttp_t *p)
{
    return ((struct run *)(void *)p)->o;
}

static void append(struct oracle *o, struct oracle_span *span, const char *data, size_t len)
{
    if (!span->len) span->begin = o->text_len;
    if (span->begin + span->len != o->text_len || len > sizeof(o->text) - o->text_len) abort();
    if (len) memcpy(o->text + o->text_len, data, len);
    o->text_len += len;
    span->len += len;
}

static int on_method(llhttp_t *p, const char *data, size_t len)
{
    append(oracle_of(p), &oracle_of(p)->method, data, len);
    return 0;
}

static int on_url(llhttp_t *p, const char *data, size_t len)
{
    append(oracle_of(p), &oracle_of(p)->target, data, len);
    return 0;
}

static int on_status(llhttp_t *p, const char *data, size_t len)
{
    append(oracle_of(p), &oracle_of(p)->reason, data, len);
    return 0;
}

static int on_name(llhttp_t *p, const char *data, size_t len)
{
    struct oracle *o = oracle_of(p);
    append(o, &o->names[o->field_count], data, len);
    return 0;
}

static int on_value(llhttp_t *p, const char *data, size_t len)
{
    struct oracle *o = oracle_of(p);
    append(o, &o->values[o->field_count], data, len);
    return 0;
}

static int on_value_complete(llhttp_t *p)
{
    struct oracle *o = oracle_of(p);
    struct oracle_span *value = &o->values[o->field_count];
    while (value->len && strchr(" \t", o->text[value->begin + value->len - 1])) value->len--;
    if (++o->field_count == ORACLE_FIELDS_MAX) return HPE_USER;
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    struct run *run = (struct run *)(void *)p;
    struct oracle *o = run->o;
    o->has_head = true;
    o->head_field_count = o->field_count;
    o->status = (unsigned)p->status_code;
    bool is_bodiless = p->type == HTTP_RESPONSE && (run->is_bodiless || p->status_code < 200 ||
                                                    p->status_code == 204 || p->status_code == 304);
    if (is_bodiless)
        p->flags |= F_SKIPBODY; /* as the return value will: it is asked before that is looked at */
    o->is_persistent = llhttp_should_keep_alive(p);
    return is_bodiless ? 1 : 0;
}

static int on_body(llhttp_t *p, const char *data, size_t len)
{
    append(oracle_of(p), &oracle_of(p)->body, data, len);
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    oracle_of(p)->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_status = on_status,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void oracle_run(struct oracle *o, bool is_response, bool is_bodiless, const char *data, size_t len)
{
    static struct run run;
    memset(o, 0, offsetof(struct oracle, text));
    o->text_len = 0;
    run = (struct run){ .o = o, .is_bodiless = is_bodiless };
    llhttp_init(&run.parser, is_response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    llhttp_errno_t error = llhttp_execute(&run.parser, data, len);
    if (error == HPE_PAUSED_UPGRADE)
        o->is_upgrade = true;
    else if (error != HPE_OK && !(error == HPE_PAUSED && o->is_complete))
        o->fault = llhttp_get_error_reason(&run.parser);
    o->used = error == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&run.parser) - data);
}
