#include "auth/jwt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sign.h"

#define NOW 1000000
#define EXP "\"exp\":1000100"

/* The key set of one key, with this id. */
static struct jwk_set *set_of(const char *jwk)
{
    struct err err = { "" };
    struct jwk_set *set = jwk_set_parse("keys", slice_of(jwk), &err);
    if (!set) fail_msg("%s: %s", err.text, jwk);
    return set;
}

static char memory[JWT_ROOM(JWT_MAX)];

static struct jwt_answer check(const struct auth_jwt_conf *conf, const struct jwk_set *keys,
                               const char *token)
{
    struct jwt_answer answer;
    size_t len = strlen(token);
    char *copy = test_malloc(len + 1); /* so that a byte too many is seen */
    memcpy(copy, token, len);
    struct jwt_ask ask = { .conf = conf, .keys = keys, .token = { copy, len }, .now_s = NOW };
    jwt_check(&ask, memory, &answer);
    test_free(copy);
    return answer;
}

static void expect_bad(const struct jwt_answer *a, const char *says, const char *what)
{
    if (a->verdict != JWT_BAD || !strstr(a->detail, says))
        fail_msg("%s: %d, %s, not %s", what, a->verdict, a->detail ? a->detail : "", says);
}

static const struct auth_jwt_conf plain = { .user = "sub", .leeway_ms = 30000 };

#define RFC_PAYLOAD \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_HS256 \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_PAYLOAD ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_RS256                                                              \
    "eyJhbGciOiJSUzI1NiJ9." RFC_PAYLOAD                                        \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4" \
    "Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"  \
    "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"                                   \
    "MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"                      \
    "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6"                \
    "LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC_ES256                                                             \
    "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD                                       \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxf" \
    "KTUJqPP3-Kg6NU1Q"

static const char rfc_oct[] =
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Y"
    "j0iPS4hcgUuTwjAzZr1Z9CAow\"}";
static const char rfc_rsa[] = "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
                              "wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1P"
                              "t0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
                              "bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-"
                              "KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_"
                              "I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2eth"
                              "FkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}";
static const char rfc_ec[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";

/* RFC 7515 A.1, A.2, A.3: the same claims, which ended at 1300819380. */
static void the_examples_of_rfc_7515_are_good_until_they_expire(void **state)
{
    (void)state;
    static const struct {
        const char *token, *key;
    } cases[] = { { RFC_HS256, rfc_oct }, { RFC_RS256, rfc_rsa }, { RFC_ES256, rfc_ec } };
    const struct auth_jwt_conf conf = { .user = "iss" };
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++) {
            struct jwk_set *keys = set_of(cases[k].key);
            struct jwt_answer a;
            struct jwt_ask ask = {
                .conf = &conf, .keys = keys, .token = slice_of(cases[i].token), .now_s = 1300819379
            };
            jwt_check(&ask, memory, &a);
            assert_int_equal(a.verdict, i == k ? JWT_GOOD : JWT_BAD);
            if (i == k) assert_true(slice_equal(a.user, SLICE("joe")));
            ask.now_s++;
            jwt_check(&ask, memory, &a);
            if (i == k) expect_bad(&a, "it has expired", cases[i].token);
            jwk_set_free(keys);
        }
    }
}

/* RFC 8037 A.4: what is signed there is no JSON, its signature is right. */
static void the_example_of_rfc_8037_is_verified(void **state)
{
    (void)state;
    struct jwk_set *keys = set_of(
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcH"
        "URo\"}");
    struct jwt_answer a = check(
        &plain, keys,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
        "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    expect_bad(&a, "no JSON object", "RFC 8037 A.4");
    a = check(&plain, keys,
              "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
              "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0LAg");
    expect_bad(&a, "signature is wrong", "RFC 8037 A.4, another bit");
    jwk_set_free(keys);
}

static void each_algorithm_is_verified_by_its_own_kind_of_key_alone(void **state)
{
    (void)state;
    EVP_PKEY *keys[JWK_ALGORITHM_COUNT];
    struct jwk_set *sets[JWK_ALGORITHM_COUNT];
    for (unsigned i = 0; i < JWK_ALGORITHM_COUNT; i++) {
        bool is_shared = i > JWK_RS256 && i <= JWK_PS512;
        keys[i] = is_shared ? keys[JWK_RS256] : sign_key_new((enum jwk_algorithm)i);
        sets[i] = set_of(sign_jwk(keys[i], ""));
    }
    for (unsigned i = 0; i < JWK_ALGORITHM_COUNT; i++) {
        char header[64];
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", jwk_algorithm_name((enum jwk_algorithm)i));
        const char *token = sign_token(keys[i], (enum jwk_algorithm)i, header, "{\"sub\":\"bob\"," EXP "}");
        for (unsigned k = 0; k < JWK_ALGORITHM_COUNT; k++) {
            struct jwt_answer a = check(&plain, sets[k], token);
            bool is_same = keys[i] == keys[k];
            if ((a.verdict == JWT_GOOD) != is_same) fail_msg("%s by the key %u: %s", header, k, a.detail);
            if (!is_same) expect_bad(&a, "no key for it", header);
        }
    }
    for (unsigned i = 0; i < JWK_ALGORITHM_COUNT; i++) {
        jwk_set_free(sets[i]);
        if (i <= JWK_RS256 || i > JWK_PS512) EVP_PKEY_free(keys[i]);
    }
}

/* RFC 8725 2.1: a public key, which everybody has, taken for the secret of an HMAC. */
static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    EVP_PKEY *rsa = sign_key_new(JWK_RS256);
    struct jwk_set *keys = set_of(sign_pem(rsa));
    struct jwt_answer a = check(&plain, keys,
                                sign_token(NULL, JWK_HS256, "{\"alg\":\"HS256\"}", "{" EXP "}"));
    expect_bad(&a, "no key for it", "HS256");
    a = check(&plain, keys, sign_token(rsa, JWK_RS256, "{\"alg\":\"RS256\"}", "{" EXP "}"));
    assert_int_equal(a.verdict, JWT_GOOD);
    jwk_set_free(keys);
    EVP_PKEY_free(rsa);
}

static void headers_that_are_not_what_they_should_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *says;
    } cases[] = {
        { "{\"alg\":\"none\"}", "algorithm is not accepted" },
        { "{\"alg\":\"None\"}", "algorithm is not accepted" },
        { "{\"alg\":\"nOnE\"}", "algorithm is not accepted" },
        { "{\"alg\":\"\"}", "algorithm is not accepted" },
        { "{\"alg\":\"hs256\"}", "algorithm is not accepted" },
        { "{\"alg\":\"HS256 is a long name of it\"}", "algorithm is not accepted" },
        { "{\"alg\":\"HS512\"}", "signature is wrong" },
        { "{\"alg\":256}", "does not say its algorithm" },
        { "{}", "does not say its algorithm" },
        { "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "twice" },
        { "{\"alg\":\"none\",\"\\u0061lg\":\"HS256\"}", "twice" },
        { "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "crit" },
        { "{\"alg\":\"HS256\",\"crit\":[]}", "crit" },
        { "{\"alg\":\"HS256\",\"kid\":7}", "kid is no text" },
        { "{\"alg\":\"HS256\"", "no JSON object" },
        { "[]", "no JSON object" },
    };
    struct jwk_set *keys = set_of(sign_jwk(NULL, ""));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct jwt_answer a = check(&plain, keys, sign_token(NULL, JWK_HS256, cases[i].header, "{" EXP "}"));
        expect_bad(&a, cases[i].says, cases[i].header);
    }
    struct jwt_answer a = check(&plain, keys, "eyJhbGciOiJub25lIn0.e30.");
    expect_bad(&a, "three parts", "none, without a signature");
    jwk_set_free(keys);
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    struct jwk_set *keys = set_of(sign_jwk(NULL, ""));
    const char *good = sign_token(NULL, JWK_HS256, "{\"alg\":\"HS256\"}", "{" EXP "}");
    char text[512];
    size_t len = strlen(good);
    assert_int_equal(check(&plain, keys, good).verdict, JWT_GOOD);
    for (size_t cut = 0; cut < len; cut++) { /* every beginning of it */
        memcpy(text, good, cut);
        text[cut] = 0;
        assert_int_equal(check(&plain, keys, text).verdict, JWT_BAD);
    }
    for (size_t at = 0; at < len; at++) { /* each byte another */
        memcpy(text, good, len + 1);
        text[at] = text[at] == 'A' ? 'B' : 'A';
        assert_int_equal(check(&plain, keys, text).verdict, JWT_BAD);
    }
    snprintf(text, sizeof(text), "%s.x", good);
    assert_int_equal(check(&plain, keys, text).verdict, JWT_BAD);
    snprintf(text, sizeof(text), "%s=", good);
    assert_int_equal(check(&plain, keys, text).verdict, JWT_BAD);
    static char longer[JWT_MAX + 2];
    memset(longer, 'A', JWT_MAX + 1);
    struct jwt_answer a = check(&plain, keys, longer);
    expect_bad(&a, "longer than may be", "a long one");
    jwk_set_free(keys);
}

/* NULL: it is good. */
static void claims_decide(const struct auth_jwt_conf *conf, const char *payload, const char *says)
{
    struct jwk_set *keys = set_of(sign_jwk(NULL, ""));
    struct jwt_answer a = check(conf, keys, sign_token(NULL, JWK_HS256, "{\"alg\":\"HS256\"}", payload));
    if (says)
        expect_bad(&a, says, payload);
    else if (a.verdict != JWT_GOOD)
        fail_msg("%s: %s", payload, a.detail);
    jwk_set_free(keys);
}

static void times_hold_with_their_leeway(void **state)
{
    (void)state;
    static const struct {
        const char *payload, *says;
    } cases[] = {
        { "{\"exp\":999971}", NULL }, /* 29 s ago */
        { "{\"exp\":999970}", "expired" },
        { "{\"exp\":1000000.75}", NULL },
        { "{\"exp\":1e9}", "no number of seconds" },
        { "{\"exp\":-1}", "no number of seconds" },
        { "{\"exp\":\"1000100\"}", "no number of seconds" },
        { "{\"exp\":99999999999999999999}", "no number of seconds" },
        { "{\"exp\":null}", "no number of seconds" },
        { "{}", "no end" },
        { "{" EXP ",\"nbf\":1000030}", NULL },
        { "{" EXP ",\"nbf\":1000031}", "not valid yet" },
        { "{" EXP ",\"iat\":1000031}", "in the future" },
        { "{" EXP ",\"iat\":5}", NULL },
        { "{" EXP ",\"exp\":1}", "twice" },
        { "{\"exp\":1," EXP "}", "twice" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        claims_decide(&plain, cases[i].payload, cases[i].says);
    const struct auth_jwt_conf unlimited = { .user = "sub", .may_last = true };
    claims_decide(&unlimited, "{}", NULL);
    claims_decide(&unlimited, "{\"exp\":1000000}", "expired");
}

static void issuer_and_audience_are_those_that_are_meant(void **state)
{
    (void)state;
    const char *ours[] = { "api", "web" }, *any[] = { "*" };
    const struct auth_jwt_conf conf = { .user = "sub", .issuer = "https://issuer", .audience = { ours, 2 } };
    const struct auth_jwt_conf everybody = { .user = "sub", .audience = { any, 1 } };
#define ISS "\"iss\":\"https:\\/\\/issuer\""
    claims_decide(&conf, "{" EXP "," ISS ",\"aud\":\"web\"}", NULL);
    claims_decide(&conf, "{" EXP "," ISS ",\"aud\":[\"x\",\"api\"]}", NULL);
    claims_decide(&conf, "{" EXP "," ISS ",\"aud\":[[\"api\"]]}", "audience");
    claims_decide(&conf, "{" EXP "," ISS ",\"aud\":\"apis\"}", "audience");
    claims_decide(&conf, "{" EXP "," ISS ",\"aud\":[]}", "audience");
    claims_decide(&conf, "{" EXP "," ISS "}", "audience");
    claims_decide(&conf, "{" EXP ",\"aud\":\"web\",\"iss\":\"https://issuer/\"}", "issuer");
    claims_decide(&conf, "{" EXP ",\"aud\":\"web\",\"iss\":[\"https://issuer\"]}", "issuer");
    claims_decide(&conf, "{" EXP ",\"aud\":\"web\"}", "issuer");
    claims_decide(&plain, "{" EXP ",\"aud\":\"web\"}", "audience"); /* RFC 7519 4.1.3 */
    claims_decide(&everybody, "{" EXP ",\"aud\":\"web\"}", NULL);
    claims_decide(&everybody, "{" EXP "}", NULL);
}

static void claims_become_values_that_can_stand_in_a_header(void **state)
{
    (void)state;
    struct auth_claim_conf claims[] = { { "email", "X-Email" }, { "groups", "X-Groups" }, { "n", "X-N" } };
    const struct auth_jwt_conf conf = { .user = "sub", .claims = { claims, 3 } };
    struct jwk_set *keys = set_of(sign_jwk(NULL, ""));
    struct jwt_answer a = check(&conf, keys,
                                sign_token(NULL, JWK_HS256, "{\"alg\":\"HS256\"}",
                                           "{" EXP
                                           ",\"sub\":\"b\\u00f6b\",\"groups\":[\"a\",\"b c\",7],\"n\":1.5}"));
    assert_int_equal(a.verdict, JWT_GOOD);
    assert_true(slice_equal(a.user, SLICE("b\xc3\xb6"
                                          "b")));
    assert_null(a.claims[0].data);
    assert_true(slice_equal(a.claims[1], SLICE("a,b c,7")));
    assert_true(slice_equal(a.claims[2], SLICE("1.5")));
    jwk_set_free(keys);
    static const char *const unfit[] = {
        "\"sub\":\"a\\nb\"",   "\"sub\":\"a\\u0000\"", "\"sub\":\" admin\"",   "\"sub\":\"admin \"",
        "\"sub\":[\"admin\"]", "\"sub\":{\"a\":1}",    "\"sub\":true",         "\"email\":\"a\\r\\nX: y\"",
        "\"email\":{}",        "\"groups\":[\"a,b\"]", "\"groups\":[[\"a\"]]", "\"groups\":[\" a\"]"
    };
    for (size_t i = 0; i < sizeof(unfit) / sizeof(*unfit); i++) {
        char payload[128];
        snprintf(payload, sizeof(payload), "{" EXP ",%s}", unfit[i]);
        claims_decide(&conf, payload, "header");
    }
}

static void what_is_required_is_refused_with_another_word(void **state)
{
    (void)state;
    struct auth_require_conf require[] = { { "scope", "admin" } };
    const struct auth_jwt_conf conf = { .user = "sub", .require = { require, 1 } };
    static const struct {
        const char *claim;
        bool is_enough;
    } cases[] = {
        { "\"scope\":\"admin\"", true },
        { "\"scope\":\"read admin\"", true },
        { "\"scope\":[\"read\",\"admin\"]", true },
        { "\"scope\":\"administrator\"", false },
        { "\"scope\":\"read\"", false },
        { "\"scope\":[\"read admin\"]", false },
        { "\"x\":\"admin\"", false },
        { "\"scope\":{\"admin\":1}", false },
    };
    struct jwk_set *keys = set_of(sign_jwk(NULL, ""));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char payload[128];
        snprintf(payload, sizeof(payload), "{" EXP ",%s}", cases[i].claim);
        struct jwt_answer a = check(&conf, keys, sign_token(NULL, JWK_HS256, "{\"alg\":\"HS256\"}", payload));
        if (a.verdict != (cases[i].is_enough ? JWT_GOOD : JWT_DENIED)) fail_msg("%s: %d", payload, a.verdict);
    }
    jwk_set_free(keys);
}

#define NO_KID "{\"alg\":\"ES256\"}"
#define KID(id) "{\"alg\":\"ES256\",\"kid\":\"" id "\"}"

static void the_key_is_found_by_its_id(void **state)
{
    (void)state;
    EVP_PKEY *one = sign_key_new(JWK_ES256), *two = sign_key_new(JWK_ES256);
    char text[4096];
    int len = snprintf(text, sizeof(text), "{\"keys\":[%s,", sign_jwk(one, ",\"kid\":\"one\""));
    snprintf(text + len, sizeof(text) - (size_t)len, "%s,{\"kty\":\"new\"}]}",
             sign_jwk(two, ",\"kid\":\"two\",\"alg\":\"ES256\""));
    struct jwk_set *keys = set_of(text);
    assert_int_equal(jwk_set_count(keys), 2);
    assert_int_equal(check(&plain, keys, sign_token(one, JWK_ES256, KID("one"), "{" EXP "}")).verdict,
                     JWT_GOOD);
    assert_int_equal(check(&plain, keys, sign_token(two, JWK_ES256, KID("tw\\u006f"), "{" EXP "}")).verdict,
                     JWT_GOOD);
    struct jwt_answer a = check(&plain, keys, sign_token(one, JWK_ES256, KID("two"), "{" EXP "}"));
    expect_bad(&a, "signature is wrong", "another's id");
    a = check(&plain, keys, sign_token(one, JWK_ES256, KID("three"), "{" EXP "}"));
    expect_bad(&a, "no key", "an id that is not there");
    /* Who says none may mean any. */
    assert_int_equal(check(&plain, keys, sign_token(one, JWK_ES256, NO_KID, "{" EXP "}")).verdict, JWT_GOOD);
    assert_int_equal(check(&plain, keys, sign_token(two, JWK_ES256, NO_KID, "{" EXP "}")).verdict, JWT_GOOD);
    jwk_set_free(keys);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}

/* An old key and a new one. */
static void keys_without_ids_may_stand_beside_each_other(void **state)
{
    (void)state;
    EVP_PKEY *key[JWK_TRIES_MAX + 1];
    struct err err = { "" };
    char text[8192] = "";
    for (unsigned i = 0; i < JWK_TRIES_MAX; i++) strcat(text, sign_pem(key[i] = sign_key_new(JWK_ES256)));
    key[JWK_TRIES_MAX] = sign_key_new(JWK_ES256);
    struct jwk_set *keys = set_of(text);
    for (unsigned i = 0; i < JWK_TRIES_MAX; i++) {
        const char *headers[] = { NO_KID, KID("any") };
        for (unsigned h = 0; h < 2; h++) {
            struct jwt_answer a = check(&plain, keys, sign_token(key[i], JWK_ES256, headers[h], "{" EXP "}"));
            if (a.verdict != JWT_GOOD) fail_msg("key %u, %s: %s", i, headers[h], a.detail);
        }
    }
    struct jwt_answer a = check(&plain, keys, sign_token(key[JWK_TRIES_MAX], JWK_ES256, NO_KID, "{" EXP "}"));
    expect_bad(&a, "signature is wrong", "a key that is in no file");
    jwk_set_free(keys);
    /* One more would never be tried: that is said, where keys of another kind are none too many. */
    size_t len = strlen(text);
    strcat(text, sign_pem(key[JWK_TRIES_MAX]));
    assert_null(jwk_set_parse("keys", slice_of(text), &err));
    if (!strstr(err.text, "keys has more than 8 keys of one kind")) fail_msg("%s", err.text);
    EVP_PKEY *other = sign_key_new(JWK_EDDSA);
    strcpy(text + len, sign_pem(other));
    jwk_set_free(set_of(text));
    EVP_PKEY_free(other);
    for (unsigned i = 0; i <= JWK_TRIES_MAX; i++) EVP_PKEY_free(key[i]);
}

/* Whatever stands before it, and however many. */
static void the_key_with_the_id_is_the_only_one_that_is_meant(void **state)
{
    (void)state;
    EVP_PKEY *nameless = sign_key_new(JWK_ES256), *named = sign_key_new(JWK_ES256);
    for (int is_first = 0; is_first < 2; is_first++) {
        char text[4096], jwk[2][1024];
        snprintf(jwk[is_first], sizeof(jwk[0]), "%s", sign_jwk(nameless, ""));
        snprintf(jwk[!is_first], sizeof(jwk[0]), "%s", sign_jwk(named, ",\"kid\":\"one\""));
        snprintf(text, sizeof(text), "{\"keys\":[%s,%s,%s]}", jwk[0], jwk[1], sign_jwk(nameless, ""));
        struct jwk_set *keys = set_of(text);
        assert_int_equal(check(&plain, keys, sign_token(named, JWK_ES256, KID("one"), "{" EXP "}")).verdict,
                         JWT_GOOD);
        struct jwt_answer a = check(&plain, keys, sign_token(nameless, JWK_ES256, KID("one"), "{" EXP "}"));
        expect_bad(&a, "signature is wrong", "the id of another");
        assert_int_equal(
            check(&plain, keys, sign_token(nameless, JWK_ES256, KID("two"), "{" EXP "}")).verdict, JWT_GOOD);
        a = check(&plain, keys, sign_token(named, JWK_ES256, KID("two"), "{" EXP "}"));
        expect_bad(&a, "signature is wrong", "a key that has another id");
        jwk_set_free(keys);
    }
    EVP_PKEY_free(nameless);
    EVP_PKEY_free(named);
}

/* What decides is never where a key stands in the file. */
static void a_token_that_names_none_of_too_many_keys_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *key[JWK_TRIES_MAX + 1];
    char text[8192] = "{\"keys\":[";
    for (unsigned i = 0; i <= JWK_TRIES_MAX; i++) {
        char more[16];
        snprintf(more, sizeof(more), ",\"kid\":\"%u\"", i);
        if (i) strcat(text, ",");
        strcat(text, sign_jwk(key[i] = sign_key_new(JWK_ES256), more));
    }
    strcat(text, "]}");
    struct jwk_set *keys = set_of(text);
    for (unsigned i = 0; i <= JWK_TRIES_MAX; i += JWK_TRIES_MAX) {
        struct jwt_answer a = check(&plain, keys, sign_token(key[i], JWK_ES256, NO_KID, "{" EXP "}"));
        expect_bad(&a, "which of many keys", i ? "the last" : "the first");
    }
    assert_int_equal(check(&plain, keys, sign_token(key[8], JWK_ES256, KID("8"), "{" EXP "}")).verdict,
                     JWT_GOOD);
    jwk_set_free(keys);
    for (unsigned i = 0; i <= JWK_TRIES_MAX; i++) EVP_PKEY_free(key[i]);
}

static void algorithms_may_be_fewer(void **state)
{
    (void)state;
    uint32_t allowed[] = { JWK_RS512 };
    const struct auth_jwt_conf conf = { .user = "sub", .algorithms = { allowed, 1 } };
    EVP_PKEY *rsa = sign_key_new(JWK_RS256);
    struct jwk_set *keys = set_of(sign_jwk(rsa, ""));
    assert_int_equal(
        check(&conf, keys, sign_token(rsa, JWK_RS512, "{\"alg\":\"RS512\"}", "{" EXP "}")).verdict, JWT_GOOD);
    struct jwt_answer a = check(&conf, keys, sign_token(rsa, JWK_RS256, "{\"alg\":\"RS256\"}", "{" EXP "}"));
    expect_bad(&a, "not accepted", "RS256");
    jwk_set_free(keys);
    EVP_PKEY_free(rsa);
}

static void a_signature_is_verified_once_for_each_set_of_keys(void **state)
{
    (void)state;
    EVP_PKEY *ec = sign_key_new(JWK_ES256);
    struct jwk_set *first = set_of(sign_jwk(ec, "")), *second = set_of(sign_jwk(ec, ""));
    struct verified *v = verified_new(1024);
    const char *token = sign_token(ec, JWK_ES256, "{\"alg\":\"ES256\"}", "{" EXP "}");
    struct jwt_ask ask = {
        .conf = &plain, .keys = first, .token = slice_of(token), .verified = v, .now_s = NOW
    };
    static const struct {
        bool is_second, was_remembered;
        uint64_t now_ms;
    } steps[] = { { false, false, 0 },
                  { false, true, 0 },
                  { true, false, 1 },
                  { true, true, 299999 },
                  { true, false, 400000 } };
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        struct jwt_answer a;
        ask.keys = steps[i].is_second ? second : first;
        ask.now_ms = steps[i].now_ms;
        jwt_check(&ask, memory, &a);
        assert_int_equal(a.verdict, JWT_GOOD);
        assert_int_equal(a.was_remembered, steps[i].was_remembered);
    }
    struct jwt_answer a; /* what is remembered of its signature does not make it last */
    ask.now_s = NOW + 131;
    jwt_check(&ask, memory, &a);
    assert_true(a.was_remembered);
    expect_bad(&a, "expired", "later");
    verified_free(v);
    jwk_set_free(first);
    jwk_set_free(second);
    EVP_PKEY_free(ec);
}

static void files_of_keys_with_mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "", "keys:1:1: " },
        { "{\"keys\":[]}", "has no key" },
        { "{\"keys\":{}}", "is no list" },
        { "{\"keys\":[7]}", "keys:1: the key that begins here: it is no object" },
        { "{\"keys\":[\n{\"kid\":\"a\"}]}", "keys:2: the key that begins here: \"kty\" is missing" },
        { "{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", "can be guessed" },
        { "{\"kty\":\"oct\"}", "\"k\" is missing" },
        { "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "this one has 17" },
        { "{\"kty\":\"RSA\",\"n\":\"+\",\"e\":\"AQAB\"}", "no base64url" },
        { "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\"}", "private half" },
        { "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}", "32 bytes each" },
        { "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
          "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
          "no point" },
        { "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}", "32 bytes" },
        { "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AQAB\"}", "has no key" },
        { "{\"kty\":\"new\"}", "has no key" },
        { "{\"kty\":\"oct\",\"use\":\"enc\",\"k\":\"c2hvcnQ\"}", "has no key" },
        { "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\",\"alg\":\"RS256\"}",
          "not for a key" },
        { "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "has no key" },
        { "-----BEGIN PRIVATE KEY-----\n", "has no key" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        assert_null(jwk_set_parse("keys", slice_of(cases[i].text), &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.text);
    }
    struct err err = { "" };
    assert_null(jwk_set_parse("keys", SLICE_NONE, &err)); /* an answer without a body */
    assert_true(*err.text);
    jwk_set_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_7515_are_good_until_they_expire),
        cmocka_unit_test(the_example_of_rfc_8037_is_verified),
        cmocka_unit_test(each_algorithm_is_verified_by_its_own_kind_of_key_alone),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(headers_that_are_not_what_they_should_be_are_refused),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(times_hold_with_their_leeway),
        cmocka_unit_test(issuer_and_audience_are_those_that_are_meant),
        cmocka_unit_test(claims_become_values_that_can_stand_in_a_header),
        cmocka_unit_test(what_is_required_is_refused_with_another_word),
        cmocka_unit_test(the_key_is_found_by_its_id),
        cmocka_unit_test(keys_without_ids_may_stand_beside_each_other),
        cmocka_unit_test(the_key_with_the_id_is_the_only_one_that_is_meant),
        cmocka_unit_test(a_token_that_names_none_of_too_many_keys_is_refused),
        cmocka_unit_test(algorithms_may_be_fewer),
        cmocka_unit_test(a_signature_is_verified_once_for_each_set_of_keys),
        cmocka_unit_test(files_of_keys_with_mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
