#include "base/protobuf.h"

#include <stdlib.h>
#include <string.h>

#define VARINT_MAX 10
#define FIRST_ROOM 4096u

/* Types on the wire. */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2 };

void protobuf_add(struct protobuf *b, const void *data, size_t len)
{
    if (b->is_failed) return;
    if (len > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : FIRST_ROOM;
        while (cap - b->len < len) cap *= 2;
        uint8_t *larger = realloc(b->data, cap);
        if (!larger) {
            b->is_failed = true;
            return;
        }
        b->data = larger;
        b->cap = cap;
    }
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
}

void protobuf_varint(struct protobuf *b, uint64_t value)
{
    uint8_t encoded[VARINT_MAX];
    size_t len = 0;
    while (value >= 0x80) {
        encoded[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    encoded[len++] = (uint8_t)value;
    protobuf_add(b, encoded, len);
}

/* ZigZag. */
static uint64_t fold(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

void protobuf_signed(struct protobuf *b, int64_t value)
{
    protobuf_varint(b, fold(value));
}

void protobuf_number(struct protobuf *b, unsigned field, uint64_t value)
{
    if (!value) return;
    protobuf_varint(b, field << 3 | WIRE_VARINT);
    protobuf_varint(b, value);
}

void protobuf_signed_number(struct protobuf *b, unsigned field, int64_t value)
{
    protobuf_number(b, field, fold(value));
}

void protobuf_double(struct protobuf *b, unsigned field, double value)
{
    uint64_t bits;
    uint8_t encoded[sizeof(bits)];
    memcpy(&bits, &value, sizeof(bits));
    if (!bits) return;
    for (size_t i = 0; i < sizeof(bits); i++) encoded[i] = (uint8_t)(bits >> 8 * i);
    protobuf_varint(b, field << 3 | WIRE_64);
    protobuf_add(b, encoded, sizeof(encoded));
}

void protobuf_message(struct protobuf *b, unsigned field, const void *data, size_t len)
{
    protobuf_varint(b, field << 3 | WIRE_BYTES);
    protobuf_varint(b, len);
    protobuf_add(b, data, len);
}

void protobuf_part(struct protobuf *b, unsigned field, struct protobuf *part)
{
    protobuf_message(b, field, part->data, part->len);
    b->is_failed |= part->is_failed;
    part->len = 0;
}
