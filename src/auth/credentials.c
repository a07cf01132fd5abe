#include "auth/credentials.h"

#include "base/base64.h"

enum credentials_scheme credentials_scheme(struct slice value, struct slice *rest)
{
    size_t len = 0;
    value = slice_trim(value);
    while (len < value.len && value.data[len] != ' ' && value.data[len] != '\t') len++;
    struct slice name = { value.data, len };
    *rest = slice_trim((struct slice){ value.data + len, value.len - len });
    if (slice_equal_fold(name, SLICE("basic"))) return CREDENTIALS_BASIC;
    return slice_equal_fold(name, SLICE("bearer")) ? CREDENTIALS_BEARER : CREDENTIALS_OTHER;
}

/* RFC 7617 2: neither has control characters; of a zero byte the library that hashes would see the end. */
static bool put(struct slice text, char *out, size_t *len)
{
    if (text.len > CREDENTIALS_PART_MAX) return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f) return false;
    if (text.len) memcpy(out, text.data, text.len);
    out[text.len] = 0;
    *len = text.len;
    return true;
}

bool credentials_basic(struct slice rest, struct credentials *out)
{
    char plain[2 * CREDENTIALS_PART_MAX + 1];
    size_t len;
    bool is_good = base64_decode(rest, plain, sizeof(plain), &len);
    const char *colon = is_good ? memchr(plain, ':', len) : NULL;
    if (colon) {
        size_t name = (size_t)(colon - plain);
        is_good = name > 0 && put((struct slice){ plain, name }, out->name, &out->name_len) &&
                  put((struct slice){ colon + 1, len - name - 1 }, out->password, &out->password_len);
    }
    explicit_bzero(plain, sizeof(plain));
    if (colon && is_good) return true;
    credentials_wipe(out);
    return false;
}

void credentials_wipe(struct credentials *c)
{
    explicit_bzero(c, sizeof(*c));
}
