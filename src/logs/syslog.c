#include "logs/syslog.h"

#include <string.h>

#define TIMESTAMP_LEN 15u /* "Mar 12 10:00:01" */
#define TAG_MAX 300u      /* host, blank, tag */

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

bool syslog_message(struct slice datagram, struct slice *message)
{
    struct slice s = datagram;
    if (!take_priority(&s) || !take_timestamp(&s)) return false;
    size_t looked = s.len < TAG_MAX ? s.len : TAG_MAX;
    const char *end = looked ? memmem(s.data, looked, ": ", 2) : NULL;
    if (!end) return false;
    *message = (struct slice){ end + 2, (size_t)(s.data + s.len - end) - 2 };
    while (message->len &&
           (message->data[message->len - 1] == '\n' || message->data[message->len - 1] == '\r'))
        message->len--;
    return true;
}
