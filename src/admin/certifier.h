/* admin/certifier.h: what the API asks of whoever watches the files of certificates: control/certificate_watch.h. Control
 * thread. */
#pragma once

#include "admin/answer.h"
#include "admin/shape.h"

struct certificates_ask {
    /* With the answer, whose memory is the callee's; not before ask() has returned. */
    void (*done)(void *context, struct answer *a);
    void *context;
};

struct certifier {
    /* All files are read again. False: too much is being worked on, and done() does not come. */
    bool (*ask)(struct certifier *c, const struct certificates_ask *ask);
    /* Those that are served. */
    void (*list)(struct certifier *c, struct answer *out);
    /* Those that a CA issues, also what it has not yet. */
    void (*list_acme)(struct certifier *c, struct answer *out);
};

/* A pair of files of the configuration. */
struct certificate_row {
    const char *cert, *kind, *serial, *issuer;
    struct shape_list names, listeners; /* const char * */
    const char *not_before, *not_after; /* RFC 3339 */
    double days;
    const char *since;
    const char *refused_at, *refusal; /* NULL: what is in the files is what is served */
    const char *source;               /* "file", "acme" */
};

/* What a CA issues, by the configuration. */
struct acme_row {
    const char *name, *file, *state;
    struct shape_list names;  /* const char * */
    const char *until, *next; /* RFC 3339; until NULL: none is issued yet */
    uint64_t failures;
    const char *error; /* NULL: the last order did not fail */
};

struct certificates_outcome {
    uint64_t certificates, changed;
};

extern const struct shape certificate_row_shape, certificates_outcome_shape, acme_row_shape;
