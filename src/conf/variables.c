#include "conf/variables.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/utf8.h"
#include "conf/arena.h"

#define NAME_BYTES_MAX 255
/* What values may come to in all: a few bytes of a file can name a long one very often. */
#define FILLED_BYTES_MAX CONF_SOURCE_MAX

struct filling {
    struct conf_tree *tree;
    struct conf_faults *faults;
    struct conf_node *node; /* whose text it is */
    char *out;              /* the text so far; in memory of its own, as long as the next piece needs */
    size_t len, room;
    size_t total;
    bool is_changed, is_wrong;
};

/* One "${…}", the dollar sign and the braces left out. */
struct variable {
    struct slice name, preset;
    bool has_preset;
    size_t len; /* of all of it, in the text */
};

static bool is_first(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_next(char c)
{
    return is_first(c) || (c >= '0' && c <= '9');
}

__attribute__((format(printf, 3, 4))) static void refuse(struct filling *f, const char *remedy,
                                                         const char *format, ...)
{
    char message[sizeof(f->faults->items[0].message)];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    f->is_wrong = true;
    conf_fault_add(f->faults, f->node->place, remedy, "%s", message);
}

static bool is_utf8(struct slice text)
{
    while (text.len) {
        size_t len = utf8_sequence_len(text);
        if (!len) return false;
        text = (struct slice){ text.data + len, text.len - len };
    }
    return true;
}

static void add(struct filling *f, struct slice piece)
{
    if (f->len + piece.len > f->room) {
        size_t room = 2 * (f->len + piece.len);
        char *grown = realloc(f->out, room);
        if (!grown) {
            conf_arena_set_short(f->tree->memory);
            f->is_wrong = true;
            return;
        }
        f->out = grown;
        f->room = room;
    }
    if (piece.len) memcpy(f->out + f->len, piece.data, piece.len);
    f->len += piece.len;
}

/* Names in messages. */
static struct slice clip(struct slice name)
{
    return (struct slice){ name.data, name.len > 64 ? 64 : name.len };
}

/* Whether `rest`, which follows a "${", is one of ours: by what the name begins with and what comes after it. False also
 * where it is one and wrong, which is said. */
static bool read_variable(struct filling *f, struct slice rest, struct variable *v)
{
    struct slice name = { rest.data, 0 };
    if (!rest.len || !is_first(*rest.data)) return false;
    while (name.len < rest.len && is_next(rest.data[name.len])) name.len++;
    struct slice after = { rest.data + name.len, rest.len - name.len };
    if (after.len && *after.data >= 'a' && *after.data <= 'z') return false;
    const char *end = memchr(rest.data, '}', rest.len);
    if (!end) {
        refuse(f, "close it with }, or write $${ for the text itself", "${%.*s is not closed by a brace",
               SLICE_ARGS(clip(name)));
        return false;
    }
    *v = (struct variable){ .name = name, .len = (size_t)(end - rest.data) + 3 };
    if (end == after.data) return true;
    v->has_preset = slice_starts_with(after, SLICE(":-"));
    if (v->has_preset) v->preset = (struct slice){ after.data + 2, (size_t)(end - after.data) - 2 };
    if (v->has_preset && !memmem(v->preset.data, v->preset.len, "${", 2)) return true;
    refuse(f, "write ${NAME} or ${NAME:-default}, or $${ for the text itself",
           v->has_preset ? "the default of ${%.*s has a variable of its own"
                         : "${%.*s goes on with neither } nor :-",
           SLICE_ARGS(clip(name)));
    return false;
}

static void fill_in(struct filling *f, const struct variable *v)
{
    char name[NAME_BYTES_MAX + 1];
    struct text t = text_over(name, sizeof(name));
    text_add_slice(&t, v->name);
    /* Nobody sets any while there are threads. */
    const char *value = t.is_cut ? NULL : getenv(text_cstr(&t)); /* NOLINT(concurrency-mt-unsafe) */
    struct slice text = slice_of(value);
    if (v->has_preset && !text.len) text = v->preset;
    f->is_changed = true;
    if (!value && !v->has_preset)
        refuse(f,
               "set it where weir is started (systemd: Environment= or EnvironmentFile=), or write a "
               "default, as "
               "${NAME:-default}",
               "the environment has no variable %.*s", SLICE_ARGS(clip(v->name)));
    else if (!is_utf8(text))
        refuse(f, "", "what the environment has as %.*s is no UTF-8 text", SLICE_ARGS(clip(v->name)));
    else if ((f->total += text.len) > FILLED_BYTES_MAX)
        refuse(f, "", "with %.*s the values of variables come to more than the %u MiB that are read",
               SLICE_ARGS(clip(v->name)), FILLED_BYTES_MAX >> 20);
    else
        add(f, text);
}

static void fill_node(struct filling *f)
{
    struct slice rest = f->node->text;
    f->len = 0;
    f->is_changed = f->is_wrong = false;
    while (rest.len && !f->is_wrong) {
        struct variable v;
        const char *dollar = memchr(rest.data, '$', rest.len);
        size_t before = dollar ? (size_t)(dollar - rest.data) : rest.len;
        add(f, (struct slice){ rest.data, before });
        rest = (struct slice){ rest.data + before, rest.len - before };
        struct slice after = rest.len > 2 ? (struct slice){ rest.data + 2, rest.len - 2 } : SLICE_NONE;
        size_t taken = rest.len ? 1 : 0;
        if (slice_starts_with(rest, SLICE("$${")) && rest.len > 3 && is_first(rest.data[3])) {
            add(f, SLICE("${"));
            f->is_changed = true;
            taken = 3;
        } else if (slice_starts_with(rest, SLICE("${")) && read_variable(f, after, &v)) {
            fill_in(f, &v);
            taken = v.len;
        } else {
            add(f, (struct slice){ rest.data, taken });
        }
        rest = (struct slice){ rest.data + taken, rest.len - taken };
    }
    if (!f->is_changed || f->is_wrong) return;
    f->node->written = f->node->text;
    f->node->text = conf_arena_slice(f->tree->memory, (struct slice){ f->out, f->len });
}

static void fill_below(struct filling *f, struct conf_node *node)
{
    if (node->kind == CONF_NODE_SCALAR && memchr(node->text.data, '$', node->text.len)) {
        f->node = node;
        fill_node(f);
    }
    for (struct conf_node *n = node->first_child; n; n = n->next) fill_below(f, n);
}

int conf_variables_fill(struct conf_tree *tree, struct conf_faults *faults)
{
    struct filling f = { .tree = tree, .faults = faults };
    uint32_t before = faults->count + faults->dropped;
    if (tree->root) fill_below(&f, tree->root);
    if (f.out) explicit_bzero(f.out, f.room);
    free(f.out);
    if (conf_arena_is_short(tree->memory)) {
        conf_fault_no_memory(faults);
        return -1;
    }
    return faults->count + faults->dropped == before ? 0 : -1;
}
