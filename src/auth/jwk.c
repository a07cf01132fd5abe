#include "auth/jwk.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/secret.h"
#include "base/secret_same.h"
#include "conf/node.h"
#include "tls/small_file.h"

#define RSA_BITS_MIN 2048 /* RFC 7518 3.3 */
#define RSA_BITS_MAX 8192
#define PART_MAX 1024u
#define OCT_MIN 32u /* RFC 7518 3.2: as long as the digest */
#define POINT_MAX 66u

enum kind { KIND_OCT, KIND_RSA, KIND_P256, KIND_P384, KIND_P521, KIND_ED25519, KIND_COUNT };

struct jwk {
    enum kind kind;
    enum jwk_algorithm only; /* JWK_ALGORITHM_COUNT: any of its kind */
    struct slice id;         /* data NULL: none */
    EVP_PKEY *key;           /* but for KIND_OCT */
    struct slice secret;     /* of KIND_OCT */
};

struct jwk_set {
    uint64_t id;
    struct secret_store *memory;
    unsigned count;
    struct jwk keys[JWK_KEYS_MAX];
};

static const struct {
    const char *name;
    enum kind kind;
    unsigned digest;
} algorithms[] = {
#define X(id, name, kind, digest) { name, KIND_##kind, digest },
    JWK_ALGORITHMS(X)
#undef X
};

/* RFC 7518 6.2.1.1 */
static const struct {
    enum kind kind;
    const char *name, *group;
    size_t bytes; /* of a coordinate, of each half of a signature */
} curves[] = {
    { KIND_P256, "P-256", "prime256v1", 32 },
    { KIND_P384, "P-384", "secp384r1", 48 },
    { KIND_P521, "P-521", "secp521r1", 66 },
};
#define CURVES (sizeof(curves) / sizeof(*curves))

enum jwk_algorithm jwk_algorithm_by_name(struct slice name)
{
    for (unsigned i = 0; i < JWK_ALGORITHM_COUNT; i++)
        if (slice_equal(name, slice_of(algorithms[i].name))) return (enum jwk_algorithm)i;
    return JWK_ALGORITHM_COUNT;
}

const char *jwk_algorithm_name(enum jwk_algorithm a)
{
    return algorithms[a].name;
}

static const EVP_MD *digest_of(enum jwk_algorithm a)
{
    switch (algorithms[a].digest) {
    case 256: return EVP_sha256();
    case 384: return EVP_sha384();
    case 512: return EVP_sha512();
    default: return NULL; /* EdDSA has its own */
    }
}

/* reading */

static struct slice text_of(const struct conf_node *key, const char *name)
{
    const struct conf_node *n = conf_node_get(key, name);
    return n && n->kind == CONF_NODE_SCALAR && n->is_quoted ? n->text : SLICE_NONE;
}

static int part_of(const struct conf_node *key, const char *name, char out[PART_MAX], size_t *len,
                   struct err *err)
{
    struct slice text = text_of(key, name);
    if (!text.len) return err_set(err, "\"%s\" is missing", name);
    if (!base64url_decode(text, out, PART_MAX, len) || !*len)
        return err_set(err, "\"%s\" is no base64url, or too long", name);
    return 0;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static bool is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool is = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is;
}

static int check_rsa(EVP_PKEY *key, struct err *err)
{
    int bits = EVP_PKEY_get_bits(key);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return err_set(err, "an RSA key has %d to %d bits here, this one has %d", RSA_BITS_MIN, RSA_BITS_MAX,
                       bits);
    return 0;
}

static int read_rsa(const struct conf_node *node, struct jwk *key, struct err *err)
{
    char modulus[PART_MAX], exponent[PART_MAX];
    size_t modulus_len, exponent_len;
    if (part_of(node, "n", modulus, &modulus_len, err) < 0 ||
        part_of(node, "e", exponent, &exponent_len, err) < 0)
        return -1;
    if (exponent_len > 8) return err_set(err, "\"e\" is larger than any that is in use");
    BIGNUM *n = BN_bin2bn((unsigned char *)modulus, (int)modulus_len, NULL);
    BIGNUM *e = BN_bin2bn((unsigned char *)exponent, (int)exponent_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (n && e && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    key->kind = KIND_RSA;
    key->key = from_params("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key->key ? check_rsa(key->key, err) : err_set(err, "its \"n\" and \"e\" are no RSA key");
}

static int read_ec(const struct conf_node *node, struct jwk *key, struct err *err)
{
    struct slice name = text_of(node, "crv");
    unsigned char point[1 + 2 * POINT_MAX] = { 4 }; /* SEC 1 2.3.3: both coordinates follow */
    char x[PART_MAX], y[PART_MAX];
    size_t x_len, y_len, c = 0;
    while (c < CURVES && !slice_equal(name, slice_of(curves[c].name))) c++;
    if (c == CURVES) return 1;
    if (part_of(node, "x", x, &x_len, err) < 0 || part_of(node, "y", y, &y_len, err) < 0) return -1;
    size_t bytes = curves[c].bytes;
    if (x_len != bytes || y_len != bytes)
        return err_set(err, "\"x\" and \"y\" have %zu bytes each with %s (RFC 7518 6.2.1.2)", bytes,
                       curves[c].name);
    memcpy(point + 1, x, bytes);
    memcpy(point + 1 + bytes, y, bytes);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)curves[c].group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * bytes),
        OSSL_PARAM_construct_end(),
    };
    key->kind = curves[c].kind;
    key->key = from_params("EC", params);
    if (key->key && is_sound(key->key)) return 0;
    return err_set(err, "its \"x\" and \"y\" are no point of %s", curves[c].name);
}

/* RFC 8037 2. Of the curves Ed25519 alone: the others are for agreement on keys, or hardly used. */
static int read_okp(const struct conf_node *node, struct jwk *key, struct err *err)
{
    char x[PART_MAX];
    size_t len;
    if (!slice_equal(text_of(node, "crv"), SLICE("Ed25519"))) return 1;
    if (part_of(node, "x", x, &len, err) < 0) return -1;
    key->kind = KIND_ED25519;
    key->key = len == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (unsigned char *)x, len)
                         : NULL;
    return key->key ? 0 : err_set(err, "\"x\" is no key of Ed25519, which has 32 bytes");
}

static int read_oct(struct jwk_set *set, const struct conf_node *node, struct jwk *key, struct err *err)
{
    char k[PART_MAX];
    size_t len;
    if (part_of(node, "k", k, &len, err) < 0) return -1;
    key->kind = KIND_OCT;
    key->secret = (struct slice){ secret_copy(set->memory, (struct slice){ k, len }), len };
    explicit_bzero(k, sizeof(k));
    if (!key->secret.data) return err_set(err, "there is no memory for it");
    if (len < OCT_MIN)
        return err_set(err, "a secret of %zu bytes can be guessed; it needs %u, as many as the digest has",
                       len, OCT_MIN);
    return 0;
}

/* RFC 7517 4.2 and 4.3: one that is for something else. */
static bool is_for_signatures(const struct conf_node *node)
{
    struct slice use = text_of(node, "use");
    const struct conf_node *operations = conf_node_get(node, "key_ops");
    if (use.data && !slice_equal(use, SLICE("sig"))) return false;
    if (!operations || operations->kind != CONF_NODE_LIST) return true;
    for (const struct conf_node *at = operations->first_child; at; at = at->next)
        if (slice_equal(at->text, SLICE("verify"))) return true;
    return false;
}

/* 1: it is of no kind that is known. */
static int read_kind(struct jwk_set *set, const struct conf_node *node, struct jwk *key, struct err *err)
{
    struct slice type = text_of(node, "kty");
    if (!type.len) return err_set(err, "\"kty\" is missing");
    if (!slice_equal(type, SLICE("oct")) && conf_node_get(node, "d"))
        return err_set(err,
                       "it has its private half, \"d\", which only whoever signs may have; leave the public "
                       "members alone here");
    if (slice_equal(type, SLICE("RSA"))) return read_rsa(node, key, err);
    if (slice_equal(type, SLICE("EC"))) return read_ec(node, key, err);
    if (slice_equal(type, SLICE("OKP"))) return read_okp(node, key, err);
    return slice_equal(type, SLICE("oct")) ? read_oct(set, node, key, err) : 1;
}

static int read_key(struct jwk_set *set, const struct conf_node *node, struct err *err)
{
    if (node->kind != CONF_NODE_MAP) return err_set(err, "it is no object");
    if (!is_for_signatures(node)) return 0;
    if (set->count == JWK_KEYS_MAX) return err_set(err, "a file may have %u keys", JWK_KEYS_MAX);
    struct jwk *key = &set->keys[set->count];
    struct slice only = text_of(node, "alg"), id = text_of(node, "kid");
    key->only = only.data ? jwk_algorithm_by_name(only) : JWK_ALGORITHM_COUNT;
    if (only.data && key->only == JWK_ALGORITHM_COUNT) return 0;
    int result = read_kind(set, node, key, err);
    if (result == 1) return 0;
    set->count++; /* also with a fault: it is let go of with the set */
    if (result < 0) return -1;
    if (only.data && algorithms[key->only].kind != key->kind)
        return err_set(err, "its \"alg\" is not for a key of this kind");
    if (id.data) key->id = (struct slice){ secret_copy(set->memory, id), id.len };
    return id.data && !key->id.data ? err_set(err, "there is no memory for its \"kid\"") : 0;
}

static int read_tree(struct jwk_set *set, const char *path, const struct conf_node *root, struct err *err)
{
    const struct conf_node *keys = root->kind == CONF_NODE_MAP ? conf_node_get(root, "keys") : NULL;
    if (!keys) {
        if (read_key(set, root, err) < 0) return err_prefix(err, "%.300s", path);
        return 0;
    }
    if (keys->kind != CONF_NODE_LIST) return err_set(err, "%.300s: \"keys\" is no list", path);
    for (const struct conf_node *at = keys->first_child; at; at = at->next)
        if (read_key(set, at, err) < 0)
            return err_prefix(err, "%.300s:%u: the key that begins here", path, at->place.line);
    return 0;
}

static int read_json(struct jwk_set *set, const char *path, struct slice text, struct err *err)
{
    struct conf_faults faults = { 0 };
    struct conf_tree tree;
    int result = conf_read_json(&tree, path, text, &faults);
    if (result < 0)
        err_set(err, "%.300s:%u:%u: %.160s", path, faults.items[0].place.line, faults.items[0].place.column,
                faults.items[0].message);
    else
        result = read_tree(set, path, tree.root, err);
    conf_tree_free(&tree);
    return result;
}

static int kind_of(EVP_PKEY *key, struct jwk *out)
{
    char group[32] = "";
    size_t len;
    if (EVP_PKEY_is_a(key, "RSA")) {
        out->kind = KIND_RSA;
        return 0;
    }
    if (EVP_PKEY_is_a(key, "ED25519")) {
        out->kind = KIND_ED25519;
        return 0;
    }
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof(group), &len) != 1) return -1;
    for (size_t c = 0; c < CURVES; c++) {
        if (strcmp(group, curves[c].group) != 0) continue;
        out->kind = curves[c].kind;
        return 0;
    }
    return -1;
}

static int read_pem(struct jwk_set *set, const char *path, struct slice text, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    EVP_PKEY *key;
    int result = bio ? 0 : err_set(err, "out of memory for %.300s", path);
    while (result == 0 && (key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL))) {
        if (set->count == JWK_KEYS_MAX) {
            EVP_PKEY_free(key);
            result = err_set(err, "%.300s: a file may have %u keys", path, JWK_KEYS_MAX);
            break;
        }
        struct jwk *to = &set->keys[set->count++];
        *to = (struct jwk){ .only = JWK_ALGORITHM_COUNT, .key = key };
        if (kind_of(key, to) < 0)
            result = err_set(err, "%.300s: its key %u is neither RSA nor of P-256, P-384, P-521 or Ed25519",
                             path, set->count);
        else if (to->kind == KIND_RSA && check_rsa(key, err) < 0)
            result = err_prefix(err, "%.300s: its key %u", path, set->count);
    }
    BIO_free(bio);
    return result;
}

static bool is_pem(struct slice text)
{
    return text.len && memmem(text.data, text.len, "-----BEGIN ", 11) != NULL;
}

/* Of those no token can say which is meant. */
static int check_nameless(const struct jwk_set *set, const char *path, struct err *err)
{
    unsigned of_kind[KIND_COUNT] = { 0 };
    for (unsigned i = 0; i < set->count; i++) {
        const struct jwk *key = &set->keys[i];
        if (!key->id.data && ++of_kind[key->kind] > JWK_TRIES_MAX)
            return err_set(
                err,
                "%.300s has more than %u keys of one kind without a \"kid\", and no more are tried for a "
                "token; take out those that sign no more, or give a JSON Web Key Set with a \"kid\" each",
                path, JWK_TRIES_MAX);
    }
    return 0;
}

struct jwk_set *jwk_set_parse(const char *path, struct slice text, struct err *err)
{
    static _Atomic uint64_t ids;
    struct jwk_set *set = calloc(1, sizeof(*set));
    if (!set) {
        err_set(err, "out of memory for the keys of %.300s", path);
        return NULL;
    }
    set->id = atomic_fetch_add_explicit(&ids, 1, memory_order_relaxed) + 1;
    set->memory = secret_store_new();
    int result = is_pem(text) ? read_pem(set, path, text, err) : read_json(set, path, text, err);
    if (result == 0 && !set->count)
        result = err_set(
            err,
            "%.300s has no key that a signature could be verified by; give a JSON Web Key Set, or "
            "a public key in PEM",
            path);
    if (result == 0) result = check_nameless(set, path, err);
    if (result == 0) return set;
    jwk_set_free(set);
    return NULL;
}

struct jwk_set *jwk_set_read(const char *path, struct err *err)
{
    struct small_file file;
    struct file_stamp stamp;
    if (small_file_read(&file, path, &stamp, err) < 0) return NULL;
    struct jwk_set *set = jwk_set_parse(path, (struct slice){ file.text, file.len }, err);
    small_file_wipe(&file);
    return set;
}

void jwk_set_free(struct jwk_set *set)
{
    if (!set) return;
    for (unsigned i = 0; i < set->count; i++) EVP_PKEY_free(set->keys[i].key);
    secret_store_free(set->memory);
    free(set);
}

unsigned jwk_set_count(const struct jwk_set *set)
{
    return set->count;
}

uint64_t jwk_set_id(const struct jwk_set *set)
{
    return set->id;
}

/* asking */

static bool fits(const struct jwk *key, enum jwk_algorithm a)
{
    if (key->kind != algorithms[a].kind || (key->only != JWK_ALGORITHM_COUNT && key->only != a)) return false;
    return key->kind != KIND_OCT || key->secret.len * 8 >= algorithms[a].digest;
}

enum named { NAMED_SO, NAMED_NOT, NAMED_SOMEHOW };

static bool is_named(const struct jwk *key, enum named how, struct slice id)
{
    if (how == NAMED_NOT) return !key->id.data;
    return key->id.data && (how == NAMED_SOMEHOW || slice_equal(key->id, id));
}

static void add_named(const struct jwk_set *set, enum jwk_algorithm a, enum named how, struct slice id,
                      const struct jwk *found[JWK_TRIES_MAX], unsigned *count)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (!fits(&set->keys[i], a) || !is_named(&set->keys[i], how, id)) continue;
        if (*count < JWK_TRIES_MAX) found[*count] = &set->keys[i];
        ++*count;
    }
}

unsigned jwk_find(const struct jwk_set *set, enum jwk_algorithm a, struct slice id,
                  const struct jwk *found[JWK_TRIES_MAX])
{
    unsigned count = 0;
    if (id.data) add_named(set, a, NAMED_SO, id, found, &count);
    if (count) return count;
    add_named(set, a, NAMED_NOT, id, found, &count);
    if (!id.data) add_named(set, a, NAMED_SOMEHOW, id, found, &count);
    return count;
}

static bool is_hmac(const struct jwk *key, enum jwk_algorithm a, struct slice text, struct slice signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool is_made = HMAC(digest_of(a), key->secret.data, (int)key->secret.len,
                        (const unsigned char *)text.data, text.len, mac, &len);
    return is_made && secret_is_same((struct slice){ (const char *)mac, len }, signature);
}

/* One half of an ECDSA signature as DER has it: without leading zeros, but one where the first bit is set. */
static size_t put_integer(unsigned char *out, const char *half, size_t bytes)
{
    while (bytes > 1 && !*half) half++, bytes--;
    size_t pad = (unsigned char)*half >> 7;
    out[0] = 2;
    out[1] = (unsigned char)(bytes + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, half, bytes);
    return 2 + pad + bytes;
}

#define DER_MAX (3 + 2 * (3 + POINT_MAX))

/* From RFC 7518 3.4 (both halves, one behind the other) to RFC 3279 2.2.3. 0: it has another length. */
static size_t to_der(enum kind kind, struct slice signature, unsigned char out[DER_MAX])
{
    unsigned char body[2 * (3 + POINT_MAX)];
    size_t half = curves[kind - KIND_P256].bytes;
    if (signature.len != 2 * half) return 0;
    size_t len = put_integer(body, signature.data, half);
    len += put_integer(body + len, signature.data + half, half);
    size_t head = 0;
    out[head++] = 0x30;
    if (len > 127) out[head++] = 0x81;
    out[head++] = (unsigned char)len;
    memcpy(out + head, body, len);
    return head + len;
}

static bool use_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0; /* RFC 7518 3.5 */
}

bool jwk_verifies(const struct jwk *key, enum jwk_algorithm a, struct slice signed_text,
                  struct slice signature)
{
    unsigned char der[DER_MAX];
    if (key->kind == KIND_OCT) return is_hmac(key, a, signed_text, signature);
    if (key->kind >= KIND_P256 && key->kind <= KIND_P521) {
        size_t len = to_der(key->kind, signature, der);
        if (!len) return false;
        signature = (struct slice){ (const char *)der, len };
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    bool is = ctx && EVP_DigestVerifyInit(ctx, &how, digest_of(a), NULL, key->key) == 1 &&
              (a < JWK_PS256 || a > JWK_PS512 || use_pss(how)) &&
              EVP_DigestVerify(ctx, (const unsigned char *)signature.data, signature.len,
                               (const unsigned char *)signed_text.data, signed_text.len) == 1;
    EVP_MD_CTX_free(ctx);
    return is;
}
