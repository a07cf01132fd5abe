#include "conf/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "conf/tree.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
/* How much of a long line is shown. */
#define SHOWN_BEFORE 60u
#define SHOWN_MAX 100u

void conf_tree_free(struct conf_tree *tree)
{
    conf_arena_free(tree->memory);
    *tree = (struct conf_tree){ 0 };
}

const struct conf_node *conf_node_get(const struct conf_node *map, const char *key)
{
    struct slice wanted = slice_of(key);
    if (!map || map->kind != CONF_NODE_MAP) return NULL;
    for (const struct conf_node *n = map->first_child; n; n = n->next)
        if (slice_equal(n->key, wanted)) return n;
    return NULL;
}

const struct conf_node *conf_node_nth(const struct conf_node *list, uint32_t n)
{
    const struct conf_node *at = list ? list->first_child : NULL;
    while (at && n--) at = at->next;
    return at;
}

static bool is_before(struct conf_place a, struct conf_place b)
{
    if (a.file != b.file) return a.file < b.file;
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/* Control bytes would spoil a terminal; a character that was cut in two would spoil the encoding. */
static void clean(char *text)
{
    struct slice rest = slice_of(text);
    while (rest.len) {
        size_t len = utf8_sequence_len(rest);
        if (!len || (unsigned char)*rest.data < ' ' || *rest.data == 0x7f)
            *(char *)(uintptr_t)rest.data = '?';
        if (!len) len = 1;
        rest.data += len;
        rest.len -= len;
    }
}

__attribute__((format(printf, 4, 0))) static void add(struct conf_faults *faults, struct conf_place place,
                                                      const char *remedy, const char *format, va_list args)
{
    uint32_t at = faults->count;
    if (faults->is_short) return;
    while (at && is_before(place, faults->items[at - 1].place)) at--;
    if (faults->count == COUNT(faults->items)) {
        faults->dropped++;
        if (at == faults->count) return;
        faults->count--;
    }
    struct conf_fault *fault = &faults->items[at];
    memmove(fault + 1, fault, (faults->count - at) * sizeof(*fault));
    faults->count++;
    fault->place = place;
    snprintf(fault->remedy, sizeof(fault->remedy), "%s", remedy ? remedy : "");
    vsnprintf(fault->message, sizeof(fault->message), format, args);
    clean(fault->message);
    clean(fault->remedy);
}

void conf_fault_add(struct conf_faults *faults, struct conf_place place, const char *remedy,
                    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(faults, place, remedy, format, args);
    va_end(args);
}

void conf_fault_no_memory(struct conf_faults *faults)
{
    faults->count = faults->dropped = 0;
    conf_fault_add(faults, (struct conf_place){ .line = 1, .column = 1 }, "try again",
                   "there is no memory to read it");
    faults->is_short = true;
}

void conf_note_add(struct conf_faults *faults, struct conf_place place, const char *remedy,
                   const char *format, ...)
{
    va_list args;
    if (!faults->notes) return;
    va_start(args, format);
    add(faults->notes, place, remedy, format, args);
    va_end(args);
}

/* The line that the cursor, at its first character, is in; without its end. */
static struct slice line_at(const struct conf_cursor *c)
{
    struct slice line = { c->source.data + c->offset, 0 };
    while (c->offset + line.len < c->source.len && line.data[line.len] != '\n' && line.data[line.len] != '\r')
        line.len++;
    return line;
}

/* The line, shortened around the column if it is long, and a caret under the column. Tabs stay tabs in
 * both, so that the caret is where it should be. */
static void print_line(FILE *out, struct slice line, uint32_t column)
{
    uint32_t from = column > SHOWN_BEFORE + 1 ? column - SHOWN_BEFORE : 1, at = 1;
    char under[SHOWN_MAX + 1];
    size_t under_len = 0;
    fputs("  ", out);
    for (; line.len && at < from + SHOWN_MAX; at++) {
        size_t len = utf8_sequence_len(line), step = len ? len : 1;
        bool is_tab = *line.data == '\t';
        if (at >= from) {
            if (is_tab || (len && (unsigned char)*line.data >= ' ' && *line.data != 0x7f))
                fwrite(line.data, 1, len, out);
            else
                fputc('?', out);
            if (at < column) under[under_len++] = is_tab ? '\t' : ' ';
        }
        line.data += step;
        line.len -= step;
    }
    under[under_len] = 0;
    fprintf(out, "\n  %s^\n", under);
}

/* Characters that look like others and come from word processors and web pages. */
static const struct {
    const char *bytes, *what;
} look_alikes[] = {
    { "\u201c", "a typographic quote: write \"" },
    { "\u201d", "a typographic quote: write \"" },
    { "\u201e", "a typographic quote: write \"" },
    { "\u00ab", "a typographic quote: write \"" },
    { "\u00bb", "a typographic quote: write \"" },
    { "\u2018", "a typographic quote: write '" },
    { "\u2019", "a typographic quote: write '" },
    { "\u00a0", "a no-break space: write a usual one" },
    { "\u202f", "a no-break space: write a usual one" },
    { "\u3000", "a wide space: write a usual one" },
    { "\u200b", "a space without width: take it out" },
    { "\ufeff", "a space without width: take it out" },
    { "\uff1a", "a wide colon: write :" },
    { "\u2013", "a dash: write -" },
};

/* The first of them in the line; `place` is where the line begins. */
static bool find_look_alike(struct slice line, struct conf_place *place, const char **what)
{
    place->column = 1;
    while (line.len) {
        for (size_t i = 0; i < COUNT(look_alikes); i++) {
            *what = look_alikes[i].what;
            if (slice_starts_with(line, slice_of(look_alikes[i].bytes))) return true;
        }
        size_t len = utf8_sequence_len(line), step = len ? len : 1;
        line.data += step;
        line.len -= step;
        place->column++;
    }
    return false;
}

static void to_line(struct conf_cursor *c, uint32_t line)
{
    while (c->place.line < line && c->offset < c->source.len) conf_cursor_to_offset(c, c->offset + 1);
}

/* What is taken amiss in one line is often noticed in the next. `before` goes forward with the faults, up to the line
 * before the fault's. */
static void print_look_alike(FILE *out, struct conf_cursor *before, uint32_t line)
{
    struct conf_place place;
    const char *what;
    to_line(before, line > 1 ? line - 1 : 1);
    for (struct conf_cursor c = *before; c.place.line <= line; to_line(&c, c.place.line + 1)) {
        place = c.place;
        if (find_look_alike(line_at(&c), &place, &what)) {
            fprintf(out, "; at %u:%u is %s", place.line, place.column, what);
            return;
        }
        if (c.offset == c.source.len || c.place.line == line) return;
    }
}

static struct conf_file file_of(const struct conf_tree *tree, struct conf_place place)
{
    if (place.file) return tree->others[place.file - 1];
    return (struct conf_file){ tree->source_name, tree->source };
}

const char *conf_place_print(const struct conf_tree *tree, struct conf_place place, struct conf_place from,
                             char out[CONF_PLACE_TEXT_MAX])
{
    if (place.file == from.file)
        snprintf(out, CONF_PLACE_TEXT_MAX, "line %u", place.line);
    else
        snprintf(out, CONF_PLACE_TEXT_MAX, "%.128s:%u", file_of(tree, place).name, place.line);
    return out;
}

static void print_place(FILE *out, const struct conf_tree *tree, struct conf_place place)
{
    if (place.line == CONF_LINE_OF_CHANGE)
        fprintf(out, "%s with %s: ", tree->source_name, tree->changes[place.column - 1]);
    else
        fprintf(out, "%s:%u:%u: ", file_of(tree, place).name, place.line, place.column);
}

char *conf_faults_print(const struct conf_faults *faults, const struct conf_tree *tree, bool is_brief)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out) return NULL;
    struct conf_cursor start = conf_cursor_start(tree->source), before = start; /* of the line looked at */
    uint32_t file = 0;
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct conf_fault *f = &faults->items[i];
        if (f->place.file != file) start = before = conf_cursor_start(file_of(tree, f->place).source);
        file = f->place.file;
        print_place(out, tree, f->place);
        fprintf(out, "%s%s%s%s%s", faults->kind ? faults->kind : "", faults->kind ? ": " : "", f->message,
                f->remedy[0] ? "; " : "", f->remedy);
        if (!faults->kind && !faults->is_short && f->place.line != CONF_LINE_OF_CHANGE)
            print_look_alike(out, &before, f->place.line);
        fputc('\n', out);
        if (is_brief || faults->is_short || !start.source.len || f->place.line == CONF_LINE_OF_CHANGE)
            continue;
        while (start.place.line < f->place.line && start.offset < start.source.len)
            conf_cursor_to_offset(&start, start.offset + 1);
        if (start.place.line == f->place.line) print_line(out, line_at(&start), f->place.column);
    }
    if (faults->dropped) fprintf(out, "%s: and %u more\n", tree->source_name, faults->dropped);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
