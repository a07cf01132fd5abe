/* base/base64.h: base64 (RFC 4648). Strangers' is read strictly: one text for each run of bytes, so that nothing that is compared or
 * remembered as text has a second spelling. */
#pragma once

#include "base/slice.h"
#include "base/text.h"

/* How many bytes `len` characters make at the most. */
#define BASE64_ROOM(len) ((len) / 4 * 3 + 3)
/* What base64url_add() writes of so many bytes, and a terminator. */
#define BASE64URL_ROOM(bytes) (((bytes) + 2) / 3 * 4 + 1)

/* RFC 4648 4, padded to whole groups. False: a byte that is none of the alphabet, padding that is missing or out of place, bits
 * that mean nothing and are not zero, or no room. */
bool base64_decode(struct slice text, char *out, size_t room, size_t *len);
/* RFC 4648 5, without padding, as JOSE has it (RFC 7515 2). */
bool base64url_decode(struct slice text, char *out, size_t room, size_t *len);
/* By either alphabet, padded or not: people paste keys as they are given them, and clients leave padding out. */
bool base64_decode_pasted(struct slice text, char *out, size_t room, size_t *len);
/* As base64url_decode() reads it. */
void base64url_add(struct text *t, struct slice bytes);
/* Letters, digits, - and _ alone, at least one. */
bool base64url_is_token(struct slice text);
