#include <stdlib.h>
#include <time.h>

#include "admin/routes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/quantity.h"
#include "logs/rule_log.h"
#include "logs/watch.h"
#include "proxy/denials.h"
#include "proxy/proxy.h"

#define TIME_TEXT_MAX 32

/* "192.0.2.0/24"; a single address alone. */
static void print_block(const struct ip *ip, uint8_t bits, char out[64])
{
    char printed[INET6_ADDRSTRLEN];
    struct text t = text_over(out, 64);
    text_add_slice(&t, slice_of(ip_print(ip, printed)));
    if (bits < 128) text_printf(&t, "/%u", ip_is_v4(ip) ? bits - 96u : bits);
    text_cstr(&t);
}

static const char *print_time(uint64_t wall_ns, char out[TIME_TEXT_MAX])
{
    time_t s = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s, &tm));
    return out;
}

/* rules */

struct event_answer {
    const char *time, *source, *who, *outcome, *until;
    uint64_t records;
};

static const struct shape_field rule_event_fields[] = {
    SHAPE_ROW(event_answer, time, STRING, "When the condition came true."),
    SHAPE_ROW(event_answer, source, STRING, "In which log."),
    SHAPE_ROW(event_answer, who, STRING, "Of which client or network."),
    SHAPE_ROW(event_answer, records, COUNT, "How many records there were within the rate's time."),
    SHAPE_ROW(
        event_answer, outcome, STRING,
        "denied; dry: it would have been; allow_listed: it is never touched; no_room: too many are denied."),
    SHAPE_ROW(event_answer, until, STRING, "Until when it is denied, or would have been."),
    { 0 },
};
static const struct shape rule_event_shape = { "RuleEvent", sizeof(struct event_answer), rule_event_fields };

struct rule_answer {
    const char *name, *when, *source, *lasts;
    bool is_dry;
    uint64_t events;
    struct shape_list latest;
};

static const struct shape_field rule_fields[] = {
    SHAPE_ROW(rule_answer, name, STRING, "The rule."),
    SHAPE_ROW(rule_answer, when, STRING, "Its condition."),
    SHAPE_ROW(rule_answer, source, STRING, "The log that it looks at; null: each.", .may_be_null = true),
    SHAPE_ROW(rule_answer, lasts, STRING, "How long it denies for."),
    SHAPE_ROW(rule_answer, is_dry, BOOL, "It only says what it would have done."),
    SHAPE_ROW(rule_answer, events, COUNT, "How many of the latest events of all rules are its own."),
    SHAPE_ROW(rule_answer, latest, LIST, "These, the newest first.", .of = &rule_event_shape),
    { 0 },
};
const struct shape rule_shape = { "LogRule", sizeof(struct rule_answer), rule_fields };

struct event_texts {
    char time[TIME_TEXT_MAX], until[TIME_TEXT_MAX], who[64];
};

static void print_rule(const struct admin_request *rq, uint32_t rule, struct event_answer *events,
                       struct event_texts *texts, struct json *j)
{
    const struct logs_conf *conf = watch_conf(rq->watch);
    const struct rule_conf *c = (const struct rule_conf *)conf->rules.data + rule;
    const struct rule_event *e;
    char lasts[32];
    uint32_t count = 0;
    for (uint32_t n = 0; (e = rule_log_latest(rq->rule_log, n)); n++) {
        if (strcmp(e->rule, rule_conf_name(c)) != 0) continue;
        struct event_texts *t = &texts[count];
        print_block(&e->hit.ip, e->hit.bits, t->who);
        events[count++] = (struct event_answer){ .time = print_time(e->wall_ns, t->time),
                                                 .source = e->source,
                                                 .who = t->who,
                                                 .outcome = rule_outcome_name(e->outcome),
                                                 .until = print_time(e->until_ns, t->until),
                                                 .records = e->hit.count };
    }
    quantity_print_ms(c->act.for_ms, lasts);
    struct rule_answer a = { .name = rule_conf_name(c),
                             .when = c->when,
                             .source = c->source,
                             .lasts = lasts,
                             .is_dry = c->is_dry,
                             .events = count,
                             .latest = { events, count } };
    shape_print(&rule_shape, &a, j);
}

void rules_list(const struct admin_request *rq, struct answer *out)
{
    struct json j;
    struct event_answer *events = calloc(RULE_LOG_MAX, sizeof(*events));
    struct event_texts *texts = calloc(RULE_LOG_MAX, sizeof(*texts));
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "rules");
    json_array(&j);
    for (uint32_t i = 0; events && texts && rq->watch && i < watch_conf(rq->watch)->rules.count; i++)
        print_rule(rq, i, events, texts, &j);
    json_array_end(&j);
    json_object_end(&j);
    free(events);
    free(texts);
    answer_json(out, 200, &j);
}

/* denials */

struct denial_answer {
    const char *id, *who, *rule, *source, *since, *until;
    uint64_t records;
};

static const struct shape_field denial_fields[] = {
    SHAPE_ROW(denial_answer, id, STRING, "Its number: DELETE /api/v1/denials/{id} lets it pass again."),
    SHAPE_ROW(denial_answer, who, STRING, "The address or network."),
    SHAPE_ROW(denial_answer, rule, STRING, "Which rule denied it."),
    SHAPE_ROW(denial_answer, source, STRING, "By which log."),
    SHAPE_ROW(denial_answer, since, STRING, "Since when."),
    SHAPE_ROW(denial_answer, until, STRING, "Until when."),
    SHAPE_ROW(denial_answer, records, COUNT, "How many records led to it."),
    { 0 },
};
const struct shape denial_shape = { "Denial", sizeof(struct denial_answer), denial_fields };

static void print_denial(const struct denial *d, struct json *j)
{
    char id[24], who[64], since[TIME_TEXT_MAX], until[TIME_TEXT_MAX];
    struct text t = text_over(id, sizeof(id));
    text_add_u64(&t, d->id);
    print_block(&d->ip, d->bits, who);
    struct denial_answer a = { .id = text_cstr(&t),
                               .who = who,
                               .rule = d->rule,
                               .source = d->source,
                               .since = print_time(d->since_ns, since),
                               .until = print_time(d->until_ns, until),
                               .records = d->count };
    shape_print(&denial_shape, &a, j);
}

void denials_list(const struct admin_request *rq, struct answer *out)
{
    const struct denials *d = rq->proxy->denials;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "denials");
    json_array(&j);
    for (uint32_t i = 0; i < atomic_load(&d->count); i++) print_denial(&d->items[i], &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

static bool is_called(const struct denial *d, struct slice name)
{
    char who[64];
    uint64_t id;
    print_block(&d->ip, d->bits, who);
    return (number_u64(name, &id) && d->id == id) || slice_equal(slice_of(who), name);
}

void denials_show(const struct admin_request *rq, struct answer *out)
{
    const struct denials *d = rq->proxy->denials;
    struct json j;
    for (uint32_t i = 0; i < atomic_load(&d->count); i++) {
        if (!is_called(&d->items[i], rq->params[0])) continue;
        json_init(&j, ANSWER_MAX, true);
        print_denial(&d->items[i], &j);
        answer_json(out, 200, &j);
        return;
    }
    answer_problem(out, 404, "There is no denial \"%.64s\"; GET /api/v1/denials lists them.",
                   rq->params[0].data);
}

void denials_delete(const struct admin_request *rq, struct answer *out)
{
    uint64_t id;
    if (!number_u64(rq->params[0], &id) || !denials_remove(rq->proxy->denials, id)) {
        answer_problem(out, 404, "There is no denial \"%.32s\"; GET /api/v1/denials lists them.",
                       rq->params[0].data);
        return;
    }
    log_event(LOG_INFO, "denial_revoked", "id=%llu%s", (unsigned long long)id, rq->mention);
    out->status = 204;
}
