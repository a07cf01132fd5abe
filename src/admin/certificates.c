#include <stdlib.h>

#include "admin/call.h"
#include "admin/certifier.h"
#include "admin/routes.h"

#define WAIT_MS 60000u

static const struct shape_field row_fields[] = {
    SHAPE_ROW(certificate_row, cert, STRING, "The file of the configuration."),
    SHAPE_ROW(certificate_row, kind, STRING, "rsa, ecdsa or ed25519: its key."),
    SHAPE_ROW(certificate_row, names, LIST, "DNS names that it is for."),
    SHAPE_ROW(certificate_row, serial, STRING, "Its serial number, in hexadecimal."),
    SHAPE_ROW(certificate_row, issuer, STRING, "Who issued it."),
    SHAPE_ROW(certificate_row, not_before, STRING, "Valid from then on, with its chain."),
    SHAPE_ROW(certificate_row, not_after, STRING, "Valid until then, with its chain."),
    SHAPE_ROW(certificate_row, days, NUMBER, "Whole days until then; below 0 once it has expired."),
    SHAPE_ROW(certificate_row, listeners, LIST, "Those that serve it."),
    SHAPE_ROW(certificate_row, since, STRING, "When it was read, and found to be another than before."),
    SHAPE_ROW(certificate_row, refused_at, STRING,
              "When what is in the files by now was refused; null if it is what is served.",
              .may_be_null = true),
    SHAPE_ROW(certificate_row, refusal, STRING, "Why.", .may_be_null = true),
    SHAPE_ROW(certificate_row, source, STRING,
              "file: of the configuration; acme: issued by a CA, see /api/v1/acme."),
    { 0 },
};
const struct shape certificate_row_shape = { "Certificate", sizeof(struct certificate_row), row_fields };

static const struct shape_field outcome_fields[] = {
    SHAPE_ROW(certificates_outcome, certificates, COUNT, "How many were read, once for each listener."),
    SHAPE_ROW(certificates_outcome, changed, COUNT, "How many are others than before."),
    { 0 },
};
const struct shape certificates_outcome_shape = { "CertificatesOutcome", sizeof(struct certificates_outcome),
                                                  outcome_fields };

static const struct shape_field acme_fields[] = {
    SHAPE_ROW(acme_row, name, STRING, "The first of its names, which the certificate goes by."),
    SHAPE_ROW(acme_row, names, LIST, "All that are ordered."),
    SHAPE_ROW(acme_row, file, STRING, "Where it and its key are kept."),
    SHAPE_ROW(
        acme_row, state, STRING,
        "waiting: until it is time; ordering: the CA is being asked; elsewhere: another weir that shares the "
        "folder is asking it."),
    SHAPE_ROW(acme_row, until, STRING,
              "What there is of it is valid until then; null: nothing is issued yet.", .may_be_null = true),
    SHAPE_ROW(acme_row, next, STRING, "When it is ordered next: renewed, or tried again."),
    SHAPE_ROW(acme_row, failures, COUNT, "Orders that failed in a row."),
    SHAPE_ROW(acme_row, error, STRING, "Why the last one did; null if it did not.", .may_be_null = true),
    { 0 },
};
const struct shape acme_row_shape = { "AcmeCertificate", sizeof(struct acme_row), acme_fields };

void certificates_list(const struct admin_request *rq, struct answer *out)
{
    if (rq->certifier)
        rq->certifier->list(rq->certifier, out);
    else
        answer_problem(out, 503, "This weir watches no certificates.");
}

void acme_list(const struct admin_request *rq, struct answer *out)
{
    if (rq->certifier)
        rq->certifier->list_acme(rq->certifier, out);
    else
        answer_problem(out, 503, "This weir watches no certificates.");
}

static void done(void *context, struct answer *a)
{
    struct call_ticket *ticket = context;
    call_answer(*ticket, a);
    free(ticket);
}

void certificates_reload(const struct admin_request *rq, struct answer *out)
{
    struct call_ticket *ticket = calloc(1, sizeof(*ticket));
    const struct certificates_ask ask = { done, ticket };
    if (!rq->certifier) {
        answer_problem(out, 503, "This weir watches no certificates.");
    } else if (ticket && rq->certifier->ask(rq->certifier, &ask)) {
        *ticket = call_wait(rq, WAIT_MS, NULL, NULL);
        return;
    } else {
        answer_problem(out, 503, "Too much is being worked on, or there is no memory for more; try again.");
    }
    free(ticket);
}
