/* An error log, of which what is read lies within its lines and every line is told or handed back exactly once; every second
 * line is asked for as an access log's record of the same request would ask. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logs/entry_value.h"
#include "logs/fault_join.h"
#include "logs/fault_message.h"

#define WAITING 8u

static uint64_t left;

static void on_left(void *context, const struct fault_waiting *w, struct slice text)
{
    struct error_line line;
    (void)context;
    left++;
    if (text.len && (!error_line_read(text, &line) || line.local_s != w->local_s)) abort();
}

static void check_within(struct slice value, struct slice line)
{
    if (value.len && (value.data < line.data || value.data + value.len > line.data + line.len)) abort();
}

static void check(const struct error_line *e, struct slice line)
{
    const struct slice values[] = { e->message, e->action,  e->client,
                                    e->server,  e->request, e->upstream,
                                    e->host,    e->referer, error_line_server(e->upstream) };
    for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) check_within(values[i], line);
    if (e->level >= ERROR_LEVEL_COUNT || e->code < 0) abort();
}

static uint32_t ask(struct fault_join *j, const struct error_line *line)
{
    struct fault_waiting taken[FAULT_JOIN_TAKEN_MAX];
    struct log_entry e = { 0 };
    e.values[LOG_CLIENT] = line->client;
    e.values[LOG_REQUEST] = line->request;
    entry_derive(&e);
    const struct fault_record_time when = { .local_s = line->local_s, .took_s = line->code ? 1 : UINT64_MAX };
    return fault_join_take(j, &e, &when, (uint32_t)line->code % 3, taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault_join *j = NULL;
    struct err err;
    uint64_t added = 0, taken = 0;
    const char *p = (const char *)data, *end = p + size;
    left = 0;
    if (fault_join_new(&j, WAITING, on_left, NULL, &err) < 0) abort();
    while (p < end) {
        struct error_line e;
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        /* A copy of its own, so that reading behind it is seen. */
        size_t len = (size_t)((newline ? newline : end) - p);
        char *copy = malloc(len ? len : 1);
        if (!copy) abort();
        memcpy(copy, p, len);
        struct slice line = { copy, len };
        if (error_line_read(line, &e)) {
            check(&e, line);
            enum fault_kind kind = fault_of_message(&e);
            if ((unsigned)kind >= FAULT_KIND_COUNT) abort();
            fault_join_add(j, &e, kind, true, line);
            if (++added % 2) taken += ask(j, &e);
        }
        free(copy);
        p = newline ? newline + 1 : end;
    }
    fault_join_end(j);
    if (added != taken + left || fault_join_count(j)) abort();
    fault_join_free(j);
    return 0;
}
