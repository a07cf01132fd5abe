/* Folded stacks as a page, for the end-to-end tests: flame_page TITLE FILE [BASE]. A line is
 * "[label=value,…|]main;run;read 17 [34]": stacks, then samples and bytes. "-report" as TITLE makes a report. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/flame.h"
#include "profile/perf_report.h"

static const struct profile_type types[] = { { "cpu", "nanoseconds" }, { "alloc", "bytes" } };

static uint32_t add_labels(struct profile *p, char *text, struct profile_label *labels)
{
    uint32_t count = 0;
    char *save = NULL;
    for (char *pair = strtok_r(text, ",", &save); pair && count < PROFILE_LABELS_MAX;
         pair = strtok_r(NULL, ",", &save)) {
        char *value = strchr(pair, '=');
        if (!value) continue;
        *value++ = 0;
        labels[count++] = (struct profile_label){ .key = profile_add_string(p, slice_of(pair)),
                                                  .text = profile_add_string(p, slice_of(value)) };
    }
    return count;
}

/* "file`name" is a function of that file. */
static uint32_t add_frame(struct profile *p, const char *text)
{
    const char *tick = strchr(text, '`');
    if (!tick) return profile_add_name(p, slice_of(text));
    struct slice file = { text, (size_t)(tick - text) };
    struct profile_mapping m = { .start = 4096, .limit = 8192, .file = profile_add_string(p, file) };
    struct profile_function f = { .name = profile_add_string(p, slice_of(tick + 1)), .file = m.file };
    struct profile_location l = { .mapping = profile_add_mapping(p, &m),
                                  .function = profile_add_function(p, &f) };
    return profile_add_location(p, &l);
}

static void add_line(struct profile *p, char *line)
{
    struct profile_label labels[PROFILE_LABELS_MAX];
    uint32_t frames[PROFILE_DEPTH_MAX], stack[PROFILE_DEPTH_MAX], label_count = 0, depth = 0;
    char *bar = strchr(line, '|');
    if (bar) {
        *bar = 0;
        label_count = add_labels(p, line, labels);
        line = bar + 1;
    }
    char *blank = strchr(line, ' '), *end = NULL, *save = NULL;
    if (!blank) return;
    *blank = 0;
    int64_t values[2] = { strtoll(blank + 1, &end, 10), 0 };
    values[1] = strtoll(end, NULL, 10);
    for (char *name = strtok_r(line, ";", &save); name && depth < PROFILE_DEPTH_MAX;
         name = strtok_r(NULL, ";", &save))
        frames[depth++] = add_frame(p, name);
    for (uint32_t i = 0; i < depth; i++) stack[i] = frames[depth - 1 - i];
    profile_add(p, stack, depth, labels, label_count, values);
}

static struct profile *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct profile *p = profile_new(types, 2);
    char *line = NULL;
    size_t cap = 0;
    if (!file || !p) exit(1);
    while (getline(&line, &cap, file) > 0) add_line(p, line);
    free(line);
    fclose(file);
    return p;
}

static int write_report(const struct profile *on_cpu, const struct profile *off_cpu, struct err *err)
{
    enum { POINTS = 120 };
    static double user[POINTS], system[POINTS], memory[POINTS], descriptors[POINTS];
    for (int i = 0; i < POINTS; i++) {
        user[i] = 40 + 25 * sin(i / 9.0);
        system[i] = i > 50 && i < 58 ? NAN : 12 + 6 * cos(i / 4.0);
        memory[i] = 450e6 + 2.6e6 * i;
        descriptors[i] = 200 + i / 10;
    }
    const struct perf_series series[] = {
        { "user", "percent", "CPU", user, POINTS },
        { "system", "percent", "CPU", system, POINTS },
        { "resident", "bytes", "Memory", memory, POINTS },
        { "descriptors", "open", "Descriptors", descriptors, POINTS },
    };
    const char *columns[] = { "thread", "CPU", "switches" };
    const char *cells[] = { "worker-0", "61.2 %", "12034", "</td><b>worker-1", "58.9 %", NULL };
    const struct perf_table table = { "Threads", columns, 3, cells, 2 };
    const char *notes[] = { "Symbols of <libfoo.so> are missing: it was replaced while it ran." };
    const struct perf_report report = { .title = "nginx, 4242",
                                        .subtitle = "30 s from 14:03:00, 99 Hz",
                                        .on_cpu = on_cpu,
                                        .off_cpu = off_cpu,
                                        .start_ns = 1700000000000000000,
                                        .interval_ns = 250000000,
                                        .series = series,
                                        .series_count = 4,
                                        .tables = &table,
                                        .table_count = 1,
                                        .notes = notes,
                                        .note_count = 1 };
    return perf_report_write(&report, stdout, err);
}

int main(int argc, char **argv)
{
    struct err err;
    if (argc < 3) return 64;
    struct profile *p = read_file(argv[2]), *base = argc > 3 ? read_file(argv[3]) : NULL;
    struct flame_options options = { .title = argv[1], .subtitle = "30 s at 99 Hz" };
    int result = strcmp(argv[1], "-report") == 0 ? write_report(p, base, &err)
                                                 : flame_write(p, base, &options, stdout, &err);
    if (result != 0) fprintf(stderr, "%s\n", err.text);
    profile_free(p);
    profile_free(base);
    return result == 0 ? 0 : 1;
}
