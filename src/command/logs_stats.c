#include <stdlib.h>
#include <sysexits.h>

#include "command/logs_run.h"
#include "logs/report.h"

struct stats {
    struct logs_run run; /* first */
    struct tally *tally;
};

static void add_to_tally(void *context, const struct log_entry *e)
{
    struct stats *s = context;
    tally_add(s->tally, e, 0);
}

static void add_malformed(void *context, struct slice line)
{
    struct stats *s = context;
    s->run.malformed++;
    tally_add_malformed(s->tally, line);
}

static int print_stats_json(const struct stats *s, uint32_t top)
{
    struct json j;
    json_init(&j, LOGS_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "first");
    json_u64(&j, tally_first_s(s->tally));
    json_key(&j, "last");
    json_u64(&j, tally_last_s(s->tally));
    json_key(&j, "malformed");
    report_malformed_json(s->tally, &j);
    json_key(&j, "all");
    report_json(tally_period(s->tally, TALLY_ALL, 0), top, &j);
    json_object_end(&j);
    return logs_print_json(&j);
}

static void add_malformed_text(const struct tally *t, struct text *out)
{
    struct tally_malformed m;
    tally_malformed(t, &m);
    if (!m.count) return;
    text_printf(out, "\n%llu lines are no records of this format, for instance\n",
                (unsigned long long)m.count);
    for (uint32_t i = 0; i < m.sample_count; i++) {
        TEXT_LITERAL(out, "  ");
        report_printable(m.samples[i], out);
        text_add_char(out, '\n');
    }
}

static int print_stats_text(const struct stats *s, uint32_t top)
{
    char *memory = logs_output_memory();
    if (!memory) return EX_OSERR;
    struct text t = text_over(memory, LOGS_TEXT_MAX);
    report_text(tally_period(s->tally, TALLY_ALL, 0), top, &t);
    add_malformed_text(s->tally, &t);
    int code = logs_print_text(&t);
    free(memory);
    return code;
}

static int stats_open(struct stats **out)
{
    struct err err;
    struct stats *s = calloc(1, sizeof(*s));
    if (s && tally_new(&s->tally, false, &err) == 0) {
        s->run.job.on_entry = add_to_tally;
        *out = s;
        return EX_OK;
    }
    fprintf(stderr, "weir logs: %s\n", s ? err.text : "out of memory");
    free(s);
    return EX_OSERR;
}

static void stats_close(struct stats *s)
{
    tally_free(s->tally);
    free(s);
}

int logs_stats(const struct logs_options *o)
{
    struct stats *s = NULL;
    int code = stats_open(&s);
    if (code != EX_OK) return code;
    s->run.job.on_malformed = add_malformed;
    code = logs_run_job(o, &s->run);
    uint32_t top = o->top ? o->top : 10;
    if (code == EX_OK) code = o->output == LOGS_JSON ? print_stats_json(s, top) : print_stats_text(s, top);
    code = logs_run_end(&s->run, code);
    stats_close(s);
    return code;
}

/* errors, paths: one dimension of the statistics */

static int print_top(const struct stats *s, enum period_dimension d, uint32_t max, bool is_json)
{
    const struct period *p = tally_period(s->tally, TALLY_ALL, 0);
    if (is_json) {
        struct json j;
        json_init(&j, LOGS_TEXT_MAX, true);
        report_top_json(p, d, max, &j);
        return logs_print_json(&j);
    }
    struct top_entry *entries = calloc(max, sizeof(*entries));
    uint32_t count = entries ? top_list(p->tops[d], entries, max) : 0;
    for (uint32_t i = 0; i < count; i++)
        printf("%12llu  %.*s\n", (unsigned long long)entries[i].count, SLICE_ARGS(entries[i].key));
    free(entries);
    return EX_OK;
}

/* `where`: of those that match it alone; NULL: of all. */
static int tell_top(const struct logs_options *o, enum period_dimension d, const char *where)
{
    struct stats *s = NULL;
    int code = stats_open(&s);
    if (code != EX_OK) return code;
    struct logs_options narrowed = *o;
    char both[FILTER_TEXT_MAX];
    if (where && o->where)
        snprintf(both, sizeof(both), "%s && (%s)", where, o->where);
    else if (where)
        snprintf(both, sizeof(both), "%s", where);
    if (where) narrowed.where = both;
    code = logs_run_job(&narrowed, &s->run);
    if (code == EX_OK) code = print_top(s, d, o->top ? o->top : 20, o->output == LOGS_JSON);
    code = logs_run_end(&s->run, code);
    stats_close(s);
    return code;
}

int logs_paths(const struct logs_options *o)
{
    return tell_top(o, PERIOD_PATH, NULL);
}

int logs_errors(const struct logs_options *o)
{
    return tell_top(o, PERIOD_PATH, "status>=500");
}
