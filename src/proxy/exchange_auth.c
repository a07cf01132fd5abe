/* Who may pass by what they show: a password, which is hashed elsewhere while the exchange waits, or a token; or because a service
 * says so. */
#include <assert.h>

#include "auth/credentials.h"
#include "auth/jwt.h"
#include "auth/key_source.h"
#include "auth/users.h"
#include "base/bug.h"
#include "proxy/auth_call.h"
#include "proxy/exchange_steps.h"
#include "proxy/passwords.h"
#include "proxy/route_set.h"

/* For how long a password may wait for its turn and its hash. */
#define WAIT_MS 10000u

#define AUTH_FIELDS_MAX (1u + 2u * AUTH_COPY_MAX)
static_assert(AUTH_CLAIMS_MAX <= AUTH_COPY_MAX, "there is a place for each claim");

struct exchange_auth {
    const struct auth_conf *conf;       /* the site's: good as long as the exchange asks that */
    struct password_question *question; /* under way; NULL: none */
    struct auth_call *call;             /* to a service that decides; NULL: none does */
    uint64_t until_ms;                  /* how long it may wait */
    struct slice user;
    struct http_field fields[AUTH_FIELDS_MAX]; /* for servers */
    uint32_t field_count;
    struct http_field refusal[EXCHANGE_CHALLENGES]; /* of the service's answer, for the client */
    uint32_t refusal_count;
    uint16_t status;   /* likewise; 0: that of the reason */
    const char *error; /* of a token: RFC 6750 3.1; NULL: none */
    bool has_passed;
};

const struct slice *exchange_user(const struct exchange *x)
{
    return x->auth && x->auth->has_passed ? &x->auth->user : NULL;
}

uint64_t exchange_auth_until_ms(const struct exchange *x)
{
    return bug_if(EXCHANGE, !x->auth) ? 0 : x->auth->until_ms; /* nobody was asked: nobody will answer */
}

/* outcomes */

static void count(const struct exchange *x, enum auth_outcome outcome)
{
    if (x->route) metric_add(x->worker->metrics, x->route->auth_meters[outcome], 1);
}

static enum step fail(struct exchange *x, enum end_reason reason, const char *detail)
{
    static const enum auth_outcome outcomes[END_REASON_COUNT] = {
        [END_AUTH_REQUIRED] = AUTH_REQUIRED, [END_AUTH_FAILED] = AUTH_FAILED, [END_AUTH_DENIED] = AUTH_DENIED
    };
    count(x, outcomes[reason]);
    return exchange_fail_with(x, reason, detail);
}

static bool is_allowed(const struct auth_conf *conf, struct slice user)
{
    const char *const *allow = conf->allow.data;
    for (uint32_t i = 0; i < conf->allow.count; i++)
        if (slice_equal(user, slice_of(allow[i]))) return true;
    return !conf->allow.count;
}

static void add_field(struct exchange_auth *a, const char *name, struct slice value)
{
    if (!value.len) return; /* an empty value would be another statement */
    if (bug_if(EXCHANGE, a->field_count >= AUTH_FIELDS_MAX)) return;
    a->fields[a->field_count++] = (struct http_field){ .name = name,
                                                       .name_len = (uint16_t)strlen(name),
                                                       .value = value.data,
                                                       .value_len = (uint32_t)value.len };
}

/* It is known who it is: whatever comes next is decided by that. */
static enum step pass(struct exchange *x)
{
    struct exchange_auth *a = x->auth;
    if (!is_allowed(a->conf, a->user))
        return fail(x, END_AUTH_DENIED, "it is not among those who may pass here");
    if (a->conf->header[0]) add_field(a, a->conf->header, a->user);
    a->has_passed = true;
    count(x, AUTH_PASSED);
    return exchange_decide(x);
}

/* passwords */

static enum step answered(struct exchange *x, enum password_answer answer)
{
    switch (answer) {
    case PASSWORD_RIGHT: return pass(x);
    case PASSWORD_WRONG: return fail(x, END_AUTH_FAILED, NULL);
    case PASSWORD_CLIENT_FULL: return fail(x, END_AUTH_CLIENT_LIMIT, NULL);
    case PASSWORD_FULL: break;
    }
    return fail(x, END_AUTH_BUSY, NULL);
}

static void on_answer(struct password_question *q)
{
    struct exchange *x = q->asker;
    if (bug_if(EXCHANGE, x->auth->question != q)) return; /* it was taken back */
    x->auth->question = NULL;
    if (x->state != EXCHANGE_AUTH) return;
    if (answered(x, (enum password_answer)q->answer) == STEP_GO) exchange_advance(x);
}

static enum step ask(struct exchange *x, const struct credentials *c, const char *hash, bool is_known,
                     struct verified_mac mac)
{
    struct password_question *q = password_question_new(x->worker);
    if (!q) return fail(x, END_AUTH_BUSY, NULL);
    q->on_answer = on_answer;
    q->asker = x;
    q->client = ip_client(&x->record.client);
    q->mac = mac;
    q->keep_ms = x->auth->conf->basic->keep_ms;
    q->is_known = is_known;
    memcpy(q->hash, hash, strlen(hash) + 1);
    memcpy(q->password, c->password, c->password_len + 1);
    if (!password_ask(q)) {
        password_question_free(q);
        return fail(x, END_AUTH_BUSY, NULL);
    }
    x->auth->question = q;
    x->auth->until_ms = exchange_now_ms(x) + WAIT_MS;
    return exchange_enter(x, EXCHANGE_AUTH);
}

static enum step check_password(struct exchange *x, const struct credentials *c)
{
    struct exchange_auth *a = x->auth;
    const struct proxy *p = x->worker->proxy;
    const struct users *users = auth_file_get_users(a->conf->basic->file);
    bool is_known;
    struct slice name = { c->name, c->name_len };
    const char *hash = users_hash(users, name, p->salt, &is_known);
    /* With the hash in it: what was verified is good until the file has another. */
    struct slice seen[] = { slice_of(hash), name, { c->password, c->password_len } };
    struct verified_mac mac = verified_mac(p->verified, seen, 3);
    a->user = arena_copy(&x->arena, name);
    if (!a->user.data) return exchange_fail(x, END_NO_MEMORY);
    if (is_known && a->conf->basic->keep_ms && verified_has(p->verified, mac, exchange_now_ms(x)))
        return pass(x);
    return ask(x, c, hash, is_known, mac);
}

static enum step check_basic(struct exchange *x, struct slice shown)
{
    struct credentials c;
    if (!credentials_basic(shown, &c))
        return fail(x, END_AUTH_FAILED, "they are not written as RFC 7617 has it");
    enum step step = check_password(x, &c);
    credentials_wipe(&c);
    return step;
}

/* tokens */

static enum step check_token(struct exchange *x, struct slice token)
{
    struct exchange_auth *a = x->auth;
    const struct auth_jwt_conf *conf = a->conf->jwt;
    const struct auth_claim_conf *claims = conf->claims.data;
    struct jwt_ask ask = { .conf = conf,
                           .keys = auth_file_get_keys(conf->file),
                           .token = token,
                           .verified = x->worker->proxy->tokens,
                           .now_ms = exchange_now_ms(x),
                           .now_s = (int64_t)(loop_wall_ns(&x->worker->loop) / NS_PER_S) };
    struct jwt_answer answer;
    if (!ask.keys) return fail(x, END_AUTH_UNAVAILABLE, "the keys of tokens have not been fetched yet");
    char *memory = token.len <= JWT_MAX ? arena_alloc(&x->arena, JWT_ROOM(token.len)) : NULL;
    if (!memory && token.len <= JWT_MAX) return exchange_fail(x, END_NO_MEMORY);
    jwt_check(&ask, memory, &answer);
    if (answer.lacks_key && conf->file->source) key_source_miss(conf->file->source, ask.now_ms);
    if (answer.verdict == JWT_BAD) a->error = "invalid_token";
    if (answer.verdict == JWT_BAD) return fail(x, END_AUTH_FAILED, answer.detail);
    if (answer.verdict == JWT_DENIED) a->error = "insufficient_scope";
    if (answer.verdict == JWT_DENIED) return fail(x, END_AUTH_DENIED, answer.detail);
    a->user = answer.user;
    for (uint32_t i = 0; i < conf->claims.count; i++) add_field(a, claims[i].field, answer.claims[i]);
    return pass(x);
}

/* a service */

static struct slice name_of(const struct http_field *f)
{
    return (struct slice){ f->name, f->name_len };
}

/* Several of a name all go; what is beyond the room does not, and then nobody passes: half of a word is another one. */
static bool take_copies(struct exchange_auth *a, const struct auth_call *c)
{
    const struct auth_forward_conf *conf = a->conf->forward;
    const char *const *copy = conf->copy.data;
    for (uint32_t i = 0; i < c->field_count; i++) {
        const struct http_field *f = &c->fields[i];
        if (f->is_dropped) continue;
        if (conf->user && slice_equal_fold(name_of(f), slice_of(conf->user))) a->user = http_field_value(f);
        for (uint32_t k = 0; k < conf->copy.count; k++) {
            if (!slice_equal_fold(name_of(f), slice_of(copy[k]))) continue;
            if (a->field_count + 1 >= AUTH_FIELDS_MAX) return false;
            add_field(a, copy[k], http_field_value(f));
        }
    }
    return true;
}

/* What a client needs of the service's refusal: how to show who it is, and where. First the two without which nobody gets any
 * further; cookies as far as there is room. */
static void take_refusal(struct exchange_auth *a, const struct auth_call *c)
{
    static const char *const names[] = { "www-authenticate", "location", "set-cookie" };
    for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
        for (uint32_t i = 0; i < c->field_count && a->refusal_count < EXCHANGE_CHALLENGES; i++) {
            const struct http_field *f = &c->fields[i];
            if (!f->is_dropped && slice_equal_fold(name_of(f), slice_of(names[k])))
                a->refusal[a->refusal_count++] = *f;
        }
    }
}

static enum step refused(struct exchange *x, const struct auth_call *c)
{
    struct exchange_auth *a = x->auth;
    bool is_redirect = c->status == 302 || c->status == 303 || c->status == 307;
    if (c->status != 401 && c->status != 403 && !is_redirect)
        return fail(x, END_AUTH_UNAVAILABLE, "it answered neither 2xx, 401, 403 nor with a redirect");
    take_refusal(a, c);
    a->status = c->status;
    return fail(x, c->status == 403 ? END_AUTH_DENIED : END_AUTH_REQUIRED, NULL);
}

static enum step called(struct exchange *x, enum end_reason end)
{
    const struct auth_call *c = x->auth->call;
    if (end != END_OK) return fail(x, END_AUTH_UNAVAILABLE, end_reason_info(end)->means);
    if (c->status < 200 || c->status > 299) return refused(x, c);
    if (!take_copies(x->auth, c))
        return fail(x, END_AUTH_UNAVAILABLE, "its answer has more fields than are copied");
    return pass(x);
}

static void on_called(struct exchange *x, enum end_reason end)
{
    if (x->state != EXCHANGE_AUTH) return;
    if (called(x, end) == STEP_GO) exchange_advance(x);
}

static enum step call(struct exchange *x)
{
    struct exchange_auth *a = x->auth;
    const struct roster *pool = x->route ? x->route->auth_pool : x->routes->auth_pool;
    if (bug_if(EXCHANGE, !pool)) return exchange_end_of_bug(x);
    a->call = arena_alloc(&x->arena, sizeof(*a->call));
    if (!a->call) return exchange_fail(x, END_NO_MEMORY);
    memset(a->call, 0, sizeof(*a->call));
    a->call->on_end = on_called;
    enum end_reason why = auth_call_begin(a->call, x, pool, a->conf->forward);
    if (why != END_NONE) return called(x, why);
    a->until_ms = exchange_now_ms(x) + a->conf->forward->timeout_ms;
    return exchange_enter(x, EXCHANGE_AUTH);
}

const struct auth_call *exchange_auth_call(const struct exchange *x)
{
    return x->auth ? x->auth->call : NULL;
}

/* all */

enum step exchange_ask_who(struct exchange *x, const struct auth_conf *conf)
{
    struct slice shown;
    if (bug_if(EXCHANGE, x->auth))
        return exchange_end_of_bug(x); /* it was asked, and is to be asked once more */
    x->auth = arena_alloc(&x->arena, sizeof(*x->auth));
    if (!x->auth) return exchange_fail(x, END_NO_MEMORY);
    memset(x->auth, 0, sizeof(*x->auth));
    x->auth->conf = conf;
    if (http_head_has_several(&x->head, HTTP_FIELD_AUTHORIZATION))
        return exchange_fail_with(x, END_BAD_REQUEST, "Authorization came twice");
    if (conf->forward) return call(x);
    struct slice value = http_field_value(http_head_find(&x->head, HTTP_FIELD_AUTHORIZATION));
    switch (credentials_scheme(value, &shown)) {
    case CREDENTIALS_BASIC:
        if (conf->basic) return check_basic(x, shown);
        break;
    case CREDENTIALS_BEARER:
        if (conf->jwt) return check_token(x, shown);
        break;
    case CREDENTIALS_OTHER: break;
    }
    return fail(x, END_AUTH_REQUIRED, NULL);
}

void exchange_auth_end(struct exchange *x)
{
    struct exchange_auth *a = x->auth;
    if (a->question || (a->call && !a->call->is_over)) count(x, AUTH_UNCHECKED);
    if (a->question) password_take_back(a->question);
    if (a->call) auth_call_end(a->call);
    a->question = NULL;
    a->call = NULL;
}

/* what others are told */

void exchange_auth_hide(struct exchange *x)
{
    if (!x->auth || x->auth->conf->passes) return;
    for (uint32_t i = 0; i < x->head.field_count; i++)
        if (x->head.fields[i].id == HTTP_FIELD_AUTHORIZATION) x->head.fields[i].is_dropped = true;
}

uint32_t exchange_auth_fields(const struct exchange *x, const struct http_field **fields)
{
    *fields = x->auth ? x->auth->fields : NULL;
    return x->auth ? x->auth->field_count : 0;
}

uint16_t exchange_auth_status(const struct exchange *x)
{
    return x->auth->status;
}

static bool add_challenge(struct exchange *x, const struct text *value, struct http_field *out)
{
    struct slice copy = arena_copy(&x->arena, text_slice(value));
    *out = (struct http_field){ .name = "WWW-Authenticate",
                                .name_len = sizeof("WWW-Authenticate") - 1,
                                .value = copy.data,
                                .value_len = (uint32_t)copy.len };
    return copy.data;
}

uint32_t exchange_auth_challenges(struct exchange *x, struct http_field out[EXCHANGE_CHALLENGES])
{
    char memory[512];
    uint32_t n = 0;
    const struct exchange_auth *a = x->auth;
    bool is_unknown = x->end == END_AUTH_REQUIRED || x->end == END_AUTH_FAILED;
    bool lacks = x->end == END_AUTH_DENIED && a->error;
    if (a->refusal_count) memcpy(out, a->refusal, a->refusal_count * sizeof(*out));
    if (a->refusal_count || !x->site || (!is_unknown && !lacks)) return a->refusal_count;
    if (a->conf->basic && is_unknown) { /* RFC 7617 2, 2.1 */
        struct text t = text_over(memory, sizeof(memory));
        text_printf(&t, "Basic realm=\"%s\", charset=\"UTF-8\"", a->conf->realm);
        n += add_challenge(x, &t, &out[n]);
    }
    if (a->conf->jwt) { /* RFC 6750 3 */
        struct text t = text_over(memory, sizeof(memory));
        text_printf(&t, "Bearer realm=\"%s\"", a->conf->realm);
        if (a->error) text_printf(&t, ", error=\"%s\", error_description=\"%s\"", a->error, x->detail);
        n += add_challenge(x, &t, &out[n]);
    }
    return n;
}
