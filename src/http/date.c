#include "http/date.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct slice http_date_at(struct http_date *date, uint64_t wall_ns)
{
    /* Never those of a locale. */
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    uint64_t second = wall_ns / NS_PER_S;
    if (!date->len || date->second != second) {
        time_t time = (time_t)second;
        struct tm t;
        gmtime_r(&time, &t);
        int len = snprintf(date->text, sizeof(date->text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                           days[t.tm_wday], t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour,
                           t.tm_min, t.tm_sec);
        date->len = len < (int)sizeof(date->text) ? (uint8_t)len : 0;
        date->second = second;
    }
    return (struct slice){ date->text, date->len };
}

bool http_date_parse(struct slice text, int64_t *seconds)
{
    static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%y %H:%M:%S GMT",
                                         "%a %b %d %H:%M:%S %Y" };
    char copy[48];
    text = slice_trim(text);
    if (!text.len || text.len >= sizeof(copy) || memchr(text.data, 0, text.len)) return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        struct tm t = { 0 };
        const char *end = strptime(copy, forms[i], &t); /* weir keeps to the "C" locale where it serves */
        if (!end || *end) continue;
        *seconds = (int64_t)timegm(&t);
        return true;
    }
    return false;
}
