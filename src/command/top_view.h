/* command/top_view.h: what `weir top` looks at: a table of listeners, routes, pools or servers as GET /api/v1/traffic has it,
 * or one of them by itself; asked of the API, and put into lines. */
#pragma once

#include "base/text.h"
#include "command/api_client.h"
#include "command/document.h"

#define TOP_NAME_MAX 256u
#define TOP_SEARCH_MAX 64u
#define TOP_LIMIT 1000u
#define TOP_LINE_MAX 1024u

enum top_kind { TOP_LISTENERS, TOP_ROUTES, TOP_POOLS, TOP_SERVERS, TOP_KINDS };
/* "listener", as the API calls it; "listeners", as people do. */
const char *top_kind_name(enum top_kind kind);
const char *top_kind_title(enum top_kind kind);
/* By either of them; TOP_KINDS: there is none. */
enum top_kind top_kind_by_name(const char *name);

struct top_view {
    enum top_kind kind;
    bool is_detail; /* of one alone: `of` and `name` */
    char of[TOP_NAME_MAX], name[TOP_NAME_MAX];
    char search[TOP_SEARCH_MAX];
    const char *sort; /* of the API; NULL: in the order of the configuration */
    uint32_t limit, selected;
};

/* What was answered. */
struct top_answer {
    struct conf_tree tree;
    bool has_tree;
};

/* The path of the API that has it. False: it is too long. */
bool top_view_path(const struct top_view *v, struct text *path);
/* An answer in place of the one before, which stays if there is none: then what api_client_ask() returns. */
int top_ask(const struct api_target *to, const char *path, struct top_answer *out, struct err *err);
void top_answer_free(struct top_answer *a);

uint32_t top_row_count(const struct top_answer *a);
/* NULL: there are not so many. */
const struct conf_node *top_row(const struct top_answer *a, uint32_t index);
/* Lines without a newline and without anything that would steer a terminal. */
void top_print_head(enum top_kind kind, struct text *out);
void top_print_row(enum top_kind kind, const struct conf_node *row, double seconds, struct text *out);
/* An exchange that failed, in a line. */
void top_print_exchange(const struct conf_node *exchange, struct text *out);
/* Whether there is something wrong with it. */
bool top_row_is_unwell(const struct conf_node *row);
