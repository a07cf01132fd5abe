/* base/utf8.h: UTF-8 as RFC 3629 has it: no surrogates, nothing overlong, nothing over U+10FFFF. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* The length of the sequence at the front of `s` (not empty); 0 if there is none or it is cut. */
size_t utf8_sequence_len(struct slice s);
/* Writes a code point (no surrogate, at most U+10FFFF); its length. */
size_t utf8_encode(uint32_t code_point, char out[4]);
