#include "command/top.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/printable.h"
#include "command/terminal.h"
#include "command/top_actions.h"
#include "command/top_view.h"

#define VIEWS_MAX 4u
#define REFRESH_MS 1000u
#define PATH_BYTES 4096u
#define HELP                                                                                           \
    "1-4 listeners routes pools servers  enter into  left back  / search  r e l n s sort  d drain  m " \
    "maintenance "                                                                                     \
    "b back  w weight  u undo  q quit"

struct top_options {
    struct api_options api;
    const char *view, *sort;
    uint32_t limit;
    bool is_once, is_json;
};

enum prompt { PROMPT_NONE, PROMPT_SEARCH, PROMPT_WEIGHT };

struct top {
    struct api_target to;
    struct top_view
        views[VIEWS_MAX]; /* the last is the one that is seen, those before it where "back" leads */
    uint32_t depth;
    struct top_answer rows, stats;
    struct err lost; /* why there is no answer now; "": there is */
    char notice[TOP_NOTICE_MAX];
    struct top_undo undo;
    enum prompt prompt;
    char typed[TOP_SEARCH_MAX];
    uint32_t shown; /* rows that the terminal had room for */
};

#define ROW(member) .offset = offsetof(struct top_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, .name = "view", .argument = "KIND", ROW(view),
      .help = "listeners, routes, pools or servers; servers unless given" },
    { OPTION_TEXT, .name = "sort", .argument = "BY", ROW(sort),
      .help = "name, requests, errors, p99, or of servers state; else as in the configuration" },
    { OPTION_U32, .name = "limit", .argument = "N", ROW(limit), .min = 1, .max = TOP_LIMIT,
      .help = "at most so many rows; 100 unless given" },
    { OPTION_FLAG, .name = "once", ROW(is_once), .help = "print it once and end: for scripts" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "with --once: the answer of GET /api/v1/traffic" },
    OPTION_API(struct top_options, api),
    { 0 },
};

const struct syntax top_syntax = {
    .command = "top",
    .usage = "top [--view KIND] [--sort BY] [--once [--json]] [OPTION]...\n\n"
             "The dashboard in a terminal: requests, errors and latency of the last ten seconds of "
             "listeners, routes, pools\n"
             "and servers, once a second. The arrows choose a row, Enter goes into it (the routes of a "
             "listener, the\n"
             "servers of a pool, what failed of late of a route or server), Left comes back; 1 to 4 change "
             "the table, / searches,\n"
             "r e l n s sort by requests, errors, latency, name, state. Of a server d drains it, m puts it "
             "into maintenance, b\n"
             "brings it back, w gives it another weight, u takes the last of these back. q ends it.\n",
    .options = options,
    .notes = "Exit codes: 0 ended as asked, 64 wrong usage or no terminal, 69 weir is not reached, 77 wrong "
             "token.\n",
};

static struct top_view *view_of(struct top *t)
{
    return &t->views[t->depth];
}

/* asking */

static int refresh(struct top *t)
{
    char memory[PATH_BYTES];
    struct text path = text_over(memory, sizeof(memory));
    struct err err = { "" };
    struct top_view *v = view_of(t);
    int code = top_view_path(v, &path) ? top_ask(&t->to, memory, &t->rows, &err) : EX_USAGE;
    if (code == EX_OK) code = top_ask(&t->to, "/api/v1/stats", &t->stats, &err);
    t->lost = err;
    if (code == EX_OK) *t->lost.text = 0;
    uint32_t count = top_row_count(&t->rows);
    if (v->selected >= count) v->selected = count ? count - 1 : 0;
    return code;
}

static double seconds_of(const struct top_answer *rows)
{
    double seconds = rows->has_tree ? document_number(rows->tree.root, "seconds") : 1;
    return seconds >= 1 ? seconds : 1;
}

/* painting */

static void paint_clean(struct terminal_paint *p, const char *style, char *text)
{
    printable_mask(text);
    terminal_paint_line(p, style, text);
}

static void paint_title(const struct top *t, struct terminal_paint *p)
{
    char line[TOP_LINE_MAX];
    const struct conf_node *stats = t->stats.has_tree ? t->stats.tree.root : NULL,
                           *live = document_get(stats, "live");
    if (*t->lost.text)
        snprintf(line, sizeof(line), "weir top: no answer, trying again: %s", t->lost.text);
    else
        snprintf(line, sizeof(line),
                 "weir %s%s  up %.0f s  exchanges %s  clients %s  servers' connections %s",
                 document_text(stats, "version"), document_is_true(stats, "draining") ? " (draining)" : "",
                 document_number(stats, "uptime_seconds"), document_text(live, "exchanges"),
                 document_text(live, "client_connections"), document_text(live, "server_connections"));
    paint_clean(p, terminal_has_colors() && *t->lost.text ? "1;31" : "1", line);
}

static void paint_place(struct top *t, struct terminal_paint *p)
{
    const struct top_view *v = view_of(t);
    char line[TOP_LINE_MAX];
    struct text text = text_over(line, sizeof(line));
    double total = t->rows.has_tree ? document_number(t->rows.tree.root, "total") : 0;
    if (v->is_detail) {
        text_printf(&text, "what failed of late of %s %s", top_kind_name(v->kind), v->name);
    } else {
        text_printf(&text, "%.0f %s", total > 0 ? total : 0, top_kind_title(v->kind));
        if (*v->of) text_printf(&text, " of %s", v->of);
        if (*v->search) text_printf(&text, " with \"%s\"", v->search);
        if (v->sort) text_printf(&text, ", by %s", v->sort);
    }
    text_cstr(&text);
    paint_clean(p, NULL, line);
}

static void paint_row(const struct top *t, const struct top_view *v, const struct conf_node *row,
                      bool is_selected, struct terminal_paint *p)
{
    char line[TOP_LINE_MAX];
    struct text text = text_over(line, sizeof(line));
    text_add(&text, is_selected ? "> " : "  ", 2);
    if (v->is_detail)
        top_print_exchange(row, &text);
    else
        top_print_row(v->kind, row, seconds_of(&t->rows), &text);
    text_cstr(&text);
    bool is_red = !v->is_detail && terminal_has_colors() && top_row_is_unwell(row);
    paint_clean(p, is_selected ? "7" : is_red ? "31" : NULL, line);
}

static void paint_rows(struct top *t, struct terminal_paint *p)
{
    const struct top_view *v = view_of(t);
    char head[TOP_LINE_MAX] = "  ";
    struct text text = text_over(head, sizeof(head));
    text.len = 2;
    if (v->is_detail)
        TEXT_LITERAL(&text, "began        id               method target                   why");
    else
        top_print_head(v->kind, &text);
    text_cstr(&text);
    terminal_paint_line(p, "4", head);
    t->shown = p->rows > p->lines + 1 ? p->rows - p->lines - 1 : 0;
    uint32_t first = t->shown && v->selected >= t->shown ? v->selected - t->shown + 1 : 0, at = first;
    for (const struct conf_node *row = top_row(&t->rows, first); row && at < first + t->shown;
         row = row->next, at++)
        paint_row(t, v, row, at == v->selected, p);
}

static void paint_foot(const struct top *t, struct terminal_paint *p)
{
    char line[TOP_LINE_MAX];
    while (p->lines + 1 < p->rows) terminal_paint_line(p, NULL, "");
    if (t->prompt == PROMPT_SEARCH)
        snprintf(line, sizeof(line), "search: %s_", t->typed);
    else if (t->prompt == PROMPT_WEIGHT)
        snprintf(line, sizeof(line), "weight: %s_", t->typed);
    else
        snprintf(line, sizeof(line), "%s", *t->notice ? t->notice : HELP);
    paint_clean(p, NULL, line);
}

static void paint(struct top *t)
{
    struct terminal_paint p;
    terminal_paint_begin(&p);
    paint_title(t, &p);
    paint_place(t, &p);
    paint_rows(t, &p);
    paint_foot(t, &p);
    terminal_paint_end(&p);
}

/* keys */

/* The table that is seen, anew; where it was entered from is kept. */
static void show(struct top *t, enum top_kind kind, const char *of, const char *name, bool is_detail)
{
    struct top_view view = { .kind = kind, .is_detail = is_detail, .limit = view_of(t)->limit };
    snprintf(view.of, sizeof(view.of), "%s", of);
    snprintf(view.name, sizeof(view.name), "%s", name);
    *view_of(t) = view;
    top_answer_free(&t->rows);
    refresh(t);
}

static void enter(struct top *t)
{
    const struct top_view *v = view_of(t);
    const struct conf_node *row = top_row(&t->rows, v->selected);
    char of[TOP_NAME_MAX] = "", name[TOP_NAME_MAX];
    if (!row || v->is_detail || t->depth + 1 == VIEWS_MAX) return;
    bool is_group = v->kind == TOP_LISTENERS || v->kind == TOP_POOLS;
    enum top_kind kind = v->kind == TOP_LISTENERS ? TOP_ROUTES : v->kind == TOP_POOLS ? TOP_SERVERS : v->kind;
    snprintf(name, sizeof(name), "%s", document_text(row, "name"));
    if (document_get(row, "of")) snprintf(of, sizeof(of), "%s", document_text(row, "of"));
    t->views[t->depth + 1] = (struct top_view){ .limit = v->limit };
    t->depth++;
    show(t, kind, is_group ? name : of, is_group ? "" : name, !is_group);
}

static void leave(struct top *t)
{
    if (!t->depth) return;
    t->depth--;
    top_answer_free(&t->rows);
    refresh(t);
}

static void move(struct top *t, int64_t by)
{
    struct top_view *v = view_of(t);
    int64_t count = top_row_count(&t->rows), to = (int64_t)v->selected + by;
    if (to >= count) to = count - 1;
    v->selected = to > 0 ? (uint32_t)to : 0;
}

static void sort(struct top *t, const char *by)
{
    struct top_view *v = view_of(t);
    if (v->is_detail) return;
    v->sort = strcmp(by, "state") == 0 && v->kind != TOP_SERVERS ? v->sort : by;
    v->selected = 0;
    refresh(t);
}

/* NULL: no server is chosen, which is said. */
static const struct conf_node *chosen_server(struct top *t)
{
    const struct top_view *v = view_of(t);
    const struct conf_node *row = v->kind == TOP_SERVERS && !v->is_detail ? top_row(&t->rows, v->selected)
                                                                          : NULL;
    if (!row) snprintf(t->notice, sizeof(t->notice), "choose a server first: 4 shows them all");
    return row;
}

static void set_admin(struct top *t, const char *admin)
{
    const struct conf_node *row = chosen_server(t);
    if (row) top_set_admin(&t->to, row, admin, &t->undo, t->notice);
    refresh(t);
}

static void ask(struct top *t, enum prompt prompt)
{
    if (prompt == PROMPT_WEIGHT && !chosen_server(t)) return;
    t->prompt = prompt;
    *t->typed = 0;
}

static void finish_prompt(struct top *t)
{
    const struct conf_node *row = t->prompt == PROMPT_WEIGHT ? chosen_server(t) : NULL;
    if (row) top_set_weight(&t->to, row, t->typed, &t->undo, t->notice);
    if (t->prompt == PROMPT_SEARCH) memcpy(view_of(t)->search, t->typed, sizeof(t->typed));
    t->prompt = PROMPT_NONE;
    refresh(t);
}

static void on_typed(struct top *t, enum terminal_key key)
{
    size_t len = strlen(t->typed);
    if (key == KEY_ENTER)
        finish_prompt(t);
    else if (key == KEY_ESCAPE)
        t->prompt = PROMPT_NONE;
    else if (key == KEY_ERASE && len)
        t->typed[len - 1] = 0;
    else if (key >= KEY_CHARACTER && len + 1 < sizeof(t->typed))
        t->typed[len] = (char)key, t->typed[len + 1] = 0;
}

/* False: it is to end. */
static bool on_character(struct top *t, int c)
{
    switch (c) {
    case 'q': return false;
    case '1':
    case '2':
    case '3':
    case '4':
        t->depth = 0;
        show(t, (enum top_kind)(c - '1'), "", "", false);
        break;
    case 'k': move(t, -1); break;
    case 'j': move(t, 1); break;
    case '/': ask(t, PROMPT_SEARCH); break;
    case 'r': sort(t, "requests"); break;
    case 'e': sort(t, "errors"); break;
    case 'l': sort(t, "p99"); break;
    case 'n': sort(t, "name"); break;
    case 's': sort(t, "state"); break;
    case 'd': set_admin(t, "drain"); break;
    case 'm': set_admin(t, "maintenance"); break;
    case 'b': set_admin(t, "enabled"); break;
    case 'w': ask(t, PROMPT_WEIGHT); break;
    case 'u':
        top_undo(&t->to, &t->undo, t->notice);
        refresh(t);
        break;
    default: break;
    }
    return true;
}

static bool on_key(struct top *t, enum terminal_key key)
{
    if (t->prompt != PROMPT_NONE) {
        on_typed(t, key);
        return true;
    }
    *t->notice = 0;
    switch (key) {
    case KEY_UP: move(t, -1); break;
    case KEY_DOWN: move(t, 1); break;
    case KEY_PAGE_UP: move(t, -(int64_t)t->shown); break;
    case KEY_PAGE_DOWN: move(t, t->shown); break;
    case KEY_HOME: move(t, INT32_MIN); break;
    case KEY_LAST: move(t, INT32_MAX); break;
    case KEY_ENTER:
    case KEY_RIGHT: enter(t); break;
    case KEY_LEFT:
    case KEY_ERASE:
    case KEY_ESCAPE: leave(t); break;
    default: return on_character(t, (int)key);
    }
    return true;
}

static void look_on(struct top *t)
{
    uint64_t next_ms = 0;
    for (;;) {
        uint64_t now_ms = clock_now_ns() / NS_PER_MS;
        if (now_ms >= next_ms) {
            refresh(t);
            next_ms = clock_now_ns() / NS_PER_MS + REFRESH_MS;
            now_ms = next_ms - REFRESH_MS;
        }
        paint(t);
        enum terminal_key key = terminal_key((uint32_t)(next_ms - now_ms));
        if (key == KEY_END) return;
        if (key != KEY_NONE && key != KEY_RESIZED && !on_key(t, key)) return;
    }
}

/* once */

static int print_once(const struct top *t, const struct top_options *o)
{
    const struct top_view *v = &t->views[0];
    char memory[PATH_BYTES];
    struct text path = text_over(memory, sizeof(memory));
    struct err err = { "" };
    struct top_answer rows = { .has_tree = false };
    char *body = NULL;
    size_t len = 0;
    struct api_request rq = { .method = HTTP_GET, .path = memory };
    if (!top_view_path(v, &path)) return EX_USAGE;
    int code = o->is_json ? api_client_ask(&t->to, &rq, &body, &len, &err)
                          : top_ask(&t->to, memory, &rows, &err);
    if (code != EX_OK) fprintf(stderr, "weir top: %s\n", err.text);
    if (code == EX_OK && o->is_json) code = document_print((struct slice){ body, len }, stdout);
    free(body);
    if (!rows.has_tree) return code;
    char line[TOP_LINE_MAX];
    struct text text = text_over(line, sizeof(line));
    top_print_head(v->kind, &text);
    puts(text_cstr(&text));
    for (const struct conf_node *row = top_row(&rows, 0); row; row = row->next) {
        text = text_over(line, sizeof(line));
        top_print_row(v->kind, row, seconds_of(&rows), &text);
        puts(text_cstr(&text));
    }
    top_answer_free(&rows);
    return fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}

static int run_top(struct top *t)
{
    struct err err;
    /* Whoever mistyped an address learns of it at once; later it may go and come. */
    int code = refresh(t);
    if (code != EX_OK) {
        fprintf(stderr, "weir top: %s\n", t->lost.text);
        return code;
    }
    if (terminal_open(&err) < 0) {
        fprintf(stderr, "weir top: %s\n", err.text);
        return EX_USAGE;
    }
    look_on(t);
    terminal_close();
    return EX_OK;
}

static bool is_sort(const char *by, enum top_kind kind)
{
    static const char *const sorts[] = { "name", "requests", "errors", "p99" };
    for (size_t i = 0; i < sizeof(sorts) / sizeof(*sorts); i++)
        if (strcmp(by, sorts[i]) == 0) return true;
    return kind == TOP_SERVERS && strcmp(by, "state") == 0;
}

int top_command(int argc, char **argv)
{
    struct top_options o = { .limit = 100 };
    struct err err = { "" };
    int code = options_parse(&top_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    enum top_kind kind = o.view ? top_kind_by_name(o.view) : TOP_SERVERS;
    if (kind == TOP_KINDS)
        return options_fault(&top_syntax,
                             "there is no table \"%.64s\"; there are listeners, routes, pools and servers",
                             o.view);
    if (o.sort && !is_sort(o.sort, kind))
        return options_fault(
            &top_syntax,
            "nothing is sorted by \"%.64s\"; there are name, requests, errors, p99, and state of servers",
            o.sort);
    if (o.is_json && !o.is_once) return options_fault(&top_syntax, "--json goes with --once");
    struct top *t = calloc(1, sizeof(*t));
    if (!t) return EX_OSERR;
    t->views[0] = (struct top_view){ .kind = kind, .sort = o.sort, .limit = o.limit };
    code = api_target_find(&o.api, &t->to, &err);
    if (code != EX_OK)
        fprintf(stderr, "weir top: %s\n", err.text);
    else
        code = o.is_once ? print_once(t, &o) : run_top(t);
    top_answer_free(&t->rows);
    top_answer_free(&t->stats);
    free(t);
    return code;
}
