#include "base/printable.h"

#include <errno.h>
#include <unistd.h>

#include "base/utf8.h"

#define PIECE_BYTES 4096u
#define SEQUENCE_MAX 4u

/* What may be shown at the front of `s`, in bytes; 0: its first byte may not. C1 is U+0080 to U+009F. */
static size_t plain_len(struct slice s)
{
    size_t len = utf8_sequence_len(s);
    unsigned char first = (unsigned char)s.data[0];
    if (len == 1) return first >= ' ' && first != 0x7f;
    return len == 2 && first == 0xc2 && (unsigned char)s.data[1] < 0xa0 ? 0 : len;
}

static void add_escaped(struct text *out, char c)
{
    TEXT_LITERAL(out, "\\x");
    text_add_hex(out, (unsigned char)c, 2);
}

void printable_add(struct text *out, struct slice s)
{
    while (s.len) {
        size_t len = plain_len(s);
        if (len)
            text_add(out, s.data, len);
        else
            add_escaped(out, *s.data);
        s = (struct slice){ s.data + (len ? len : 1), s.len - (len ? len : 1) };
    }
}

void printable_mask(char *text)
{
    while (*text) {
        size_t len = plain_len(slice_of(text)), sequence = utf8_sequence_len(slice_of(text));
        if (!len) memset(text, '?', len = sequence ? sequence : 1);
        text += len;
    }
}

/* streams */

/* Of one descriptor. A sequence that is not complete waits for what is printed next. */
struct stream {
    int fd;
    size_t held;
    char bytes[SEQUENCE_MAX];
};

static bool write_bytes(int fd, struct slice s)
{
    while (s.len) {
        ssize_t n = write(fd, s.data, s.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        s = (struct slice){ s.data + n, s.len - (size_t)n };
    }
    return true;
}

/* Whether `s` is the beginning of a sequence of UTF-8. */
static bool is_begun(struct slice s)
{
    unsigned char first = (unsigned char)s.data[0];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    if (first > 0xf4 || s.len >= len) return false;
    for (size_t i = 1; i < s.len; i++)
        if (((unsigned char)s.data[i] & 0xc0) != 0x80) return false;
    return true;
}

/* As much of `s` as there is room for; the rest is returned. */
static struct slice add_shown(struct text *out, struct slice s)
{
    while (s.len && out->cap - out->len >= SEQUENCE_MAX) {
        size_t len = *s.data == '\n' || *s.data == '\t' ? 1 : plain_len(s);
        if (!len && is_begun(s)) return s;
        if (len)
            text_add(out, s.data, len);
        else
            add_escaped(out, *s.data);
        s = (struct slice){ s.data + (len ? len : 1), s.len - (len ? len : 1) };
    }
    return s;
}

/* What is held is completed byte by byte, or turns out to be no sequence. */
static struct slice finish_held(struct stream *f, struct slice s, struct text *out)
{
    while (f->held && s.len) {
        f->bytes[f->held++] = *s.data;
        s = (struct slice){ s.data + 1, s.len - 1 };
        struct slice rest = add_shown(out, (struct slice){ f->bytes, f->held });
        memmove(f->bytes, rest.data, rest.len);
        f->held = rest.len;
    }
    return s;
}

static ssize_t write_shown(void *cookie, const char *data, size_t size)
{
    struct stream *f = cookie;
    char memory[PIECE_BYTES];
    struct text out = text_over(memory, sizeof(memory));
    struct slice rest = finish_held(f, (struct slice){ data, size }, &out);
    while (rest.len) {
        size_t before = rest.len;
        rest = add_shown(&out, rest);
        if (!write_bytes(f->fd, text_slice(&out))) return 0;
        out.len = 0;
        if (rest.len == before) { /* the beginning of a sequence */
            memcpy(f->bytes, rest.data, rest.len);
            f->held = rest.len;
            break;
        }
    }
    return write_bytes(f->fd, text_slice(&out)) ? (ssize_t)size : 0;
}

/* As they were; NULL: as they are. */
static FILE *plain[3];

static FILE *show_through(struct stream *f, FILE *standard, int mode)
{
    FILE *shown = fopencookie(f, "w", (cookie_io_functions_t){ .write = write_shown });
    if (!shown) return standard;
    setvbuf(shown, NULL, mode, BUFSIZ);
    plain[f->fd] = standard;
    return shown;
}

void printable_streams(void)
{
    static struct stream out = { .fd = STDOUT_FILENO }, errors = { .fd = STDERR_FILENO };
    stdout = show_through(&out, stdout, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
    stderr = show_through(&errors, stderr, _IOLBF);
}

FILE *printable_past(int fd)
{
    FILE *shown = fd == STDOUT_FILENO ? stdout : stderr;
    fflush(shown);
    return plain[fd] ? plain[fd] : shown;
}
