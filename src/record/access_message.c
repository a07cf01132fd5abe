#include "record/access_message.h"

#include <string.h>

#include "base/bug.h"
#include "base/log_line.h"
#include "base/utf8.h"

/* Between the fields of a prefix; likewise never in a value. */
#define FIELD_MARK '\x1e'
/* A head of syslog: host and tag are at most 64 and 48 bytes. */
#define HEAD_MAX 256u
/* Fields of journald beside the line: names of the configuration, ids, and what a client called its request, of which no more is shown. */
#define FIELDS_MAX 8192u
#define FIELD_MAX 512u

struct slice access_message_prefix(enum access_message_kind kind)
{
    if (kind != ACCESS_MESSAGE_JOURNALD) return SLICE("$weir_time");
    return SLICE("WEIR_ID=$weir_id\x1eWEIR_REQUEST_ID=$request_id\x1eWEIR_TRACE_ID=$weir_trace_id\x1e"
                 "WEIR_CLIENT=$remote_addr\x1eWEIR_STATUS=$status\x1eWEIR_END=$weir_end\x1e"
                 "WEIR_LISTENER=$weir_listener\x1eWEIR_ROUTE=$weir_route\x1eWEIR_POOL=$weir_pool\x1e"
                 "WEIR_SERVER=$weir_server");
}

/* Up to `mark`, which `rest` is behind then; all of it if there is none. */
static struct slice cut(struct slice *rest, char mark)
{
    const char *at = rest->len ? memchr(rest->data, mark, rest->len) : NULL;
    struct slice front = { rest->data, at ? (size_t)(at - rest->data) : rest->len };
    *rest = at ? (struct slice){ at + 1, rest->len - front.len - 1 } : SLICE_NONE;
    return front;
}

/* As much of `line` as has room; a cut one ends with dots, and with no half of a character. */
static struct slice shorten(struct slice line, size_t room)
{
    size_t at = 0, len;
    if (line.len <= room) return line;
    room -= 3;
    for (; at < room; at += len) {
        len = utf8_sequence_len((struct slice){ line.data + at, line.len - at });
        if (!len) len = 1;
        if (at + len > room) break;
    }
    return (struct slice){ line.data, at };
}

static void add_line(struct text *out, struct slice line, size_t room)
{
    struct slice shown = shorten(line, room);
    text_add_slice(out, shown);
    if (shown.len < line.len) TEXT_LITERAL(out, "...");
}

/* syslog */

/* A PRINTUSASCII word, or "-". */
static void add_word(struct text *out, const char *word, size_t max)
{
    size_t from = out->len;
    for (; word && *word && out->len - from < max; word++)
        if (*word > ' ' && *word < 0x7f) text_add_char(out, *word);
    if (out->len == from) text_add_char(out, '-');
}

static void add_head(const struct access_message_form *f, struct slice time, struct text *out)
{
    text_add_char(out, '<');
    text_add_u64(out, f->facility * 8 + f->severity);
    TEXT_LITERAL(out, ">1 ");
    text_add_slice(out, time);
    text_add_char(out, ' ');
    add_word(out, f->host, 64);
    text_add_char(out, ' ');
    add_word(out, f->tag, 48);
    text_add_char(out, ' ');
    text_add_u64(out, (uint64_t)f->pid);
    TEXT_LITERAL(out, " access - ");
}

static void make_syslog(const struct access_message_form *f, struct slice prefix, struct slice line,
                        struct text *out)
{
    char memory[HEAD_MAX];
    struct text head = text_over(memory, sizeof(memory));
    add_head(f, prefix, &head);
    size_t room = ACCESS_MESSAGE_MAX - head.len, len = head.len + line.len;
    if (line.len > room) len = head.len + shorten(line, room).len + 3;
    if (f->kind == ACCESS_MESSAGE_SYSLOG_COUNTED) {
        text_add_u64(out, len);
        text_add_char(out, ' ');
    }
    text_add_slice(out, text_slice(&head));
    add_line(out, line, room);
}

/* journald */

/* What an exchange does not have is left out. */
static void add_field(struct slice field, struct text *out)
{
    struct slice name = cut(&field, '=');
    bool is_missing = field.len == 0 || slice_equal(field, SLICE("-"));
    if (field.len > FIELD_MAX) field = shorten(field, FIELD_MAX);
    if (!is_missing) log_journal_field(out, name, field);
}

static void make_journald(const struct access_message_form *f, struct slice prefix, struct slice line,
                          struct text *out)
{
    size_t from = out->len;
    TEXT_LITERAL(out, "SYSLOG_IDENTIFIER=");
    add_word(out, f->tag, 48);
    TEXT_LITERAL(out, "\nPRIORITY=");
    text_add_u64(out, f->severity);
    TEXT_LITERAL(out, "\nWEIR_EVENT=access\n");
    while (prefix.len && out->len - from < FIELDS_MAX) add_field(cut(&prefix, FIELD_MARK), out);
    TEXT_LITERAL(out, "MESSAGE=");
    add_line(out, line, ACCESS_MESSAGE_MAX - (out->len - from) - 1);
    text_add_char(out, '\n');
}

void access_message_make(const struct access_message_form *f, struct slice line, struct text *out)
{
    struct slice prefix = cut(&line, ACCESS_MESSAGE_MARK);
    if (f->kind == ACCESS_MESSAGE_JOURNALD)
        make_journald(f, prefix, line, out);
    else
        make_syslog(f, prefix, line, out);
}
