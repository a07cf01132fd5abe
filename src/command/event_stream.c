#include "command/event_stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

struct event_stream *event_stream_new(void (*on_event)(void *context, const char *kind, struct slice data),
                                      void *context)
{
    struct event_stream *s = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->on_event = on_event;
    s->context = context;
    return s;
}

static void take_line(struct event_stream *s)
{
    struct slice line = { s->line, s->len };
    s->line[s->len] = 0;
    if (slice_starts_with(line, SLICE("event: "))) {
        struct text t = text_over(s->kind, sizeof(s->kind));
        text_add(&t, line.data + 7, line.len - 7);
        text_cstr(&t);
    } else if (slice_starts_with(line, SLICE("data: ")) && !s->is_too_long) {
        s->on_event(s->context, s->kind, (struct slice){ line.data + 6, line.len - 6 });
    }
    s->len = 0;
    s->is_too_long = false;
}

void event_stream_feed(struct event_stream *s, struct slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.data[i] == '\n')
            take_line(s);
        else if (s->len < EVENT_STREAM_DATA_MAX)
            s->line[s->len++] = piece.data[i];
        else
            s->is_too_long = true;
    }
}

bool event_stream_on_piece(void *event_stream, struct slice piece)
{
    event_stream_feed(event_stream, piece);
    return fflush(stdout) != EOF;
}
