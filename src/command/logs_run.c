#include "command/logs_run.h"

#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/printable.h"
#include "base/quantity.h"

static void on_malformed(void *context, struct slice line)
{
    (void)line;
    struct logs_run *r = context;
    r->malformed++;
}

static void on_note(void *context, const char *sentence)
{
    const struct logs_run *r = context;
    if (!r->options->is_quiet) fprintf(stderr, "weir logs: %s\n", sentence);
}

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct logs_run *r = context;
    char rate[32];
    if (!r->is_terminal) return;
    double seconds = (double)(clock_now_ns() - r->started_ns) / 1e9;
    quantity_print_bytes((uint64_t)((double)r->job.bytes / (seconds > 0 ? seconds : 1)), rate);
    if (total && done)
        fprintf(printable_past(2), "\r%3.0f %%  %s/s  %.0f s left ", 100.0 * (double)done / (double)total,
                rate, seconds / (double)done * (double)(total - done));
    else
        fprintf(printable_past(2), "\r%s/s ", rate);
}

static int prepare(struct logs_run *r, const struct logs_options *o, struct err *err)
{
    r->options = o;
    r->is_terminal = isatty(2) && !o->is_quiet;
    r->started_ns = clock_now_ns();
    r->job.format = &r->format;
    r->job.from_s = o->from_s;
    r->job.to_s = o->to_s ? o->to_s : UINT64_MAX;
    if (!r->job.on_malformed) r->job.on_malformed = on_malformed;
    r->job.on_progress = on_progress;
    r->job.on_note = on_note;
    r->job.context = r;
    if (o->where && filter_compile(&r->job.filter, slice_of(o->where), err) < 0) {
        err_prefix(err, "--where");
        return EX_USAGE;
    }
    if (!o->nginx_conf && log_format_parse(&r->format, o->log_format ? o->log_format : "auto", err) < 0) {
        err_prefix(err, "--log-format");
        return EX_USAGE;
    }
    return EX_OK;
}

/* What the report is without. */
static void tell_rest(const struct logs_run *r)
{
    uint64_t gave_up = r->job.filter ? filter_gave_up(r->job.filter) : 0;
    if (r->unread)
        fprintf(stderr, "weir logs: the report is without what could not be read of %u of %d files\n",
                r->unread, r->options->file_count);
    if (r->malformed && !r->options->is_quiet)
        fprintf(stderr, "weir logs: lines that are no records of this format, and left out: %llu\n",
                (unsigned long long)r->malformed);
    if (gave_up)
        fprintf(stderr,
                "weir logs: a regular expression gave up on %llu values; what it says of them is not "
                "known, and those records are left out\n",
                (unsigned long long)gave_up);
}

static int read_files(struct logs_run *r, struct err *err)
{
    for (int i = 0; i < r->options->file_count; i++) {
        const char *path = r->options->files[i];
        if (r->options->nginx_conf && log_format_of_nginx(&r->format, r->options->nginx_conf, path, err) < 0)
            return EX_DATAERR;
        if (logs_file_read(&r->job, path, err) == 0) continue;
        /* What can be read of the others, and came before, is reported. */
        r->unread++;
        if (r->is_terminal) fputs("\r\033[K", printable_past(2));
        fprintf(stderr, "weir logs: %s\n", err->text);
        err->text[0] = 0;
    }
    if (r->is_terminal) fputs("\r\033[K", printable_past(2));
    if (r->unread && !r->job.bytes) return EX_NOINPUT;
    tell_rest(r);
    return EX_OK;
}

int logs_run_end(const struct logs_run *r, int code)
{
    return code == EX_OK && r->unread ? EX_NOINPUT : code;
}

int logs_run_job(const struct logs_options *o, struct logs_run *r)
{
    struct err err = { "" };
    int code = prepare(r, o, &err);
    if (code == EX_OK && r->before) code = r->before(r, &err);
    if (code == EX_OK) code = read_files(r, &err);
    if (code != EX_OK && *err.text) fprintf(stderr, "weir logs: %s\n", err.text);
    filter_free(r->job.filter);
    return code;
}

int logs_print_text(const struct text *t)
{
    if (fwrite(t->data, 1, t->len, stdout) != t->len || fflush(stdout) == EOF) return EX_IOERR;
    if (!t->is_cut) return EX_OK;
    fputs("weir logs: the output was cut; ask for fewer with --top\n", stderr);
    return EX_SOFTWARE;
}

int logs_print_json(struct json *j)
{
    bool is_whole = !j->is_failed && fwrite(j->data, 1, j->len, stdout) == j->len &&
                    fputc('\n', stdout) != EOF;
    json_fini(j);
    return is_whole ? EX_OK : EX_IOERR;
}

char *logs_output_memory(void)
{
    char *memory = malloc(LOGS_TEXT_MAX);
    if (!memory) fputs("weir logs: out of memory\n", stderr);
    return memory;
}
