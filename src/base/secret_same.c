#include "base/secret_same.h"

bool secret_is_same(struct slice secret, struct slice given)
{
    volatile unsigned differs = secret.len != given.len || !secret.len;
    for (size_t i = 0; secret.len && i < given.len; i++)
        differs |= (unsigned char)(given.data[i] ^ secret.data[i % secret.len]);
    return !differs;
}
