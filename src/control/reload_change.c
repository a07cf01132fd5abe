#include "control/reload_change.h"

#include <stdlib.h>
#include <string.h>

#include "control/config_difference.h"
#include "control/config_edit.h"
#include "control/edit_faults.h"

static int add(struct reload_change *c, const char *text, struct err *err)
{
    if (!(c->texts[c->count] = strdup(text))) return err_set(err, "There is no memory for it; try again.");
    c->count++;
    return 0;
}

static int find_source(struct reload_change *c, const struct reload_source *source, struct err *err)
{
    const struct generations *g = source->generations;
    const struct generation *found = g ? generations_find(g, source->in_force) : NULL;
    c->path = source->path;
    c->folder = g ? g->folder : -1;
    if (found) c->source = *found;
    if (g && !found)
        return err_set(err, "The configuration in force could not be kept: there is no text to change.");
    return 0;
}

int reload_change_new(struct reload_change **out, const struct reload_ask *asked,
                      const struct reload_change *before, const struct reload_source *source, struct err *err)
{
    struct reload_change *c = calloc(1, sizeof(*c));
    if (c) c->result.fate = CONF_EDIT_UNFIT; /* until one has been made */
    int result = c ? find_source(c, source, err) : err_set(err, "There is no memory for it; try again.");
    for (uint32_t i = 0; result == 0 && before && i < before->count; i++)
        result = add(c, before->texts[i], err);
    if (c) c->before = c->count;
    if (result == 0) c->is_full = asked->change_count > CONF_CHANGES_MAX - c->count;
    for (uint32_t i = 0; result == 0 && !c->is_full && i < asked->change_count; i++)
        result = add(c, asked->changes[i], err);
    if (result == 0) c->is_edit = conf_is_edit(asked->changes[asked->change_count - 1]);
    if (result == 0)
        *out = c;
    else
        reload_change_free(c);
    return result;
}

/* There may be secrets in it. */
static void free_text(char *text)
{
    explicit_bzero(text, strlen(text));
    free(text);
}

void reload_change_free(struct reload_change *c)
{
    for (uint32_t i = 0; c && i < c->count; i++) free_text(c->texts[i]);
    if (c) free(c->errors);
    free(c);
}

/* Of two edits of an object the first may be what the second goes by. */
static bool is_same_place(const char *one, const char *other)
{
    if (conf_is_edit(one)) return false;
    const char *end = strrchr(one, '=');
    struct slice place = end ? (struct slice){ one, (size_t)(end - one) + 1 } : slice_of(one);
    return slice_starts_with(slice_of(other), place);
}

uint16_t reload_change_status(const struct reload_change *c)
{
    if (c->is_edit && c->result.fate == CONF_EDIT_ABSENT) return 404;
    return c->is_full || (c->is_edit && c->result.fate == CONF_EDIT_TAKEN) ? 409 : 400;
}

static void settle(struct reload_change *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        bool is_said_again = false;
        for (uint32_t j = i + 1; j < c->count; j++) is_said_again |= is_same_place(c->texts[i], c->texts[j]);
        if (is_said_again)
            free_text(c->texts[i]);
        else
            c->texts[kept++] = c->texts[i];
    }
    c->count = kept;
}

void reload_change_applied(struct reload_change **made, struct reload_change **change, bool is_kept)
{
    reload_change_free(*made);
    *made = is_kept ? NULL : *change;
    if (!*made) return;
    settle(*made);
    *change = NULL;
}

struct told {
    struct reload_change *change;
    char **faults;
};

static void on_faults(void *context, const struct conf_faults *found, const struct conf_tree *tree)
{
    struct told *told = context;
    const char *part = told->change->is_edit ? told->change->result.pointer : NULL;
    *told->faults = edit_faults_print(found, tree, part);
    told->change->errors = edit_faults_json(found, tree, part);
}

/* What a text was before, with so many of the changes. */
static int make(struct reload_change *c, const char *name, struct slice text, uint32_t count,
                struct config **out, char **made, size_t *made_len, char **faults, struct err *err)
{
    struct told told = { c, faults };
    const struct config_listener listener = { .on_faults = on_faults, .context = &told };
    if (config_edit(name, text, (const char *const *)c->texts, count, &c->result, made, made_len, faults,
                    err) < 0)
        return -1;
    struct slice whole = { *made, *made_len };
    /* By pointers alone: lines of the whole text may have secrets in them, and whoever changes a weight may not read those. */
    return config_parse_told(out, "changed.json", whole, &listener);
}

/* The file may have been edited since it was read: that would come into force unasked. */
static int check_same(struct reload_change *c, const struct config *base, struct slice text, char **faults,
                      struct err *err)
{
    struct config *was = NULL;
    struct config_difference d;
    char *made = NULL;
    size_t len = 0;
    int result = make(c, c->path, text, c->before, &was, &made, &len, faults, err);
    if (result == 0) {
        result = config_difference_find(&d, base, was, base, err);
        if (result == 0 && !d.outcome.is_same)
            result = err_set(
                err,
                "%s does not say what is in force, and weir keeps no other text of that; reload it "
                "first, or give weir a folder with `state:`",
                c->path);
        config_difference_fini(&d);
    }
    config_free(was);
    config_text_free(made, len);
    return result;
}

int reload_change_read(struct reload_change *c, const struct config *base, struct config **out, char **text,
                       size_t *len, char **faults, struct err *err)
{
    char *before = NULL;
    size_t before_len = 0;
    bool is_kept = c->folder >= 0;
    if (c->is_full)
        return err_set(err,
                       "there are %u changes of the file already; write them into it and reload, or give "
                       "weir a folder with `state:`",
                       CONF_CHANGES_MAX);
    if (!is_kept && !c->path)
        return err_set(err, "weir was started without a configuration file: there is none to change");
    int result = is_kept ? generation_read(c->folder, &c->source, &before, &before_len, err)
                         : config_gather(c->path, &before, &before_len, faults, err);
    struct slice whole = { before, before_len };
    const char *name = !is_kept ? c->path : c->source.is_json ? "generation.json" : "generation.yaml";
    if (result == 0 && !is_kept) result = check_same(c, base, whole, faults, err);
    if (result == 0) result = make(c, name, whole, c->count, out, text, len, faults, err);
    config_text_free(before, before_len);
    return result;
}
