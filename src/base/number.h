/* base/number.h: numbers as somebody outside writes them, in bytes that nothing terminates. Only what the comment says:
 * no sign, no blanks, no exponent, nothing behind; a libc reader takes all of these and looks for a terminator. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* "0" to "18446744073709551615"; false if it is none, or too large. */
bool number_u64(struct slice text, uint64_t *out);
/* "0x1f" or "31". */
bool number_address(struct slice text, uint64_t *out);
/* "5", "0.25", at most 32 bytes: digits, and if there is a point, digits behind it. */
bool number_decimal(struct slice text, double *out);
