#include "acme/wanted.h"

#include <openssl/sha.h>
#include <string.h>

static uint64_t digest(const char *what, const char *text)
{
    unsigned char whole[2 * SHA256_DIGEST_LENGTH];
    uint64_t first = 0;
    SHA256((const unsigned char *)what, strlen(what), whole);
    SHA256((const unsigned char *)text, strlen(text), whole + SHA256_DIGEST_LENGTH);
    SHA256(whole, sizeof(whole), whole);
    for (int i = 0; i < 8; i++) first = first << 8 | whole[i]; /* alike on every host that shares the file */
    return first;
}

uint64_t acme_wanted(const struct acme_conf *conf, const struct conf_items *names)
{
    const char *const *name = names->data;
    uint64_t sum = digest("directory", conf->directory);
    sum += digest("challenge", acme_challenge_name((enum acme_challenge)conf->challenge));
    if (conf->binding) sum += digest("kid", conf->binding->kid);
    for (uint32_t i = 0; i < names->count; i++) sum += digest("name", name[i]);
    return sum ? sum : 1;
}
