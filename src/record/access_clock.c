#include "record/access_clock.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

struct civil {
    int64_t year;
    unsigned month, day, hour, minute, second;
};

/* Days since 1970 to a date in the Gregorian calendar, by eras of 400 years that begin on the first of March.
 * Not localtime_r(), which takes a lock. */
static struct civil civil_of(int64_t seconds)
{
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted_month = (5 * day_of_year + 2) / 153;
    struct civil c = {
        .month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9,
        .day = day_of_year - (153 * shifted_month + 2) / 5 + 1,
        .hour = (unsigned)(rest / 3600),
        .minute = (unsigned)(rest / 60 % 60),
        .second = (unsigned)(rest % 60),
    };
    c.year = (int64_t)year_of_era + era * 400 + (c.month <= 2);
    return c;
}

static void add_two(struct text *t, unsigned value)
{
    text_add(t, (const char[]){ (char)('0' + value / 10 % 10), (char)('0' + value % 10) }, 2);
}

static void add_date(struct text *t, const struct civil *c)
{
    text_add_u64(t, (uint64_t)c->year);
    text_add_char(t, '-');
    add_two(t, c->month);
    text_add_char(t, '-');
    add_two(t, c->day);
    text_add_char(t, 'T');
}

static void add_time(struct text *t, const struct civil *c)
{
    add_two(t, c->hour);
    text_add_char(t, ':');
    add_two(t, c->minute);
    text_add_char(t, ':');
    add_two(t, c->second);
}

static void add_offset(struct text *t, int32_t offset_s, const char *separator)
{
    unsigned minutes = (unsigned)(offset_s < 0 ? -offset_s : offset_s) / 60;
    text_add_char(t, offset_s < 0 ? '-' : '+');
    add_two(t, minutes / 60);
    text_add(t, separator, strlen(separator));
    add_two(t, minutes % 60);
}

void access_clock_init(struct access_clock *clock)
{
    *clock = (struct access_clock){ .second = UINT64_MAX };
    if (gethostname(clock->hostname, sizeof(clock->hostname)) < 0) clock->hostname[0] = 0;
    clock->hostname[sizeof(clock->hostname) - 1] = 0;
    struct text pid = text_over(clock->pid, sizeof(clock->pid));
    text_add_u64(&pid, (uint64_t)getpid());
    text_cstr(&pid);
}

void access_clock_set(struct access_clock *clock, uint64_t wall_ns, int32_t offset_s)
{
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    uint64_t second = wall_ns / NS_PER_S;
    if (second == clock->second && offset_s == clock->offset_s) return;
    clock->second = second;
    clock->offset_s = offset_s;
    struct civil utc = civil_of((int64_t)second), local = civil_of((int64_t)second + offset_s);
    struct text t = text_over(clock->utc, sizeof(clock->utc));
    add_date(&t, &utc);
    add_time(&t, &utc);
    clock->utc_len = (uint8_t)t.len;
    t = text_over(clock->iso8601, sizeof(clock->iso8601));
    add_date(&t, &local);
    add_time(&t, &local);
    add_offset(&t, offset_s, ":");
    clock->iso8601_len = (uint8_t)t.len;
    t = text_over(clock->local, sizeof(clock->local));
    add_two(&t, local.day);
    text_add_char(&t, '/');
    text_add(&t, months[local.month - 1], 3);
    text_add_char(&t, '/');
    text_add_u64(&t, (uint64_t)local.year);
    text_add_char(&t, ':');
    add_time(&t, &local);
    text_add_char(&t, ' ');
    add_offset(&t, offset_s, "");
    clock->local_len = (uint8_t)t.len;
}
