/* auth/credentials.h: what a request's Authorization says (RFC 9110 11.4, 11.6.2). */
#pragma once

#include "base/slice.h"

#define CREDENTIALS_PART_MAX 255u

enum credentials_scheme { CREDENTIALS_OTHER, CREDENTIALS_BASIC, CREDENTIALS_BEARER };

/* *rest: what stands behind the scheme, without blanks around it. */
enum credentials_scheme credentials_scheme(struct slice value, struct slice *rest);

/* Of Basic (RFC 7617 2). Holds a password: credentials_wipe() when it is of no use any more. */
struct credentials {
    char name[CREDENTIALS_PART_MAX + 1], password[CREDENTIALS_PART_MAX + 1]; /* terminated */
    size_t name_len, password_len;
};

/* False: it is none, or longer than may be, or has a control character. */
bool credentials_basic(struct slice rest, struct credentials *out);
void credentials_wipe(struct credentials *c);
