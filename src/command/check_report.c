#include "command/check_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "conf/tree_edit.h"
#include "conf/tree_pointer.h"

#define REPORT_MAX (1u << 20)

void check_report_init(struct check_report *r, const char *path)
{
    *r = (struct check_report){ .path = path };
    for (int kind = CHECK_MISTAKE; kind <= CHECK_WARNING; kind++) {
        json_init(&r->lists[kind], REPORT_MAX, false);
        json_array(&r->lists[kind]);
    }
}

static void put_text(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    json_string(j, text);
}

void check_report_add(struct check_report *r, enum check_kind kind, const char *key, const char *detail)
{
    struct json *j = &r->lists[kind];
    json_object(j);
    put_text(j, "file", r->path);
    if (key) put_text(j, "key", key);
    put_text(j, "detail", detail);
    json_object_end(j);
    r->counts[kind]++;
}

static const char *file_of(const struct conf_tree *tree, struct conf_place place)
{
    bool is_other = place.file && place.file <= tree->other_count;
    return is_other ? tree->others[place.file - 1].name : tree->source_name;
}

static void add_fault(struct check_report *r, enum check_kind kind, const struct conf_fault *f,
                      const struct conf_tree *tree)
{
    char pointer[CONF_EDIT_POINTER_MAX];
    struct json *j = &r->lists[kind];
    json_object(j);
    put_text(j, "file", file_of(tree, f->place));
    json_key(j, "line");
    json_u64(j, f->place.line);
    json_key(j, "column");
    json_u64(j, f->place.column);
    if (tree->root && conf_pointer_find(tree->root, f->place, pointer, sizeof(pointer)))
        put_text(j, "key", pointer);
    put_text(j, "detail", f->message);
    if (f->remedy[0]) put_text(j, "remedy", f->remedy);
    json_object_end(j);
    r->counts[kind]++;
}

static void add_all(struct check_report *r, enum check_kind kind, const struct conf_faults *faults,
                    const struct conf_tree *tree)
{
    for (uint32_t i = 0; i < faults->count; i++) add_fault(r, kind, &faults->items[i], tree);
    r->dropped[kind] += faults->dropped;
}

void check_report_faults(void *report, const struct conf_faults *faults, const struct conf_tree *tree)
{
    add_all(report, CHECK_MISTAKE, faults, tree);
}

void check_report_notes(void *report, const struct conf_faults *notes, const struct conf_tree *tree)
{
    add_all(report, CHECK_WARNING, notes, tree);
}

static void put_list(struct json *j, const char *name, struct json *list)
{
    json_array_end(list);
    json_key(j, name);
    if (list->is_failed)
        j->is_failed = true;
    else
        json_raw(j, (struct slice){ list->data, list->len });
}

int check_report_end(struct check_report *r, const struct config *config)
{
    struct json j;
    bool is_correct = config && !r->counts[CHECK_MISTAKE];
    int code = is_correct ? EX_OK : EX_CONFIG;
    json_init(&j, 2 * REPORT_MAX, true);
    json_object(&j);
    put_text(&j, "file", r->path);
    json_key(&j, "is_correct");
    json_bool(&j, is_correct);
    put_list(&j, "mistakes", &r->lists[CHECK_MISTAKE]);
    put_list(&j, "warnings", &r->lists[CHECK_WARNING]);
    json_key(&j, "omitted");
    json_u64(&j, r->dropped[CHECK_MISTAKE] + (uint64_t)r->dropped[CHECK_WARNING]);
    if (config) {
        json_key(&j, "listeners");
        json_u64(&j, config->proxy.listeners.count);
        json_key(&j, "pools");
        json_u64(&j, config->proxy.pools.count);
    }
    json_object_end(&j);
    char *text = json_take(&j, NULL);
    if (!text) {
        fprintf(stderr, "weir check: there is no memory for the report\n");
        code = EX_OSERR;
    } else if (printf("%s\n", text) < 0 || fflush(stdout) == EOF) {
        code = EX_IOERR;
    }
    free(text);
    json_fini(&j);
    for (int kind = CHECK_MISTAKE; kind <= CHECK_WARNING; kind++) json_fini(&r->lists[kind]);
    return code;
}
