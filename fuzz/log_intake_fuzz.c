/* The first byte chooses lines or JSON and how the rest is cut; whole or in pieces the same records come out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "logs/intake.h"

#define OUT_MAX (1u << 16)

static char memories[2][OUT_MAX];

static void on_entry(void *context, struct log_entry *e)
{
    struct text *t = context;
    text_printf(t, "%u %llu %llu ", e->status, (unsigned long long)e->time_s,
                (unsigned long long)e->request_us);
    for (unsigned i = 0; i < LOG_FIELD_MAX; i++) text_add_slice(t, e->values[i]);
    text_add_slice(t, e->path);
}

static void on_malformed(void *context, struct slice bytes)
{
    (void)bytes;
    struct text *t = context;
    TEXT_LITERAL(t, "!");
}

static const struct intake_events events = { on_entry, on_malformed };

static struct text read_all(const uint8_t *data, size_t size, size_t cut, const struct line_format *format,
                            char *memory)
{
    struct text t = text_over(memory, OUT_MAX);
    struct intake *in = NULL;
    struct err err;
    if (intake_new(&in, format, &events, &t, &err) < 0) abort();
    for (size_t at = 0; at < size; at += cut) {
        size_t n = size - at < cut ? size - at : cut;
        char *piece = calloc(1, n + INTAKE_SLACK);
        memcpy(piece, data + at, n);
        intake_feed(in, (struct slice){ piece, n });
        if (intake_pending(in) > at + n) abort();
        free(piece);
    }
    intake_end(in);
    intake_free(in);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct line_format combined;
    struct err err;
    if (!combined.step_count &&
        line_format_compile(&combined, slice_of(line_format_combined), LINE_ESCAPE_DEFAULT, &err) < 0)
        abort();
    if (size < 2 || size > 8192) return 0;
    const struct line_format *format = data[0] & 1 ? &combined : NULL;
    struct text whole = read_all(data + 1, size - 1, size, format, memories[0]);
    struct text pieces = read_all(data + 1, size - 1, 1 + (data[0] >> 1), format, memories[1]);
    if (whole.len != pieces.len || memcmp(whole.data, pieces.data, whole.len) != 0) abort();
    return 0;
}
