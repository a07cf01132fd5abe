/* What who may pass is read from: files of users and of keys, and Authorization. Whatever the bytes, nothing is read behind them, and
 * what is a mistake is told. The first byte says what the rest is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/credentials.h"
#include "auth/jwk.h"
#include "auth/key_schedule.h"
#include "auth/password.h"
#include "auth/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_users(struct slice text)
{
    struct err err = { "" };
    bool is_known;
    struct users *u = users_parse("users", text, &err);
    if (!u && !err.text[0]) abort();
    if (u && !users_count(u)) abort();
    if (u && strlen(users_hash(u, SLICE("bob"), 1, &is_known)) > PASSWORD_HASH_MAX) abort();
    users_free(u);
}

static void read_keys(struct slice text)
{
    struct err err = { "" };
    struct jwk_set *keys = jwk_set_parse("keys", text, &err);
    if (!keys && !err.text[0]) abort();
    for (unsigned a = 0; keys && a < JWK_ALGORITHM_COUNT; a++) {
        const struct jwk *found[JWK_TRIES_MAX];
        unsigned count = jwk_find(keys, (enum jwk_algorithm)a, SLICE_NONE, found);
        for (unsigned i = 0; i < count && i < JWK_TRIES_MAX; i++)
            if (jwk_verifies(found[i], (enum jwk_algorithm)a, SLICE("text"), SLICE("signature"))) abort();
    }
    jwk_set_free(keys);
    uint64_t fresh_ms = key_fresh_ms(text);
    if (fresh_ms < KEY_FRESH_MIN_MS || fresh_ms > KEY_FRESH_MAX_MS) abort();
}

static void read_authorization(struct slice text)
{
    struct slice rest;
    struct credentials c;
    if (credentials_scheme(text, &rest) != CREDENTIALS_BASIC || !credentials_basic(rest, &c)) return;
    if (strlen(c.name) != c.name_len || strlen(c.password) != c.password_len ||
        memchr(c.name, ':', c.name_len))
        abort();
    credentials_wipe(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    char *copy = malloc(size); /* so that a byte too many is seen */
    if (!copy) abort();
    memcpy(copy, data + 1, size - 1);
    struct slice rest = { copy, size - 1 };
    switch (data[0] % 3) {
    case 0: read_users(rest); break;
    case 1: read_keys(rest); break;
    default: read_authorization(rest); break;
    }
    free(copy);
    return 0;
}
