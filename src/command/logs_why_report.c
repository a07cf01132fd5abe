#include <stdlib.h>
#include <sysexits.h>

#include "command/logs_why.h"
#include "logs/report.h"

#define KEYS_PRESET 3u

static uint32_t keys_of(const struct why *w)
{
    return w->options.top ? w->options.top : KEYS_PRESET;
}

/* as text */

static void add_keys(const struct top *top, const char *words, uint32_t max, struct text *t)
{
    struct top_entry *entries = calloc(max, sizeof(*entries));
    uint32_t count = entries ? top_list(top, entries, max) : 0;
    if (count) text_printf(t, "    %s", words);
    for (uint32_t i = 0; i < count; i++) {
        text_printf(t, "%s ", i ? "," : "");
        report_printable(entries[i].key, t);
        text_printf(t, " (%s%llu)", entries[i].error ? "about " : "", (unsigned long long)entries[i].count);
    }
    uint32_t kept = top_count(top);
    if (kept == FAULT_KEYS && count < kept)
        TEXT_LITERAL(t, ", and many more");
    else if (count < kept)
        text_printf(t, ", and %u more", kept - count);
    if (count) text_add_char(t, '\n');
    free(entries);
}

static void add_bits(uint32_t bits, struct text *t)
{
    bool is_first = true;
    for (unsigned i = 0; i < FAULT_EVIDENCE_COUNT; i++) {
        if (!(bits & 1u << i)) continue;
        text_printf(t, "%s%s", is_first ? " " : ", ", fault_evidence_text((enum fault_evidence)i));
        is_first = false;
    }
}

static void add_example(const char *words, const char *data, uint32_t len, struct text *t)
{
    if (!len) return;
    text_printf(t, "    %s ", words);
    report_printable((struct slice){ data, len }, t);
    text_add_char(t, '\n');
}

static void add_sum(const struct why *w, enum fault_kind kind, struct text *t)
{
    const struct fault_sum *s = w->tally.sums[kind];
    const struct fault_info *info = fault_info(kind);
    char first[WHY_TIME_MAX], last[WHY_TIME_MAX];
    text_printf(t, "%10llu  %s (%s): %s.\n", (unsigned long long)s->requests, info->name,
                fault_origin_name(kind), fault_what(kind));
    if (s->attempts)
        text_printf(t,
                    "    and %llu further attempts that failed so, and did not decide what the client got\n",
                    (unsigned long long)s->attempts);
    TEXT_LITERAL(t, "    known by");
    add_bits(s->evidence, t);
    if (s->first_s) text_printf(t, "; from %s to %s", why_time(s->first_s, first), why_time(s->last_s, last));
    text_add_char(t, '\n');
    add_keys(s->servers, "servers:", keys_of(w), t);
    add_keys(s->paths, "paths:", keys_of(w), t);
    add_keys(s->clients, "clients:", keys_of(w), t);
    if (*info->remedy) text_printf(t, "    to do: %s\n", info->remedy);
    if (s->wants) {
        TEXT_LITERAL(t, "    what would tell:");
        add_bits(s->wants, t);
        text_add_char(t, '\n');
    }
    add_example("e.g.", s->record, s->record_len, t);
    add_example(s->record_len ? "    " : "e.g.", s->line, s->line_len, t);
    text_add_char(t, '\n');
}

static void add_summary(const struct why *w, uint32_t kinds, struct text *t)
{
    text_printf(t, "%llu records, %llu lines of error logs", (unsigned long long)w->tally.records,
                (unsigned long long)w->error_lines);
    if (!kinds) TEXT_LITERAL(t, ": nothing that went wrong");
    text_printf(t, ".\n");
    if (w->caches[0] + w->caches[1] + w->caches[2] + w->caches[3])
        text_printf(t, "The cache: %llu HIT, %llu MISS, %llu STALE, %llu EXPIRED.\n",
                    (unsigned long long)w->caches[0], (unsigned long long)w->caches[1],
                    (unsigned long long)w->caches[2], (unsigned long long)w->caches[3]);
    text_add_char(t, '\n');
}

static bool has_stories(const struct why *w)
{
    return w->story_count && w->taken == w->story_count;
}

int why_print_text(const struct why *w)
{
    enum fault_kind order[FAULT_KIND_COUNT];
    char *memory = logs_output_memory();
    if (!memory) return EX_OSERR;
    struct text t = text_over(memory, LOGS_TEXT_MAX);
    uint32_t kinds = fault_tally_order(&w->tally, order);
    for (uint32_t i = 0; has_stories(w) && i < w->story_count; i++) {
        text_add(&t, w->stories[i].text, w->stories[i].text_len);
        text_add_char(&t, '\n');
    }
    if (!has_stories(w)) {
        add_summary(w, kinds, &t);
        for (uint32_t i = 0; i < kinds; i++) add_sum(w, order[i], &t);
    }
    int code = logs_print_text(&t);
    free(memory);
    return code;
}

/* as JSON */

static void put_keys(struct json *j, const char *name, const struct top *top, uint32_t max)
{
    struct top_entry *entries = calloc(max, sizeof(*entries));
    uint32_t count = entries ? top_list(top, entries, max) : 0;
    json_key(j, name);
    json_array(j);
    for (uint32_t i = 0; i < count; i++) {
        json_object(j);
        json_key(j, "key");
        json_slice(j, entries[i].key);
        json_key(j, "count");
        json_u64(j, entries[i].count);
        json_key(j, "error");
        json_u64(j, entries[i].error);
        json_object_end(j);
    }
    json_array_end(j);
    free(entries);
}

static void put_bits(struct json *j, const char *name, uint32_t bits)
{
    json_key(j, name);
    json_array(j);
    for (unsigned i = 0; i < FAULT_EVIDENCE_COUNT; i++)
        if (bits & 1u << i) json_string(j, fault_evidence_text((enum fault_evidence)i));
    json_array_end(j);
}

static void put_time(struct json *j, const char *name, uint64_t time_s)
{
    char text[WHY_TIME_MAX];
    json_key(j, name);
    json_string(j, time_s ? why_time(time_s, text) : NULL);
}

static void put_number(struct json *j, const char *name, uint64_t number)
{
    json_key(j, name);
    json_u64(j, number);
}

static void put_kind(struct json *j, enum fault_kind kind)
{
    const struct fault_info *info = fault_info(kind);
    bool has_reason = info->reason != END_NONE && info->reason != END_OK;
    json_key(j, "fault");
    json_string(j, info->name);
    json_key(j, "by");
    json_string(j, fault_origin_name(kind));
    json_key(j, "what");
    json_string(j, fault_what(kind));
    json_key(j, "remedy");
    json_string(j, *info->remedy ? info->remedy : NULL);
    json_key(j, "weir_reason"); /* as `weir why` and the API call it */
    json_string(j, has_reason ? end_reason_info(info->reason)->name : NULL);
}

static void put_sum(const struct why *w, enum fault_kind kind, struct json *j)
{
    const struct fault_sum *s = w->tally.sums[kind];
    json_object(j);
    put_kind(j, kind);
    put_number(j, "requests", s->requests);
    put_number(j, "attempts", s->attempts);
    put_number(j, "by_error_log", s->by_line);
    put_number(j, "by_access_log", s->by_record);
    put_bits(j, "evidence", s->evidence);
    put_bits(j, "wants", s->wants);
    put_time(j, "first", s->first_s);
    put_time(j, "last", s->last_s);
    put_keys(j, "servers", s->servers, keys_of(w));
    put_keys(j, "paths", s->paths, keys_of(w));
    put_keys(j, "clients", s->clients, keys_of(w));
    json_key(j, "record");
    json_slice(j, (struct slice){ s->record, s->record_len });
    json_key(j, "line");
    json_slice(j, (struct slice){ s->line, s->line_len });
    json_object_end(j);
}

static void put_story(const struct why_story *story, struct json *j)
{
    json_object(j);
    put_time(j, "time", story->time_s);
    put_kind(j, story->verdict.kind);
    put_bits(j, "evidence", story->verdict.evidence);
    put_bits(j, "wants", story->verdict.wants);
    json_key(j, "story");
    json_slice(j, (struct slice){ story->text, story->text_len });
    json_object_end(j);
}

int why_print_json(const struct why *w)
{
    enum fault_kind order[FAULT_KIND_COUNT];
    uint32_t kinds = fault_tally_order(&w->tally, order);
    struct json j;
    json_init(&j, LOGS_TEXT_MAX, true);
    json_object(&j);
    put_number(&j, "records", w->tally.records);
    put_number(&j, "error_lines", w->error_lines);
    put_number(&j, "with_fault", w->tally.with_fault);
    json_key(&j, "faults");
    json_array(&j);
    for (uint32_t i = 0; i < kinds; i++) put_sum(w, order[i], &j);
    json_array_end(&j);
    json_key(&j, "requests");
    json_array(&j);
    for (uint32_t i = 0; has_stories(w) && i < w->story_count; i++) put_story(&w->stories[i], &j);
    json_array_end(&j);
    json_object_end(&j);
    return logs_print_json(&j);
}
