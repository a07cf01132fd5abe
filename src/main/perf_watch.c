#include "main/perf_watch.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/quantity.h"
#include "main/table.h"

#define TABLE_ROWS_MAX 64u
#define TABLE_COLUMNS 6u

int perf_watch_open(struct perf_watch *w, int32_t pid, struct err *err)
{
    static const struct perf_series shapes[] = {
#define X(id, series_name, series_unit, series_group) { series_name, series_unit, series_group, NULL, 0 },
        PERF_SERIES(X)
#undef X
    };
    memset(w, 0, sizeof(*w));
    if (process_reader_open(&w->reader, pid, NULL, err) < 0) return -1;
    process_sample_init(&w->samples[0]);
    process_sample_init(&w->samples[1]);
    process_files_init(&w->files);
    w->start_wall_ns = clock_wall_ns();
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) {
        w->series[i] = shapes[i];
        w->values[i] = malloc(PERF_WATCH_MAX * sizeof(double));
        w->series[i].values = w->values[i];
        if (w->values[i]) continue;
        perf_watch_close(w);
        return err_set(err, "out of memory");
    }
    if (process_sample_read(&w->reader, &w->samples[0], err) == 0) return 0;
    perf_watch_close(w);
    return -1;
}

void perf_watch_close(struct perf_watch *w)
{
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) free(w->values[i]);
    process_files_fini(&w->files);
    process_sample_fini(&w->samples[0]);
    process_sample_fini(&w->samples[1]);
    process_reader_close(&w->reader);
}

/* looking */

static double rate(uint64_t before, uint64_t now, double seconds)
{
    return now >= before && seconds > 0 ? (double)(now - before) / seconds : NAN;
}

static void keep(struct perf_watch *w, enum perf_series_id id, double value)
{
    w->values[id][w->count] = value;
}

static double known(const struct process_sample *s, uint32_t what, double value)
{
    return s->known & what ? value : NAN;
}

static void keep_rates(struct perf_watch *w, const struct process_sample *a, const struct process_sample *b)
{
    double s = (double)(b->time_ns - a->time_ns) / 1e9;
    keep(w, PERF_CPU, rate(a->cpu_ns, b->cpu_ns, s) / 1e7);
    keep(w, PERF_WAIT, known(b, PROCESS_KNOWS_WAIT, rate(a->wait_ns, b->wait_ns, s) / 1e7));
    keep(w, PERF_VOLUNTARY,
         known(b, PROCESS_KNOWS_SWITCHES, rate(a->switches_voluntary, b->switches_voluntary, s)));
    keep(w, PERF_FORCED, known(b, PROCESS_KNOWS_SWITCHES, rate(a->switches_forced, b->switches_forced, s)));
    keep(w, PERF_MINOR, rate(a->minor_faults, b->minor_faults, s));
    keep(w, PERF_MAJOR, rate(a->major_faults, b->major_faults, s));
    keep(w, PERF_READ, known(b, PROCESS_KNOWS_IO, rate(a->io.read_bytes, b->io.read_bytes, s)));
    keep(w, PERF_WRITTEN, known(b, PROCESS_KNOWS_IO, rate(a->io.write_bytes, b->io.write_bytes, s)));
    keep(w, PERF_CALLS_READ,
         known(b, PROCESS_KNOWS_IO, rate(a->io.read_call_bytes, b->io.read_call_bytes, s)));
    keep(w, PERF_CALLS_WRITTEN,
         known(b, PROCESS_KNOWS_IO, rate(a->io.write_call_bytes, b->io.write_call_bytes, s)));
}

int perf_watch_look(struct perf_watch *w, struct err *err)
{
    struct process_sample *before = &w->samples[w->latest], *now = &w->samples[!w->latest];
    if (w->count == PERF_WATCH_MAX) return 0;
    if (process_sample_read(&w->reader, now, err) < 0) {
        w->is_over = true;
        return -1;
    }
    keep_rates(w, before, now);
    keep(w, PERF_RESIDENT, known(now, PROCESS_KNOWS_MEMORY, (double)now->memory.resident_bytes));
    keep(w, PERF_ANONYMOUS, known(now, PROCESS_KNOWS_MEMORY, (double)now->memory.anonymous_bytes));
    keep(w, PERF_FILES, known(now, PROCESS_KNOWS_FILES, (double)now->file_count));
    keep(w, PERF_THREADS, now->thread_count);
    w->latest = !w->latest;
    w->count++;
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) w->series[i].count = w->count;
    return 0;
}

void perf_watch_look_closely(struct perf_watch *w)
{
    w->has_mappings = process_mappings_read(&w->reader, &w->mappings);
    w->has_memory = process_memory_read(&w->reader, &w->memory);
    w->has_files = process_files_read(&w->reader, &w->files);
    w->has_sockets = w->has_files && process_sockets_read(&w->reader, &w->files, &w->sockets);
}

double perf_watch_value(const struct perf_watch *w, enum perf_series_id id)
{
    return w->count ? w->values[id][w->count - 1] : NAN;
}

/* tables */

struct filling {
    struct perf_tables *tables;
    struct perf_table *table;
    char **cells;
    uint32_t used;
};

static void begin(struct filling *f, struct perf_tables *t, const char *title, const char *const *columns,
                  uint32_t column_count)
{
    *f = (struct filling){ .tables = t };
    if (t->count == PERF_TABLES_MAX) return;
    f->cells = calloc(TABLE_ROWS_MAX * TABLE_COLUMNS, sizeof(char *));
    if (!f->cells) return;
    t->cells[t->count] = f->cells;
    f->table = &t->items[t->count++];
    *f->table = (struct perf_table){ .title = title, .columns = columns, .column_count = column_count };
    f->table->cells = (const char *const *)f->cells;
}

static bool has_room(const struct filling *f)
{
    return f->table && f->used / f->table->column_count < TABLE_ROWS_MAX;
}

static void cell(struct filling *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void cell(struct filling *f, const char *format, ...)
{
    char text[256];
    va_list args;
    if (!has_room(f)) return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_clean(text);
    f->cells[f->used++] = strdup(text);
    f->table->row_count = f->used / f->table->column_count;
}

static void bytes_cell(struct filling *f, uint64_t bytes)
{
    if (bytes < 10240)
        cell(f, "%llu B", (unsigned long long)bytes);
    else if (bytes < 10u << 20)
        cell(f, "%.1f KiB", (double)bytes / 1024);
    else
        cell(f, "%.1f MiB", (double)bytes / 1048576);
}

static void add_threads(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = { "thread", "name", "state", "CPU s", "waited s", "switches" };
    const struct process_sample *s = &w->samples[w->latest];
    struct filling f;
    begin(&f, t, "Threads", columns, 6);
    for (uint32_t i = 0; i < s->thread_count && has_room(&f); i++) {
        const struct process_thread *p = &s->threads[i];
        cell(&f, "%d", p->tid);
        cell(&f, "%s", p->name);
        cell(&f, "%c", p->state);
        cell(&f, "%.2f", (double)(p->run_ns ? p->run_ns : p->user_ns + p->system_ns) / 1e9);
        cell(&f, "%.3f", (double)p->wait_ns / 1e9);
        cell(&f, "%llu", (unsigned long long)p->switches_voluntary + p->switches_forced);
    }
}

static void add_memory(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = {
        "memory", "mappings", "mapped", "resident", "proportional", "dirty"
    };
    struct filling f;
    if (!w->has_mappings) return;
    begin(&f, t, "Memory by mapping", columns, 6);
    for (unsigned i = 0; i < MEMORY_KIND_COUNT; i++) {
        const struct memory_sums *m = &w->mappings.kinds[i];
        if (!m->mapping_count) continue;
        cell(&f, "%s", memory_kind_names[i]);
        cell(&f, "%llu", (unsigned long long)m->mapping_count);
        bytes_cell(&f, m->mapped_bytes);
        bytes_cell(&f, m->resident_bytes);
        bytes_cell(&f, m->proportional_bytes);
        bytes_cell(&f, m->private_dirty_bytes);
    }
}

static void add_files(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = { "descriptors", "count" };
    struct filling f;
    if (!w->has_files) return;
    begin(&f, t, "Descriptors by kind", columns, 2);
    for (unsigned i = 0; i < FILE_KIND_COUNT; i++) {
        if (!w->files.counts[i]) continue;
        cell(&f, "%s", file_kind_names[i]);
        cell(&f, "%llu", (unsigned long long)w->files.counts[i]);
    }
}

static void add_sockets(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = { "sockets", "state", "count", "to be read", "to be acknowledged" };
    struct filling f;
    if (!w->has_sockets || !w->sockets.total) return;
    begin(&f, t, "Sockets by state", columns, 5);
    for (unsigned p = 0; p < SOCKET_PROTOCOL_COUNT; p++) {
        for (unsigned s = 0; s < SOCKET_STATE_COUNT; s++) {
            const struct socket_sums *sums = &w->sockets.sums[p][s];
            if (!sums->count) continue;
            cell(&f, "%s", socket_protocol_names[p]);
            cell(&f, "%s", socket_state_names[s]);
            cell(&f, "%llu", (unsigned long long)sums->count);
            bytes_cell(&f, sums->receive_bytes);
            bytes_cell(&f, sums->send_bytes);
        }
    }
}

void perf_watch_tables(const struct perf_watch *w, struct perf_tables *out)
{
    *out = (struct perf_tables){ 0 };
    add_threads(w, out);
    add_memory(w, out);
    add_files(w, out);
    add_sockets(w, out);
}

void perf_tables_free(struct perf_tables *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        for (uint32_t j = 0; j < TABLE_ROWS_MAX * TABLE_COLUMNS; j++) free(t->cells[i][j]);
        free(t->cells[i]);
    }
}

/* for people */

static void print_table(const struct perf_table *t, FILE *out)
{
    struct table shown;
    table_init(&shown, t->column_count, 0);
    for (uint32_t i = 0; i < t->column_count; i++) table_add(&shown, "%s", t->columns[i]);
    for (uint32_t i = 0; i < t->row_count * t->column_count; i++)
        table_add(&shown, "%s", t->cells[i] ? t->cells[i] : "");
    fputc('\n', out);
    if (table_print(&shown, out) < 0) fputs("(out of memory)\n", out);
    table_fini(&shown);
}

static double mean(const struct perf_watch *w, enum perf_series_id id)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (isnan(w->values[id][i])) continue;
        sum += w->values[id][i];
        count++;
    }
    return count ? sum / count : NAN;
}

/* "4.3 MiB", "10.5 %", "2236.0 a second" */
static void print_value(double value, const char *unit, char out[48])
{
    if (isnan(value))
        snprintf(out, 48, "-");
    else if (strcmp(unit, "bytes") == 0)
        snprintf(out, 48, value < 1024 * 1024 ? "%.1f KiB" : "%.1f MiB",
                 value / (value < 1024 * 1024 ? 1024 : 1024 * 1024));
    else if (strcmp(unit, "percent") == 0)
        snprintf(out, 48, "%.1f %%", value);
    else if (strcmp(unit, "a second") == 0)
        snprintf(out, 48, "%.1f a second", value);
    else
        snprintf(out, 48, "%.1f", value);
}

static void print_series(const struct perf_series *s, double average, double now, FILE *out)
{
    char texts[2][48];
    print_value(average, s->unit, texts[0]);
    print_value(now, s->unit, texts[1]);
    fprintf(out, "%-32s %-20s %18s on average %18s at the end\n", s->group, s->name, texts[0], texts[1]);
}

void perf_watch_print(const struct perf_watch *w, FILE *out)
{
    struct perf_tables t;
    const struct process_sample *s = &w->samples[w->latest];
    fprintf(out, "%s, process %d: %u s\n\n", s->name, (int)s->identity.pid, w->count);
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) {
        double now = perf_watch_value(w, (enum perf_series_id)i), average = mean(w, (enum perf_series_id)i);
        if (isnan(average)) continue;
        print_series(&w->series[i], average, now, out);
    }
    perf_watch_tables(w, &t);
    for (uint32_t i = 0; i < t.count; i++) print_table(&t.items[i], out);
    perf_tables_free(&t);
    for (uint32_t i = 0; i < w->reader.notes.count; i++) fprintf(out, "note: %s\n", w->reader.notes.text[i]);
}

/* for programs */

static void put_tables(const struct perf_watch *w, struct json *j)
{
    struct perf_tables t;
    perf_watch_tables(w, &t);
    json_key(j, "tables");
    json_object(j);
    for (uint32_t i = 0; i < t.count; i++) {
        const struct perf_table *table = &t.items[i];
        json_key(j, table->title);
        json_array(j);
        for (uint32_t row = 0; row < table->row_count; row++) {
            json_object(j);
            for (uint32_t c = 0; c < table->column_count; c++) {
                json_key(j, table->columns[c]);
                json_string(j, table->cells[row * table->column_count + c]);
            }
            json_object_end(j);
        }
        json_array_end(j);
    }
    json_object_end(j);
    perf_tables_free(&t);
}

void perf_watch_json(const struct perf_watch *w, struct json *j)
{
    const struct process_sample *s = &w->samples[w->latest];
    json_object(j);
    json_key(j, "pid");
    json_u64(j, (uint64_t)s->identity.pid);
    json_key(j, "name");
    json_string(j, s->name);
    json_key(j, "seconds");
    json_u64(j, w->count);
    json_key(j, "series");
    json_array(j);
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) {
        json_object(j);
        json_key(j, "group");
        json_string(j, w->series[i].group);
        json_key(j, "name");
        json_string(j, w->series[i].name);
        json_key(j, "unit");
        json_string(j, w->series[i].unit);
        json_key(j, "values");
        json_array(j);
        for (uint32_t k = 0; k < w->count; k++) json_double(j, w->values[i][k]);
        json_array_end(j);
        json_object_end(j);
    }
    json_array_end(j);
    put_tables(w, j);
    json_key(j, "notes");
    json_array(j);
    for (uint32_t i = 0; i < w->reader.notes.count; i++) json_string(j, w->reader.notes.text[i]);
    json_array_end(j);
    json_object_end(j);
}
