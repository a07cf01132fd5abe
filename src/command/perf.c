#include "command/perf.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/printable.h"
#include "command/perf_live.h"
#include "command/perf_self.h"
#include "command/perf_unit.h"
#include "command/perf_watch.h"
#include "command/table.h"
#include "profile/flame.h"
#include "profile/folded.h"
#include "profile/pprof.h"
#include "profile/sampled_profile.h"

#define SECONDS_PRESET 10u
#define PROCESSES_MAX PERF_WATCHES_MAX
#define JSON_MAX (64u << 20)
#define LIVE_HZ 199u
#define LIVE_MS 900u /* over before the next look */

enum form { FORM_TEXT, FORM_HTML, FORM_FLAME, FORM_PPROF, FORM_FOLDED, FORM_JSON };

struct perf_command_options {
    int32_t pids[PROCESSES_MAX];
    uint32_t pid_count, pid, seconds, hz; /* pid: as given; 0: it is not */
    const char *unit, *output;
    enum form form;
    bool is_self, is_off_cpu, is_quiet, has_form;
};

static volatile bool is_interrupted;

/* A second one ends it at once: what is watched may be such that nothing comes to an end. */
static void on_interrupt(int number)
{
    is_interrupted = true;
    signal(number, SIG_DFL);
}

/* options */

static int take_form(void *target, const char *name, struct err *err)
{
    struct perf_command_options *o = target;
    static const char *const names[] = { "text", "html", "flame", "pprof", "folded", "json" };
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) != 0) continue;
        o->form = (enum form)i;
        o->has_form = true;
        return 0;
    }
    return err_set(err, " is none; there are text, html, flame, pprof, folded and json");
}

#define ROW(member) .offset = offsetof(struct perf_command_options, member)

static const struct option_row options[] = {
    { OPTION_U32, .name = "pid", .argument = "N", ROW(pid), .min = 1, .max = INT32_MAX,
      .help = "the process" },
    { OPTION_TEXT, .name = "unit", .argument = "NAME", ROW(unit),
      .help = "a unit: nginx.service (by its cgroup; systemd need not run)" },
    { OPTION_FLAG, .name = "self", ROW(is_self), .help = "the weir that runs on this host" },
    { OPTION_U32, .name = "seconds", .argument = "S", ROW(seconds), .min = 1, .max = PERF_WATCH_MAX,
      .help = "for how long; 10" },
    { OPTION_U32, .name = "hz", .argument = "N", ROW(hz), .min = 1, .max = SAMPLER_HZ_MAX,
      .help = "samples in a second of CPU time; 99" },
    { OPTION_TEXT, 'o', .name = "output", .argument = "FILE", ROW(output),
      .help = "where to: .html is a report with flame graphs and time lines, .pb.gz pprof's format,\n"
              ".folded or .txt folded stacks, .json figures" },
    { OPTION_TAKE, .name = "form", .argument = "FORM", .take = take_form,
      .help = "text (the preset), html, flame, pprof, folded, json, whatever the file is called" },
    { OPTION_FLAG, .name = "off-cpu", ROW(is_off_cpu),
      .help = "pprof, flame and folded: time off the CPU instead" },
    { OPTION_FLAG, .name = "quiet", ROW(is_quiet), .help = "no screen while it goes on" },
    { 0 },
};

const struct syntax perf_syntax = {
    .command = "perf",
    .usage = "perf --pid N | --unit NAME | --self [OPTION]...\n\n"
             "Watches a process, every process of a systemd unit, or the weir that runs here: CPU time and "
             "time off "
             "the CPU by\n"
             "stack, memory, descriptors, sockets, disks, context switches, page faults, each thread.\n",
    .options = options,
    .notes = "As root, or as the user that the process runs as; what is refused is said.\n",
};

/* An ending that says nothing is as good as none only where there is no file. */
static int form_of_name(struct perf_command_options *o)
{
    static const struct {
        const char *ending;
        enum form form;
    } endings[] = { { ".html", FORM_HTML },
                    { ".pb.gz", FORM_PPROF },
                    { ".folded", FORM_FOLDED },
                    { ".txt", FORM_FOLDED },
                    { ".json", FORM_JSON } };
    if (o->has_form || !o->output) return EX_OK;
    size_t len = strlen(o->output);
    for (unsigned i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        size_t ending = strlen(endings[i].ending);
        if (len <= ending || strcmp(o->output + len - ending, endings[i].ending) != 0) continue;
        o->form = endings[i].form;
        return EX_OK;
    }
    return options_fault(
        &perf_syntax,
        "what is \"%s\" to be? It ends like none of .html .pb.gz .folded .txt .json; or say --form",
        o->output);
}

static int parse_options(int argc, char **argv, struct perf_command_options *o)
{
    int code = options_parse(&perf_syntax, argc, argv, o, NULL);
    if (code != EX_OK) return code;
    o->pids[0] = (int32_t)o->pid;
    o->pid_count = o->pid != 0;
    if ((o->pid_count != 0) + (o->unit != NULL) + o->is_self != 1)
        return options_fault(&perf_syntax, "say whom: --pid N, --unit NAME or --self");
    code = form_of_name(o);
    if (code != EX_OK || !o->is_off_cpu || o->form == FORM_PPROF || o->form == FORM_FOLDED ||
        o->form == FORM_FLAME)
        return code;
    return options_fault(
        &perf_syntax, "--off-cpu is for one profile: --form pprof, flame or folded; html and json have both");
}

/* whom */

static int find_unit(struct perf_command_options *o, struct perf_unit *unit, struct err *err)
{
    struct cgroup_pids pids = { 0 };
    if (perf_unit_open(unit, o->unit, err) < 0 || perf_unit_pids(unit, &pids, err) < 0) return -1;
    for (uint32_t i = 0; i < pids.count && o->pid_count < PROCESSES_MAX; i++)
        o->pids[o->pid_count++] = pids.pids[i];
    if (pids.count > PROCESSES_MAX)
        fprintf(stderr, "weir perf: %s has %u processes; the first %u are watched\n", unit->unit.name,
                pids.count, PROCESSES_MAX);
    cgroup_pids_fini(&pids);
    return o->pid_count ? 0 : err_set(err, "unit %s has no process", unit->unit.name);
}

static int find_self(struct perf_command_options *o, struct err *err)
{
    if (perf_self_find(&o->pids[0], err) < 0) return -1;
    o->pid_count = 1;
    return 0;
}

/* watching */

struct watched {
    struct perf_watch watch;
    struct sampler *sampler;
    struct sampler_window windows[2]; /* on and off the CPU */
    struct sampler_window last_second;
    _Atomic uint32_t done_count;
    _Atomic bool is_second_over;
    bool is_sampled, is_second_asked;
};

struct run {
    const struct perf_command_options *options;
    struct watched *items;
    uint32_t count;
    struct perf_unit unit; /* of --unit */
    struct profile *profiles[2];
    struct kernel_symbols *kernel;
    struct perf_top top; /* of the last second */
    struct notes notes;  /* of the profiles */
    struct err fault;    /* of sampling; "" if all went well */
};

static void on_window(struct sampler_window *w)
{
    struct watched *p = w->context;
    atomic_fetch_add(&p->done_count, 1);
}

static int start_sampling(const struct run *r, struct watched *p, int32_t pid, struct err *err)
{
    static const enum perf_kind kinds[] = { PERF_ON_CPU, PERF_OFF_CPU };
    struct sampler_options o = { .pid = pid };
    if (sampler_new(&p->sampler, &o, err) < 0) return -1;
    for (unsigned i = 0; i < 2; i++) {
        p->windows[i] = (struct sampler_window){ .kind = kinds[i],
                                                 .hz = r->options->hz,
                                                 .duration_ms = r->options->seconds * 1000ull,
                                                 .done = on_window,
                                                 .context = p };
        if (sampler_ask(p->sampler, &p->windows[i], err) < 0) return -1;
    }
    p->is_sampled = true;
    return 0;
}

static int start_watching(struct run *r, struct err *err)
{
    const struct perf_command_options *o = r->options;
    if (!o->pid_count) return err_set(err, "there is no process");
    r->items = calloc(o->pid_count, sizeof(*r->items));
    if (!r->items) return err_set(err, "out of memory");
    for (uint32_t i = 0; i < o->pid_count; i++) {
        struct watched *p = &r->items[r->count];
        if (perf_watch_open(&p->watch, o->pids[i], err) < 0) {
            if (o->pid_count == 1) return -1;
            continue; /* of a unit, one that has just ended */
        }
        r->count++;
        if (start_sampling(r, p, o->pids[i], &r->fault) < 0) p->is_sampled = false;
    }
    return r->count ? 0 : -1;
}

/* the screen */

static void on_second(struct sampler_window *w)
{
    struct watched *p = w->context;
    atomic_store(&p->is_second_over, true);
}

/* What the process did in the last second is asked again and again; what comes of it is added to `sum`. */
static void take_second(struct watched *p, struct kernel_symbols **kernel, struct profile **sum)
{
    struct sampled_profile_options o = { .pid = p->watch.reader.identity.pid, .kernel = kernel };
    struct profile *made = NULL;
    struct err err;
    if (p->is_second_asked && atomic_load(&p->is_second_over)) {
        p->is_second_asked = false;
        if (!*p->last_second.fault.text && sampled_profile_make(&made, &p->last_second, &o, &err) < 0)
            made = NULL;
        sampler_window_fini(&p->last_second);
    }
    if (made && *sum) {
        profile_merge(*sum, made, 1);
        profile_free(made);
    } else if (made) {
        *sum = made;
    }
    if (p->is_second_asked || !p->is_sampled || p->watch.is_over) return;
    p->last_second = (struct sampler_window){
        .kind = PERF_ON_CPU, .hz = LIVE_HZ, .duration_ms = LIVE_MS, .done = on_second, .context = p
    };
    atomic_store(&p->is_second_over, false);
    p->is_second_asked = sampler_ask(p->sampler, &p->last_second, &err) == 0;
}

static void show_live(struct run *r, struct perf_live *live, uint32_t second)
{
    const struct perf_watch *watches[PROCESSES_MAX];
    const struct perf_watch *w = &r->items[0].watch;
    struct profile *sum = NULL;
    char title[256], state[96];
    for (uint32_t i = 0; i < r->count; i++) {
        watches[i] = &r->items[i].watch;
        take_second(&r->items[i], &r->kernel, &sum);
    }
    if (sum) perf_top_make(&r->top, sum, PERF_TOP_FUNCTION);
    profile_free(sum);
    if (r->options->unit) {
        perf_unit_describe(&r->unit, state, sizeof(state));
        snprintf(title, sizeof(title), "%.100s, %u processes: %s", r->unit.unit.name, r->count, state);
    } else {
        snprintf(title, sizeof(title), "%s, process %d", w->samples[w->latest].name,
                 (int)w->reader.identity.pid);
    }
    table_clean(title);
    perf_live_show(
        live, &(struct perf_live_view){ title, watches, r->count, second, r->options->seconds, &r->top });
}

/* Of a process that has ended nothing more comes. */
static bool all_done(const struct run *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->items[i].is_sampled && !r->items[i].watch.is_over && atomic_load(&r->items[i].done_count) < 2)
            return false;
    return true;
}

/* How many of the processes there still are. */
static uint32_t look_at_all(struct run *r)
{
    struct err err;
    uint32_t alive = 0;
    for (uint32_t i = 0; i < r->count; i++)
        if (!r->items[i].watch.is_over && perf_watch_look(&r->items[i].watch, &err) == 0) alive++;
    if (r->options->unit) perf_unit_look(&r->unit);
    return alive;
}

static void conclude(struct run *r)
{
    for (uint32_t i = 0; i < r->count; i++) perf_watch_look_closely(&r->items[i].watch);
    if (r->options->unit) perf_unit_look_closely(&r->unit);
    for (unsigned i = 0; i < 100 && !is_interrupted && !all_done(r); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    for (uint32_t i = 0; i < r->count; i++) {
        sampler_free(r->items[i].sampler);
        r->items[i].sampler = NULL;
        if (r->items[i].is_second_asked) sampler_window_fini(&r->items[i].last_second);
        r->items[i].is_second_asked = false;
    }
}

/* False: there is no process any more. One that ends before others is seen at the end of the second. */
static bool wait_until(struct run *r, uint64_t until_ns)
{
    struct perf_watch *running[PROCESSES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->count; i++)
        if (!r->items[i].watch.is_over) running[count++] = &r->items[i].watch;
    do {
        perf_watch_wait(running, count, until_ns);
        for (uint32_t i = count; i-- > 0;)
            if (perf_watch_has_ended(running[i])) running[i] = running[--count];
    } while (count && !is_interrupted && clock_now_ns() < until_ns);
    return look_at_all(r) > 0;
}

static void watch(struct run *r)
{
    struct perf_live live = { .out = printable_past(2) };
    bool shows = !r->options->is_quiet && isatty(fileno(live.out));
    uint64_t next_ns = clock_now_ns();
    if (shows) show_live(r, &live, 0);
    for (uint32_t second = 1; second <= r->options->seconds && !is_interrupted; second++) {
        next_ns += NS_PER_S;
        if (!wait_until(r, next_ns)) break;
        if (shows) show_live(r, &live, second);
    }
    perf_live_clear(&live);
    conclude(r);
}

/* All processes' samples of one kind in one. */
static int make_profiles(struct run *r, struct err *err)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct watched *p = &r->items[i];
        struct sampled_profile_options o = { .pid = p->watch.reader.identity.pid,
                                             .kernel = &r->kernel,
                                             .notes = &r->notes };
        for (unsigned k = 0; k < 2 && p->is_sampled; k++) {
            struct profile *made = NULL;
            if (*p->windows[k].fault.text) {
                r->fault = p->windows[k].fault;
                continue;
            }
            if (sampled_profile_make(&made, &p->windows[k], &o, err) < 0) return -1;
            if (r->profiles[k]) {
                profile_merge(r->profiles[k], made, 1);
                profile_free(made);
            } else {
                r->profiles[k] = made;
            }
        }
    }
    return 0;
}

/* output */

static int write_pprof(const struct profile *p, FILE *out, struct err *err)
{
    char *bytes = NULL;
    size_t len = 0;
    if (pprof_write(p, &bytes, &len, err) < 0) return -1;
    size_t written = fwrite(bytes, 1, len, out);
    free(bytes);
    return written == len ? 0 : err_set(err, "cannot write: %s", strerror(errno));
}

/* Of one process; of the first also the unit's. */
static void make_tables(const struct run *r, uint32_t index, struct perf_tables *out)
{
    *out = (struct perf_tables){ 0 };
    if (index == 0 && r->options->unit) perf_unit_add_table(&r->unit, out);
    perf_watch_tables(&r->items[index].watch, out);
}

static int write_report(const struct run *r, FILE *out, struct err *err)
{
    char title[128], subtitle[128];
    const struct perf_watch *w = &r->items[0].watch;
    const char *notes[3 * NOTES_MAX + 2];
    char end[96];
    struct perf_tables tables;
    uint32_t note_count = 0;
    for (uint32_t i = 0; i < w->reader.notes.count; i++) notes[note_count++] = w->reader.notes.text[i];
    for (uint32_t i = 0; i < r->unit.notes.count; i++) notes[note_count++] = r->unit.notes.text[i];
    for (uint32_t i = 0; i < r->notes.count; i++) notes[note_count++] = r->notes.text[i];
    if (*r->fault.text) notes[note_count++] = r->fault.text;
    perf_watch_describe_end(w, end, sizeof(end));
    if (*end) notes[note_count++] = end;
    if (r->options->unit)
        snprintf(title, sizeof(title), "%.100s", r->unit.unit.name);
    else
        snprintf(title, sizeof(title), "%s, process %d", w->samples[w->latest].name,
                 (int)w->reader.identity.pid);
    snprintf(subtitle, sizeof(subtitle), "%u s, %u samples in a second of CPU time%s", w->count,
             r->options->hz, r->count > 1 ? "; figures of its first process, stacks of all" : "");
    make_tables(r, 0, &tables);
    struct perf_report report = { .title = title,
                                  .subtitle = subtitle,
                                  .on_cpu = r->profiles[0],
                                  .off_cpu = r->profiles[1],
                                  .start_ns = w->start_wall_ns,
                                  .interval_ns = NS_PER_S,
                                  .series = w->series,
                                  .series_count = PERF_SERIES_COUNT,
                                  .tables = tables.items,
                                  .table_count = tables.count,
                                  .notes = notes,
                                  .note_count = note_count };
    int result = perf_report_write(&report, out, err);
    perf_tables_free(&tables);
    return result;
}

static int write_json(const struct run *r, FILE *out, struct err *err)
{
    struct json j;
    json_init(&j, JSON_MAX, true);
    json_array(&j);
    for (uint32_t i = 0; i < r->count; i++) {
        struct perf_tables tables;
        make_tables(r, i, &tables);
        perf_watch_json(&r->items[i].watch, &tables, &j);
        perf_tables_free(&tables);
    }
    json_array_end(&j);
    int result = j.is_failed || fwrite(j.data, 1, j.len, out) != j.len
                     ? err_set(err, "cannot write the figures")
                     : 0;
    fputc('\n', out);
    json_fini(&j);
    return result;
}

static void print_top(const struct profile *p, const char *title, enum perf_top_place place, FILE *out)
{
    struct perf_top top;
    if (!p) return;
    perf_top_make(&top, p, place);
    if (top.count) fprintf(out, "\n%s\n", title);
    for (uint32_t i = 0; i < top.count; i++)
        fprintf(out, "%6.1f %%  %s\n", 100 * top.items[i].share, top.items[i].name);
}

/* Of the profiles. Paths and errors of others may be in them. */
static void say_notes(const struct run *r, const char *before, FILE *out)
{
    for (uint32_t i = 0; i < r->notes.count + 1; i++) {
        char text[ERR_TEXT_MAX];
        snprintf(text, sizeof(text), "%s", i < r->notes.count ? r->notes.text[i] : r->fault.text);
        table_clean(text);
        if (*text) fprintf(out, "%s%s\n", before, text);
    }
}

static int write_text(const struct run *r, FILE *out)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct perf_tables tables;
        make_tables(r, i, &tables);
        perf_watch_print(&r->items[i].watch, &tables, out);
        perf_tables_free(&tables);
    }
    print_top(r->profiles[0], "CPU time by function", PERF_TOP_FUNCTION, out);
    print_top(r->profiles[1], "Time off the CPU by where it was left, all threads together", PERF_TOP_CALL,
              out);
    for (uint32_t i = 0; i < r->unit.notes.count; i++) fprintf(out, "note: %s\n", r->unit.notes.text[i]);
    say_notes(r, "note: ", out);
    return 0;
}

static int write_output(const struct run *r, FILE *out, struct err *err)
{
    const struct profile *p = r->profiles[r->options->is_off_cpu];
    struct flame_options flame = { .title = "weir perf", .type = 1 };
    bool needs_stacks = r->options->form == FORM_PPROF || r->options->form == FORM_FOLDED ||
                        r->options->form == FORM_FLAME;
    if (needs_stacks && !p) {
        *err = r->fault;
        return -1;
    }
    switch (r->options->form) {
    case FORM_HTML: return write_report(r, out, err);
    case FORM_FLAME: return flame_write(p, NULL, &flame, out, err);
    case FORM_PPROF: return write_pprof(p, out, err);
    case FORM_FOLDED: folded_write(p, 1, out); return 0;
    case FORM_JSON: return write_json(r, out, err);
    default: return write_text(r, out);
    }
}

/* What a form has no place for. */
static void say_aside(const struct run *r)
{
    char end[96];
    for (uint32_t i = 0; i < r->count; i++) {
        perf_watch_describe_end(&r->items[i].watch, end, sizeof(end));
        if (*end) fprintf(stderr, "weir perf: %s\n", end);
    }
    say_notes(r, "weir perf: ", stderr);
}

static int put_profile(const struct run *r, struct err *err)
{
    FILE *out = r->options->output ? fopen(r->options->output, "we") : stdout;
    if (!out) return err_set(err, "cannot create %s: %s", r->options->output, strerror(errno));
    int result = write_output(r, out, err);
    if (r->options->output ? fclose(out) == EOF : fflush(out) == EOF)
        result = err_set(err, "cannot write %s: %s", r->options->output ? r->options->output : "the output",
                         strerror(errno));
    if (result == 0 && r->options->output) fprintf(stderr, "%s is written\n", r->options->output);
    if (result == 0 && r->options->form != FORM_TEXT && r->options->form != FORM_HTML) say_aside(r);
    return result;
}

static void finish_watching(struct run *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        sampler_free(r->items[i].sampler);
        sampler_window_fini(&r->items[i].windows[0]);
        sampler_window_fini(&r->items[i].windows[1]);
        perf_watch_close(&r->items[i].watch);
    }
    kernel_symbols_free(r->kernel);
    profile_free(r->profiles[0]);
    profile_free(r->profiles[1]);
    free(r->items);
}

int perf_command(int argc, char **argv)
{
    struct perf_command_options o = { .seconds = SECONDS_PRESET, .hz = 99 };
    struct err err = { "" };
    int code = parse_options(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    struct run r = { .options = &o };
    signal(SIGINT, on_interrupt); /* before there is anything that may take long */
    int result = o.unit ? find_unit(&o, &r.unit, &err) : o.is_self ? find_self(&o, &err) : 0;
    if (result == 0) result = start_watching(&r, &err);
    if (result == 0) {
        watch(&r);
        result = make_profiles(&r, &err);
    }
    if (result == 0) result = put_profile(&r, &err);
    finish_watching(&r);
    if (result == 0) return EX_OK;
    fprintf(stderr, "weir perf: %s\n", err.text);
    return EX_NOINPUT;
}
