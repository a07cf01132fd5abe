/* The reference manual: one section a type, one line of a table a row. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/quantity.h"
#include "conf/decode.h"
#include "conf/type_list.h"

struct manual {
    struct text *out;
    struct conf_type_list list;
};

static void put_text(struct manual *m, const char *text)
{
    text_add_slice(m->out, slice_of(text));
}

/* Within a table's cell: a bar would end it. */
static void put_cell(struct manual *m, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '|') text_add_char(m->out, '\\');
        text_add_char(m->out, *text == '\n' ? ' ' : *text);
    }
}

/* As pages that show Markdown make it of a heading: small letters, digits and hyphens, nothing else. */
static void put_anchor(struct manual *m, const char *name)
{
    for (const char *c = name; *c; c++) {
        if (*c == '_' || *c == ' ' || *c == '-')
            text_add_char(m->out, '-');
        else if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z'))
            text_add_char(m->out, *c);
        else if (*c >= 'A' && *c <= 'Z')
            text_add_char(m->out, (char)(*c - 'A' + 'a'));
    }
}

static void put_link(struct manual *m, const struct conf_type *type)
{
    char name[64];
    conf_type_list_name(&m->list, type, name);
    put_text(m, "[");
    put_text(m, type->name);
    put_text(m, "](#");
    put_anchor(m, name);
    put_text(m, ")");
}

static void put_element_type(struct manual *m, const struct conf_type *type)
{
    if (type->fields || type->options)
        put_link(m, type);
    else
        put_text(m, type->name);
}

static void put_type(struct manual *m, const struct conf_field *f)
{
    switch (f->kind) {
    case CONF_KIND_BOOL: put_text(m, "true or false"); break;
    case CONF_KIND_U32: put_text(m, "number"); break;
    case CONF_KIND_MSEC: put_text(m, "duration"); break;
    case CONF_KIND_BYTES: put_text(m, "size"); break;
    case CONF_KIND_STRING: put_text(m, "text"); break;
    case CONF_KIND_ENUM: put_text(m, "word"); break;
    case CONF_KIND_CUSTOM: put_text(m, f->type->name); break;
    case CONF_KIND_OBJECT:
    case CONF_KIND_OPTIONAL:
    case CONF_KIND_CHOICE: put_link(m, f->type); break;
    case CONF_KIND_LIST:
        put_text(m, "list of ");
        put_element_type(m, f->type);
        break;
    case CONF_KIND_MAP:
        put_text(m, "map of names to ");
        put_element_type(m, f->type);
        break;
    case CONF_KIND_NAMED:
        put_text(m, "list or map of ");
        put_element_type(m, f->type);
        break;
    case CONF_KIND_STRINGS:
        put_text(m, f->flags & CONF_OR_ONE ? "text or list of text" : "list of text");
        break;
    case CONF_KIND_REF: put_text(m, "name"); break;
    }
}

static void put_numbers(struct manual *m, int64_t min, int64_t max, const char *unit)
{
    if (max)
        text_printf(m->out, "%" PRId64 " to %" PRId64 "%s", min, max, unit);
    else if (min)
        text_printf(m->out, "at least %" PRId64 "%s", min, unit);
}

static void put_quantities(struct manual *m, const struct conf_field *f)
{
    char low[32], high[32];
    void (*print)(uint64_t value, char out[32]) = f->kind == CONF_KIND_MSEC ? quantity_print_ms
                                                                            : quantity_print_bytes;
    print((uint64_t)f->min, low);
    print((uint64_t)f->max, high);
    /* A bound that nobody can reach is none. */
    if (f->max && f->max != INT64_MAX)
        text_printf(m->out, "%s to %s", low, high);
    else
        text_printf(m->out, "at least %s", low);
    if (f->flags & CONF_MAY_BE_OFF) put_text(m, ", or `off`");
}

static void put_names(struct manual *m, const char *const *names)
{
    for (const char *const *name = names; *name; name++)
        text_printf(m->out, "%s`%s`", name == names ? "" : ", ", *name);
}

static void put_range(struct manual *m, const struct conf_field *f)
{
    switch (f->kind) {
    case CONF_KIND_U32: put_numbers(m, f->min, f->max ? f->max : UINT32_MAX, ""); break;
    case CONF_KIND_MSEC:
    case CONF_KIND_BYTES: put_quantities(m, f); break;
    case CONF_KIND_STRING: put_numbers(m, f->min, f->max, " bytes"); break;
    case CONF_KIND_ENUM: put_names(m, f->type->names); break;
    case CONF_KIND_CUSTOM:
        if (f->type->pattern_help) text_printf(m->out, "like `%s`", f->type->pattern_help);
        break;
    case CONF_KIND_LIST:
    case CONF_KIND_MAP:
    case CONF_KIND_NAMED:
    case CONF_KIND_STRINGS:
        put_numbers(m, f->min, f->max, " elements");
        if (f->type && f->type->names) {
            put_text(m, f->max ? " of " : "");
            put_names(m, f->type->names);
        }
        break;
    case CONF_KIND_REF: text_printf(m->out, "one under `%s`", f->type->name); break;
    default: break;
    }
}

static void put_rows(struct manual *m, const struct conf_type *type)
{
    put_text(m, "| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
    for (const struct conf_field *f = type->fields; f && f->name; f++) {
        if (f->flags & CONF_STATUS) continue;
        text_printf(m->out, "| `%s` | ", f->name);
        put_type(m, f);
        put_text(m, " | ");
        if (f->flags & CONF_REQUIRED) {
            put_text(m, "required");
        } else if (f->preset) {
            put_text(m, "`");
            put_cell(m, f->preset);
            put_text(m, "`");
        } else if (f->kind == CONF_KIND_BOOL) {
            put_text(m, "`false`");
        }
        put_text(m, " | ");
        put_range(m, f);
        put_text(m, " | ");
        put_cell(m, f->help);
        if (f->flags & CONF_LIVE) put_text(m, " Can be changed while running.");
        if (f->flags & CONF_SECRET)
            put_text(m, " Never shown in answers; `file:/path` reads it from that file.");
        put_text(m, " |\n");
    }
    put_text(m, "\n");
}

static void put_options(struct manual *m, const struct conf_type *type)
{
    text_printf(
        m->out,
        "One word, or a map in which `%s` is that word and the other keys are those of the option.\n\n",
        type->chosen_by);
    for (const struct conf_option *const *o = type->options; *o; o++)
        text_printf(m->out, "* `%s`%s%s\n", (*o)->name, (*o)->help ? ": " : "", (*o)->help ? (*o)->help : "");
    put_text(m, "\n");
    for (const struct conf_option *const *o = type->options; *o; o++) {
        if (!(*o)->type || !(*o)->type->fields) continue;
        text_printf(m->out, "Keys of `%s`:\n\n", (*o)->name);
        put_rows(m, (*o)->type);
    }
}

/* The heading is what the links point to. */
static void put_section(struct manual *m, const struct conf_type_use *use)
{
    const struct conf_type *type = use->type;
    char name[64];
    conf_type_list_name(&m->list, type, name);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = ' ';
    text_printf(m->out, "## %s\n\nAt %s.", name, use->paths);
    if (type->short_form) text_printf(m->out, " Text in its place fills `%s`.", type->short_form);
    if (type->short_list) text_printf(m->out, " A list in its place fills `%s`.", type->short_list);
    if (type->name_from)
        text_printf(m->out, " Without a name in a list, it is named after its `%s`.", type->name_from);
    put_text(m, "\n\n");
    if (type->options)
        put_options(m, type);
    else
        put_rows(m, type);
}

void conf_manual(const struct conf_type *type, struct text *out)
{
    struct manual *m = calloc(1, sizeof(*m));
    if (!m) abort();
    m->out = out;
    conf_type_list_fill(&m->list, type);
    put_text(
        m,
        "# Configuration\n\n"
        "Every key of the configuration file, written out by `weir` from the tables that decode it. A "
        "duration is a "
        "number with a unit, `250ms`, `5s`, `1h30m`; a size is a number of bytes, or one with a unit, `512`, "
        "`16KiB`, `1MB`. Unknown keys, keys given twice and values out of range are errors that say where "
        "they "
        "are. `NAME` in a path is the name of an element, which in a map is its key.\n\n## Top level\n\n");
    put_rows(m, type);
    for (uint32_t i = 1; i < m->list.count; i++) put_section(m, &m->list.uses[i]);
    if (m->out->len && m->out->data[m->out->len - 1] == '\n') m->out->len--;
    free(m);
}
