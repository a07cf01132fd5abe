#include "auth/password.h"

#include <crypt.h>
#include <stdlib.h>

#include "base/secret_same.h"

#define BCRYPT_LEN 60u
#define BCRYPT_COST_MAX 14u
#define ROUNDS_MAX 1000000u
#define SHA512_DIGITS 86u
#define YESCRYPT_DIGITS 43u
/* Memory is 128 bytes times N times r: 2^15 times 32 is 128 MiB. Digits of the alphabet below are one less than what they mean
 * (N is 2 to that). */
#define YESCRYPT_N_MAX 14u
#define YESCRYPT_R_MAX 31u

static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static unsigned digit_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (unsigned)(at - digits) : 64;
}

static bool are_digits(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (digit_of(text.data[i]) > 63) return false;
    return true;
}

static int fail_cut(const char *kind, struct err *err)
{
    return err_set(err, "a hash of %s is not whole or has something else behind it; make it anew", kind);
}

static int check_bcrypt(struct slice hash, struct err *err)
{
    if (hash.len != BCRYPT_LEN || hash.data[6] != '$' ||
        !are_digits((struct slice){ hash.data + 7, hash.len - 7 }))
        return fail_cut("bcrypt", err);
    unsigned tens = (unsigned)(hash.data[4] - '0'), ones = (unsigned)(hash.data[5] - '0');
    unsigned cost = tens * 10 + ones;
    if (tens > 9 || ones > 9 || cost < 4) return fail_cut("bcrypt", err);
    if (cost > BCRYPT_COST_MAX)
        return err_set(err, "bcrypt at cost %u takes many seconds a try; make it anew with at most %u", cost,
                       BCRYPT_COST_MAX);
    return 0;
}

/* "$y$" flags N r "$" salt "$" digits, as crypt_gensalt() writes it: one digit for each parameter. */
static int check_yescrypt(struct slice hash, struct err *err)
{
    const char *last = memrchr(hash.data, '$', hash.len);
    size_t tail = (size_t)(hash.data + hash.len - last) - 1;
    if (hash.len < 8 || hash.data[3] != 'j' || hash.data[6] != '$' || last <= hash.data + 6 ||
        tail != YESCRYPT_DIGITS || !are_digits((struct slice){ last + 1, tail }))
        return fail_cut("yescrypt", err);
    if (digit_of(hash.data[4]) > YESCRYPT_N_MAX || digit_of(hash.data[5]) > YESCRYPT_R_MAX)
        return err_set(err,
                       "yescrypt with so much memory would let strangers use up the host's; make it anew "
                       "with the usual parameters, `$y$j9T$`");
    return 0;
}

static int check_sha512(struct slice hash, struct err *err)
{
    struct slice rounds = SLICE("$6$rounds=");
    const char *last = memrchr(hash.data, '$', hash.len);
    size_t tail = (size_t)(hash.data + hash.len - last) - 1;
    if (last < hash.data + 3 || tail != SHA512_DIGITS || !are_digits((struct slice){ last + 1, tail }))
        return fail_cut("SHA-512", err);
    if (slice_starts_with(hash, rounds) && strtoul(hash.data + rounds.len, NULL, 10) > ROUNDS_MAX)
        return err_set(err, "SHA-512 with more than %u rounds takes seconds a try; make it anew with less",
                       ROUNDS_MAX);
    return 0;
}

static bool begins(struct slice hash, const char *prefix)
{
    return slice_starts_with(hash, slice_of(prefix));
}

static int refuse(struct slice hash, struct err *err)
{
    if (begins(hash, "$apr1$") || begins(hash, "$1$"))
        return err_set(err, "MD5 is guessed at billions a second; make the hash anew with `htpasswd -B`");
    if (begins(hash, "{SHA}") || begins(hash, "{SSHA}"))
        return err_set(err, "SHA-1 is guessed at billions a second; make the hash anew with `htpasswd -B`");
    if (hash.len && (hash.data[0] == '$' || hash.data[0] == '_'))
        return err_set(err, "this kind of hash is not taken; make it anew with `htpasswd -B` (bcrypt) or "
                            "`mkpasswd` (yescrypt, SHA-512)");
    if (hash.len && (hash.data[0] == '!' || hash.data[0] == '*'))
        return err_set(err, "this user is locked; take the line out");
    return err_set(err, "this is a password in the clear, or hashed by DES, which is as good as that; make a "
                        "hash with `htpasswd -B`");
}

int password_hash_check(struct slice hash, struct err *err)
{
    char text[PASSWORD_HASH_MAX + 1];
    if (hash.len > PASSWORD_HASH_MAX || !hash.len) return refuse(hash, err);
    memcpy(text, hash.data, hash.len);
    text[hash.len] = 0;
    int result;
    if (begins(hash, "$2y$") || begins(hash, "$2b$") || begins(hash, "$2a$"))
        result = check_bcrypt(hash, err);
    else if (begins(hash, "$y$"))
        result = check_yescrypt(hash, err);
    else if (begins(hash, "$6$"))
        result = check_sha512(hash, err);
    else
        result = refuse(hash, err);
    if (result == 0 && strlen(text) != hash.len) result = fail_cut("crypt", err);
    /* What it holds of its own kind may be old; what it cannot read is what matters. */
    if (result == 0 && crypt_checksalt(text) == CRYPT_SALT_INVALID) result = fail_cut("crypt", err);
    explicit_bzero(text, sizeof(text));
    return result;
}

bool password_is(const char *hash, const char *password)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    if (!data) return false;
    const char *made = crypt_r(password, hash, data);
    bool is = made && made[0] != '*' && secret_is_same(slice_of(hash), slice_of(made));
    explicit_bzero(data, sizeof(*data));
    free(data);
    return is;
}
