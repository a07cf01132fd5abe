#include "route/page_html.h"

const char *page_html_place_name(enum page_html_place place)
{
    static const char *const names[] = {
        [PAGE_HTML_TEXT] = "",
        [PAGE_HTML_TAG] = "within a tag",
        [PAGE_HTML_COMMENT] = "within a comment",
        [PAGE_HTML_RAW] = "within a script or a style sheet",
        [PAGE_HTML_UNKNOWN] = "behind something that browsers read in more than one way",
    };
    return names[place];
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* What ends a tag's name, and nothing else does. */
static bool ends_name(char c)
{
    return is_blank(c) || c == '/' || c == '>';
}

static bool begins_with_word(struct slice rest, const char *word)
{
    size_t len = strlen(word);
    return rest.len > len && slice_is_same_fold(rest.data, word, len) && ends_name(rest.data[len]);
}

/* Elements in which tags are none, until their own end. */
static const struct {
    const char *name;
    enum page_html_place inside;
} raw_elements[] = {
    { "script", PAGE_HTML_RAW },       { "style", PAGE_HTML_RAW },        { "title", PAGE_HTML_TEXT },
    { "textarea", PAGE_HTML_TEXT }, /* entities are decoded there */
    { "noscript", PAGE_HTML_UNKNOWN }, { "xmp", PAGE_HTML_UNKNOWN },      { "iframe", PAGE_HTML_UNKNOWN },
    { "noembed", PAGE_HTML_UNKNOWN },  { "noframes", PAGE_HTML_UNKNOWN }, { "plaintext", PAGE_HTML_UNKNOWN },
    { "template", PAGE_HTML_UNKNOWN },
};

static void begin_tag(struct page_html *h, const char *raw, enum page_html_place inside)
{
    h->place = PAGE_HTML_TAG;
    h->inside = inside;
    h->raw = raw;
    h->part = PAGE_HTML_NAME;
}

/* At "<!", "<?" or "</" of what is no tag: a comment, or what browsers take for one, which ends at the first ">" and knows no
 * quotes (HTML 13.2.5.41, 13.2.5.53). */
static size_t open_comment(struct page_html *h, struct slice rest)
{
    struct slice behind = { rest.data + 4, rest.len > 4 ? rest.len - 4 : 0 };
    h->place = PAGE_HTML_COMMENT;
    h->is_declaration = !slice_starts_with(rest, SLICE("<!--"));
    if (h->is_declaration) {
        /* Within <svg> alone it is text up to "]]>". */
        if (slice_starts_with(rest, SLICE("<!["))) h->place = PAGE_HTML_UNKNOWN;
        return 2;
    }
    if (slice_starts_with(behind, SLICE(">")) || slice_starts_with(behind, SLICE("->")))
        h->place = PAGE_HTML_UNKNOWN;
    return 4;
}

/* At the "<" of a piece. Returns how far it has come. */
static size_t open_tag(struct page_html *h, struct slice rest)
{
    struct slice name = { rest.data + 1, rest.len - 1 };
    if (!name.len) { /* a variable would go on with it */
        h->place = PAGE_HTML_UNKNOWN;
        return 1;
    }
    bool is_end = *name.data == '/';
    if (is_end) name = (struct slice){ name.data + 1, name.len - 1 };
    if (!name.len) {
        h->place = PAGE_HTML_UNKNOWN;
        return 2;
    }
    if (!is_letter(*name.data)) {
        bool is_comment = is_end || *name.data == '!' || *name.data == '?';
        return is_comment ? open_comment(h, rest) : 1;
    }
    begin_tag(h, NULL, PAGE_HTML_TEXT);
    for (size_t i = 0; !is_end && i < sizeof(raw_elements) / sizeof(*raw_elements); i++)
        if (begins_with_word(name, raw_elements[i].name))
            begin_tag(h, raw_elements[i].name, raw_elements[i].inside);
    return is_end ? 2 : 1;
}

/* A quote or an equals sign that begins no value is part of a name, or of a value without quotes: browsers know, and who
 * reads it hardly does. */
static void walk_mark(struct page_html *h, char c)
{
    bool is_due = h->part == PAGE_HTML_VALUE_DUE;
    bool may_assign = h->part == PAGE_HTML_ATTRIBUTE || h->part == PAGE_HTML_BEHIND_ATTRIBUTE;
    if (c == '=' ? !may_assign : !is_due) {
        h->place = PAGE_HTML_UNKNOWN;
        return;
    }
    h->part = c == '=' ? PAGE_HTML_VALUE_DUE : PAGE_HTML_QUOTED;
    h->quote = c;
}

/* One byte within a tag (HTML 13.2.5.8, 13.2.5.32 to 13.2.5.40). */
static void walk_tag(struct page_html *h, char c)
{
    if (h->part == PAGE_HTML_QUOTED) {
        if (c == h->quote) h->part = PAGE_HTML_BEFORE_ATTRIBUTE;
    } else if (c == '"' || c == '\'' || c == '=') {
        walk_mark(h, c);
    } else if (c == '>') {
        h->place = h->inside;
    } else if (is_blank(c)) {
        if (h->part == PAGE_HTML_ATTRIBUTE) h->part = PAGE_HTML_BEHIND_ATTRIBUTE;
        if (h->part == PAGE_HTML_NAME || h->part == PAGE_HTML_VALUE) h->part = PAGE_HTML_BEFORE_ATTRIBUTE;
    } else if (h->part == PAGE_HTML_VALUE_DUE) {
        h->part = PAGE_HTML_VALUE;
    } else if (c == '/' && h->part != PAGE_HTML_VALUE) {
        h->part = PAGE_HTML_BEFORE_ATTRIBUTE;
    } else if (h->part == PAGE_HTML_BEFORE_ATTRIBUTE || h->part == PAGE_HTML_BEHIND_ATTRIBUTE) {
        h->part = PAGE_HTML_ATTRIBUTE;
    }
}

/* At a "<" where nothing is a tag but the end. In a script, "<!--" can make the script's end one that is none. */
static size_t walk_raw(struct page_html *h, struct slice rest)
{
    struct slice name = { rest.data + 2, rest.len > 2 ? rest.len - 2 : 0 };
    if (slice_starts_with(rest, SLICE("<!--"))) {
        h->place = PAGE_HTML_UNKNOWN;
    } else if (slice_starts_with(rest, SLICE("</")) && begins_with_word(name, h->raw)) {
        size_t len = strlen(h->raw) + 2;
        begin_tag(h, NULL, PAGE_HTML_TEXT);
        return len;
    }
    return 1;
}

static size_t walk_comment(struct page_html *h, struct slice rest)
{
    struct slice end = h->is_declaration ? SLICE(">") : SLICE("-->");
    if (!h->is_declaration && slice_starts_with(rest, SLICE("--!"))) h->place = PAGE_HTML_UNKNOWN;
    if (!slice_starts_with(rest, end)) return 1;
    h->place = PAGE_HTML_TEXT;
    return end.len;
}

static size_t step(struct page_html *h, struct slice rest)
{
    switch (h->place) {
    case PAGE_HTML_TAG: walk_tag(h, *rest.data); return 1;
    case PAGE_HTML_COMMENT: return walk_comment(h, rest);
    case PAGE_HTML_TEXT:
    case PAGE_HTML_RAW:
    case PAGE_HTML_UNKNOWN: break;
    }
    if (*rest.data != '<') return 1;
    return h->raw ? walk_raw(h, rest) : open_tag(h, rest);
}

void page_html_walk(struct page_html *h, struct slice piece)
{
    for (size_t at = 0; at < piece.len && h->place != PAGE_HTML_UNKNOWN;)
        at += step(h, (struct slice){ piece.data + at, piece.len - at });
}

/* What comes behind it in a tag can be another thing than if there were nothing, and a declaration a comment. */
void page_html_walk_variable(struct page_html *h)
{
    bool is_open = (h->place == PAGE_HTML_TAG && h->part != PAGE_HTML_QUOTED) ||
                   (h->place == PAGE_HTML_COMMENT && h->is_declaration);
    if (is_open) h->place = PAGE_HTML_UNKNOWN;
}
