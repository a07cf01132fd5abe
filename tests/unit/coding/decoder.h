/* What a client does with an encoded response: by the libraries' decoders. */
#pragma once

#include "coding/coding.h"

struct decoder;

struct decoder *decoder_new(enum coding c);
void decoder_free(struct decoder *d);
/* Decodes all of it behind what is in `out` already; fails the test if it cannot be decoded. */
void decoder_feed(struct decoder *d, const char *data, size_t len);
/* So far. */
struct slice decoder_text(const struct decoder *d);
/* The coding's own end has come, with nothing behind it. */
bool decoder_is_at_end(const struct decoder *d);
