/* route/page_conf.h: what is sent in place of weir's own sentences: `errors: {404: {file: 404.html}, 5xx: {json: "{…}"},
 * default: {html: "…"}}` of a listener or a route. Part of a snapshot: files are read when it is. */
#pragma once

#include "conf/field.h"
#include "route/page.h"

struct page_conf {
    const char *name;                      /* of `errors`: "404", "5xx", "default" */
    const char *text, *html, *file, *json; /* one of the first three, or json, or both */
    bool intercept;                        /* servers' own answers of that status have it too */
    /* What is made of them, in the arena. */
    struct page *page;      /* NULL: json alone */
    struct page *json_page; /* for clients that prefer it; NULL: none */
};

/* With a status for its name; by itself. */
extern const struct conf_type error_page_type, page_conf_type;

/* Of `errors`, for that status: its own, else its class's, else the default. NULL: none. */
const struct page_conf *page_conf_find(const struct conf_items *errors, uint16_t status);
/* Likewise, if it replaces a server's answer. */
const struct page_conf *page_conf_find_intercept(const struct conf_items *errors, uint16_t status);
/* The form of it that a client asks for. */
const struct page *page_conf_form(const struct page_conf *conf, bool wants_json);
