#include "http/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

/* RFC 6455 1.3 */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void websocket_make_key(struct rng *rng, char key[WEBSOCKET_KEY_LEN + 1])
{
    uint64_t nonce[2] = { rng_next(rng), rng_next(rng) };
    EVP_EncodeBlock((unsigned char *)key, (const unsigned char *)nonce, sizeof(nonce));
}

void websocket_make_accept(const char key[WEBSOCKET_KEY_LEN], char accept[WEBSOCKET_ACCEPT_LEN + 1])
{
    unsigned char text[WEBSOCKET_KEY_LEN + sizeof(GUID) - 1], hash[SHA_DIGEST_LENGTH];
    memcpy(text, key, WEBSOCKET_KEY_LEN);
    memcpy(text + WEBSOCKET_KEY_LEN, GUID, sizeof(GUID) - 1);
    SHA1(text, sizeof(text), hash);
    EVP_EncodeBlock((unsigned char *)accept, hash, sizeof(hash));
}

bool websocket_is_answer(const char key[WEBSOCKET_KEY_LEN], struct slice accept)
{
    char expected[WEBSOCKET_ACCEPT_LEN + 1];
    websocket_make_accept(key, expected);
    return slice_equal(accept, slice_of(expected));
}
