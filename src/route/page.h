/* route/page.h: a body that weir answers with by itself: text, HTML or JSON as somebody wrote it, with variables in braces
 * that are filled in for each request.
 *
 *     {status} {title} {reason} {detail} {pool} {server}    503, Service Unavailable, queue_full, a sentence; names
 *     {request_id} {client} {path} … {header:NAME}          whatever http/template.h has
 *
 * A page is full of braces that are its own (style sheets, scripts, JSON), so that only these very words in braces are
 * variables and all else stands for itself; "{{status}}" is the text {status}. What comes from a request is escaped as the
 * page's kind has it, and in HTML may stand only where a browser takes it for text (route/page_html.h); in JSON only
 * within a string. Immutable once parsed; pure. */
#pragma once

#include "conf/arena.h"
#include "http/template.h"

/* Of a page that has variables, with all of them at their longest: a block of an exchange's arena holds it. */
#define PAGE_ROOM_MAX (120u << 10)
/* Of one that has none, which is sent from where it is. */
#define PAGE_TEXT_MAX (1u << 20)
/* So much of a value is shown. */
#define PAGE_VALUE_MAX 640u

enum page_kind { PAGE_TEXT, PAGE_HTML, PAGE_JSON };

/* What a page knows beyond an http_source. */
enum page_source {
    PAGE_STATUS = HTTP_SOURCE_ARG + 1,
    PAGE_TITLE,
    PAGE_REASON,
    PAGE_DETAIL,
    PAGE_POOL,
    PAGE_SERVER,
    PAGE_SOURCE_COUNT
};

struct page_part {
    uint8_t source;    /* enum http_source, enum page_source */
    struct slice text; /* the literal, or the source's name; in the arena */
};

struct page {
    enum page_kind kind;
    uint32_t part_count;
    struct page_part *parts;
    size_t room; /* how long it can become */
    /* A word in braces that is hardly meant as text; len 0: none. `meant` is the variable that is near. */
    struct slice doubted;
    const char *meant;
};

struct page_input {
    struct http_template_input request;
    uint16_t status;
    struct slice title, reason, detail, pool, server; /* what is empty stays out */
};

/* NULL with the sentence: too long, or a variable stands where it could be taken for more than text. `text` is borrowed for
 * as long as the arena lives. */
struct page *page_new(struct slice text, enum page_kind kind, struct conf_arena *arena, struct err *err);
/* It has no variables, and this is all of it. */
bool page_is_fixed(const struct page *p, struct slice *whole);
/* Adds it; there is room if `out` has p->room bytes. */
void page_expand(const struct page *p, const struct page_input *in, struct text *out);
const char *page_content_type(enum page_kind kind);
/* Adds the value as a page of that kind has it. */
void page_escape(enum page_kind kind, struct slice value, struct text *out);
