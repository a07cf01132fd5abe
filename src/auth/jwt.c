#include "auth/jwt.h"

#include "auth/json_scan.h"
#include "auth/jwk.h"
#include "base/base64.h"

/* For how long a signature is remembered: until `exp` it would do, but where that is far away others need the place. */
#define REMEMBER_MS 300000u

struct parts {
    struct slice header, payload, signature; /* as they came */
    struct slice signed_text;                /* header and payload, with the dot */
};

/* RFC 7515 7.1. An encrypted one has five parts. */
static bool split(struct slice token, struct parts *p)
{
    const char *end = token.data + token.len;
    const char *first = memchr(token.data, '.', token.len);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first) - 1) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(end - second) - 1)) return false;
    p->header = (struct slice){ token.data, (size_t)(first - token.data) };
    p->payload = (struct slice){ first + 1, (size_t)(second - first) - 1 };
    p->signature = (struct slice){ second + 1, (size_t)(end - second) - 1 };
    p->signed_text = (struct slice){ token.data, (size_t)(second - token.data) };
    return p->header.len && p->payload.len && p->signature.len;
}

/* A member that may be there once. */
struct member {
    const char *name;
    struct json_scan_value value;
    bool is_there;
};

/* NULL, or what is wrong. Members of other names are passed over. */
static const char *scan(struct slice text, struct member *members, uint32_t count)
{
    struct json_scan s;
    struct json_scan_value value;
    struct slice key;
    json_scan_object(&s, text);
    while (json_scan_next(&s, &key, &value)) {
        for (uint32_t i = 0; i < count; i++) {
            if (!json_scan_is(key, slice_of(members[i].name))) continue;
            if (members[i].is_there) return "a member is there twice"; /* RFC 7519 4 */
            members[i].value = value;
            members[i].is_there = true;
        }
    }
    return s.is_broken ? "a part of it is no JSON object" : NULL;
}

/* the header and the signature */

enum { HEADER_ALG, HEADER_KID, HEADER_CRIT, HEADER_MEMBERS };

struct header {
    enum jwk_algorithm algorithm;
    char id[JWT_HEADER_MAX];
    struct text id_text;
    bool has_id;
};

static const char *read_header(struct slice encoded, struct header *out)
{
    struct member m[HEADER_MEMBERS] = { { .name = "alg" }, { .name = "kid" }, { .name = "crit" } };
    char plain[JWT_HEADER_MAX], name[16];
    size_t len;
    if (!base64url_decode(encoded, plain, sizeof(plain), &len))
        return "its header is no base64url, or too long";
    const char *wrong = scan((struct slice){ plain, len }, m, HEADER_MEMBERS);
    if (wrong) return wrong;
    if (m[HEADER_CRIT].is_there) return "its header has what must be understood (crit), and is not";
    if (!m[HEADER_ALG].is_there || m[HEADER_ALG].value.kind != JSON_SCAN_STRING)
        return "it does not say its algorithm";
    struct text algorithm = text_over(name, sizeof(name));
    json_scan_put(m[HEADER_ALG].value.text, &algorithm);
    out->algorithm = algorithm.is_cut ? JWK_ALGORITHM_COUNT : jwk_algorithm_by_name(text_slice(&algorithm));
    if (out->algorithm == JWK_ALGORITHM_COUNT) return "its algorithm is not accepted";
    out->has_id = m[HEADER_KID].is_there;
    if (!out->has_id) return NULL;
    if (m[HEADER_KID].value.kind != JSON_SCAN_STRING) return "its kid is no text";
    out->id_text = text_over(out->id, sizeof(out->id));
    json_scan_put(m[HEADER_KID].value.text, &out->id_text);
    return NULL;
}

static bool is_allowed(const struct auth_jwt_conf *conf, enum jwk_algorithm a)
{
    const uint32_t *allowed = conf->algorithms.data;
    for (uint32_t i = 0; i < conf->algorithms.count; i++)
        if (allowed[i] == a) return true;
    return !conf->algorithms.count;
}

/* An HMAC is made as quickly as it is remembered. */
static bool is_remembered_at_all(const struct jwt_ask *ask, enum jwk_algorithm a)
{
    return ask->verified && a > JWK_HS512;
}

static bool is_of_any(const struct jwk *const *keys, unsigned count, enum jwk_algorithm a, struct slice text,
                      struct slice signature)
{
    for (unsigned i = 0; i < count; i++)
        if (jwk_verifies(keys[i], a, text, signature)) return true;
    return false;
}

static const char *verify(const struct jwt_ask *ask, const struct parts *p, struct jwt_answer *out)
{
    struct header header;
    char signature[JWK_SIGNATURE_MAX];
    size_t len;
    const char *wrong = read_header(p->header, &header);
    if (wrong) return wrong;
    if (!is_allowed(ask->conf, header.algorithm)) return "its algorithm is not accepted";
    const struct jwk *keys[JWK_TRIES_MAX];
    unsigned count = jwk_find(ask->keys, header.algorithm,
                              header.has_id ? text_slice(&header.id_text) : SLICE_NONE, keys);
    out->lacks_key = !count;
    if (!count) return "there is no key for it";
    if (count > JWK_TRIES_MAX) return "it does not say which of many keys it is of";
    if (!base64url_decode(p->signature, signature, sizeof(signature), &len))
        return "its signature is no base64url, or too long";
    uint64_t id = jwk_set_id(ask->keys);
    struct slice seen[] = { { (const char *)&id, sizeof(id) }, ask->token };
    struct verified_mac mac = { 0 };
    bool is_remembered = is_remembered_at_all(ask, header.algorithm);
    if (is_remembered) mac = verified_mac(ask->verified, seen, 2);
    out->was_remembered = is_remembered && verified_has(ask->verified, mac, ask->now_ms);
    if (out->was_remembered) return NULL;
    if (!is_of_any(keys, count, header.algorithm, p->signed_text, (struct slice){ signature, len }))
        return "its signature is wrong";
    if (is_remembered) verified_add(ask->verified, mac, ask->now_ms + REMEMBER_MS);
    return NULL;
}

/* the claims */

enum { CLAIM_EXP, CLAIM_NBF, CLAIM_IAT, CLAIM_ISS, CLAIM_AUD, CLAIM_USER, CLAIMS_FIXED };

#define CLAIMS_MAX (CLAIMS_FIXED + 2 * AUTH_CLAIMS_MAX)

/* RFC 7519 2, NumericDate: seconds, of which a part is not looked at. False: it is no number that is written so. */
static bool read_date(const struct json_scan_value *v, int64_t *seconds)
{
    size_t i = 0;
    *seconds = 0;
    if (v->kind != JSON_SCAN_NUMBER) return false;
    for (; i < v->text.len && v->text.data[i] >= '0' && v->text.data[i] <= '9'; i++) {
        if (i > 14) return false;
        *seconds = *seconds * 10 + (v->text.data[i] - '0');
    }
    if (!i) return false;
    bool has_part = i < v->text.len && v->text.data[i] == '.';
    for (i += has_part; i < v->text.len && v->text.data[i] >= '0' && v->text.data[i] <= '9'; i++) {}
    return i == v->text.len;
}

static const char *check_dates(const struct jwt_ask *ask, const struct member *m)
{
    int64_t leeway = (int64_t)(ask->conf->leeway_ms / 1000), at;
    if (!m[CLAIM_EXP].is_there && !ask->conf->may_last) return "it has no end (exp)";
    for (int i = CLAIM_EXP; i <= CLAIM_IAT; i++) {
        if (!m[i].is_there) continue;
        if (!read_date(&m[i].value, &at)) return "a time in it is no number of seconds";
        if (i == CLAIM_EXP && ask->now_s >= at + leeway) return "it has expired";
        if (i == CLAIM_NBF && ask->now_s + leeway < at) return "it is not valid yet";
        if (i == CLAIM_IAT && ask->now_s + leeway < at) return "it was issued in the future";
    }
    return NULL;
}

/* A text, or one of a list of them. */
static bool has_text(const struct json_scan_value *v, struct slice plain)
{
    if (v->kind == JSON_SCAN_STRING) return json_scan_is(v->text, plain);
    if (v->kind != JSON_SCAN_ARRAY) return false;
    struct json_scan s;
    struct json_scan_value element;
    struct slice none;
    json_scan_array(&s, v->text);
    while (json_scan_next(&s, &none, &element))
        if (element.kind == JSON_SCAN_STRING && json_scan_is(element.text, plain)) return true;
    return false;
}

static const char *check_parties(const struct auth_jwt_conf *conf, const struct member *m)
{
    if (conf->issuer && (!m[CLAIM_ISS].is_there || m[CLAIM_ISS].value.kind != JSON_SCAN_STRING ||
                         !json_scan_is(m[CLAIM_ISS].value.text, slice_of(conf->issuer))))
        return "it is of another issuer";
    const char *const *audience = conf->audience.data;
    for (uint32_t i = 0; i < conf->audience.count; i++) {
        if (strcmp(audience[i], "*") == 0) return NULL;
        if (m[CLAIM_AUD].is_there && has_text(&m[CLAIM_AUD].value, slice_of(audience[i]))) return NULL;
    }
    if (!conf->audience.count && !m[CLAIM_AUD].is_there) return NULL;
    return "it is for another audience";
}

/* One of the words of a text, as of `scope` (RFC 8693 4.2), too. */
static bool has_value(const struct json_scan_value *v, struct slice plain)
{
    char text[JWT_VALUE_MAX];
    if (has_text(v, plain)) return true;
    if (v->kind == JSON_SCAN_NUMBER || v->kind == JSON_SCAN_WORD) return slice_equal(v->text, plain);
    if (v->kind != JSON_SCAN_STRING) return false;
    struct text t = text_over(text, sizeof(text));
    json_scan_put(v->text, &t);
    struct slice rest = text_slice(&t);
    while (rest.len) {
        const char *blank = memchr(rest.data, ' ', rest.len);
        struct slice word = { rest.data, blank ? (size_t)(blank - rest.data) : rest.len };
        if (slice_equal(word, plain)) return true;
        rest.data += word.len + (blank != NULL);
        rest.len -= word.len + (blank != NULL);
    }
    return false;
}

/* values for servers */

static bool put_scalar(const struct json_scan_value *v, struct text *out)
{
    if (v->kind == JSON_SCAN_ARRAY || v->kind == JSON_SCAN_OBJECT) return false;
    if (v->kind == JSON_SCAN_STRING)
        json_scan_put(v->text, out);
    else if (!slice_equal(v->text, SLICE("null")))
        text_add_slice(out, v->text);
    return true;
}

/* Blanks at an edge would be taken off on the way (RFC 9110 5.5), and make one name of two; in a list a comma would make two
 * elements of one. */
static bool is_fit(struct slice value, bool is_element)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if ((unsigned char)c < ' ' || c == 0x7f || (is_element && c == ',')) return false;
    }
    return !value.len || (value.data[0] != ' ' && value.data[value.len - 1] != ' ');
}

/* False: it cannot stand in a header's value. */
static bool put_value(const struct json_scan_value *v, struct text *out, struct slice *value)
{
    size_t begin = out->len;
    if (v->kind == JSON_SCAN_ARRAY) {
        struct json_scan s;
        struct json_scan_value element;
        struct slice none;
        json_scan_array(&s, v->text);
        while (json_scan_next(&s, &none, &element)) {
            if (out->len != begin) text_add_char(out, ',');
            size_t at = out->len;
            if (!put_scalar(&element, out) || !is_fit((struct slice){ out->data + at, out->len - at }, true))
                return false;
        }
    } else if (!put_scalar(v, out)) {
        return false;
    }
    *value = (struct slice){ out->data + begin, out->len - begin };
    return is_fit(*value, false) && !out->is_cut && value->len <= JWT_VALUE_MAX;
}

static const char *take_values(const struct jwt_ask *ask, const struct member *m, struct text *out,
                               struct jwt_answer *answer)
{
    static const char unfit[] = "a claim of it cannot stand in a header";
    const struct member *claims = m + CLAIMS_FIXED;
    if (m[CLAIM_USER].is_there &&
        (m[CLAIM_USER].value.kind > JSON_SCAN_NUMBER || !put_value(&m[CLAIM_USER].value, out, &answer->user)))
        return "it does not say who it is of in a text that could stand in a header";
    for (uint32_t i = 0; i < ask->conf->claims.count; i++)
        if (claims[i].is_there && !put_value(&claims[i].value, out, &answer->claims[i])) return unfit;
    return NULL;
}

static const char *check_claims(const struct jwt_ask *ask, struct slice payload, struct text *out,
                                struct jwt_answer *answer)
{
    const struct auth_jwt_conf *conf = ask->conf;
    const struct auth_claim_conf *claims = conf->claims.data;
    const struct auth_require_conf *require = conf->require.data;
    struct member m[CLAIMS_MAX] = { { .name = "exp" }, { .name = "nbf" }, { .name = "iat" },
                                    { .name = "iss" }, { .name = "aud" }, { .name = conf->user } };
    uint32_t count = CLAIMS_FIXED;
    for (uint32_t i = 0; i < conf->claims.count; i++) m[count++].name = claims[i].name;
    for (uint32_t i = 0; i < conf->require.count; i++) m[count++].name = require[i].name;
    const char *wrong = scan(payload, m, count);
    if (!wrong) wrong = check_dates(ask, m);
    if (!wrong) wrong = check_parties(conf, m);
    if (!wrong) wrong = take_values(ask, m, out, answer);
    if (wrong) return wrong;
    const struct member *required = m + CLAIMS_FIXED + conf->claims.count;
    for (uint32_t i = 0; i < conf->require.count; i++) {
        if (required[i].is_there && has_value(&required[i].value, slice_of(require[i].value))) continue;
        answer->verdict = JWT_DENIED;
        answer->detail = "the token lacks a claim that is required";
    }
    return NULL;
}

void jwt_check(const struct jwt_ask *ask, char *memory, struct jwt_answer *out)
{
    struct parts p;
    size_t room = BASE64_ROOM(ask->token.len), len = 0;
    *out = (struct jwt_answer){ .verdict = JWT_GOOD };
    const char *wrong = NULL;
    if (ask->token.len > JWT_MAX)
        wrong = "it is longer than may be";
    else if (!ask->token.len || !split(ask->token, &p))
        wrong = "it does not have three parts";
    else
        wrong = verify(ask, &p, out);
    if (!wrong && !base64url_decode(p.payload, memory, room, &len)) wrong = "its payload is no base64url";
    if (!wrong) {
        struct text values = text_over(memory + room, JWT_ROOM(ask->token.len) - room);
        wrong = check_claims(ask, (struct slice){ memory, len }, &values, out);
    }
    if (!wrong) return;
    out->verdict = JWT_BAD;
    out->detail = wrong;
    out->user = SLICE_NONE;
}
