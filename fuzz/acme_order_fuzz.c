/* What a CA answers: the input is a list of answers, each with what it has of fields, and whatever it says an order ends, says why
 * not in words that steer nothing, proves no name that was not ordered, and asks nobody but by https. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/document.h"
#include "acme/jws.h"
#include "acme/order.h"
#include "acme/request.h"
#include "base/base64.h"

static const char *const names[] = { "a.example", "b.example" };

/* The next line of the input, without its end. */
static struct slice next_line(struct slice *rest)
{
    const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    struct slice line = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
    *rest = end ? (struct slice){ end + 1, rest->len - line.len - 1 } : SLICE_NONE;
    return line;
}

static const char *keep(char room[512], struct slice s)
{
    if (!s.len || s.len >= 512 || memchr(s.data, 0, s.len)) return NULL;
    memcpy(room, s.data, s.len);
    room[s.len] = 0;
    return room;
}

/* "STATUS RETRY", content type, location, nonce, then the body in one line. */
static void answer(struct acme_order *o, struct slice *rest, uint64_t now_ms)
{
    char type[512], location[512], nonce[512], numbers[512];
    unsigned status = 0, retry = 0;
    if (keep(numbers, next_line(rest))) sscanf(numbers, "%3u %9u", &status, &retry);
    struct acme_response r = { .status = (int)status, .retry_after_s = retry };
    r.content_type = keep(type, next_line(rest));
    r.location = keep(location, next_line(rest));
    r.nonce = keep(nonce, next_line(rest));
    r.body = next_line(rest);
    acme_order_take(o, &r, now_ms);
}

static void check_request(const struct acme_request *rq)
{
    if (!acme_is_url(rq->url)) abort();
    if ((rq->method == ACME_POST) != (rq->body != NULL)) abort();
    if (rq->body && strlen(rq->body) != rq->len) abort();
}

static void check_proofs(const struct acme_order *o)
{
    for (uint32_t i = 0; i < o->proof_count; i++) {
        const struct acme_proof *p = &o->proofs[i];
        if (strcmp(p->name, names[0]) != 0 && strcmp(p->name, names[1]) != 0) abort();
        if (!base64url_is_token(slice_of(p->token))) abort();
        if (strncmp(p->authorization, p->token, strlen(p->token)) != 0) abort();
    }
}

static void check_end(const struct acme_order *o)
{
    if ((o->chain == NULL) != (*o->err.text != 0)) abort();
    if (o->chain && strlen(o->chain) != o->chain_len) abort();
    for (const char *at = o->err.text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static EVP_PKEY *account;
    struct slice rest = { (const char *)data, size };
    uint64_t now_ms = 1;
    if (!account) account = acme_key_new(ACME_KEY_ECDSA);
    const struct acme_order_setup setup = { .directory = "https://ca.example/directory",
                                            .account = account,
                                            .csr = SLICE("request"),
                                            .names = names,
                                            .name_count = 2,
                                            .challenge = size % 2 ? ACME_HTTP_01 : ACME_TLS_ALPN_01,
                                            .limit_ms = 600000 };
    struct acme_order *o = acme_order_new(&setup, now_ms);
    enum acme_want want;
    while ((want = acme_order_want(o, now_ms)) != ACME_WANT_NOTHING) {
        check_proofs(o);
        if (want == ACME_WANT_TIME) {
            if (o->until_ms <= now_ms || o->until_ms > now_ms + 60000) abort();
            now_ms = o->until_ms;
        } else if (want == ACME_WANT_PROOFS) {
            if (!o->proof_count) abort();
            acme_order_shown(o, now_ms);
        } else {
            check_request(&o->request);
            if (rest.len)
                answer(o, &rest, now_ms);
            else
                acme_order_unanswered(o, "cut", now_ms);
        }
    }
    check_end(o);
    acme_order_free(o);
    return 0;
}
