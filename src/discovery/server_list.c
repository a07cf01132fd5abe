#include "discovery/server_list.h"

#include <string.h>

#include "balance/balance.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; empty: there is none. */
static struct slice take_word(struct slice *rest)
{
    while (rest->len && is_space(rest->data[0])) *rest = (struct slice){ rest->data + 1, rest->len - 1 };
    size_t len = 0;
    while (len < rest->len && !is_space(rest->data[len])) len++;
    struct slice word = { rest->data, len };
    *rest = (struct slice){ rest->data + len, rest->len - len };
    return word;
}

static struct slice take_line(struct slice *rest)
{
    const char *end = memchr(rest->data, '\n', rest->len);
    struct slice line = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
    size_t taken = line.len + (end != NULL);
    *rest = (struct slice){ rest->data + taken, rest->len - taken };
    return line;
}

static int read_weight(struct slice text, struct found *f, struct err *err)
{
    uint32_t weight = 0;
    bool is_number = text.len && text.len <= 9;
    for (size_t i = 0; is_number && i < text.len; i++) {
        is_number = text.data[i] >= '0' && text.data[i] <= '9';
        weight = weight * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (!is_number || weight > BALANCE_WEIGHT_MAX)
        return err_set(err, "\"%.*s\" is no weight; write a number from 0 to %u",
                       (int)(text.len < 40 ? text.len : 40), text.data, (unsigned)BALANCE_WEIGHT_MAX);
    f->has_weight = true;
    f->weight = weight;
    return 0;
}

/* It ends up in logs, metrics and paths of the API. */
static int read_name(struct slice text, struct found *f, struct err *err)
{
    bool is_name = text.len && text.len <= FOUND_NAME_MAX;
    for (size_t i = 0; is_name && i < text.len; i++)
        is_name = (unsigned char)text.data[i] > ' ' && text.data[i] != 0x7f && text.data[i] != '/';
    if (!is_name)
        return err_set(err, "a name has from 1 to %u bytes, and neither a slash nor control characters",
                       FOUND_NAME_MAX);
    memcpy(f->name, text.data, text.len);
    f->name[text.len] = 0;
    return 0;
}

static int read_word(struct slice word, struct found *f, struct err *err)
{
    static const struct slice weight = { "weight=", 7 }, name = { "name=", 5 };
    if (slice_starts_with(word, weight))
        return read_weight((struct slice){ word.data + weight.len, word.len - weight.len }, f, err);
    if (slice_starts_with(word, name))
        return read_name((struct slice){ word.data + name.len, word.len - name.len }, f, err);
    return err_set(err, "\"%.*s\" is not known here; write weight=3 or name=big",
                   (int)(word.len < 40 ? word.len : 40), word.data);
}

/* 0: a server; 1: there is none in the line. */
static int read_line(struct slice line, struct found *f, struct err *err)
{
    struct slice word = take_word(&line);
    *f = (struct found){ 0 };
    if (!word.len || word.data[0] == '#') return 1;
    if (address_parse(word, false, &f->address, err) < 0) return -1;
    while ((word = take_word(&line)).len && word.data[0] != '#')
        if (read_word(word, f, err) < 0) return -1;
    return 0;
}

int server_list_read(struct slice text, struct found *out, uint32_t *count, struct err *err)
{
    *count = 0;
    for (uint32_t number = 1; text.len; number++) {
        struct found f;
        int result = read_line(take_line(&text), &f, err);
        if (result < 0) return err_prefix(err, "line %u", number);
        if (result > 0) continue;
        if (*count == SERVER_LIST_MAX)
            return err_set(err, "line %u: there are more than %u servers", number, SERVER_LIST_MAX);
        out[(*count)++] = f;
    }
    return 0;
}
