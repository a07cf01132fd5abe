/* base/protobuf.h: messages of Protocol Buffers written into memory that grows: their wire format, which a message's fields are
 * is its caller's to know (protobuf.dev, "Encoding"). One thread's; what is without memory stays so, and says it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins as zeros. data is malloc()ed: whoever has it frees it. */
struct protobuf {
    uint8_t *data;
    size_t len, cap;
    bool is_failed; /* memory was out: something is missing */
};

void protobuf_add(struct protobuf *b, const void *data, size_t len);
void protobuf_varint(struct protobuf *b, uint64_t value);
/* As sint32 and sint64 are: small numbers below 0 stay small. */
void protobuf_signed(struct protobuf *b, int64_t value);

/* A field. Zero is what a number is that is not there: nothing is written of it. */
void protobuf_number(struct protobuf *b, unsigned field, uint64_t value);
void protobuf_signed_number(struct protobuf *b, unsigned field, int64_t value);
void protobuf_double(struct protobuf *b, unsigned field, double value);
void protobuf_message(struct protobuf *b, unsigned field, const void *data, size_t len);
/* `part` as a field of its own; then it is empty. */
void protobuf_part(struct protobuf *b, unsigned field, struct protobuf *part);
