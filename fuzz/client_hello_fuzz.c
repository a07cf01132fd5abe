/* The name out of a hello, against OpenSSL's server, which is given the same bytes: what has a name for us has the same for it; and
 * whatever the bytes, those in front of them are part of the way there. The first byte says whether the rest is a message that is
 * put into records here, cut by the second. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tls/client_hello.h"

struct seen {
    bool is_called, has_name;
    char name[300];
};

/* As a server would read it by hand; OpenSSL has checked all lengths but those within the extension. */
static int on_hello(SSL *ssl, int *alert, void *argument)
{
    struct seen *seen = argument;
    const unsigned char *data;
    size_t len;
    (void)alert;
    seen->is_called = true;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len)) return SSL_CLIENT_HELLO_ERROR;
    seen->has_name = len > 5 && len - 5 < sizeof(seen->name);
    if (!seen->has_name) return SSL_CLIENT_HELLO_ERROR;
    memcpy(seen->name, data + 5, len - 5);
    seen->name[len - 5] = 0;
    return SSL_CLIENT_HELLO_ERROR;
}

static struct seen ask_openssl(const unsigned char *data, size_t len)
{
    static SSL_CTX *ctx;
    struct seen seen = { 0 };
    if (!ctx) ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_client_hello_cb(ctx, on_hello, &seen);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    BIO_write(in, data, (int)len);
    SSL_set_bio(ssl, in, out);
    SSL_accept(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    return seen;
}

static size_t put_records(const uint8_t *message, size_t len, size_t piece, unsigned char *out)
{
    size_t at = 0;
    for (size_t done = 0; done < len;) {
        size_t now = len - done < piece ? len - done : piece;
        const unsigned char header[] = { 22, 3, 1, (unsigned char)(now >> 8), (unsigned char)now };
        memcpy(out + at, header, sizeof(header));
        memcpy(out + at + sizeof(header), message + done, now);
        at += sizeof(header) + now;
        done += now;
    }
    return at;
}

static void check(const unsigned char *data, size_t len)
{
    struct client_hello hello, part;
    enum client_hello_result result = client_hello_read((struct slice){ (const char *)data, len }, &hello);
    if (strlen(hello.name) != hello.name_len) abort();
    if (hello.name_len && result != CLIENT_HELLO_WHOLE) abort();
    size_t step = len / 64 + 1;
    for (size_t cut = 0; cut < len; cut += step) {
        enum client_hello_result early = client_hello_read((struct slice){ (const char *)data, cut }, &part);
        /* What is known once stays so. */
        if (early != CLIENT_HELLO_MORE && (early != result || strcmp(part.name, hello.name) != 0)) abort();
    }
    if (result != CLIENT_HELLO_WHOLE) return;
    struct seen seen = ask_openssl(data, len);
    if (!seen.is_called) return; /* it refuses more than lengths */
    if (seen.has_name != (hello.name_len > 0)) abort();
    if (seen.has_name && strcasecmp(seen.name, hello.name) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char records[6 * CLIENT_HELLO_MAX];
    if (size < 2 || size > CLIENT_HELLO_MAX) return 0;
    if (data[0] & 1)
        check(records, put_records(data + 2, size - 2, data[1] + 1u, records));
    else
        check(data + 2, size - 2);
    return 0;
}
