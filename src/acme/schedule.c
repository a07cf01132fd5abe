#include "acme/schedule.h"

int64_t acme_renewal_at(int64_t from_s, int64_t until_s, uint64_t own)
{
    int64_t life_s = until_s > from_s ? until_s - from_s : 0;
    uint64_t jitter_s = (uint64_t)life_s / 30;
    return from_s + life_s / 3 * 2 + (int64_t)(own % (jitter_s + 1));
}

bool acme_has_time(int64_t from_s, int64_t until_s, int64_t now_s)
{
    return now_s >= from_s && until_s > now_s && until_s - now_s > (until_s - from_s) / 5;
}

static int64_t wait_after(uint32_t failures, int64_t first_s)
{
    int64_t wait_s = first_s;
    for (uint32_t i = 1; i < failures && wait_s < ACME_WAIT_MAX_S; i++) wait_s *= 2;
    return wait_s < ACME_WAIT_MAX_S ? wait_s : ACME_WAIT_MAX_S;
}

/* A time that no wait leads to is of a clock that was put back since. */
static int64_t waits_until(const struct acme_attempts *a, int64_t now_s)
{
    return a->next_s <= now_s + ACME_WAIT_MAX_S + ACME_WAIT_MAX_S / 5 ? a->next_s : 0;
}

static bool is_other(uint64_t known, uint64_t wanted)
{
    return known && known != wanted;
}

int64_t acme_next_at(const struct acme_attempts *a, uint64_t wanted, bool is_changed, int64_t due_s,
                     int64_t now_s)
{
    bool was_asked = !is_other(a->asked, wanted);
    int64_t next_s = !was_asked && is_changed ? 0 : waits_until(a, now_s);
    if (is_other(a->issued, wanted) && (was_asked || is_changed)) due_s = 0;
    return due_s > next_s ? due_s : next_s;
}

void acme_attempt_begins(struct acme_attempts *a, uint64_t wanted, int64_t now_s, int64_t first_s,
                         uint64_t chance)
{
    a->asked = wanted;
    if (a->failures < UINT32_MAX) a->failures++;
    int64_t wait_s = wait_after(a->failures, first_s);
    a->next_s = now_s + wait_s + (int64_t)(chance % ((uint64_t)wait_s / 5 + 1));
}

void acme_attempt_failed(struct acme_attempts *a, int64_t now_s, uint64_t asked_s)
{
    int64_t asked = asked_s < (uint64_t)ACME_WAIT_MAX_S ? (int64_t)asked_s : ACME_WAIT_MAX_S;
    if (a->next_s < now_s + asked) a->next_s = now_s + asked;
}

void acme_attempt_uncounted(struct acme_attempts *a, int64_t now_s, int64_t first_s, uint64_t asked_s)
{
    if (a->failures) a->failures--;
    a->next_s = now_s + first_s;
    acme_attempt_failed(a, now_s, asked_s);
}

void acme_attempt_succeeded(struct acme_attempts *a, int64_t now_s, int64_t first_s)
{
    a->failures = 0;
    a->next_s = now_s + first_s;
    a->issued = a->asked;
}

bool acme_is_contested(const struct acme_attempts *before, uint64_t wanted, bool is_changed)
{
    return !is_changed && is_other(before->issued, wanted) && is_other(before->asked, wanted);
}

void acme_attempt_contested(struct acme_attempts *a)
{
    a->issued = a->asked;
}

#define HOUR_S 3600

int64_t acme_pace_opens_at(const struct acme_pace *p, int64_t now_s)
{
    int64_t oldest_s = p->at_s[p->next];
    /* One that lies ahead is of a clock that was put back since. */
    bool is_open = oldest_s + HOUR_S <= now_s || oldest_s > now_s;
    return is_open ? 0 : oldest_s + HOUR_S;
}

void acme_pace_note(struct acme_pace *p, int64_t now_s)
{
    p->at_s[p->next] = now_s;
    p->next = (p->next + 1) % ACME_ORDERS_AN_HOUR;
}
