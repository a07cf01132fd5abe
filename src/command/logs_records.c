/* Commands of `weir logs` that show records: those that match, and those that took longest. */
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/printable.h"
#include "command/logs_run.h"
#include "command/table.h"

/* grep */

static void print_line(void *context, const struct log_entry *e)
{
    struct logs_run *r = context;
    if (e->line.data) {
        fwrite(e->line.data, 1, e->line.len, r->out);
    } else {
        /* A JSON record longer than is held is told by its main values. */
        fprintf(
            r->out, "%.*s %.*s \"%.*s %.*s\" %u %llu", SLICE_ARGS(e->values[LOG_CLIENT]),
            SLICE_ARGS(e->values[LOG_TIME_ISO].data ? e->values[LOG_TIME_ISO] : e->values[LOG_TIME_LOCAL]),
            SLICE_ARGS(e->method), SLICE_ARGS(e->values[LOG_TARGET]), e->status,
            (unsigned long long)e->bytes);
    }
    fputc('\n', r->out);
    if (ferror(r->out)) r->job.is_stopped = true;
}

int logs_grep(const struct logs_options *o)
{
    struct logs_run *r = calloc(1, sizeof(*r));
    if (!r) return EX_OSERR;
    r->job.on_entry = print_line;
    /* As it is, unless somebody looks. */
    r->out = isatty(1) ? stdout : printable_past(1);
    int code = logs_run_job(o, r);
    if (fflush(r->out) == EOF && code == EX_OK) code = EX_IOERR;
    code = logs_run_end(r, code);
    free(r);
    return code;
}

/* slow */

struct slow_record {
    uint64_t us;
    char line[1024];
};

struct slow {
    struct logs_run run; /* first */
    uint32_t count, max;
    struct slow_record *heap; /* the quickest of them on top */
};

static void sift_down(struct slow *s, uint32_t at)
{
    for (;;) {
        uint32_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < s->count && s->heap[left].us < s->heap[least].us) least = left;
        if (right < s->count && s->heap[right].us < s->heap[least].us) least = right;
        if (least == at) return;
        struct slow_record other = s->heap[at];
        s->heap[at] = s->heap[least];
        s->heap[least] = other;
        at = least;
    }
}

static void keep_line(struct slow_record *r, const struct log_entry *e)
{
    struct text t = text_over(r->line, sizeof(r->line));
    r->us = e->request_us;
    if (e->line.data) {
        text_add_slice(&t, e->line);
    } else {
        text_add_slice(&t, e->method);
        text_add_char(&t, ' ');
        text_add_slice(&t, e->values[LOG_TARGET]);
        text_printf(&t, " %u", e->status);
    }
    text_cstr(&t);
    table_clean(r->line);
}

static void add_slow(void *context, const struct log_entry *e)
{
    struct slow *s = context;
    if (e->request_us == UINT64_MAX) return;
    if (s->count < s->max) {
        keep_line(&s->heap[s->count++], e);
        for (uint32_t i = s->count == s->max ? s->max / 2 + 1 : 0; i-- > 0;) sift_down(s, i);
    } else if (e->request_us > s->heap[0].us) {
        keep_line(&s->heap[0], e);
        sift_down(s, 0);
    }
}

static int slower_first(const void *left, const void *right)
{
    const struct slow_record *a = left, *b = right;
    return (a->us < b->us) - (a->us > b->us);
}

static int print_slow_json(const struct slow *s)
{
    struct json j;
    json_init(&j, LOGS_TEXT_MAX, true);
    json_array(&j);
    for (uint32_t i = 0; i < s->count; i++) {
        json_object(&j);
        json_key(&j, "request_s");
        json_double(&j, (double)s->heap[i].us / 1e6);
        json_key(&j, "record");
        json_string(&j, s->heap[i].line);
        json_object_end(&j);
    }
    json_array_end(&j);
    return logs_print_json(&j);
}

int logs_slow(const struct logs_options *o)
{
    struct slow *s = calloc(1, sizeof(*s));
    if (s) s->heap = calloc(o->top ? o->top : 20, sizeof(*s->heap));
    if (!s || !s->heap) {
        free(s);
        return EX_OSERR;
    }
    s->max = o->top ? o->top : 20;
    s->run.job.on_entry = add_slow;
    int code = logs_run_job(o, &s->run);
    qsort(s->heap, s->count, sizeof(*s->heap), slower_first);
    if (code == EX_OK && o->output == LOGS_JSON)
        code = print_slow_json(s);
    else
        for (uint32_t i = 0; code == EX_OK && i < s->count; i++)
            printf("%10.3f s  %s\n", (double)s->heap[i].us / 1e6, s->heap[i].line);
    if (code == EX_OK && !s->count)
        fputs("weir logs: no record says how long its request took; log $request_time\n", stderr);
    code = logs_run_end(&s->run, code);
    free(s->heap);
    free(s);
    return code;
}
