/* route/page_html.h: where in a page of HTML a place is: whether what is put there, with its five characters escaped, can be
 * nothing but text to a browser. It follows the tokens of a page as browsers do (HTML 13.2.5) where that is simple, and
 * gives up where it is not: then nothing behind is taken for text any more. */
#pragma once

#include "base/slice.h"

enum page_html_place {
    PAGE_HTML_TEXT,
    PAGE_HTML_TAG,     /* between < and >: an attribute could run, or be ended */
    PAGE_HTML_COMMENT, /* likewise <!DOCTYPE>: nobody sees it */
    PAGE_HTML_RAW,     /* in <script> or <style>, where nothing is decoded */
    PAGE_HTML_UNKNOWN, /* the page is not as simple as that */
};

/* Of a tag. */
enum page_html_part {
    PAGE_HTML_NAME, /* its own */
    PAGE_HTML_BEFORE_ATTRIBUTE,
    PAGE_HTML_ATTRIBUTE,
    PAGE_HTML_BEHIND_ATTRIBUTE, /* an equals sign may still come */
    PAGE_HTML_VALUE_DUE,        /* an equals sign stands before */
    PAGE_HTML_VALUE,            /* without quotes */
    PAGE_HTML_QUOTED,
};

struct page_html {
    enum page_html_place place, inside; /* inside: behind the tag's end */
    enum page_html_part part;
    char quote;          /* of the value, where the part is PAGE_HTML_QUOTED */
    bool is_declaration; /* the comment is none: "<!DOCTYPE", "<?", "</ " */
    const char *raw;     /* whose end is waited for: "script", "style", "title", "textarea" */
};

/* On over a piece of the page; zeroed at first. A variable's place is the end of a piece. */
void page_html_walk(struct page_html *h, struct slice piece);
/* On over a variable. */
void page_html_walk_variable(struct page_html *h);
/* "in a tag"; "" for text. */
const char *page_html_place_name(enum page_html_place place);
