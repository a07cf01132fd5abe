#include <stdatomic.h>
#include <stdio.h>

#include "base/bug.h"
#include "base/log.h"
#include "pool/ejection.h"

/* names */

static const char *const admin_names[] = { "enabled", "drain", "maintenance" };

const char *server_admin_name(enum server_admin admin)
{
    return admin_names[admin];
}

const char *server_health_name(enum server_health health)
{
    static const char *const names[] = { "unknown", "up", "warming", "ejected", "down" };
    return names[health];
}

const char *server_health_reason_name(enum server_health_reason reason)
{
    static const char *const names[] = {
#define X(id, name) name,
        SERVER_HEALTH_REASONS(X)
#undef X
    };
    return names[reason];
}

enum server_shown server_shown(const struct server *s)
{
    static const enum server_shown of_health[] = { [SERVER_UNKNOWN] = SERVER_SHOWN_UP,
                                                   [SERVER_UP] = SERVER_SHOWN_UP,
                                                   [SERVER_WARMING] = SERVER_SHOWN_WARMING,
                                                   [SERVER_EJECTED] = SERVER_SHOWN_EJECTED,
                                                   [SERVER_DOWN] = SERVER_SHOWN_DOWN };
    enum server_admin admin = (enum server_admin)atomic_load(&s->admin);
    if (admin == SERVER_DRAIN) return SERVER_SHOWN_DRAINING;
    if (admin == SERVER_MAINTENANCE) return SERVER_SHOWN_MAINTENANCE;
    return of_health[atomic_load(&s->health)];
}

const char *server_shown_name(enum server_shown shown)
{
    static const char *const names[] = { "up", "warming", "ejected", "down", "draining", "maintenance" };
    return names[shown];
}

const char *server_state_name(const struct server *s)
{
    return server_shown_name(server_shown(s));
}

/* asking */

bool server_is_enabled(const struct server *s)
{
    return atomic_load(&s->admin) == SERVER_ENABLED;
}

bool server_is_healthy(const struct server *s)
{
    uint32_t health = atomic_load(&s->health);
    return health != SERVER_EJECTED && health != SERVER_DOWN;
}

bool server_is_usable(const struct server *s)
{
    return server_is_enabled(s) && server_is_healthy(s);
}

/* the state machine */

#define TO(health) (1u << SERVER_##health)

/* clang-format off */
static const uint32_t may_become[] = {
    [SERVER_UNKNOWN] = TO(UP) | TO(WARMING) | TO(EJECTED) | TO(DOWN),
    [SERVER_UP]      = TO(WARMING) | TO(EJECTED) | TO(DOWN),
    [SERVER_WARMING] = TO(UP) | TO(UNKNOWN) | TO(WARMING) | TO(EJECTED) | TO(DOWN),
    [SERVER_EJECTED] = TO(UP) | TO(UNKNOWN) | TO(WARMING) | TO(DOWN),
    [SERVER_DOWN]    = TO(UP) | TO(UNKNOWN) | TO(WARMING),
};
/* clang-format on */

static void say(const struct server *s, enum server_health from)
{
    uint32_t to = atomic_load(&s->health);
    char quoted[SERVER_WORDS_MAX + 64];
    bool is_bad = to == SERVER_EJECTED || to == SERVER_DOWN, has_words = s->state.words[0];
    log_event(is_bad ? LOG_WARN : LOG_INFO, "server_state", "pool=%s server=%s state=%s was=%s reason=%s%s%s",
              s->pool->name, s->name, server_state_name(s), server_health_name(from),
              server_health_reason_name(s->state.reason), has_words ? " detail=" : "",
              has_words ? log_quote(s->state.words, quoted, sizeof(quoted)) : "");
}

void server_set_health(struct server *s, enum server_health to, enum server_health_reason reason,
                       const char *words, uint64_t now_ms)
{
    enum server_health from = (enum server_health)atomic_load(&s->health);
    if (from == to && to != SERVER_WARMING) return;
    if (bug_if(SERVER, !(may_become[from] & (1u << to)))) return;
    s->state.reason = reason;
    s->state.since_ms = now_ms;
    snprintf(s->state.words, sizeof(s->state.words), "%s", words ? words : "");
    s->pool->health_changes[reason]++;
    atomic_store(&s->health, to);
    say(s, from);
}

/* warming up */

static bool begin_warm_up(struct server *s, enum server_health_reason reason, uint64_t now_ms)
{
    if (!s->warmup_ms) return false;
    s->state.warm_since_ms = now_ms;
    s->state.warm_parts = SERVER_WARM_START;
    server_set_health(s, SERVER_WARMING, reason, NULL, now_ms);
    return true;
}

bool server_warm_up(struct server *s, uint64_t now_ms)
{
    if (atomic_load(&s->health) != SERVER_WARMING) return false;
    uint64_t passed_ms = now_ms - s->state.warm_since_ms;
    if (passed_ms >= s->warmup_ms)
        server_set_health(s, s->state.is_readmitted ? SERVER_UNKNOWN : SERVER_UP, SERVER_BY_WARMED_UP, NULL,
                          now_ms);
    else
        s->state.warm_parts = SERVER_WARM_START +
                              (uint32_t)((SERVER_WARM_WHOLE - SERVER_WARM_START) * passed_ms / s->warmup_ms);
    return true;
}

uint32_t server_warm_parts(const struct server *s)
{
    if (atomic_load(&s->health) != SERVER_WARMING) return SERVER_WARM_WHOLE;
    return s->state.warm_parts ? s->state.warm_parts : SERVER_WARM_START;
}

void server_set_admin(struct server *s, enum server_admin admin, uint64_t now_ms)
{
    if (atomic_load(&s->admin) == admin) return;
    /* Before the word itself: whoever sees the drain must see its beginning. */
    atomic_store(&s->drain_since_ms, admin == SERVER_DRAIN ? now_ms : 0);
    atomic_store(&s->admin, admin);
    if (admin == SERVER_ENABLED && server_is_healthy(s)) begin_warm_up(s, SERVER_BY_ENABLED, now_ms);
}

/* ejection */

void server_eject(struct server *s, enum server_health_reason reason, const char *words, uint64_t now_ms)
{
    struct server_state *st = &s->state;
    if (now_ms - st->back_since_ms >= s->ejection.max_ms) st->eject_ms = 0;
    st->eject_ms = st->eject_ms ? st->eject_ms * 2 : s->ejection.min_ms;
    if (st->eject_ms > s->ejection.max_ms) st->eject_ms = s->ejection.max_ms;
    st->ejected_until_ms = now_ms + st->eject_ms;
    st->checks_passed = 0;
    server_forget_answers(s);
    server_set_health(s, SERVER_EJECTED, reason, words, now_ms);
}

bool server_readmit(struct server *s, uint64_t now_ms)
{
    struct server_state *st = &s->state;
    if (atomic_load(&s->health) != SERVER_EJECTED || now_ms < st->ejected_until_ms) return false;
    /* One more failure ejects it again, for longer. */
    if (s->ejection.connect_failures) st->failures = s->ejection.connect_failures - 1;
    st->is_readmitted = st->is_on_trial = true;
    st->back_since_ms = now_ms;
    server_forget_answers(s);
    /* Already now, lest a server of little weight is never tried: then it is whole again after that time. */
    if (!begin_warm_up(s, SERVER_BY_EJECTION_OVER, now_ms))
        server_set_health(s, SERVER_UNKNOWN, SERVER_BY_EJECTION_OVER, NULL, now_ms);
    return true;
}

/* Nobody could connect to it, and now somebody could. */
static void come_back(struct server *s, enum server_health_reason reason, uint64_t now_ms)
{
    s->state.failures = 0;
    s->state.is_readmitted = false;
    if (!server_is_healthy(s)) {
        s->state.back_since_ms = now_ms;
        server_forget_answers(s);
    }
    if (!begin_warm_up(s, reason, now_ms)) server_set_health(s, SERVER_UP, reason, NULL, now_ms);
}

/* For what a connection or a check that passes can refute. */
static bool is_out_unconnected(const struct server *s)
{
    return atomic_load(&s->health) == SERVER_EJECTED && s->state.reason == SERVER_BY_CONNECT_FAILURES;
}

static bool connected(struct server *s, uint64_t now_ms)
{
    uint32_t health = atomic_load(&s->health);
    bool was_out = is_out_unconnected(s), was_readmitted = s->state.is_readmitted;
    s->state.failures = 0;
    atomic_store(&s->has_failed, false);
    if (!was_out && !server_is_healthy(s)) return false;
    if (was_out || (was_readmitted && s->warmup_ms)) {
        come_back(s, SERVER_BY_CONNECTED, now_ms);
        return true;
    }
    s->state.is_readmitted = false;
    if (health != SERVER_WARMING) server_set_health(s, SERVER_UP, SERVER_BY_CONNECTED, NULL, now_ms);
    return false;
}

bool server_report(struct server *s, enum server_evidence evidence, uint64_t now_ms)
{
    struct server_state *st = &s->state;
    if (evidence == SERVER_CONNECTED) return connected(s, now_ms);
    if (evidence == SERVER_FAULTS) return false;
    bool is_seen = evidence == SERVER_SEEN_FAILING;
    uint32_t enough = s->ejection.is_enabled ? s->ejection.connect_failures : 0;
    char words[SERVER_WORDS_MAX] = "";
    if (!is_seen && st->failures < UINT32_MAX) st->failures++;
    if (!server_is_healthy(s) || (!is_seen && (!enough || st->failures < enough))) return false;
    if (!is_seen && !st->is_on_trial)
        snprintf(words, sizeof(words), "%u connections on end did not open", st->failures);
    else if (!is_seen)
        snprintf(words, sizeof(words), "it was let back, and a connection did not open");
    server_eject(s, is_seen ? SERVER_BY_SEEN_FAILING : SERVER_BY_CONNECT_FAILURES, words, now_ms);
    return true;
}

/* checks */

static bool check_passed(struct server *s, uint32_t rise, uint64_t now_ms)
{
    struct server_state *st = &s->state;
    uint32_t health = atomic_load(&s->health);
    st->checks_failed = 0;
    if (st->checks_passed < UINT32_MAX) st->checks_passed++;
    bool is_known_bad = health == SERVER_DOWN || is_out_unconnected(s);
    if (is_known_bad && st->checks_passed >= rise) {
        come_back(s, SERVER_BY_CHECK_PASSED, now_ms);
        return true;
    }
    if (health == SERVER_UNKNOWN && st->reason == SERVER_BY_START)
        server_set_health(s, SERVER_UP, SERVER_BY_CHECK_PASSED, NULL, now_ms);
    return false;
}

static bool check_failed(struct server *s, const char *words, uint32_t fall, uint64_t now_ms)
{
    struct server_state *st = &s->state;
    uint32_t health = atomic_load(&s->health);
    bool was_healthy = server_is_healthy(s),
         is_new = health == SERVER_UNKNOWN && st->reason == SERVER_BY_START;
    char text[SERVER_WORDS_MAX];
    st->checks_passed = 0;
    if (st->checks_failed < UINT32_MAX) st->checks_failed++;
    if (health == SERVER_DOWN || (st->checks_failed < fall && !is_new)) return false;
    snprintf(text, sizeof(text), st->checks_failed > 1 ? "%s, and %u checks on end failed" : "%s", words,
             st->checks_failed);
    server_set_health(s, SERVER_DOWN, SERVER_BY_CHECK_FAILED, text, now_ms);
    return was_healthy;
}

bool server_check_ended(struct server *s, const struct server_check_result *r, uint32_t rise, uint32_t fall)
{
    s->state.check = *r;
    return r->has_passed ? check_passed(s, rise, r->at_ms) : check_failed(s, r->words, fall, r->at_ms);
}

bool server_checks_stopped(struct server *s, uint64_t now_ms)
{
    s->state.checks_passed = s->state.checks_failed = 0;
    s->state.check = (struct server_check_result){ 0 };
    if (atomic_load(&s->health) != SERVER_DOWN) return false;
    server_set_health(s, SERVER_UNKNOWN, SERVER_BY_CHECKS_ENDED, NULL, now_ms);
    return true;
}

bool server_is_changing(const struct server *s, uint32_t rise, uint32_t fall)
{
    const struct server_state *st = &s->state;
    if (atomic_load(&s->health) == SERVER_DOWN) return st->checks_passed > 0 && st->checks_passed < rise;
    return st->checks_failed > 0 && st->checks_failed < fall;
}
