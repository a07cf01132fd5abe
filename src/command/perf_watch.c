#include "command/perf_watch.h"

#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/quantity.h"
#include "command/table.h"

/* What everything is held against at the end. */
static int keep_first(struct perf_watch *w, struct err *err)
{
    const struct process_sample *s = &w->samples[0];
    w->first_ns = s->time_ns;
    w->first_threads = calloc(s->thread_count + 1, sizeof(*w->first_threads));
    if (!w->first_threads) return err_set(err, "out of memory");
    for (uint32_t i = 0; i < s->thread_count; i++) w->first_threads[i] = s->threads[i];
    w->first_thread_count = s->thread_count;
    if (process_files_read(&w->reader, &w->files))
        memcpy(w->first_files, w->files.counts, sizeof(w->first_files));
    w->surroundings[0].has_network = process_network_read(&w->reader, &w->surroundings[0].network);
    pressure_read_machine(NULL, &w->surroundings[0].pressure, &w->reader.notes);
    return 0;
}

int perf_watch_open(struct perf_watch *w, int32_t pid, struct err *err)
{
    static const struct perf_series shapes[] = {
#define X(id, series_name, series_unit, series_group) { series_name, series_unit, series_group, NULL, 0 },
        PERF_SERIES(X)
#undef X
    };
    memset(w, 0, sizeof(*w));
    if (process_reader_open(&w->reader, pid, NULL, err) < 0) return -1;
    w->end_fd = (int)syscall(SYS_pidfd_open, pid, 0);
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
    if (process_sample_read(&w->reader, &w->samples[0], err) == 0 && keep_first(w, err) == 0) return 0;
    perf_watch_close(w);
    return -1;
}

void perf_watch_close(struct perf_watch *w)
{
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) free(w->values[i]);
    free(w->first_threads);
    process_files_fini(&w->files);
    process_sample_fini(&w->samples[0]);
    process_sample_fini(&w->samples[1]);
    process_reader_close(&w->reader);
    if (w->end_fd >= 0) close(w->end_fd);
}

void perf_watch_wait(struct perf_watch *const *watches, uint32_t count, uint64_t until_ns)
{
    struct pollfd fds[PERF_WATCHES_MAX];
    uint64_t now_ns = clock_now_ns(), left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec left = { (time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S) };
    for (uint32_t i = 0; i < count && i < PERF_WATCHES_MAX; i++)
        fds[i] = (struct pollfd){ .fd = watches[i]->is_over ? -1 : watches[i]->end_fd, .events = POLLIN };
    ppoll(fds, count < PERF_WATCHES_MAX ? count : PERF_WATCHES_MAX, &left, NULL);
}

bool perf_watch_has_ended(const struct perf_watch *w)
{
    struct pollfd fd = { .fd = w->end_fd, .events = POLLIN };
    return poll(&fd, 1, 0) > 0;
}

void perf_watch_describe_end(const struct perf_watch *w, char *out, size_t size)
{
    *out = 0;
    if (w->is_over)
        snprintf(out, size, "process %d ended %.1f s after the watch began", (int)w->reader.identity.pid,
                 w->ended_after_s);
}

/* looking */

static double rate(uint64_t before, uint64_t now, double seconds)
{
    return now >= before && seconds > 0 ? (double)(now - before) / seconds : NAN;
}

static void keep_value(struct perf_watch *w, enum perf_series_id id, double value)
{
    w->values[id][w->count] = value;
}

static double stalled(const struct pressure *before, const struct pressure *now, double seconds)
{
    if (!before->is_known || !now->is_known) return NAN;
    return rate(before->some.stalled_ns, now->some.stalled_ns, seconds) / 1e7;
}

/* What passed through the interfaces of its network namespace, and for how long some task of the machine had to wait. */
static void keep_surroundings(struct perf_watch *w, double seconds)
{
    struct perf_surroundings *a = &w->surroundings[w->latest], *b = &w->surroundings[!w->latest];
    b->has_network = process_network_read(&w->reader, &b->network);
    pressure_read_machine(NULL, &b->pressure, &w->reader.notes);
    bool has_network = a->has_network && b->has_network;
    const struct process_network *n = &a->network, *m = &b->network;
    keep_value(w, PERF_RECEIVED,
               has_network ? rate(n->outside.receive_bytes, m->outside.receive_bytes, seconds) : NAN);
    keep_value(w, PERF_SENT, has_network ? rate(n->outside.send_bytes, m->outside.send_bytes, seconds) : NAN);
    keep_value(w, PERF_LOOPBACK,
               has_network ? rate(n->loopback.receive_bytes, m->loopback.receive_bytes, seconds) : NAN);
    keep_value(w, PERF_PRESSURE_CPU, stalled(&a->pressure.cpu, &b->pressure.cpu, seconds));
    keep_value(w, PERF_PRESSURE_MEMORY, stalled(&a->pressure.memory, &b->pressure.memory, seconds));
    keep_value(w, PERF_PRESSURE_IO, stalled(&a->pressure.io, &b->pressure.io, seconds));
}

static double known(const struct process_sample *s, uint32_t what, double value)
{
    return s->known & what ? value : NAN;
}

static void keep_rates(struct perf_watch *w, const struct process_sample *a, const struct process_sample *b)
{
    double s = (double)(b->time_ns - a->time_ns) / 1e9;
    keep_value(w, PERF_CPU, rate(a->cpu_ns, b->cpu_ns, s) / 1e7);
    keep_value(w, PERF_WAIT, known(b, PROCESS_KNOWS_WAIT, rate(a->wait_ns, b->wait_ns, s) / 1e7));
    keep_value(w, PERF_VOLUNTARY,
               known(b, PROCESS_KNOWS_SWITCHES, rate(a->switches_voluntary, b->switches_voluntary, s)));
    keep_value(w, PERF_FORCED,
               known(b, PROCESS_KNOWS_SWITCHES, rate(a->switches_forced, b->switches_forced, s)));
    keep_value(w, PERF_MINOR, rate(a->minor_faults, b->minor_faults, s));
    keep_value(w, PERF_MAJOR, rate(a->major_faults, b->major_faults, s));
    keep_value(w, PERF_READ, known(b, PROCESS_KNOWS_IO, rate(a->io.read_bytes, b->io.read_bytes, s)));
    keep_value(w, PERF_WRITTEN, known(b, PROCESS_KNOWS_IO, rate(a->io.write_bytes, b->io.write_bytes, s)));
    keep_value(w, PERF_CALLS_READ,
               known(b, PROCESS_KNOWS_IO, rate(a->io.read_call_bytes, b->io.read_call_bytes, s)));
    keep_value(w, PERF_CALLS_WRITTEN,
               known(b, PROCESS_KNOWS_IO, rate(a->io.write_call_bytes, b->io.write_call_bytes, s)));
}

int perf_watch_look(struct perf_watch *w, struct err *err)
{
    struct process_sample *before = &w->samples[w->latest], *now = &w->samples[!w->latest];
    if (w->count == PERF_WATCH_MAX) return 0;
    if (process_sample_read(&w->reader, now, err) < 0) {
        w->is_over = true;
        w->ended_after_s = (double)(clock_now_ns() - w->first_ns) / 1e9;
        return -1;
    }
    keep_rates(w, before, now);
    keep_surroundings(w, (double)(now->time_ns - before->time_ns) / 1e9);
    keep_value(w, PERF_RESIDENT, known(now, PROCESS_KNOWS_MEMORY, (double)now->memory.resident_bytes));
    keep_value(w, PERF_ANONYMOUS, known(now, PROCESS_KNOWS_MEMORY, (double)now->memory.anonymous_bytes));
    keep_value(w, PERF_FILES, known(now, PROCESS_KNOWS_FILES, (double)now->file_count));
    keep_value(w, PERF_THREADS, now->thread_count);
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

static const struct process_thread *thread_before(const struct perf_watch *w,
                                                  const struct process_thread *now)
{
    for (uint32_t i = 0; i < w->first_thread_count; i++) {
        const struct process_thread *t = &w->first_threads[i];
        if (t->tid == now->tid && t->start_ticks == now->start_ticks) return t;
    }
    return NULL;
}

static uint64_t cpu_ns(const struct process_thread *t)
{
    return t->run_ns ? t->run_ns : t->user_ns + t->system_ns;
}

struct used_thread {
    const struct process_thread *now, *before;
};

static int by_cpu(const void *a, const void *b)
{
    const struct used_thread *x = a, *y = b;
    uint64_t used_x = cpu_ns(x->now) - cpu_ns(x->before), used_y = cpu_ns(y->now) - cpu_ns(y->before);
    if (used_x != used_y) return used_x < used_y ? 1 : -1;
    return x->now->tid < y->now->tid ? -1 : 1;
}

static uint64_t switches(const struct process_thread *t)
{
    return t->switches_voluntary + t->switches_forced;
}

/* "-" where it is not known. */
static void add_number(struct perf_tables *t, double value)
{
    if (isfinite(value))
        perf_tables_add(t, "%.1f", value);
    else
        perf_tables_add(t, "-");
}

static void add_thread(const struct used_thread *u, double seconds, struct perf_tables *t)
{
    perf_tables_add(t, "%d", u->now->tid);
    perf_tables_add(t, "%s", u->now->name);
    perf_tables_add(t, "%c", u->now->state);
    perf_tables_add(t, "%.2f", (double)cpu_ns(u->now) / 1e9);
    add_number(t, rate(cpu_ns(u->before), cpu_ns(u->now), seconds) / 1e7);
    add_number(t, rate(u->before->wait_ns, u->now->wait_ns, seconds) / 1e7);
    add_number(t, rate(switches(u->before), switches(u->now), seconds));
}

/* Those that used most CPU time first: of very many, the idle ones are left out. */
static void add_threads(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = { "thread", "name",    "state",     "CPU s",
                                           "CPU %",  "waits %", "switches/s" };
    static const struct process_thread none;
    const struct process_sample *s = &w->samples[w->latest];
    double seconds = (double)(s->time_ns - w->first_ns) / 1e9;
    struct used_thread *threads = calloc(s->thread_count + 1, sizeof(*threads));
    for (uint32_t i = 0; threads && i < s->thread_count; i++) {
        const struct process_thread *before = thread_before(w, &s->threads[i]);
        threads[i] = (struct used_thread){ &s->threads[i], before ? before : &none };
    }
    if (threads && perf_tables_begin(t, "Threads", columns, 7)) {
        qsort(threads, s->thread_count, sizeof(*threads), by_cpu);
        for (uint32_t i = 0; i < s->thread_count; i++) add_thread(&threads[i], seconds, t);
    }
    free(threads);
}

static void add_memory(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = {
        "memory", "mappings", "mapped", "resident", "proportional", "dirty"
    };
    if (!w->has_mappings || !perf_tables_begin(t, "Memory by mapping", columns, 6)) return;
    for (unsigned i = 0; i < MEMORY_KIND_COUNT; i++) {
        const struct memory_sums *m = &w->mappings.kinds[i];
        if (!m->mapping_count) continue;
        perf_tables_add(t, "%s", memory_kind_names[i]);
        perf_tables_add(t, "%llu", (unsigned long long)m->mapping_count);
        perf_tables_add_bytes(t, m->mapped_bytes);
        perf_tables_add_bytes(t, m->resident_bytes);
        perf_tables_add_bytes(t, m->proportional_bytes);
        perf_tables_add_bytes(t, m->private_dirty_bytes);
    }
}

static void add_files(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = { "descriptors", "count", "more than at first" };
    if (!w->has_files || !perf_tables_begin(t, "Descriptors by kind", columns, 3)) return;
    for (unsigned i = 0; i < FILE_KIND_COUNT; i++) {
        if (!w->files.counts[i] && !w->first_files[i]) continue;
        perf_tables_add(t, "%s", file_kind_names[i]);
        perf_tables_add(t, "%llu", (unsigned long long)w->files.counts[i]);
        perf_tables_add(t, "%+lld", (long long)(w->files.counts[i] - w->first_files[i]));
    }
}

static void add_sockets(const struct perf_watch *w, struct perf_tables *t)
{
    static const char *const columns[] = { "sockets", "state", "count", "to be read", "to be acknowledged" };
    if (!w->has_sockets || !w->sockets.total || !perf_tables_begin(t, "Sockets by state", columns, 5)) return;
    for (unsigned p = 0; p < SOCKET_PROTOCOL_COUNT; p++) {
        for (unsigned s = 0; s < SOCKET_STATE_COUNT; s++) {
            const struct socket_sums *sums = &w->sockets.sums[p][s];
            if (!sums->count) continue;
            perf_tables_add(t, "%s", socket_protocol_names[p]);
            perf_tables_add(t, "%s", socket_state_names[s]);
            perf_tables_add(t, "%llu", (unsigned long long)sums->count);
            perf_tables_add_bytes(t, sums->receive_bytes);
            perf_tables_add_bytes(t, sums->send_bytes);
        }
    }
}

void perf_watch_tables(const struct perf_watch *w, struct perf_tables *out)
{
    add_threads(w, out);
    add_memory(w, out);
    add_files(w, out);
    add_sockets(w, out);
}

/* for people */

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

void perf_watch_print(const struct perf_watch *w, const struct perf_tables *tables, FILE *out)
{
    const struct process_sample *s = &w->samples[w->latest];
    char end[96], name[PROCESS_NAME_MAX];
    perf_watch_describe_end(w, end, sizeof(end));
    snprintf(name, sizeof(name), "%s", s->name);
    table_clean(name);
    fprintf(out, "%s, process %d: %u s%s%s\n\n", name, (int)s->identity.pid, w->count, *end ? "; " : "", end);
    for (unsigned i = 0; i < PERF_SERIES_COUNT; i++) {
        double now = perf_watch_value(w, (enum perf_series_id)i), average = mean(w, (enum perf_series_id)i);
        if (isnan(average)) continue;
        print_series(&w->series[i], average, now, out);
    }
    perf_tables_print(tables, out);
    for (uint32_t i = 0; i < w->reader.notes.count; i++) fprintf(out, "note: %s\n", w->reader.notes.text[i]);
}

/* for programs */

void perf_watch_json(const struct perf_watch *w, const struct perf_tables *tables, struct json *j)
{
    const struct process_sample *s = &w->samples[w->latest];
    json_object(j);
    json_key(j, "pid");
    json_u64(j, (uint64_t)s->identity.pid);
    json_key(j, "name");
    json_string(j, s->name);
    json_key(j, "seconds");
    json_u64(j, w->count);
    json_key(j, "ended_after_seconds"); /* null: it runs on */
    json_double(j, w->is_over ? w->ended_after_s : NAN);
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
    json_key(j, "tables");
    perf_tables_json(tables, j);
    json_key(j, "notes");
    json_array(j);
    for (uint32_t i = 0; i < w->reader.notes.count; i++) json_string(j, w->reader.notes.text[i]);
    json_array_end(j);
    json_object_end(j);
}
