#include "route/page.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "conf/decode.h"
#include "route/page_html.h"

#define PARTS_MAX 256u
#define VARIABLE_NAME_MAX 64u
/* The longest that a byte can become: U+FFFD; an entity, or \u00xx. */
#define SHOWN_MAX 3u
#define ESCAPED_MAX 6u

static const char *const own_words[] = { "status", "title", "reason", "detail", "pool", "server" };
#define OWN_COUNT (PAGE_SOURCE_COUNT - PAGE_STATUS)

/* Of letters, digits and a few marks alone, and weir's own: good wherever it stands. */
static bool is_harmless(unsigned source)
{
    return source == HTTP_SOURCE_CLIENT || source == HTTP_SOURCE_SCHEME || source == HTTP_SOURCE_REQUEST_ID ||
           source == PAGE_STATUS || source == PAGE_TITLE || source == PAGE_REASON;
}

/* parsing */

struct parsing {
    struct page *page;
    struct page_html html;
    bool is_in_string; /* of JSON */
    struct err *err;
};

struct variable {
    uint8_t source;
    size_t len; /* with its braces; 0: it is none */
    struct slice name, word;
};

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || c == '_';
}

static bool find_source(struct slice word, uint8_t *out)
{
    enum http_source source;
    bool is_found = http_source_named(word, &source);
    *out = (uint8_t)source;
    for (uint8_t i = 0; !is_found && i < OWN_COUNT; i++) {
        if (!slice_equal(word, slice_of(own_words[i]))) continue;
        *out = (uint8_t)(PAGE_STATUS + i);
        is_found = true;
    }
    return is_found;
}

/* At an opening brace. */
static struct variable read_variable(struct slice rest)
{
    struct variable v = { 0 };
    size_t end = 1;
    while (end < rest.len && is_word_byte(rest.data[end])) end++;
    struct slice word = { rest.data + 1, end - 1 };
    if (end == rest.len || !word.len) return v;
    if (rest.data[end] == '}') v.word = word;
    if (!find_source(word, &v.source)) return v;
    bool takes_name = v.source < PAGE_STATUS && http_source_takes_name((enum http_source)v.source);
    if (takes_name != (rest.data[end] == ':')) return v;
    if (takes_name) {
        size_t at = ++end;
        while (end < rest.len && rest.data[end] != '}' && end - at < VARIABLE_NAME_MAX) end++;
        v.name = (struct slice){ rest.data + at, end - at };
        if (!http_source_may_name((enum http_source)v.source, v.name)) return v;
    }
    if (end < rest.len && rest.data[end] == '}') v.len = end + 1;
    return v;
}

/* Remembers the first word that is nearly one of a variable. */
static void doubt(struct page *p, struct slice word)
{
    const char *words[PAGE_SOURCE_COUNT];
    size_t count = 0;
    if (p->doubted.len || word.len < 4) return;
    for (unsigned s = HTTP_SOURCE_CLIENT; s < PAGE_STATUS; s++)
        if (!http_source_takes_name((enum http_source)s))
            words[count++] = http_source_word((enum http_source)s);
    for (unsigned i = 0; i < OWN_COUNT; i++) words[count++] = own_words[i];
    p->meant = conf_nearest(word, words, count);
    if (p->meant) p->doubted = word;
}

static void walk_json(struct parsing *g, struct slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (g->is_in_string && piece.data[i] == '\\')
            i++;
        else if (piece.data[i] == '"')
            g->is_in_string = !g->is_in_string;
    }
}

static int add(struct parsing *g, uint8_t source, struct slice text)
{
    struct page *p = g->page;
    if (source == HTTP_SOURCE_TEXT && !text.len) return 0;
    if (p->part_count == PARTS_MAX)
        return err_set(g->err, "it has more than %u pieces; leave out variables", PARTS_MAX);
    p->parts[p->part_count++] = (struct page_part){ source, text };
    p->room += source == HTTP_SOURCE_TEXT ? text.len
                                          : PAGE_VALUE_MAX * (p->kind == PAGE_TEXT ? SHOWN_MAX : ESCAPED_MAX);
    return 0;
}

static int add_literal(struct parsing *g, struct slice text)
{
    if (g->page->kind == PAGE_HTML) page_html_walk(&g->html, text);
    if (g->page->kind == PAGE_JSON) walk_json(g, text);
    return add(g, HTTP_SOURCE_TEXT, text);
}

/* What a stranger sends may be text, and nothing else. */
static int add_variable(struct parsing *g, const struct variable *v, struct slice whole)
{
    enum page_kind kind = g->page->kind;
    if (kind == PAGE_HTML && g->html.place != PAGE_HTML_TEXT && !is_harmless(v->source))
        return err_set(
            g->err,
            "%.*s stands %s, where what a client sends could do more than be read; put it into the "
            "text, or double its braces if it is no variable",
            SLICE_ARGS(whole), page_html_place_name(g->html.place));
    if (kind == PAGE_JSON && !g->is_in_string && v->source != PAGE_STATUS)
        return err_set(g->err, "%.*s stands outside of a string; write \"%.*s\"", SLICE_ARGS(whole),
                       SLICE_ARGS(whole));
    if (kind == PAGE_HTML) page_html_walk_variable(&g->html);
    return add(g, v->source, v->name);
}

static int parse(struct parsing *g, struct slice text)
{
    size_t literal = 0;
    for (size_t at = 0; at < text.len;) {
        struct slice rest = { text.data + at, text.len - at };
        struct variable v = { 0 };
        if (*rest.data == '{') v = read_variable(rest);
        if (!v.len) {
            if (v.word.len) doubt(g->page, v.word);
            at++;
            continue;
        }
        bool is_doubled = at > literal && text.data[at - 1] == '{' && v.len < rest.len &&
                          rest.data[v.len] == '}';
        size_t before = at - is_doubled;
        if (add_literal(g, (struct slice){ text.data + literal, before - literal }) < 0) return -1;
        struct slice whole = { rest.data, v.len };
        if ((is_doubled ? add_literal(g, whole) : add_variable(g, &v, whole)) < 0) return -1;
        literal = at = at + v.len + is_doubled;
    }
    return add_literal(g, (struct slice){ text.data + literal, text.len - literal });
}

/* With something in place of each variable it has to be JSON. */
static int check_json(const struct page *p, struct err *err)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    char *memory = malloc(p->room + 1);
    if (!faults || !memory) {
        free(memory);
        free(faults);
        return err_set(err, "there is no memory to look at it");
    }
    struct text sample = text_over(memory, p->room + 1);
    for (uint32_t i = 0; i < p->part_count; i++)
        text_add_slice(&sample, p->parts[i].source == HTTP_SOURCE_TEXT ? p->parts[i].text : SLICE("500"));
    int result = conf_read_json(&tree, "page", text_slice(&sample), faults);
    if (result < 0 && faults->count)
        err_set(err, "it is no JSON: %s", faults->items[0].message);
    else if (result < 0)
        err_set(err, "it is no JSON");
    conf_tree_free(&tree);
    free(memory);
    free(faults);
    return result;
}

static int check_room(const struct page *p, size_t len, struct err *err)
{
    struct slice whole;
    if (len > PAGE_TEXT_MAX)
        return err_set(err, "it has more than %u KiB, and no page may", PAGE_TEXT_MAX >> 10);
    if (!page_is_fixed(p, &whole) && p->room > PAGE_ROOM_MAX)
        return err_set(
            err,
            "with its variables it can become %zu KiB long, and may have %u; leave out some of them, "
            "or all: then it may have %u",
            (p->room + 1023) >> 10, PAGE_ROOM_MAX >> 10, PAGE_TEXT_MAX >> 10);
    return 0;
}

struct page *page_new(struct slice text, enum page_kind kind, struct conf_arena *arena, struct err *err)
{
    struct page *p = conf_arena_alloc(arena, sizeof(*p));
    struct page_part parts[PARTS_MAX] = { 0 };
    if (!p) {
        err_set(err, "there is no memory for it");
        return NULL;
    }
    p->kind = kind;
    p->parts = parts;
    struct parsing g = { .page = p, .err = err };
    if (parse(&g, text) < 0 || check_room(p, text.len, err) < 0) return NULL;
    if (kind == PAGE_JSON && check_json(p, err) < 0) return NULL;
    p->parts = conf_arena_alloc(arena, (p->part_count + 1) * sizeof(*p->parts));
    if (!p->parts) {
        err_set(err, "there is no memory for it");
        return NULL;
    }
    memcpy(p->parts, parts, p->part_count * sizeof(*p->parts));
    return p;
}

/* at run time */

bool page_is_fixed(const struct page *p, struct slice *whole)
{
    *whole = p->part_count ? p->parts[0].text : SLICE("");
    return !p->part_count || (p->part_count == 1 && p->parts[0].source == HTTP_SOURCE_TEXT);
}

const char *page_content_type(enum page_kind kind)
{
    static const char *const types[] = {
        [PAGE_TEXT] = "text/plain; charset=utf-8",
        [PAGE_HTML] = "text/html; charset=utf-8",
        [PAGE_JSON] = "application/json",
    };
    return types[kind];
}

static void escape_html(char c, struct text *out)
{
    switch (c) {
    case '<': TEXT_LITERAL(out, "&lt;"); break;
    case '>': TEXT_LITERAL(out, "&gt;"); break;
    case '&': TEXT_LITERAL(out, "&amp;"); break;
    case '"': TEXT_LITERAL(out, "&#34;"); break;
    case '\'': TEXT_LITERAL(out, "&#39;"); break;
    default: text_add_char(out, c);
    }
}

/* RFC 8259 7. "<" too, lest it be read as HTML after all. */
static void escape_json(char c, struct text *out)
{
    if (c == '"' || c == '\\') text_add_char(out, '\\');
    if ((unsigned char)c >= ' ' && c != 127 && c != '<') {
        text_add_char(out, c);
        return;
    }
    TEXT_LITERAL(out, "\\u");
    text_add_hex(out, (unsigned char)c, 4);
}

void page_escape(enum page_kind kind, struct slice value, struct text *out)
{
    for (size_t at = 0; at < value.len;) {
        struct slice rest = { value.data + at, value.len - at };
        size_t len = utf8_sequence_len(rest);
        if (!len)
            TEXT_LITERAL(out, "\xef\xbf\xbd");
        else if (len > 1 || kind == PAGE_TEXT)
            text_add(out, rest.data, len);
        else if (kind == PAGE_HTML)
            escape_html(*rest.data, out);
        else
            escape_json(*rest.data, out);
        at += len ? len : 1;
    }
}

static struct slice own_value(unsigned source, const struct page_input *in, char scratch[HTTP_SOURCE_SCRATCH])
{
    struct text number = text_over(scratch, HTTP_SOURCE_SCRATCH);
    switch (source) {
    case PAGE_STATUS: text_add_u64(&number, in->status); return text_slice(&number);
    case PAGE_TITLE: return in->title;
    case PAGE_REASON: return in->reason;
    case PAGE_DETAIL: return in->detail;
    case PAGE_POOL: return in->pool;
    case PAGE_SERVER: return in->server;
    default: return SLICE_NONE;
    }
}

void page_expand(const struct page *p, const struct page_input *in, struct text *out)
{
    char scratch[HTTP_SOURCE_SCRATCH];
    for (uint32_t i = 0; i < p->part_count; i++) {
        const struct page_part *part = &p->parts[i];
        if (part->source == HTTP_SOURCE_TEXT) {
            text_add_slice(out, part->text);
            continue;
        }
        struct slice value = part->source < PAGE_STATUS ? http_source_value((enum http_source)part->source,
                                                                            part->text, &in->request, scratch)
                                                        : own_value(part->source, in, scratch);
        if (value.len > PAGE_VALUE_MAX) value.len = PAGE_VALUE_MAX;
        page_escape(p->kind, value, out);
    }
}
