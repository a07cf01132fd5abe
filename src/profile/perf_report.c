#include "profile/perf_report.h"

#include "profile/flame.h"
#include "profile/page.h"

static void put_string(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    json_string(j, value ? value : "");
}

static void put_series(struct json *j, const struct perf_report *r)
{
    json_key(j, "series");
    json_array(j);
    for (uint32_t i = 0; i < r->series_count; i++) {
        const struct perf_series *s = &r->series[i];
        json_object(j);
        put_string(j, "name", s->name);
        put_string(j, "unit", s->unit);
        put_string(j, "group", s->group ? s->group : s->name);
        json_key(j, "values");
        json_array(j);
        for (uint32_t at = 0; at < s->count; at++) json_double(j, s->values[at]);
        json_array_end(j);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_table(struct json *j, const struct perf_table *t)
{
    json_object(j);
    put_string(j, "title", t->title);
    json_key(j, "columns");
    json_array(j);
    for (uint32_t i = 0; i < t->column_count; i++) json_string(j, t->columns[i]);
    json_array_end(j);
    json_key(j, "rows");
    json_array(j);
    for (uint32_t row = 0; row < t->row_count; row++) {
        json_array(j);
        for (uint32_t i = 0; i < t->column_count; i++)
            json_string(j, t->cells[(size_t)row * t->column_count + i]);
        json_array_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

static int put_graph(struct json *j, const char *name, const struct profile *p, struct err *err)
{
    if (!p) return 0;
    return flame_put(j, &(struct flame_graph){ .name = name, .profile = p, .type = p->preset_type }, err);
}

static int put_graphs(struct json *j, const struct perf_report *r, struct err *err)
{
    json_key(j, "graphs");
    json_array(j);
    int result = put_graph(j, "On CPU", r->on_cpu, err);
    if (result == 0) result = put_graph(j, "Off CPU", r->off_cpu, err);
    json_array_end(j);
    return result;
}

int perf_report_write(const struct perf_report *r, FILE *out, struct err *err)
{
    struct json j;
    json_init(&j, PAGE_DATA_MAX, false);
    json_object(&j);
    page_put_head(&j, r->title, r->subtitle);
    json_key(&j, "notes");
    json_array(&j);
    for (uint32_t i = 0; i < r->note_count; i++) json_string(&j, r->notes[i]);
    json_array_end(&j);
    json_key(&j, "start_ms");
    json_double(&j, (double)r->start_ns / 1e6);
    json_key(&j, "interval_ms");
    json_double(&j, (double)r->interval_ns / 1e6);
    put_series(&j, r);
    json_key(&j, "tables");
    json_array(&j);
    for (uint32_t i = 0; i < r->table_count; i++) put_table(&j, &r->tables[i]);
    json_array_end(&j);
    int result = put_graphs(&j, r, err);
    json_object_end(&j);
    if (result == 0) result = page_write(r->title, &j, out, err);
    json_fini(&j);
    return result;
}
