/* Tokens: whatever the bytes, those who hold no key are not let pass, what is let pass says what can stand in a header, and what
 * the strict reader of JSON takes the other one takes as well. The first byte says what the rest is: a token; the claims or the header
 * of one, which is signed here; JSON. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/json_scan.h"
#include "auth/jwk.h"
#include "auth/jwt.h"
#include "conf/node.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define KEY "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}"
#define HEADER "{\"alg\":\"HS256\"}"
#define INPUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *bytes = data;
    size_t at = 0;
    unsigned held = 0, bits = 0;
    for (size_t i = 0; i < len; i++) {
        held = (held << 8 | bytes[i]) & 0xffff;
        for (bits += 8; bits >= 6; bits -= 6) out[at++] = digits[held >> (bits - 6) & 63];
    }
    if (bits) out[at++] = digits[held << (6 - bits) & 63];
    return at;
}

static void check(struct slice token, bool may_be_good)
{
    static struct jwk_set *keys;
    static const char *const audience[] = { "web", "*" };
    static struct auth_claim_conf claims[] = { { "email", "X-Email" }, { "groups", "X-Groups" } };
    static struct auth_require_conf require[] = { { "scope", "admin" } };
    const struct auth_jwt_conf conf = { .user = "sub",
                                        .issuer = may_be_good ? NULL : "us",
                                        .audience = { (void *)(uintptr_t)audience, 2 },
                                        .claims = { claims, 2 },
                                        .require = { require, 1 },
                                        .may_last = true };
    struct err err;
    struct jwt_answer answer;
    if (!keys) keys = jwk_set_parse("keys", SLICE(KEY), &err);
    char *copy = malloc(token.len + 1),
         *memory = malloc(JWT_ROOM(token.len)); /* so that a byte too many is seen */
    if (!keys || !copy || !memory) abort();
    memcpy(copy, token.data, token.len);
    struct jwt_ask ask = { .conf = &conf, .keys = keys, .token = { copy, token.len }, .now_s = 1700000000 };
    jwt_check(&ask, memory, &answer);
    if (answer.verdict != JWT_BAD && !may_be_good) abort();
    if (answer.verdict == JWT_BAD && !answer.detail) abort();
    const struct slice values[] = { answer.user, answer.claims[0], answer.claims[1] };
    for (unsigned i = 0; answer.verdict != JWT_BAD && i < 3; i++)
        for (size_t k = 0; k < values[i].len; k++)
            if ((unsigned char)values[i].data[k] < ' ' || values[i].data[k] == 0x7f) abort();
    free(memory);
    free(copy);
}

static void check_signed(struct slice header, struct slice payload)
{
    static char text[4 * INPUT_MAX];
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    size_t len = encode(header.data, header.len, text);
    text[len++] = '.';
    len += encode(payload.data, payload.len, text + len);
    if (!HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (unsigned char *)text, len, mac, &mac_len)) abort();
    text[len++] = '.';
    len += encode(mac, mac_len, text + len);
    check((struct slice){ text, len }, true);
}

static unsigned depth_of(const struct conf_node *node)
{
    unsigned deepest = 0;
    for (const struct conf_node *at = node->first_child; at; at = at->next) {
        unsigned depth = depth_of(at);
        if (depth > deepest) deepest = depth;
    }
    return deepest + 1;
}

static void compare(struct slice text)
{
    struct conf_tree tree;
    static struct conf_faults faults;
    struct json_scan s;
    struct json_scan_value value;
    struct slice key;
    char *copy = malloc(text.len + 1);
    if (!copy) abort();
    if (text.len) memcpy(copy, text.data, text.len);
    faults.count = faults.dropped = 0;
    json_scan_object(&s, (struct slice){ copy, text.len });
    while (json_scan_next(&s, &key, &value)) {
        char memory[64];
        struct text t = text_over(memory, sizeof(memory));
        if (value.kind == JSON_SCAN_STRING) json_scan_put(value.text, &t);
        if (value.kind == JSON_SCAN_STRING && !t.is_cut && !json_scan_is(value.text, text_slice(&t))) abort();
    }
    bool is_read = conf_read_json(&tree, "json", text, &faults) == 0;
    if (is_read && tree.root->kind == CONF_NODE_MAP && s.is_broken &&
        depth_of(tree.root) < JSON_SCAN_DEPTH_MAX)
        abort();
    if (is_read && tree.root->kind != CONF_NODE_MAP && !s.is_broken) abort();
    conf_tree_free(&tree);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > INPUT_MAX) return 0;
    struct slice rest = { (const char *)data + 1, size - 1 };
    switch (data[0] % 4) {
    case 0: check(rest, false); break;
    case 1: check_signed(SLICE(HEADER), rest); break;
    case 2: check_signed(rest, SLICE("{\"sub\":\"bob\"}")); break;
    default: compare(rest); break;
    }
    return 0;
}
