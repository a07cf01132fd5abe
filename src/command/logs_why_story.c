#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command/logs_why.h"
#include "logs/report.h"

#define STORY_BYTES (64u << 10)

const char *why_time(uint64_t time_s, char out[WHY_TIME_MAX])
{
    time_t at = (time_t)time_s;
    struct tm tm;
    if (!time_s || !gmtime_r(&at, &tm) || !strftime(out, WHY_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, WHY_TIME_MAX, "-");
    return out;
}

static void add_seconds(struct text *t, const char *words, uint64_t us)
{
    text_printf(t, "%s %.3f s", words, (double)us / 1e6);
}

static void tell_request(const struct log_entry *e, struct text *t)
{
    char at[WHY_TIME_MAX];
    text_printf(t, "%s  ", why_time(e->time_s, at));
    report_printable(e->method.len ? e->method : SLICE("a request"), t);
    text_add_char(t, ' ');
    report_printable(e->values[LOG_TARGET], t);
    TEXT_LITERAL(t, " of ");
    report_printable(e->values[LOG_CLIENT].len ? e->values[LOG_CLIENT] : SLICE("somebody"), t);
    text_printf(t, " got %u", e->status);
    if (e->request_us != UINT64_MAX) add_seconds(t, " after", e->request_us);
    text_printf(t, ", %llu bytes.\n", (unsigned long long)e->bytes);
}

static void tell_try(const struct fault_tries *tries, uint32_t i, struct text *t)
{
    const struct fault_try *one = &tries->tries[i];
    text_printf(t, "  attempt %u at ", i + 1);
    report_printable(one->server.len ? one->server : SLICE("a server"), t);
    if (one->connect_us != UINT64_MAX)
        add_seconds(t, ": connected after", one->connect_us);
    else
        text_printf(t, "%s",
                    tries->has_connect ? ": no connection" : ": when it was connected the log does not say");
    if (one->header_us != UINT64_MAX)
        add_seconds(t, ", its answer began after", one->header_us);
    else if (tries->has_header)
        TEXT_LITERAL(t, ", no answer");
    if (one->response_us != UINT64_MAX) add_seconds(t, ", over after", one->response_us);
    if (one->status) text_printf(t, ", noted as %u", one->status);
    TEXT_LITERAL(t, ".\n");
}

static void tell_tries(const struct fault_tries *tries, struct text *t)
{
    uint32_t kept = tries->count < FAULT_TRIES_MAX ? tries->count : FAULT_TRIES_MAX;
    for (uint32_t i = 0; i < kept; i++) tell_try(tries, i, t);
    if (!kept && tries->has_servers) TEXT_LITERAL(t, "  No server was asked.\n");
}

static void tell_verdict(const struct fault_verdict *v, struct text *t)
{
    if (v->kind == FAULT_NONE) {
        TEXT_LITERAL(t, "  Nothing is wrong with it, as far as the logs say.\n");
        return;
    }
    text_printf(t, "  %s (%s): %s.\n", fault_info(v->kind)->name, fault_origin_name(v->kind),
                fault_what(v->kind));
    if (*fault_info(v->kind)->remedy) text_printf(t, "  to do: %s.\n", fault_info(v->kind)->remedy);
    if (!v->wants) return;
    TEXT_LITERAL(t, "  It could be told with");
    for (unsigned i = 0; i < FAULT_EVIDENCE_COUNT; i++)
        if (v->wants & 1u << i) text_printf(t, " %s", fault_evidence_text((enum fault_evidence)i));
    TEXT_LITERAL(t, ".\n");
}

/* NULL: there is no memory for one more. */
static struct why_story *begin(struct why *w, struct text *t)
{
    struct why_story *story = &w->stories[w->story_count];
    story->text = malloc(STORY_BYTES);
    if (!story->text) return NULL;
    *t = text_over(story->text, STORY_BYTES);
    w->story_count++;
    return story;
}

static void add_line(struct text *t, struct slice line)
{
    TEXT_LITERAL(t, "  error log: ");
    report_printable(line, t);
    text_add_char(t, '\n');
}

void why_tell_line(struct why *w, enum fault_kind kind, uint64_t time_s, struct slice text)
{
    struct text t;
    struct why_story *story = begin(w, &t);
    char at[WHY_TIME_MAX];
    if (!story) return;
    story->verdict = (struct fault_verdict){ .kind = kind };
    story->time_s = time_s;
    text_printf(&t, "%s  in the error log alone\n", why_time(time_s, at));
    add_line(&t, text);
    tell_verdict(&story->verdict, &t);
    story->text_len = t.len;
}

void why_say(struct why *w)
{
    for (uint32_t i = 0; i < w->story_count; i++) {
        fwrite(w->stories[i].text, 1, w->stories[i].text_len, stdout);
        free(w->stories[i].text);
    }
    if (w->story_count) fflush(stdout);
    w->story_count = 0;
}

void why_tell(struct why *w, const struct log_entry *e, const struct fault_tries *tries,
              const struct fault_verdict *verdict, const struct fault_waiting *lines, uint32_t line_count)
{
    struct text t;
    struct why_story *story = begin(w, &t);
    if (!story) return;
    story->verdict = *verdict;
    story->time_s = e->time_s;
    tell_request(e, &t);
    tell_tries(tries, &t);
    for (uint32_t i = 0; i < line_count; i++) add_line(&t, fault_join_text(w->join, &lines[i]));
    tell_verdict(verdict, &t);
    story->text_len = t.len;
}
