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

static bool begins_with_word(struct slice rest, const char *word)
{
    size_t len = strlen(word);
    return rest.len > len && slice_is_same_fold(rest.data, word, len) && !is_letter(rest.data[len]);
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
    h->quote = 0;
    h->is_value_due = false;
}

/* At the "<" of a piece. Returns how far it has come. */
static size_t open_tag(struct page_html *h, struct slice rest)
{
    size_t name = 1;
    while (name < rest.len && is_letter(rest.data[name])) name++;
    if (name == rest.len) { /* a variable would go on with the tag's name */
        h->place = PAGE_HTML_UNKNOWN;
        return rest.len;
    }
    if (slice_starts_with(rest, SLICE("<!--"))) {
        h->place = PAGE_HTML_COMMENT;
        return 4;
    }
    char c = rest.data[1];
    if (c != '!' && c != '?' && c != '/' && !is_letter(c)) return 1;
    begin_tag(h, NULL, PAGE_HTML_TEXT);
    for (size_t i = 0; i < sizeof(raw_elements) / sizeof(*raw_elements); i++)
        if (begins_with_word((struct slice){ rest.data + 1, rest.len - 1 }, raw_elements[i].name))
            begin_tag(h, raw_elements[i].name, raw_elements[i].inside);
    return 2;
}

/* One byte within a tag. A quote that does not open a value is part of a name, or of a value without quotes: browsers know,
 * and who reads it hardly does. */
static void walk_tag(struct page_html *h, char c)
{
    if (h->quote) {
        if (c == h->quote) h->quote = 0;
    } else if (c == '"' || c == '\'') {
        if (h->is_value_due)
            h->quote = c;
        else
            h->place = PAGE_HTML_UNKNOWN;
        h->is_value_due = false;
    } else if (c == '>') {
        h->place = h->inside;
    } else if (c == '=') {
        h->is_value_due = true;
    } else if (!is_blank(c)) {
        h->is_value_due = false;
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
    if (!slice_starts_with(rest, SLICE("-->"))) return 1;
    h->place = PAGE_HTML_TEXT;
    return 3;
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

/* What comes behind it in a tag can be another thing than if there were nothing. */
void page_html_walk_variable(struct page_html *h)
{
    if (h->place == PAGE_HTML_TAG && !h->quote) h->place = PAGE_HTML_UNKNOWN;
}
