#include "acme/order.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "acme/document.h"
#include "acme/jws.h"
#include "acme/order_text.h"
#include "base/base64.h"
#include "conf/arena.h"

#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"
#define CHAIN_TYPE "application/pem-certificate-chain"
#define NONCE_MAX 1000u
#define TOKEN_MAX 200u
/* A CA may refuse any nonce (RFC 8555 6.5), but not all of them. */
#define NONCES_REFUSED_MAX 30u
/* Between two looks at what is not ready yet, where the CA does not say. */
#define LOOK_FIRST_MS 1000u
#define LOOK_MAX_MS 10000u
/* Where it says more, nobody waits within an order. */
#define LOOK_ASKED_MAX_S 60u

enum step {
    STEP_DIRECTORY,
    STEP_NONCE,
    STEP_ACCOUNT,
    STEP_ORDER,
    STEP_AUTHORIZATION, /* each is read */
    STEP_SHOW,
    STEP_CHALLENGE, /* the CA is told that it may look */
    STEP_PROVING,   /* it looks */
    STEP_READY,     /* the order as a whole */
    STEP_FINALIZE,
    STEP_CERTIFICATE,
    STEP_ISSUED,
    STEP_FAILED,
    STEP_COUNT,
};

struct acme_order_full {
    struct acme_order order; /* first */
    struct acme_order_setup setup;
    struct conf_arena *arena; /* URLs and what else is kept of answers */
    enum step step;
    uint64_t deadline_ms;
    const char *new_nonce, *new_account, *new_order; /* URLs of the directory */
    const char *account, *url, *finalize, *certificate;
    const char **authorizations;
    uint32_t authorization_count;
    const char **challenges; /* URLs, one for each proof */
    const char **proof_urls; /* of its authorization */
    uint32_t at;             /* of authorizations, or of proofs */
    bool is_finalized, may_be_issued;
    char nonce[NONCE_MAX + 1]; /* empty: there is none */
    uint32_t nonces_refused;
    uint64_t look_ms; /* the next wait */
    char *body;       /* of the request; NULL: it is not made yet */
    char thumbprint[JWK_THUMBPRINT_ROOM];
    char step_text[300];
};

const char *acme_challenge_name(enum acme_challenge c)
{
    return c == ACME_HTTP_01 ? "http-01" : "tls-alpn-01";
}

static struct acme_order_full *full_of(struct acme_order *o)
{
    return (struct acme_order_full *)o;
}

struct acme_order *acme_order_new(const struct acme_order_setup *setup, uint64_t now_ms)
{
    struct acme_order_full *f = calloc(1, sizeof(*f));
    if (!f) return NULL;
    f->setup = *setup;
    f->arena = conf_arena_new();
    f->deadline_ms = now_ms + setup->limit_ms;
    f->authorizations = conf_arena_alloc(f->arena, ACME_NAMES_MAX * sizeof(char *));
    f->challenges = conf_arena_alloc(f->arena, ACME_NAMES_MAX * sizeof(char *));
    f->proof_urls = conf_arena_alloc(f->arena, ACME_NAMES_MAX * sizeof(char *));
    f->order.proofs = conf_arena_alloc(f->arena, ACME_NAMES_MAX * sizeof(struct acme_proof));
    if (!conf_arena_is_short(f->arena)) return &f->order;
    acme_order_free(&f->order);
    return NULL;
}

void acme_order_free(struct acme_order *o)
{
    if (!o) return;
    struct acme_order_full *f = full_of(o);
    conf_arena_free(f->arena);
    free(f->body);
    free(o->chain);
    free(f);
}

static const char *name_at(const struct acme_order_full *f)
{
    return f->at < f->order.proof_count ? f->order.proofs[f->at].name : "";
}

static const char *print_step(struct acme_order_full *f)
{
    static const char *const names[STEP_COUNT] = {
        [STEP_DIRECTORY] = "the CA's directory",
        [STEP_NONCE] = "a nonce",
        [STEP_ACCOUNT] = "the account",
        [STEP_ORDER] = "the order",
        [STEP_AUTHORIZATION] = "the authorizations",
        [STEP_SHOW] = "showing proofs",
        [STEP_READY] = "the order's state",
        [STEP_FINALIZE] = "the request to sign",
        [STEP_CERTIFICATE] = "the certificate",
        [STEP_ISSUED] = "issued",
        [STEP_FAILED] = "failed",
    };
    if (names[f->step]) return names[f->step];
    snprintf(f->step_text, sizeof(f->step_text), "the proof of %s by %s", name_at(f),
             acme_challenge_name(f->setup.challenge));
    return f->step_text;
}

static void fail(struct acme_order_full *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct acme_order_full *f, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list arguments;
    if (f->step == STEP_FAILED) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)err_set(&f->order.err, "%s: %s", print_step(f), text);
    f->step = STEP_FAILED;
}

static void enter(struct acme_order_full *f, enum step step)
{
    f->step = step;
    f->look_ms = LOOK_FIRST_MS;
    f->order.until_ms = 0;
}

/* what is asked */

static const char *url_of(const struct acme_order_full *f)
{
    switch (f->step) {
    case STEP_DIRECTORY: return f->setup.directory;
    case STEP_NONCE: return f->new_nonce;
    case STEP_ACCOUNT: return f->new_account;
    case STEP_ORDER: return f->new_order;
    case STEP_AUTHORIZATION: return f->authorizations[f->at];
    case STEP_CHALLENGE: return f->challenges[f->at];
    case STEP_PROVING: return f->proof_urls[f->at];
    case STEP_READY: return f->url;
    case STEP_FINALIZE: return f->finalize;
    case STEP_CERTIFICATE: return f->certificate;
    default: return NULL;
    }
}

/* NULL: what is signed is empty, a POST-as-GET (RFC 8555 6.3). */
static bool make_payload(const struct acme_order_full *f, char **text, size_t *len)
{
    *text = NULL;
    *len = 0;
    switch (f->step) {
    case STEP_ACCOUNT: *text = acme_account_text(&f->setup, f->new_account, len); break;
    case STEP_ORDER: *text = acme_identifiers_text(&f->setup, len); break;
    case STEP_FINALIZE: *text = acme_finalize_text(f->setup.csr, len); break;
    case STEP_CHALLENGE: /* RFC 8555 7.5.1 */
        *text = strdup("{}");
        *len = 2;
        break;
    default: return true;
    }
    return *text != NULL;
}

static void sign(struct acme_order_full *f)
{
    char *payload;
    size_t len;
    const struct jws_header header = { url_of(f), f->nonce, f->step == STEP_ACCOUNT ? NULL : f->account };
    if (make_payload(f, &payload, &len))
        f->body = jws_sign(f->setup.account, &header, (struct slice){ payload, len }, &f->order.request.len);
    free(payload);
    *f->nonce = 0; /* each is good for once */
    if (!f->body) fail(f, "what is to be said cannot be signed");
}

static enum acme_want ask(struct acme_order_full *f)
{
    struct acme_request *rq = &f->order.request;
    bool is_signed = f->step > STEP_NONCE;
    if (f->body) return ACME_WANT_ANSWER; /* it has not come yet */
    *rq = (struct acme_request){ .method = is_signed               ? ACME_POST
                                           : f->step == STEP_NONCE ? ACME_HEAD
                                                                   : ACME_GET,
                                 .url = url_of(f),
                                 .accept = f->step == STEP_CERTIFICATE ? CHAIN_TYPE : NULL };
    if (!is_signed) return ACME_WANT_ANSWER;
    if (!*f->nonce) {
        rq->method = ACME_HEAD;
        rq->url = f->new_nonce;
        return ACME_WANT_ANSWER;
    }
    sign(f);
    if (!f->body) return ACME_WANT_NOTHING;
    rq->body = f->body;
    return ACME_WANT_ANSWER;
}

enum acme_want acme_order_want(struct acme_order *o, uint64_t now_ms)
{
    struct acme_order_full *f = full_of(o);
    if (f->step == STEP_ISSUED || f->step == STEP_FAILED) return ACME_WANT_NOTHING;
    if (now_ms >= f->deadline_ms) {
        fail(f, "the CA was not ready within %llu s", (unsigned long long)(f->setup.limit_ms / 1000));
        return ACME_WANT_NOTHING;
    }
    if (now_ms < o->until_ms) return ACME_WANT_TIME;
    return f->step == STEP_SHOW ? ACME_WANT_PROOFS : ask(f);
}

void acme_order_shown(struct acme_order *o, uint64_t now_ms)
{
    struct acme_order_full *f = full_of(o);
    if (f->step != STEP_SHOW) return;
    f->at = 0;
    enter(f, STEP_CHALLENGE);
    o->until_ms = now_ms + f->setup.settle_ms;
}

/* what is answered */

static bool has_type(const struct acme_response *r, const char *type)
{
    size_t len = strlen(type);
    if (!r->content_type || strncasecmp(r->content_type, type, len) != 0) return false;
    return !r->content_type[len] || r->content_type[len] == ';' || r->content_type[len] == ' ';
}

static void take_nonce(struct acme_order_full *f, const char *nonce)
{
    struct slice s = slice_of(nonce);
    if (!base64url_is_token(s) || s.len > NONCE_MAX) return; /* RFC 8555 6.5.1 */
    memcpy(f->nonce, nonce, s.len + 1);
}

static void wait_a_while(struct acme_order_full *f, uint64_t retry_after_s, uint64_t now_ms)
{
    uint64_t asked_s = retry_after_s < LOOK_ASKED_MAX_S ? retry_after_s : LOOK_ASKED_MAX_S;
    f->order.until_ms = now_ms + (asked_s ? asked_s * 1000 : f->look_ms);
    f->look_ms = f->look_ms * 2 < LOOK_MAX_MS ? f->look_ms * 2 : LOOK_MAX_MS;
}

/* A URL of the answer, kept. NULL: it has none that could be asked for, which was said. */
static const char *take_url(struct acme_order_full *f, const char *text, const char *what)
{
    if (acme_is_url(text)) return conf_arena_copy(f->arena, slice_of(text));
    fail(f, "the CA's answer has no %s that is a URL of https", what);
    return NULL;
}

static void fail_by_problem(struct acme_order_full *f, const struct conf_node *problem)
{
    char room[ERR_TEXT_MAX];
    struct text t = text_over(room, sizeof(room));
    acme_problem_print(problem, &t);
    fail(f, "%s", text_cstr(&t));
}

/* The same is sent once more, with another nonce. */
static bool is_of_nonce(struct acme_order_full *f, const struct conf_node *problem)
{
    return acme_problem_is(problem, "badNonce") && ++f->nonces_refused <= NONCES_REFUSED_MAX;
}

/* There is no answer, or none of a CA in order. Once it was asked to sign, it may have issued what would be ordered again, of
 * which CAs count a few a week: then it is asked for what became of it as long as the order may take. */
static bool is_asked_again(struct acme_order_full *f, uint64_t retry_after_s, uint64_t now_ms)
{
    if (f->step == STEP_FINALIZE) f->may_be_issued = true;
    f->order.is_unheard = !f->order.is_made;
    f->order.retry_after_s = retry_after_s;
    if (!f->may_be_issued) return false;
    free(f->body); /* its nonce is used up */
    f->body = NULL;
    if (f->step == STEP_FINALIZE) f->step = STEP_READY;
    wait_a_while(f, retry_after_s, now_ms);
    return true;
}

void acme_order_unanswered(struct acme_order *o, const char *words, uint64_t now_ms)
{
    struct acme_order_full *f = full_of(o);
    if (!is_asked_again(f, 0, now_ms)) fail(f, "%s", words);
}

/* RFC 8555 6.7 */
static void take_refusal(struct acme_order_full *f, const struct acme_response *r, uint64_t now_ms)
{
    struct acme_document d;
    f->order.retry_after_s = r->retry_after_s;
    if (r->status >= 500 && is_asked_again(f, r->retry_after_s, now_ms)) return;
    if (!has_type(r, PROBLEM_TYPE) || !acme_document_read(&d, r->body)) {
        fail(f, "the CA answers with status %d, and says nothing of why", r->status);
        return;
    }
    if (r->status == 400 && is_of_nonce(f, d.root))
        f->order.retry_after_s = 0;
    else
        fail_by_problem(f, d.root);
    acme_document_close(&d);
}

static void take_directory(struct acme_order_full *f, const struct conf_node *root)
{
    f->new_nonce = take_url(f, acme_document_text(root, "newNonce"), "newNonce");
    if (f->new_nonce) f->new_account = take_url(f, acme_document_text(root, "newAccount"), "newAccount");
    if (f->new_account) f->new_order = take_url(f, acme_document_text(root, "newOrder"), "newOrder");
    if (f->new_order) enter(f, STEP_NONCE);
}

/* Which name it is of; NULL: none that was ordered. */
static const char *name_of(const struct acme_order_full *f, const struct conf_node *root)
{
    const struct conf_node *identifier = acme_document_object(root, "identifier");
    const char *type = acme_document_text(identifier, "type"),
               *name = acme_document_text(identifier, "value");
    if (!type || !name || strcmp(type, "dns") != 0) return NULL;
    for (uint32_t i = 0; i < f->setup.name_count; i++)
        if (strcasecmp(name, f->setup.names[i]) == 0) return f->setup.names[i];
    return NULL;
}

static void take_order(struct acme_order_full *f, const struct acme_response *r, const struct conf_node *root)
{
    f->url = take_url(f, r->location, "Location");
    if (!f->url || !(f->finalize = take_url(f, acme_document_text(root, "finalize"), "finalize"))) return;
    f->order.is_made = true;
    for (const struct conf_node *n = acme_document_list(root, "authorizations"); n; n = n->next) {
        const char *url = n->kind == CONF_NODE_SCALAR && n->is_quoted ? n->text.data : NULL;
        if (f->authorization_count == f->setup.name_count) {
            fail(f, "the CA wants more proofs than there are names");
            return;
        }
        if (!(url = take_url(f, url, "authorization"))) return;
        f->authorizations[f->authorization_count++] = url;
    }
    f->at = 0;
    enter(f, f->authorization_count ? STEP_AUTHORIZATION : STEP_READY);
}

static const struct conf_node *find_challenge(const struct acme_order_full *f, const struct conf_node *root)
{
    const struct conf_node *n = acme_document_list(root, "challenges");
    for (; n; n = n->next) {
        const char *type = acme_document_text(n, "type");
        if (type && strcmp(type, acme_challenge_name(f->setup.challenge)) == 0) return n;
    }
    return NULL;
}

static void add_proof(struct acme_order_full *f, const char *name, const struct conf_node *challenge)
{
    char room[TOKEN_MAX + JWK_THUMBPRINT_ROOM + 1];
    struct text t = text_over(room, sizeof(room));
    struct slice token = slice_of(acme_document_text(challenge, "token"));
    const char *url = acme_document_text(challenge, "url");
    struct acme_order *o = &f->order;
    /* It becomes a part of a path, and a file's name (RFC 8555 8.3). */
    if (!base64url_is_token(token) || token.len > TOKEN_MAX) {
        fail(f, "the CA's token for %s is none", name);
        return;
    }
    if (!(url = take_url(f, url, "challenge"))) return;
    text_add_slice(&t, token);
    text_add_char(&t, '.');
    text_add_slice(&t, slice_of(f->thumbprint));
    f->challenges[o->proof_count] = url;
    f->proof_urls[o->proof_count] = f->authorizations[f->at];
    o->proofs[o->proof_count++] = (struct acme_proof){ name, conf_arena_copy(f->arena, token),
                                                       conf_arena_copy(f->arena, text_slice(&t)) };
}

static bool is_state(const struct conf_node *root, const char *state)
{
    const char *status = acme_document_text(root, "status");
    return status && strcmp(status, state) == 0;
}

static void take_authorization(struct acme_order_full *f, const struct conf_node *root)
{
    const char *name = name_of(f, root);
    const struct conf_node *challenge = find_challenge(f, root);
    if (!name) {
        fail(f, "the CA asks for the proof of a name that was not ordered");
    } else if (is_state(root, "valid")) {
        /* proven before, and the CA remembers */
    } else if (!is_state(root, "pending")) {
        fail(f, "the CA can have no proof of %s any more", name);
    } else if (!challenge) {
        fail(f, "the CA takes no %s for %s", acme_challenge_name(f->setup.challenge), name);
    } else {
        add_proof(f, name, challenge);
    }
    if (f->step == STEP_FAILED || ++f->at < f->authorization_count) return;
    f->at = 0;
    enter(f, f->order.proof_count ? STEP_SHOW : STEP_READY);
}

/* Why a proof did not do is said of the challenge (RFC 8555 8). */
static void fail_by_challenge(struct acme_order_full *f, const struct conf_node *root)
{
    const struct conf_node *error = acme_document_object(find_challenge(f, root), "error");
    if (error)
        fail_by_problem(f, error);
    else
        fail(f, "the CA does not say why it does not take it");
}

static void take_proof(struct acme_order_full *f, const struct acme_response *r, const struct conf_node *root,
                       uint64_t now_ms)
{
    if (is_state(root, "pending") || is_state(root, "processing")) {
        wait_a_while(f, r->retry_after_s, now_ms);
    } else if (!is_state(root, "valid")) {
        fail_by_challenge(f, root);
    } else if (++f->at < f->order.proof_count) {
        enter(f, STEP_PROVING);
    } else {
        enter(f, STEP_READY);
    }
}

/* RFC 8555 7.1.6 */
static void take_state(struct acme_order_full *f, const struct acme_response *r, const struct conf_node *root,
                       uint64_t now_ms)
{
    const struct conf_node *error = acme_document_object(root, "error");
    if (is_state(root, "valid")) {
        f->certificate = take_url(f, acme_document_text(root, "certificate"), "certificate");
        if (f->certificate) enter(f, STEP_CERTIFICATE);
    } else if (is_state(root, "invalid")) {
        if (error)
            fail_by_problem(f, error);
        else
            fail(f, "the CA gives the order up, and does not say why");
    } else if (is_state(root, "ready") && !f->is_finalized) {
        enter(f, STEP_FINALIZE);
    } else {
        f->step = STEP_READY;
        wait_a_while(f, r->retry_after_s, now_ms);
    }
}

static void take_chain(struct acme_order_full *f, const struct acme_response *r)
{
    struct acme_order *o = &f->order;
    if (!has_type(r, CHAIN_TYPE) || !r->body.len || memchr(r->body.data, 0, r->body.len)) {
        fail(f, "what the CA issued is no chain in PEM");
        return;
    }
    o->chain = malloc(r->body.len + 1);
    if (!o->chain) {
        fail(f, "there is no memory for it");
        return;
    }
    memcpy(o->chain, r->body.data, r->body.len);
    o->chain[r->body.len] = 0;
    o->chain_len = r->body.len;
    enter(f, STEP_ISSUED);
}

static void take_document(struct acme_order_full *f, const struct acme_response *r, uint64_t now_ms)
{
    struct acme_document d;
    if (!has_type(r, JSON_TYPE) || !acme_document_read(&d, r->body)) {
        fail(f, "what the CA answers is no JSON");
        return;
    }
    switch (f->step) {
    case STEP_DIRECTORY: take_directory(f, d.root); break;
    case STEP_ORDER: take_order(f, r, d.root); break;
    case STEP_AUTHORIZATION: take_authorization(f, d.root); break;
    case STEP_PROVING: take_proof(f, r, d.root, now_ms); break;
    case STEP_FINALIZE:
        f->is_finalized = f->may_be_issued = true;
        take_state(f, r, d.root, now_ms);
        break;
    default: take_state(f, r, d.root, now_ms); break;
    }
    acme_document_close(&d);
}

/* All are told before the first is looked at: the CA looks at them together. */
static void told(struct acme_order_full *f)
{
    if (++f->at < f->order.proof_count) return;
    f->at = 0;
    enter(f, STEP_PROVING);
}

static void take_success(struct acme_order_full *f, const struct acme_response *r, uint64_t now_ms)
{
    switch (f->step) {
    case STEP_ACCOUNT:
        f->account = take_url(f, r->location, "Location");
        if (f->account && !jwk_thumbprint(f->setup.account, f->thumbprint))
            fail(f, "its key is none of P-256");
        else if (f->account)
            enter(f, STEP_ORDER);
        break;
    case STEP_CHALLENGE: told(f); break;
    case STEP_CERTIFICATE: take_chain(f, r); break;
    default: take_document(f, r, now_ms); break;
    }
}

/* To a HEAD for a nonce alone. */
static void take_nonce_answer(struct acme_order_full *f, const struct acme_response *r, uint64_t now_ms)
{
    bool is_good = r->status / 100 == 2;
    if (!is_good || !*f->nonce) {
        f->order.retry_after_s = r->retry_after_s;
        if ((is_good || r->status >= 500) && is_asked_again(f, r->retry_after_s, now_ms)) return;
        fail(f, "the CA gives no nonce: it answers with status %d", r->status);
    } else if (f->step == STEP_NONCE) {
        enter(f, STEP_ACCOUNT);
    }
}

void acme_order_take(struct acme_order *o, const struct acme_response *r, uint64_t now_ms)
{
    struct acme_order_full *f = full_of(o);
    bool was_for_nonce = o->request.method == ACME_HEAD;
    if (f->step == STEP_ISSUED || f->step == STEP_FAILED || f->step == STEP_SHOW) return;
    free(f->body);
    f->body = NULL;
    o->until_ms = 0;
    if (r->nonce) take_nonce(f, r->nonce);
    o->retry_after_s = 0;
    if (was_for_nonce)
        take_nonce_answer(f, r, now_ms);
    else if (r->status == 200 || r->status == 201)
        take_success(f, r, now_ms);
    else
        take_refusal(f, r, now_ms);
    if (f->step != STEP_ISSUED && conf_arena_is_short(f->arena))
        fail(f, "there is no memory for what the CA answers");
}
