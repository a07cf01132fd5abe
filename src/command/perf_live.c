#include "command/perf_live.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "command/table.h"

#define COLUMNS_PRESET 80u
#define ROWS_PRESET 24u
#define LINE_MAX_BYTES 1024u
#define HISTORY_SECONDS 60u
#define THREADS_SHOWN 10u
#define FUNCTIONS_SHOWN 8u
#define VALUE_MAX 32u

/* One screen as it is put together: cut at the terminal's edges, so that it can be painted over. */
struct screen {
    struct perf_live *live;
    uint32_t columns, rows, lines;
};

static void line(struct screen *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct screen *s, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    if (s->lines + 1 >= s->rows) return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t at = 0, columns = 0;
    while (text[at]) {
        size_t next = at + 1;
        while (((unsigned char)text[next] & 0xc0) == 0x80) next++; /* the rest of a character of UTF-8 */
        if (++columns > s->columns) break;
        at = next;
    }
    fprintf(s->live->out, "%.*s\033[K\n", (int)at, text);
    s->lines++;
}

/* figures */

static double sum(const struct perf_live_view *v, enum perf_series_id id)
{
    double total = NAN;
    for (uint32_t i = 0; i < v->watch_count; i++) {
        double value = perf_watch_value(v->watches[i], id);
        if (!isnan(value)) total = isnan(total) ? value : total + value;
    }
    return total;
}

/* Of the machine or of a namespace: the same whomever one asks. */
static double first(const struct perf_live_view *v, enum perf_series_id id)
{
    return perf_watch_value(v->watches[0], id);
}

static const char *bytes(double value, char out[VALUE_MAX])
{
    if (isnan(value))
        snprintf(out, VALUE_MAX, "-");
    else if (value < 10240)
        snprintf(out, VALUE_MAX, "%.0f B", value);
    else if (value < 10 << 20)
        snprintf(out, VALUE_MAX, "%.1f KiB", value / 1024);
    else
        snprintf(out, VALUE_MAX, "%.1f MiB", value / 1048576);
    return out;
}

static const char *number(double value, char out[VALUE_MAX])
{
    if (isnan(value))
        snprintf(out, VALUE_MAX, "-");
    else
        snprintf(out, VALUE_MAX, "%.*f", value < 100 && value != floor(value) ? 1 : 0, value);
    return out;
}

/* The CPU time of the last minute in eighths, of the most that there was. */
static void history(const struct perf_live_view *v, char *out, size_t size)
{
    static const char *const bars[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    uint32_t count = v->watches[0]->count, from = count > HISTORY_SECONDS ? count - HISTORY_SECONDS : 0;
    double most = 0, values[HISTORY_SECONDS] = { 0 };
    size_t len = 0;
    for (uint32_t i = from; i < count; i++) {
        for (uint32_t k = 0; k < v->watch_count; k++)
            if (i < v->watches[k]->count) values[i - from] += v->watches[k]->values[PERF_CPU][i];
        most = fmax(most, values[i - from]);
    }
    *out = 0;
    for (uint32_t i = 0; i < count - from && len + 4 < size; i++) {
        double part = most > 0 && values[i] > 0 ? values[i] / most : 0;
        len += (size_t)snprintf(out + len, size - len, "%s", bars[(unsigned)(part * 7.99)]);
    }
}

static void show_figures(struct screen *s, const struct perf_live_view *v)
{
    char a[VALUE_MAX], b[VALUE_MAX], c[VALUE_MAX], bars[HISTORY_SECONDS * 4];
    history(v, bars, sizeof(bars));
    line(s, "CPU          %s %%   waits for one %s %%   %s", number(sum(v, PERF_CPU), a),
         number(sum(v, PERF_WAIT), b), bars);
    line(s, "memory       resident %s   anonymous %s", bytes(sum(v, PERF_RESIDENT), a),
         bytes(sum(v, PERF_ANONYMOUS), b));
    line(s, "descriptors  %s   threads %s", number(sum(v, PERF_FILES), a), number(sum(v, PERF_THREADS), b));
    line(s, "switches     voluntary %s/s   forced %s/s", number(sum(v, PERF_VOLUNTARY), a),
         number(sum(v, PERF_FORCED), b));
    line(s, "page faults  minor %s/s   major %s/s", number(sum(v, PERF_MINOR), a),
         number(sum(v, PERF_MAJOR), b));
    line(s, "disks        read %s/s   written %s/s", bytes(sum(v, PERF_READ), a),
         bytes(sum(v, PERF_WRITTEN), b));
    line(s, "system calls read %s/s   written %s/s", bytes(sum(v, PERF_CALLS_READ), a),
         bytes(sum(v, PERF_CALLS_WRITTEN), b));
    line(s, "network      received %s/s   sent %s/s   loopback %s/s (all of its namespace)",
         bytes(first(v, PERF_RECEIVED), a), bytes(first(v, PERF_SENT), b), bytes(first(v, PERF_LOOPBACK), c));
    line(s, "pressure     CPU %s %%   memory %s %%   disks %s %% (of the machine)",
         number(first(v, PERF_PRESSURE_CPU), a), number(first(v, PERF_PRESSURE_MEMORY), b),
         number(first(v, PERF_PRESSURE_IO), c));
}

/* threads */

struct busy_thread {
    const struct process_thread *thread;
    double cpu_percent, wait_percent, switches;
};

static int by_cpu(const void *a, const void *b)
{
    const struct busy_thread *x = a, *y = b;
    if (x->cpu_percent != y->cpu_percent) return x->cpu_percent < y->cpu_percent ? 1 : -1;
    return x->thread->tid < y->thread->tid ? -1 : 1;
}

/* What each thread that was there a second ago did since. */
static uint32_t gather(const struct perf_live_view *v, struct busy_thread *out, uint32_t cap)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->watch_count; i++) {
        const struct process_sample *now = &v->watches[i]->samples[v->watches[i]->latest];
        const struct process_sample *then = &v->watches[i]->samples[!v->watches[i]->latest];
        double ns = (double)(now->time_ns - then->time_ns);
        for (uint32_t k = 0, at = 0; k < now->thread_count && count < cap && ns > 0; k++) {
            const struct process_thread *t = &now->threads[k];
            while (at < then->thread_count && then->threads[at].tid < t->tid) at++;
            if (at == then->thread_count || then->threads[at].tid != t->tid) continue;
            const struct process_thread *b = &then->threads[at];
            if (b->start_ticks != t->start_ticks) continue; /* another one, of the same number */
            out[count++] = (struct busy_thread){ t, 100 * (double)(t->run_ns - b->run_ns) / ns,
                                                 100 * (double)(t->wait_ns - b->wait_ns) / ns,
                                                 1e9 *
                                                     (double)(t->switches_voluntary + t->switches_forced -
                                                              b->switches_voluntary - b->switches_forced) /
                                                     ns };
        }
    }
    qsort(out, count, sizeof(*out), by_cpu);
    return count;
}

static void show_threads(struct screen *s, const struct perf_live_view *v)
{
    struct busy_thread *threads = calloc(PROCESS_THREADS_MAX, sizeof(*threads));
    uint32_t count = threads ? gather(v, threads, PROCESS_THREADS_MAX) : 0;
    line(s, "%s", "");
    line(s, "  thread  name             state   CPU %%  waits %%  switches/s");
    for (uint32_t i = 0; i < count && i < THREADS_SHOWN; i++) {
        char name[PROCESS_NAME_MAX];
        snprintf(name, sizeof(name), "%s", threads[i].thread->name);
        table_clean(name);
        line(s, "%8d  %-16s %c      %6.1f  %7.1f  %10.0f", threads[i].thread->tid, name,
             threads[i].thread->state, threads[i].cpu_percent, threads[i].wait_percent, threads[i].switches);
    }
    if (count > THREADS_SHOWN) line(s, "          and %u more", count - THREADS_SHOWN);
    free(threads);
}

static void show_functions(struct screen *s, const struct perf_top *top)
{
    line(s, "%s", "");
    line(s, "%s", "   CPU %  function, in the last second");
    for (uint32_t i = 0; i < top->count && i < FUNCTIONS_SHOWN; i++)
        line(s, "%8.1f  %s", 100 * top->items[i].share, top->items[i].name);
}

void perf_live_show(struct perf_live *l, const struct perf_live_view *v)
{
    struct winsize size = { 0 };
    struct screen s = { .live = l, .columns = COLUMNS_PRESET, .rows = ROWS_PRESET };
    if (ioctl(fileno(l->out), TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
        s.columns = size.ws_col;
        s.rows = size.ws_row;
    }
    if (l->lines) fprintf(l->out, "\033[%uA", l->lines);
    line(&s, "%s: %u of %u s; Ctrl-C ends it", v->title, v->second, v->seconds);
    line(&s, "%s", "");
    show_figures(&s, v);
    show_threads(&s, v);
    if (v->top && v->top->count) show_functions(&s, v->top);
    fputs("\033[J", l->out);
    fflush(l->out);
    l->lines = s.lines;
}

void perf_live_clear(struct perf_live *l)
{
    if (l->lines) fprintf(l->out, "\033[%uA\033[J", l->lines);
    fflush(l->out);
    l->lines = 0;
}
