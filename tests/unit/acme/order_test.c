#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acme/document.h"
#include "acme/jws.h"
#include "acme/order.h"
#include "acme/request.h"
#include "base/base64.h"

#define CA "https://ca.example"
#define JSON "application/json; charset=utf-8"
#define PROBLEM "application/problem+json"
#define CHAIN "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

/* A CA as the RFC has it, which looks at what it is asked, and does what a test wants of it. */
static struct {
    unsigned next_nonce, nonces_to_refuse, nonces_refused, looks_until_valid, looks_until_issued, looks;
    uint64_t retry_after_s;
    bool is_proven, is_invalid, is_finalized, forgets_nonces;
    const char *challenges; /* of each authorization; NULL: three kinds */
    /* One answer in another's place: to the URL that ends so. */
    const char *other_for, *other_type, *other_body;
    int other_status;
    unsigned others_left; /* so many of them; 0: all */
    char last_nonce[32], log[2048];
    unsigned told;
} ca;

static EVP_PKEY *account;
static const char *names[ACME_NAMES_MAX] = { "a.example", "b.example" };
static struct acme_order_setup setup;
static struct acme_order *order;
static uint64_t now_ms;

static int set_up(void **state)
{
    (void)state;
    memset(&ca, 0, sizeof(ca));
    if (!account) account = acme_key_new(ACME_KEY_ECDSA);
    now_ms = 1000;
    setup = (struct acme_order_setup){ .directory = CA "/directory",
                                       .email = "me@a.example",
                                       .account = account,
                                       .csr = SLICE("request"),
                                       .names = names,
                                       .name_count = 2,
                                       .challenge = ACME_HTTP_01,
                                       .settle_ms = 3000,
                                       .limit_ms = 600000 };
    order = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    acme_order_free(order);
    return 0;
}

/* what the CA is asked */

static void note(const char *text)
{
    size_t len = strlen(ca.log);
    snprintf(ca.log + len, sizeof(ca.log) - len, "%s%s", len ? " " : "", text);
}

static char *decode(const char *text)
{
    static char room[4096];
    size_t len;
    assert_true(base64url_decode(slice_of(text), room, sizeof(room) - 1, &len));
    room[len] = 0;
    return room;
}

/* The nonce is the last one that was given, the URL the one that is asked; the payload is returned. */
static char *check_signed(const struct acme_request *rq)
{
    static char payload[4096];
    struct acme_document d, header;
    assert_true(acme_document_read(&d, (struct slice){ rq->body, rq->len }));
    assert_true(acme_document_read(&header, slice_of(decode(acme_document_text(d.root, "protected")))));
    assert_string_equal(acme_document_text(header.root, "url"), rq->url);
    assert_string_equal(acme_document_text(header.root, "nonce"), ca.last_nonce);
    ca.last_nonce[0] = 0;
    bool is_new = strcmp(rq->url, CA "/account") == 0;
    assert_int_equal(is_new, acme_document_object(header.root, "jwk") != NULL);
    if (!is_new) assert_string_equal(acme_document_text(header.root, "kid"), CA "/account/7");
    snprintf(payload, sizeof(payload), "%s", decode(acme_document_text(d.root, "payload")));
    acme_document_close(&header);
    acme_document_close(&d);
    return payload;
}

/* what it answers */

static char body[8192];

static void answer(int status, const char *type, const char *text, const char *location)
{
    struct acme_response r = { .status = status, .content_type = type, .location = location };
    if (!ca.forgets_nonces || !text) {
        snprintf(ca.last_nonce, sizeof(ca.last_nonce), "nonce-%u", ca.next_nonce++);
        r.nonce = ca.last_nonce;
    }
    r.retry_after_s = ca.retry_after_s;
    r.body = slice_of(text);
    acme_order_take(order, &r, now_ms);
}

static void answer_authorization(unsigned n)
{
    char challenges[1024];
    bool is_looked_at = ca.told == setup.name_count;
    if (is_looked_at && ++ca.looks > ca.looks_until_valid) ca.is_proven = true;
    snprintf(challenges, sizeof(challenges),
             "{\"type\":\"dns-01\",\"url\":\"" CA "/c/0\",\"token\":\"t0\"},"
             "{\"type\":\"http-01\",\"url\":\"" CA "/c/%u\",\"token\":\"token-%u\"},"
             "{\"type\":\"tls-alpn-01\",\"url\":\"" CA "/c/%u\",\"token\":\"token-%u\"}",
             n, n, n, n);
    if (ca.challenges) snprintf(challenges, sizeof(challenges), "%s", ca.challenges);
    if (ca.is_invalid && is_looked_at)
        snprintf(challenges, sizeof(challenges),
                 "{\"type\":\"%s\",\"status\":\"invalid\",\"error\":{\"type\":\"urn:ietf:params:acme:error:"
                 "connection\","
                 "\"detail\":\"Connection refused\"}}",
                 acme_challenge_name(setup.challenge));
    snprintf(body, sizeof(body),
             "{\"status\":\"%s\",\"identifier\":{\"type\":\"dns\",\"value\":\"%s\"},\"challenges\":[%s]}",
             ca.is_invalid && is_looked_at ? "invalid"
             : ca.is_proven                ? "valid"
                                           : "pending",
             names[n], challenges);
    answer(200, JSON, body, NULL);
}

static void answer_order(int status)
{
    size_t len;
    bool is_issued = ca.is_finalized && ca.looks++ >= ca.looks_until_issued;
    snprintf(body, sizeof(body), "{\"status\":\"%s\",\"finalize\":\"" CA "/finalize\"%s,\"authorizations\":[",
             is_issued         ? "valid"
             : ca.is_finalized ? "processing"
             : ca.is_proven    ? "ready"
                               : "pending",
             is_issued ? ",\"certificate\":\"" CA "/cert\"" : "");
    for (unsigned i = 0; i < setup.name_count; i++) {
        len = strlen(body);
        snprintf(body + len, sizeof(body) - len, "%s\"" CA "/authz/%u\"", i ? "," : "", i);
    }
    strcat(body, "]}");
    answer(status, JSON, body, CA "/order/1");
}

static bool is_of(const char *path)
{
    return strncmp(order->request.url, path, strlen(path)) == 0;
}

static void answer_post(const char *payload)
{
    unsigned n = (unsigned)strtoul(strrchr(order->request.url, '/') + 1, NULL, 10);
    if (is_of(CA "/account")) {
        assert_non_null(strstr(payload, "\"termsOfServiceAgreed\":true"));
        answer(201, JSON, "{\"status\":\"valid\"}", CA "/account/7");
    } else if (is_of(CA "/new-order")) {
        ca.looks = 0;
        answer_order(201);
    } else if (is_of(CA "/authz/")) {
        assert_string_equal(payload, "");
        answer_authorization(n);
    } else if (is_of(CA "/c/")) {
        assert_string_equal(payload, "{}");
        ca.told++;
        answer(200, JSON, "{\"status\":\"pending\"}", NULL);
    } else if (is_of(CA "/finalize")) {
        assert_string_equal(payload, "{\"csr\":\"cmVxdWVzdA\"}");
        ca.is_finalized = true;
        ca.looks = 0;
        answer_order(200);
    } else if (is_of(CA "/order/1")) {
        answer_order(200);
    } else {
        assert_string_equal(order->request.url, CA "/cert");
        assert_string_equal(order->request.accept, "application/pem-certificate-chain");
        answer(200, "application/pem-certificate-chain", CHAIN, NULL);
    }
}

static void answer_request(void)
{
    const struct acme_request *rq = &order->request;
    const char *payload = rq->method == ACME_POST ? check_signed(rq) : "";
    note(strrchr(rq->url, '/') + 1);
    if (ca.other_for && rq->method != ACME_HEAD &&
        strcmp(rq->url + strlen(rq->url) - strlen(ca.other_for), ca.other_for) == 0) {
        if (ca.others_left && !--ca.others_left) ca.other_for = NULL;
        if (ca.other_status)
            answer(ca.other_status, ca.other_type, ca.other_body, NULL);
        else
            acme_order_unanswered(order, "connection reset", now_ms);
    } else if (rq->method == ACME_GET) {
        answer(200, JSON,
               "{\"meta\":{},\"newNonce\":\"" CA "/nonce\",\"newAccount\":\"" CA
               "/account\",\"newOrder\":\"" CA "/new-order\"}",
               NULL);
    } else if (rq->method == ACME_HEAD) {
        assert_string_equal(rq->url, CA "/nonce");
        answer(200, NULL, NULL, NULL);
    } else if (ca.nonces_refused < ca.nonces_to_refuse) {
        ca.nonces_refused++;
        answer(400, PROBLEM, "{\"type\":\"urn:ietf:params:acme:error:badNonce\",\"detail\":\"stale\"}", NULL);
    } else {
        answer_post(payload);
    }
}

/* Until it has ended; waits pass at once, and say themselves. */
static void go(void)
{
    order = acme_order_new(&setup, now_ms);
    for (int i = 0; i < 1000; i++) {
        char wait[32];
        switch (acme_order_want(order, now_ms)) {
        case ACME_WANT_NOTHING: return;
        case ACME_WANT_ANSWER: answer_request(); break;
        case ACME_WANT_TIME:
            snprintf(wait, sizeof(wait), "+%llu", (unsigned long long)(order->until_ms - now_ms));
            note(wait);
            now_ms = order->until_ms;
            break;
        case ACME_WANT_PROOFS:
            note("show");
            acme_order_shown(order, now_ms);
            break;
        }
    }
    fail_msg("it does not end: %s", ca.log);
}

static void expect_failure(const char *words)
{
    go();
    assert_null(order->chain);
    assert_string_equal(order->err.text, words);
}

static void a_certificate_is_issued(void **state)
{
    (void)state;
    go();
    assert_string_equal(order->err.text, "");
    assert_string_equal(order->chain, CHAIN);
    assert_string_equal(ca.log, "directory nonce account new-order 0 1 show +3000 0 1 0 1 1 finalize cert");
    assert_true(order->is_made);
}

static void its_proofs_are_of_its_names(void **state)
{
    (void)state;
    char thumbprint[JWK_THUMBPRINT_ROOM], expected[128];
    go();
    assert_true(jwk_thumbprint(account, thumbprint));
    assert_int_equal(order->proof_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(expected, sizeof(expected), "token-%u.%s", i, thumbprint);
        assert_string_equal(order->proofs[i].name, names[i]);
        assert_string_equal(order->proofs[i].authorization, expected);
        *strchr(expected, '.') = 0;
        assert_string_equal(order->proofs[i].token, expected);
    }
}

static void names_that_the_ca_remembers_are_not_proven_again(void **state)
{
    (void)state;
    ca.is_proven = true;
    go();
    assert_non_null(order->chain);
    assert_int_equal(order->proof_count, 0);
    assert_string_equal(ca.log, "directory nonce account new-order 0 1 1 finalize cert");
}

static void what_takes_time_is_looked_at_ever_more_seldom(void **state)
{
    (void)state;
    ca.looks_until_valid = 6;
    ca.looks_until_issued = 2;
    go();
    assert_non_null(order->chain);
    assert_string_equal(
        ca.log, "directory nonce account new-order 0 1 show +3000 0 1 0 +1000 0 +2000 0 +4000 0 +8000 0 "
                "+10000 0 +10000 0 1 1 finalize +1000 1 +2000 1 cert");
}

static void the_ca_says_how_long_to_wait(void **state)
{
    (void)state;
    ca.looks_until_valid = 2;
    ca.retry_after_s = 5;
    go();
    assert_non_null(order->chain);
    assert_non_null(strstr(ca.log, "show +3000 0 1 0 +5000 0 +5000 0 1"));
}

static void nobody_waits_within_an_order_for_as_long_as_is_said(void **state)
{
    (void)state;
    ca.looks_until_valid = 1;
    ca.retry_after_s = UINT64_MAX;
    go();
    assert_non_null(strstr(ca.log, "0 +60000 0 1"));
}

static void a_ca_that_is_never_ready_is_given_up(void **state)
{
    (void)state;
    ca.looks_until_valid = UINT32_MAX;
    expect_failure("the proof of a.example by http-01: the CA was not ready within 600 s");
}

static void a_refused_nonce_is_another_try_of_the_same(void **state)
{
    (void)state;
    ca.nonces_to_refuse = 30;
    go();
    assert_non_null(order->chain);
}

static void a_ca_that_refuses_every_nonce_is_given_up(void **state)
{
    (void)state;
    ca.nonces_to_refuse = UINT32_MAX;
    expect_failure("the account: stale (badNonce)");
    assert_int_equal(ca.nonces_refused, 31);
}

static void where_an_answer_has_no_nonce_one_is_fetched(void **state)
{
    (void)state;
    ca.forgets_nonces = true;
    go();
    assert_non_null(order->chain);
    assert_string_equal(
        ca.log, "directory nonce account nonce new-order nonce 0 nonce 1 show +3000 nonce 0 nonce 1 nonce "
                "0 nonce 1 nonce 1 nonce finalize nonce cert");
}

static void a_proof_that_does_not_do_says_why(void **state)
{
    (void)state;
    ca.is_invalid = true;
    expect_failure("the proof of a.example by http-01: Connection refused (connection)");
    assert_false(order->is_unheard);
    assert_true(order->is_made);
}

static void the_other_challenge_is_taken_where_it_is_wanted(void **state)
{
    (void)state;
    setup.challenge = ACME_TLS_ALPN_01;
    ca.is_invalid = true;
    expect_failure("the proof of a.example by tls-alpn-01: Connection refused (connection)");
}

static void a_ca_without_the_challenge_is_said(void **state)
{
    (void)state;
    ca.challenges = "{\"type\":\"dns-01\",\"url\":\"" CA "/c/0\",\"token\":\"t0\"}";
    expect_failure("the authorizations: the CA takes no http-01 for a.example");
}

static void tokens_that_are_paths_are_refused(void **state)
{
    (void)state;
    ca.challenges = "{\"type\":\"http-01\",\"url\":\"" CA "/c/0\",\"token\":\"../key\"}";
    expect_failure("the authorizations: the CA's token for a.example is none");
}

static void challenges_of_other_places_than_https_are_refused(void **state)
{
    (void)state;
    ca.challenges = "{\"type\":\"http-01\",\"url\":\"http://169.254.169.254/\",\"token\":\"t\"}";
    expect_failure("the authorizations: the CA's answer has no challenge that is a URL of https");
}

static void other(const char *path, int status, const char *type, const char *text)
{
    ca.other_for = path;
    ca.other_status = status;
    ca.other_type = type;
    ca.other_body = text;
}

static void a_rate_limit_says_how_long_to_rest(void **state)
{
    (void)state;
    ca.retry_after_s = 7200;
    other("/new-order", 429, PROBLEM,
          "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many certificates\"}");
    expect_failure("the order: too many certificates (rateLimited)");
    assert_int_equal(order->retry_after_s, 7200);
    assert_false(order->is_unheard);
    assert_false(order->is_made);
}

static void a_ca_out_of_order_has_counted_nothing(void **state)
{
    (void)state;
    other("/directory", 503, "text/html", "<html>");
    expect_failure("the CA's directory: the CA answers with status 503, and says nothing of why");
    assert_true(order->is_unheard);
}

static void a_ca_out_of_order_says_how_long_to_rest(void **state)
{
    (void)state;
    ca.retry_after_s = 7200;
    other("/new-order", 503, "text/html", "<html>");
    expect_failure("the order: the CA answers with status 503, and says nothing of why");
    assert_true(order->is_unheard);
    assert_int_equal(order->retry_after_s, 7200);
}

static void what_the_ca_has_an_order_of_is_counted(void **state)
{
    (void)state;
    other("/authz/1", 503, "text/html", "<html>");
    expect_failure("the authorizations: the CA answers with status 503, and says nothing of why");
    assert_true(order->is_made);
    assert_false(order->is_unheard);
}

/* Each further order would be a further certificate, of which CAs count a few a week. */
static void what_may_be_issued_is_asked_for_until_it_is_had(void **state)
{
    static const struct {
        const char *url, *log;
    } cases[] = {
        { "/cert", "finalize cert +1000 nonce cert +2000 nonce cert" },
        { "/finalize", "finalize +1000 nonce 1 finalize +1000 nonce 1 finalize cert" },
    };
    for (unsigned i = 0; i < 4; i++) {
        tear_down(state);
        set_up(state);
        other(cases[i / 2].url, i % 2 ? 503 : 0, "text/html", "<html>");
        ca.others_left = 2;
        ca.forgets_nonces = i % 2;
        go();
        assert_string_equal(order->err.text, "");
        assert_string_equal(order->chain, CHAIN);
        if (i % 2 == 0) assert_non_null(strstr(ca.log, cases[i / 2].log));
    }
}

static void what_cannot_be_had_is_given_up_and_counted(void **state)
{
    (void)state;
    other("/cert", 503, "text/html", "<html>");
    expect_failure("the certificate: the CA was not ready within 600 s");
    assert_true(order->is_made);
    assert_false(order->is_unheard);
}

static void nobody_is_followed_elsewhere(void **state)
{
    (void)state;
    other("/directory", 302, "text/html", "<a href=x>");
    expect_failure("the CA's directory: the CA answers with status 302, and says nothing of why");
}

static void a_page_is_no_directory(void **state)
{
    (void)state;
    other("/directory", 200, "text/html", "{\"newNonce\":\"" CA "/n\"}");
    expect_failure("the CA's directory: what the CA answers is no JSON");
}

static void half_a_document_is_none(void **state)
{
    (void)state;
    other("/directory", 200, JSON, "{\"newNonce\":\"" CA "/n\",\"newAcc");
    expect_failure("the CA's directory: what the CA answers is no JSON");
}

static void a_directory_without_an_address_is_said(void **state)
{
    (void)state;
    other("/directory", 200, JSON,
          "{\"newNonce\":\"" CA "/n\",\"newAccount\":\"/relative\",\"newOrder\":\"" CA "/o\"}");
    expect_failure("the CA's directory: the CA's answer has no newAccount that is a URL of https");
}

static void an_account_without_an_address_is_said(void **state)
{
    (void)state;
    other("/account", 201, JSON, "{}");
    expect_failure("the account: the CA's answer has no Location that is a URL of https");
}

static void names_that_were_not_ordered_are_not_proven(void **state)
{
    (void)state;
    other("/authz/1", 200, JSON,
          "{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"bank.example\"},"
          "\"challenges\":[]}");
    expect_failure("the authorizations: the CA asks for the proof of a name that was not ordered");
}

static void a_chain_with_a_zero_is_none(void **state)
{
    (void)state;
    other("/cert", 200, "application/octet-stream", CHAIN);
    expect_failure("the certificate: what the CA issued is no chain in PEM");
}

static void a_refusal_steers_no_terminal(void **state)
{
    (void)state;
    other("/account", 403, PROBLEM, "{\"detail\":\"\\u001b[2Jagree\\n to \\u0007terms\"}");
    expect_failure("the account: \\x1b[2Jagree\\x0a to \\x07terms");
}

static void no_answer_at_all_is_said(void **state)
{
    (void)state;
    order = acme_order_new(&setup, now_ms);
    assert_int_equal(acme_order_want(order, now_ms), ACME_WANT_ANSWER);
    acme_order_unanswered(order, "connection refused", now_ms);
    assert_int_equal(acme_order_want(order, now_ms), ACME_WANT_NOTHING);
    assert_string_equal(order->err.text, "the CA's directory: connection refused");
    assert_true(order->is_unheard);
}

static void an_account_of_another_kind_is_named(void **state)
{
    (void)state;
    setup.kid = "kid-1";
    setup.hmac_key = SLICE("0123456789abcdef");
    go();
    assert_non_null(order->chain);
}

static void asked_again_it_wants_the_same(void **state)
{
    (void)state;
    order = acme_order_new(&setup, now_ms);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(acme_order_want(order, now_ms), ACME_WANT_ANSWER);
        const char *once = order->request.body;
        assert_int_equal(acme_order_want(order, now_ms), ACME_WANT_ANSWER);
        assert_ptr_equal(order->request.body, once);
        answer_request();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_certificate_is_issued),
        TEST(its_proofs_are_of_its_names),
        TEST(names_that_the_ca_remembers_are_not_proven_again),
        TEST(what_takes_time_is_looked_at_ever_more_seldom),
        TEST(the_ca_says_how_long_to_wait),
        TEST(nobody_waits_within_an_order_for_as_long_as_is_said),
        TEST(a_ca_that_is_never_ready_is_given_up),
        TEST(a_refused_nonce_is_another_try_of_the_same),
        TEST(a_ca_that_refuses_every_nonce_is_given_up),
        TEST(where_an_answer_has_no_nonce_one_is_fetched),
        TEST(a_proof_that_does_not_do_says_why),
        TEST(the_other_challenge_is_taken_where_it_is_wanted),
        TEST(a_ca_without_the_challenge_is_said),
        TEST(tokens_that_are_paths_are_refused),
        TEST(challenges_of_other_places_than_https_are_refused),
        TEST(a_rate_limit_says_how_long_to_rest),
        TEST(a_ca_out_of_order_has_counted_nothing),
        TEST(a_ca_out_of_order_says_how_long_to_rest),
        TEST(what_the_ca_has_an_order_of_is_counted),
        TEST(what_may_be_issued_is_asked_for_until_it_is_had),
        TEST(what_cannot_be_had_is_given_up_and_counted),
        TEST(nobody_is_followed_elsewhere),
        TEST(a_page_is_no_directory),
        TEST(half_a_document_is_none),
        TEST(a_directory_without_an_address_is_said),
        TEST(an_account_without_an_address_is_said),
        TEST(names_that_were_not_ordered_are_not_proven),
        TEST(a_chain_with_a_zero_is_none),
        TEST(a_refusal_steers_no_terminal),
        TEST(no_answer_at_all_is_said),
        TEST(an_account_of_another_kind_is_named),
        TEST(asked_again_it_wants_the_same),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(account);
    return result;
}
