#include "logs/syslog.h"

#include <string.h>

#define TIMESTAMP_LEN 15u /* "Mar 12 10:00:01" */
#define TAG_MAX 300u      /* host, blank, tag */
/* RFC 5424 6: time, host, name, process and kind of message are words, each of which may be "-". */
#define HEADER_WORDS 5

/* "<190>": up to three digits. */
static bool take_priority(struct slice *s)
{
    size_t i = 1;
    if (!s->len || *s->data != '<') return false;
    while (i < s->len && i <= 3 && s->data[i] >= '0' && s->data[i] <= '9') i++;
    if (i == 1 || i == s->len || s->data[i] != '>') return false;
    *s = (struct slice){ s->data + i + 1, s->len - i - 1 };
    return true;
}

static bool take_timestamp(struct slice *s)
{
    if (s->len <= TIMESTAMP_LEN || s->data[TIMESTAMP_LEN] != ' ') return false;
    if (s->data[3] != ' ' || s->data[6] != ' ' || s->data[9] != ':' || s->data[12] != ':') return false;
    *s = (struct slice){ s->data + TIMESTAMP_LEN + 1, s->len - TIMESTAMP_LEN - 1 };
    return true;
}

static bool take(struct slice *s, struct slice what)
{
    if (s->len < what.len || memcmp(s->data, what.data, what.len) != 0) return false;
    *s = (struct slice){ s->data + what.len, s->len - what.len };
    return true;
}

/* And the blank behind it. */
static bool take_word(struct slice *s)
{
    const char *end = s->len ? memchr(s->data, ' ', s->len) : NULL;
    if (!end || end == s->data) return false;
    *s = (struct slice){ end + 1, (size_t)(s->data + s->len - end) - 1 };
    return true;
}

/* [id name="value" …], where a value has ", \ and ] behind a \ only (RFC 5424 6.3). */
static bool take_element(struct slice *s)
{
    bool is_quoted = false;
    for (size_t i = 1; i < s->len; i++) {
        char c = s->data[i];
        if (is_quoted && c == '\\')
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (c == ']' && !is_quoted) {
            *s = (struct slice){ s->data + i + 1, s->len - i - 1 };
            return true;
        }
    }
    return false;
}

/* What is behind "<190>" in the form of RFC 5424. */
static bool take_new_header(struct slice *s)
{
    if (!take(s, SLICE("1 "))) return false;
    for (int i = 0; i < HEADER_WORDS; i++)
        if (!take_word(s)) return false;
    if (!take(s, SLICE("-"))) {
        do {
            if (!s->len || *s->data != '[' || !take_element(s)) return false;
        } while (s->len && *s->data == '[');
    }
    if (s->len && !take(s, SLICE(" "))) return false;
    take(s, SLICE("\xef\xbb\xbf")); /* says that the message is UTF-8 */
    return true;
}

/* In the form of RFC 3164: up to the end of the tag. */
static bool take_old_header(struct slice *s)
{
    if (!take_timestamp(s)) return false;
    size_t looked = s->len < TAG_MAX ? s->len : TAG_MAX;
    const char *end = looked ? memmem(s->data, looked, ": ", 2) : NULL;
    if (!end) return false;
    *s = (struct slice){ end + 2, (size_t)(s->data + s->len - end) - 2 };
    return true;
}

bool syslog_message(struct slice datagram, struct slice *message)
{
    struct slice s = datagram;
    if (!take_priority(&s)) return false;
    struct slice old = s;
    if (take_new_header(&s))
        *message = s;
    else if (take_old_header(&old))
        *message = old;
    else
        return false;
    while (message->len &&
           (message->data[message->len - 1] == '\n' || message->data[message->len - 1] == '\r'))
        message->len--;
    return true;
}
