#include "acme/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "tls/https.h"

#define CONNECT_MS 15000u
#define ANSWER_MS 60000u

struct acme_fetcher {
    struct https *https;
    char *ca;
};

int acme_fetcher_new(struct acme_fetcher **out, const char *ca, struct err *err)
{
    struct err why;
    struct https *https;
    if (https_new(&https, &why) < 0) return err_set(err, "no CA can be asked: %s", why.text);
    struct acme_fetcher *f = calloc(1, sizeof(*f));
    if (f) f->https = https;
    if (!f || (ca && !(f->ca = strdup(ca)))) {
        if (!f) https_free(https);
        acme_fetcher_free(f);
        return err_set(err, "there is no memory to ask a CA by");
    }
    *out = f;
    return 0;
}

void acme_fetcher_free(struct acme_fetcher *f)
{
    if (!f) return;
    https_free(f->https);
    free(f->ca);
    free(f);
}

void acme_fetcher_stop(struct acme_fetcher *f)
{
    https_stop(f->https);
}

int acme_fetch(struct acme_fetcher *f, const struct acme_request *rq, struct acme_response *out,
               struct err *err)
{
    static const enum https_method methods[] = {
        [ACME_GET] = HTTPS_GET, [ACME_HEAD] = HTTPS_HEAD, [ACME_POST] = HTTPS_POST
    };
    const struct https_request ask = { .method = methods[rq->method],
                                       .url = rq->url,
                                       .ca = f->ca,
                                       .accept = rq->accept,
                                       .content_type = "application/jose+json",
                                       .body = rq->body,
                                       .len = rq->len,
                                       .wanted = { "Content-Type", "Location", "Replay-Nonce" },
                                       .answer_max = ACME_ANSWER_MAX,
                                       .connect_ms = CONNECT_MS,
                                       .answer_ms = ANSWER_MS };
    struct https_response r;
    struct err why;
    if (https_ask(f->https, &ask, &r, &why) < 0) return err_set(err, "the CA cannot be asked: %s", why.text);
    *out = (struct acme_response){ .status = r.status,
                                   .content_type = r.fields[0],
                                   .location = r.fields[1],
                                   .nonce = r.fields[2],
                                   .retry_after_s = r.retry_after_s,
                                   .body = r.body };
    return 0;
}
