#include "observe/proc_text.h"

bool proc_take_line(struct slice *rest, struct slice *line)
{
    if (!rest->len) return false;
    const char *end = memchr(rest->data, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->data) : rest->len, taken = end ? len + 1 : len;
    *line = (struct slice){ rest->data, len };
    rest->data += taken;
    rest->len -= taken;
    return true;
}

static struct slice without_blanks(struct slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) s.data++, s.len--;
    return s;
}

bool proc_take_word(struct slice *rest, struct slice *word)
{
    struct slice s = without_blanks(*rest);
    size_t len = 0;
    while (len < s.len && s.data[len] != ' ' && s.data[len] != '\t' && s.data[len] != '\n') len++;
    *rest = (struct slice){ s.data + len, s.len - len };
    *word = (struct slice){ s.data, len };
    return len > 0;
}

bool proc_take_char(struct slice *rest, char c)
{
    if (!rest->len || rest->data[0] != c) return false;
    rest->data++;
    rest->len--;
    return true;
}

/* -1: none. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool take_number(struct slice *rest, unsigned base, uint64_t *out)
{
    struct slice s = without_blanks(*rest);
    uint64_t value = 0;
    size_t at = 0;
    for (; at < s.len; at++) {
        int digit = digit_of(s.data[at]);
        if (digit < 0 || (unsigned)digit >= base) break;
        if (__builtin_mul_overflow(value, base, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)digit, &value)) return false;
    }
    if (!at) return false;
    *rest = (struct slice){ s.data + at, s.len - at };
    *out = value;
    return true;
}

bool proc_take_u64(struct slice *rest, uint64_t *out)
{
    return take_number(rest, 10, out);
}

bool proc_take_hex(struct slice *rest, uint64_t *out)
{
    return take_number(rest, 16, out);
}

bool proc_u64(struct slice text, uint64_t *out)
{
    struct slice rest = text;
    uint64_t value;
    if (!proc_take_u64(&rest, &value) || rest.len) return false;
    *out = value;
    return true;
}

uint32_t proc_field_read(struct slice line, const struct proc_field *fields, uint32_t count, void *out)
{
    struct slice rest = line, key;
    uint64_t value;
    if (!proc_take_word(&rest, &key)) return count;
    if (key.data[key.len - 1] == ':') key.len--;
    for (uint32_t i = 0; i < count; i++) {
        if (!slice_equal(key, slice_of(fields[i].key))) continue;
        if (!proc_take_u64(&rest, &value)) return count;
        if (__builtin_mul_overflow(value, fields[i].scale, &value)) return count;
        memcpy((char *)out + fields[i].offset, &value, sizeof(value));
        return i;
    }
    return count;
}

uint32_t proc_fields_read(struct slice text, const struct proc_field *fields, uint32_t count, void *out)
{
    struct slice rest = text, line;
    uint32_t found = 0;
    while (proc_take_line(&rest, &line)) {
        uint32_t row = proc_field_read(line, fields, count, out);
        if (row < count) found |= 1u << row;
    }
    return found;
}
