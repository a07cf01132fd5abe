#include "command/event_report.h"

#include <math.h>

#include "base/text.h"
#include "command/document.h"
#include "command/table.h"

/* "12.0 > 14.5" */
static void add_both(struct table *t, const struct conf_node *row, const char *key, double scale)
{
    const char *const sides[] = { "before", "after" };
    char texts[2][32];
    for (int i = 0; i < 2; i++) {
        double value = document_number(document_get(row, sides[i]), key) * scale;
        if (isnan(value))
            snprintf(texts[i], sizeof(texts[i]), "-");
        else
            snprintf(texts[i], sizeof(texts[i]), "%.1f", value);
    }
    table_add(t, "%s > %s", texts[0], texts[1]);
}

/* "+1.20 (0.30 to 2.10)" */
static void add_difference(struct table *t, const struct conf_node *row, const char *key, double scale)
{
    static const char *const names[] = { "value", "low", "high" };
    const struct conf_node *estimate = document_get(row, key);
    char texts[3][32];
    for (int i = 0; i < 3; i++) {
        double value = document_number(estimate, names[i]) * scale;
        if (isnan(value))
            snprintf(texts[i], sizeof(texts[i]), "?");
        else
            snprintf(texts[i], sizeof(texts[i]), "%+.2f", value);
    }
    if (*texts[0] == '?')
        table_add(t, "-");
    else
        table_add(t, "%s (%s to %s)", texts[0], texts[1], texts[2]);
}

static void add_changes(struct table *t, const struct conf_node *row)
{
    char memory[160];
    struct text text = text_over(memory, sizeof(memory));
    const struct conf_node *changes = document_get(row, "changes");
    for (const struct conf_node *n = changes ? changes->first_child : NULL; n; n = n->next)
        text_printf(&text, "%s%.*s", n == changes->first_child ? "" : ", ", SLICE_ARGS(n->text));
    table_add(t, "%s", text.len ? text_cstr(&text) : "nothing certain");
}

static void add_row(struct table *t, const struct conf_node *row)
{
    table_add(t, "%s", document_text(row, "kind"));
    table_add(t, "%s/%s", document_text(row, "of"), document_text(row, "name"));
    add_both(t, row, "rate", 1);
    add_difference(t, row, "error_difference", 100);
    add_both(t, row, "p50_ms", 1);
    add_both(t, row, "p95_ms", 1);
    add_difference(t, row, "p95_difference_ms", 1);
    add_changes(t, row);
}

static int tell_rows(const struct conf_node *rows, FILE *out)
{
    static const char *const titles[] = { "kind",   "name",   "requests/s",     "errors, points",
                                          "p50 ms", "p95 ms", "p95 difference", "certain" };
    struct table t;
    table_init(&t, 8, 0);
    for (unsigned i = 0; i < 8; i++) table_add(&t, "%s", titles[i]);
    for (const struct conf_node *row = rows->first_child; row; row = row->next) add_row(&t, row);
    int result = table_print(&t, out);
    table_fini(&t);
    return result;
}

int event_report_tell(const struct conf_node *report, FILE *out)
{
    const struct conf_node *rows = document_get(report, "rows");
    struct table title;
    table_init(&title, 1, 0);
    table_add(&title, "event %s, %s, %s: %.0f s before it against %.0f s after it",
              document_text(report, "event"), document_text(report, "name"), document_text(report, "at"),
              document_number(report, "before_seconds"), document_number(report, "after_seconds"));
    int result = table_print(&title, out);
    table_fini(&title);
    fputc('\n', out);
    if (result == 0 && rows && rows->first_child)
        result = tell_rows(rows, out);
    else if (result == 0)
        fputs("There were no requests.\n", out);
    const struct conf_node *flame = document_get(report, "flame");
    bool has_flame = flame && flame->kind == CONF_NODE_SCALAR;
    fprintf(out, "\nIntervals hold however often one looks, each in 99 of a hundred cases. Profile: %s%s\n",
            has_flame ? "the admin address has " : "",
            document_text(report, has_flame ? "flame" : "profile"));
    return ferror(out) ? -1 : result;
}
