/* auth/base64.h: base64 of strangers (RFC 4648), strictly: one text for each run of bytes, so that nothing that is compared
 * or remembered as text has a second spelling. */
#pragma once

#include "base/slice.h"

/* How many bytes `len` characters make at the most. */
#define BASE64_ROOM(len) ((len) / 4 * 3 + 3)

/* RFC 4648 4, padded to whole groups. False: a byte that is none of the alphabet, padding that is missing or out of place, bits
 * that mean nothing and are not zero, or no room. */
bool base64_decode(struct slice text, char *out, size_t room, size_t *len);
/* RFC 4648 5, without padding, as JOSE has it (RFC 7515 2). */
bool base64url_decode(struct slice text, char *out, size_t room, size_t *len);
