#include "command/options.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "conf/decode.h"

#define NAMES_MAX 64u
#define LABEL_MAX 96u
#define GIVEN_MAX 64u

/* One row and the struct that it fills. */
struct found {
    const struct option_row *row;
    char *target;
};

struct parsing {
    const struct syntax *syntax;
    char *target;
    const struct option_row *given[GIVEN_MAX]; /* those that may be given once */
    uint32_t given_count;
};

int options_fault(const struct syntax *s, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "weir %s: ", s->command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: weir %s --help\n", s->command);
    return EX_USAGE;
}

int options_too_many(const struct syntax *s, const struct words *words, int max)
{
    return words->count > max ? options_fault(s, "one word too many: \"%s\"", words->items[max]) : EX_OK;
}

/* finding */

static void each(const struct option_row *rows, char *target,
                 void (*on_row)(void *context, const struct option_row *row, char *target), void *context)
{
    for (const struct option_row *r = rows; r && r->kind; r++) {
        if (r->kind == OPTION_GROUP)
            each(r->group, target ? target + r->offset : NULL, on_row, context);
        else if (r->kind != OPTION_TITLE)
            on_row(context, r, target);
    }
}

struct visit {
    void (*on_row)(void *context, const struct option_row *row);
    void *context;
};

static void visit_row(void *context, const struct option_row *row, char *target)
{
    const struct visit *v = context;
    (void)target;
    v->on_row(v->context, row);
}

void options_each(const struct option_row *rows, void (*on_row)(void *context, const struct option_row *row),
                  void *context)
{
    struct visit v = { on_row, context };
    each(rows, NULL, visit_row, &v);
}

/* By its whole name, else by a beginning that no other has. */
struct search {
    struct slice name;
    char letter;
    struct found exact, begun;
    uint32_t begun_count;
};

static void look_at_row(void *context, const struct option_row *row, char *target)
{
    struct search *s = context;
    if (s->letter) {
        if (row->letter == s->letter) s->exact = (struct found){ row, target };
        return;
    }
    if (strncmp(row->name, s->name.data, s->name.len) != 0) return;
    if (!row->name[s->name.len]) s->exact = (struct found){ row, target };
    s->begun = (struct found){ row, target };
    s->begun_count++;
}

static struct found find_name(const struct parsing *p, struct slice name)
{
    struct search s = { .name = name };
    each(p->syntax->options, p->target, look_at_row, &s);
    if (s.exact.row) return s.exact;
    return s.begun_count == 1 && name.len ? s.begun : (struct found){ 0 };
}

static struct found find_letter(const struct parsing *p, char letter)
{
    struct search s = { .letter = letter };
    each(p->syntax->options, p->target, look_at_row, &s);
    return s.exact;
}

struct names {
    const char *items[NAMES_MAX];
    size_t count;
};

static void add_name(void *context, const struct option_row *row)
{
    struct names *n = context;
    if (!row->is_unlisted && n->count < NAMES_MAX) n->items[n->count++] = row->name;
}

static int refuse_name(const struct parsing *p, struct slice name)
{
    struct names n = { .items = { "help" }, .count = 1 };
    options_each(p->syntax->options, add_name, &n);
    const char *nearest = conf_nearest(name, n.items, n.count);
    return options_fault(p->syntax, "unknown option --%.*s%s%s%s", SLICE_ARGS(name),
                         nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* taking values */

static int take_number(const struct parsing *p, const struct found *f, const char *value)
{
    char *end = NULL;
    double number = strtod(value, &end);
    /* No hexadecimal, "inf", blanks or signs. */
    bool is_plain = strspn(value, f->row->kind == OPTION_DOUBLE ? "0123456789.e-" : "0123456789") ==
                    strlen(value);
    if (!*value || *end || !is_plain || !(number >= f->row->min && number <= f->row->max))
        return options_fault(p->syntax, "--%s %s is no number from %.16g to %.16g", f->row->name, value,
                             f->row->min, f->row->max);
    char *at = f->target + f->row->offset;
    if (f->row->kind == OPTION_DOUBLE)
        *(double *)(void *)at = number;
    else if (f->row->kind == OPTION_U64)
        *(uint64_t *)(void *)at = strtoull(value, NULL, 10);
    else
        *(uint32_t *)(void *)at = (uint32_t)number;
    return EX_OK;
}

static int take_text(const struct parsing *p, const struct found *f, const char *value)
{
    const char **texts = (const char **)(void *)(f->target + f->row->offset);
    if (f->row->kind == OPTION_TEXT) {
        *texts = value;
        return EX_OK;
    }
    uint32_t *count = (uint32_t *)(void *)(f->target + f->row->count_at);
    if (*count == (uint32_t)f->row->max)
        return options_fault(p->syntax, "more than %u times --%s", *count, f->row->name);
    texts[(*count)++] = value;
    return EX_OK;
}

static int check_once(struct parsing *p, const struct option_row *row)
{
    if (!row->once) return EX_OK;
    for (uint32_t i = 0; i < p->given_count; i++)
        if (p->given[i] == row)
            return options_fault(p->syntax, "--%s can be given once: %s", row->name, row->once);
    if (p->given_count < GIVEN_MAX) p->given[p->given_count++] = row;
    return EX_OK;
}

/* `value` NULL: a flag. */
static int take_value(struct parsing *p, const struct found *f, const char *value)
{
    struct err err;
    int code = check_once(p, f->row);
    if (code != EX_OK) return code;
    assert(f->target); /* a command without a struct has no rows */
    if (f->row->kind == OPTION_FLAG) {
        *(bool *)(void *)(f->target + f->row->offset) = true;
        return EX_OK;
    }
    assert(value); /* all other rows have an argument */
    switch (f->row->kind) {
    case OPTION_TEXT:
    case OPTION_TEXTS: return take_text(p, f, value);
    case OPTION_TAKE:
        if (f->row->take(f->target, value, &err) == 0) return EX_OK;
        return options_fault(p->syntax, "--%s %s%s", f->row->name, value, err.text);
    default: return take_number(p, f, value);
    }
}

/* one argument */

/* `inner` is what stands in the same argument, NULL: nothing; `next` the argument behind it. */
static int take_found(struct parsing *p, const struct found *f, const char *inner, const char *next,
                      int *used)
{
    if (!f->row->argument) {
        if (inner) return options_fault(p->syntax, "--%s takes no value", f->row->name);
        return take_value(p, f, NULL);
    }
    if (!inner && !next) return options_fault(p->syntax, "--%s needs its %s", f->row->name, f->row->argument);
    if (!inner) (*used)++;
    return take_value(p, f, inner ? inner : next);
}

static int take_long(struct parsing *p, const char *argument, const char *next, int *used)
{
    const char *equals = strchr(argument, '=');
    struct slice name = { argument, equals ? (size_t)(equals - argument) : strlen(argument) };
    if (slice_equal(name, SLICE("help")) && !equals) return -1;
    struct found f = find_name(p, name);
    if (!f.row) return refuse_name(p, name);
    return take_found(p, &f, equals ? equals + 1 : NULL, next, used);
}

/* "-c FILE", "-cFILE"; flags may stand together. */
static int take_letters(struct parsing *p, const char *letters, const char *next, int *used)
{
    for (const char *c = letters; *c; c++) {
        if (*c == 'h') return -1;
        struct found f = find_letter(p, *c);
        if (!f.row) return options_fault(p->syntax, "unknown option -%c", *c);
        if (f.row->argument) return take_found(p, &f, c[1] ? c + 1 : NULL, next, used);
        int code = take_value(p, &f, NULL);
        if (code != EX_OK) return code;
    }
    return EX_OK;
}

int options_parse(const struct syntax *s, int argc, char **argv, void *target, struct words *words)
{
    struct parsing p = { .syntax = s, .target = target };
    struct words given = { argv + 1, 0 };
    bool is_over = false;
    for (int i = 1; i < argc; i++) {
        char *a = argv[i];
        bool is_option = !is_over && a[0] == '-' && a[1];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int code = EX_OK, used = 0;
        if (!is_option)
            given.items[given.count++] = a; /* never behind what is read */
        else if (strcmp(a, "--") == 0)
            is_over = true;
        else
            code = a[1] == '-' ? take_long(&p, a + 2, next, &used) : take_letters(&p, a + 1, next, &used);
        if (code < 0) options_print_help(s, stdout);
        if (code != EX_OK) return code;
        i += used;
    }
    if (words)
        *words = given;
    else
        return options_too_many(s, &given, 0);
    return EX_OK;
}

/* help */

struct layout {
    bool has_letters;
    size_t width;
    FILE *out;
};

static void print_label(const struct layout *l, const struct option_row *row, char out[LABEL_MAX])
{
    struct text t = text_over(out, LABEL_MAX);
    if (row->letter)
        text_printf(&t, "-%c, ", row->letter);
    else if (l->has_letters)
        TEXT_LITERAL(&t, "    ");
    text_printf(&t, "--%s", row->name);
    if (row->argument) text_printf(&t, " %s", row->argument);
    text_cstr(&t);
}

static void measure(void *context, const struct option_row *row)
{
    struct layout *l = context;
    char label[LABEL_MAX];
    if (row->is_unlisted) return;
    print_label(l, row, label);
    if (strlen(label) > l->width) l->width = strlen(label);
}

static void find_letters(void *context, const struct option_row *row)
{
    struct layout *l = context;
    if (row->letter && !row->is_unlisted) l->has_letters = true;
}

static void print_row(const struct layout *l, const struct option_row *row)
{
    char label[LABEL_MAX];
    if (row->is_unlisted) return;
    print_label(l, row, label);
    fprintf(l->out, "  %-*s  ", (int)l->width, label);
    for (const char *c = row->help; *c; c++) {
        fputc(*c, l->out);
        if (*c == '\n') fprintf(l->out, "%*s", (int)l->width + 4, "");
    }
    fputc('\n', l->out);
}

static void print_rows(const struct layout *l, const struct option_row *rows)
{
    for (const struct option_row *r = rows; r && r->kind; r++) {
        if (r->kind == OPTION_GROUP)
            print_rows(l, r->group);
        else if (r->kind == OPTION_TITLE)
            fprintf(l->out, "%s\n", r->help);
        else
            print_row(l, r);
    }
}

static void print_options(const struct option_row *rows, FILE *out)
{
    struct layout l = { .out = out };
    options_each(rows, find_letters, &l);
    options_each(rows, measure, &l);
    print_rows(&l, rows);
}

void options_print_help(const struct syntax *s, FILE *out)
{
    fprintf(out, "Usage: weir %s", s->usage);
    if (s->options) {
        fputc('\n', out);
        print_options(s->options, out);
    }
    if (s->notes) fprintf(out, "\n%s", s->notes);
}
