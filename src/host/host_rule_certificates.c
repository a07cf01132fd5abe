#include <inttypes.h>
#include <time.h>

#include "host/host_rule.h"

#define DAY_S (24 * 3600)
#define SOON_DAYS 14
/* The others are counted. */
#define SAID_MAX 20u

static const char *print_date(int64_t seconds, char out[32])
{
    time_t time = (time_t)seconds;
    struct tm tm = { 0 };
    strftime(out, 32, "%Y-%m-%d", gmtime_r(&time, &tm));
    return out;
}

/* False: nothing is wrong with it. */
static bool say_one(struct host_exam *e, const struct host_certificate *c)
{
    char date[32];
    int64_t now_s = e->facts->now_s, left_s = c->until_s - now_s;
    e->subject = c->path;
    if (c->missing) {
        exam_say(e, HOST_WARN, "not issued yet: %.200s", c->missing);
        return true;
    }
    if (c->is_renewed && now_s >= c->from_s && left_s > (c->until_s - c->from_s) / 5) return false;
    if (left_s <= 0)
        exam_say(e, HOST_FAIL, "expired on %s: clients refuse it", print_date(c->until_s, date));
    else if (now_s < c->from_s)
        exam_say(e, HOST_FAIL, "not valid before %s: clients refuse it", print_date(c->from_s, date));
    else if (left_s <= (int64_t)SOON_DAYS * DAY_S)
        exam_say(e, HOST_WARN, "ends on %s, in %" PRId64 " days", print_date(c->until_s, date),
                 left_s / DAY_S);
    else
        return false;
    if (exam_is_plain(c->path)) exam_mend(e, "openssl x509 -noout -subject -dates -in %s", c->path);
    return true;
}

static void check_days(struct host_exam *e)
{
    const struct host_facts *f = e->facts;
    uint32_t said = 0, wrong = 0;
    char date[32];
    if (!f->plan) {
        exam_say(e, HOST_NOTE, "not known: no configuration was given, as by -c FILE");
        return;
    }
    for (uint32_t i = 0; i < f->certificate_count && said < SAID_MAX; i++)
        said += say_one(e, &f->certificates[i]);
    e->subject = NULL;
    for (uint32_t i = 0; i < f->certificate_count; i++) {
        const struct host_certificate *c = &f->certificates[i];
        wrong += c->until_s - f->now_s <= (int64_t)SOON_DAYS * DAY_S || f->now_s < c->from_s;
    }
    if (!f->certificate_count)
        exam_say(e, HOST_OK, "no listener has any");
    else if (!wrong)
        exam_say(e, HOST_OK, "%u, of which the first ends on %s, in %" PRId64 " days", f->certificate_count,
                 print_date(f->certificates[0].until_s, date),
                 (f->certificates[0].until_s - f->now_s) / DAY_S);
    else if (wrong > said)
        exam_say(e, HOST_WARN, "%u more end within %d days, or are not valid", wrong - said, SOON_DAYS);
}

static const struct host_rule rules[] = {
    { "certificate_days",
      "Clients refuse a certificate whose time is not now, and all of its traffic is lost.", check_days },
    { 0 },
};

const struct host_rule_group host_rule_certificates = { "certificates", rules };
