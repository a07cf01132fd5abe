#include "command/man_page.h"

#include <string.h>

#include "command/command.h"
#include "control/version.h"

/* Of the form of these pages, not of what stands in them: the same source makes the same page. */
#define PAGE_DATE "2026-11-29"

/* man(7): what would be a request, a quote or a hyphen that copies as another character. */
static void put_char(char c, FILE *out)
{
    switch (c) {
    case '\\': fputs("\\e", out); break;
    case '-': fputs("\\-", out); break;
    case '\'': fputs("\\(aq", out); break;
    case '`': fputs("\\(ga", out); break;
    case '~': fputs("\\(ti", out); break;
    case '^': fputs("\\(ha", out); break;
    default: fputc(c, out);
    }
}

static void put_text(const char *text, size_t len, FILE *out)
{
    if (len && *text == '.') fputs("\\&", out);
    for (size_t i = 0; i < len; i++) put_char(text[i], out);
}

static size_t line_len(const char *text)
{
    return strcspn(text, "\n");
}

static const char *next_line(const char *text)
{
    text += line_len(text);
    return *text ? text + 1 : text;
}

/* A paragraph with lines that are moved in is laid out by hand, and stays so. */
static bool is_laid_out(const char *text)
{
    for (; *text && *text != '\n'; text = next_line(text))
        if (text[0] == ' ' && text[1] == ' ') return true;
    return false;
}

static const char *put_paragraph(const char *text, FILE *out)
{
    bool is_fixed = is_laid_out(text);
    if (is_fixed) fputs(".nf\n", out);
    for (; *text && *text != '\n'; text = next_line(text)) {
        put_text(text, line_len(text), out);
        fputc('\n', out);
    }
    if (is_fixed) fputs(".fi\n", out);
    return text;
}

/* is_first: nothing stands between them and their heading. */
static void put_paragraphs(const char *text, bool is_first, FILE *out)
{
    while (*text) {
        while (*text == '\n') text++;
        if (!*text) return;
        if (!is_first) fputs(".PP\n", out);
        text = put_paragraph(text, out);
        is_first = false;
    }
}

/* What stands before the first empty line; behind it is what the command is about. */
static const char *put_synopsis(const char *usage, FILE *out)
{
    fputs(".SH SYNOPSIS\n.nf\n", out);
    for (bool is_first = true; *usage && *usage != '\n'; usage = next_line(usage), is_first = false) {
        size_t len = line_len(usage), gap = is_first ? 0 : strspn(usage, " ");
        if (is_first) fputs("weir ", out);
        put_text(usage + gap, len - gap, out);
        fputc('\n', out);
    }
    fputs(".fi\n", out);
    return usage;
}

static void put_row(const struct option_row *r, FILE *out)
{
    if (r->is_unlisted) return;
    fputs(".TP\n\\fB", out);
    if (r->letter) fprintf(out, "\\-%c\\fR, \\fB", r->letter);
    fputs("\\-\\-", out);
    put_text(r->name, strlen(r->name), out);
    fputs("\\fR", out);
    if (r->argument) {
        fputs(" \\fI", out);
        put_text(r->argument, strlen(r->argument), out);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    for (const char *line = r->help; *line; line = next_line(line)) {
        put_text(line, line_len(line), out);
        fputc('\n', out);
    }
}

static void put_rows(const struct option_row *rows, bool is_first, FILE *out)
{
    for (const struct option_row *r = rows; r && r->kind; r++, is_first = false) {
        if (r->kind == OPTION_GROUP)
            put_rows(r->group, is_first, out);
        else if (r->kind == OPTION_TITLE)
            put_paragraphs(r->help, is_first, out);
        else
            put_row(r, out);
    }
}

static void put_sub(const struct syntax *s, FILE *out)
{
    fputs(".SH WEIR ", out);
    for (const char *c = s->command; *c; c++) put_char(*c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c, out);
    fputs("\n.nf\nweir ", out);
    size_t len = line_len(s->usage);
    put_text(s->usage, len, out);
    fputs("\n.fi\n", out);
    put_paragraphs(s->usage + len, false, out);
    put_rows(s->options, false, out);
    if (s->notes) put_paragraphs(s->notes, false, out);
}

static void put_title(const char *name, FILE *out)
{
    fputs(".\\\" Made by `make docs` of the tables that the command line is read with.\n.TH WEIR", out);
    if (name) fputc('-', out);
    for (; name && *name; name++) fputc(*name >= 'a' && *name <= 'z' ? *name - 32 : *name, out);
    fprintf(out, " 8 %s \"weir %s\" \"weir\"\n.SH NAME\n", PAGE_DATE, WEIR_VERSION);
}

void man_page_print(const struct command *c, FILE *out)
{
    put_title(c->name, out);
    fprintf(out, "weir\\-%s \\- ", c->name);
    put_text(c->summary, strlen(c->summary), out);
    fputc('\n', out);
    const char *about = put_synopsis(c->syntax->usage, out);
    if (strspn(about, "\n") < strlen(about)) {
        fputs(".SH DESCRIPTION\n", out);
        put_paragraphs(about, true, out);
    }
    if (c->syntax->options) {
        fputs(".SH OPTIONS\n", out);
        put_rows(c->syntax->options, true, out);
    }
    if (c->syntax->notes) {
        fputs(".SH NOTES\n", out);
        put_paragraphs(c->syntax->notes, true, out);
    }
    for (const struct syntax *const *sub = c->syntax->subs; sub && *sub; sub++) put_sub(*sub, out);
    fputs(".SH SEE ALSO\n.BR weir (8)\n", out);
}

void man_page_print_all(FILE *out)
{
    put_title(NULL, out);
    fputs("weir \\- a load balancer that shows where every request went and why\n"
          ".SH SYNOPSIS\n.B weir\n.I COMMAND\n[\\fIOPTION\\fR]...\n"
          ".SH DESCRIPTION\n"
          "Each command has a manual page of its own, and says the same with \\fB\\-\\-help\\fR.\n"
          "The configuration is described by \\fBweir schema \\-\\-markdown\\fR.\n",
          out);
    for (const struct command *c = commands; c->name; c++) {
        fprintf(out, ".TP\n.BR weir\\-%s (8)\n", c->name);
        put_text(c->summary, strlen(c->summary), out);
        fputc('\n', out);
    }
    fputs(".SH ENVIRONMENT\n.TP\n.B WEIR_TOKEN\n"
          "The token that commands show the API of a running weir, unless \\fB\\-\\-token\\fR or the file of "
          "\\fB\\-c\\fR has one.\n",
          out);
}
