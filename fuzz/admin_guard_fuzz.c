/* Who is let in to the API: by whatever is in the fields that say it, nobody may do what no token and no session of his lets
 * him do. An input is a byte for the method and the role that is needed, then fields, a line each: a letter for the name, and
 * the value. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/guard.h"

#define TOKEN "token-of-the-ops"
#define FIELDS_MAX 16u

static const struct admin_token_conf tokens[] = { { "ops", TOKEN, ROLE_ADMIN - ROLE_VIEW },
                                                  { "grafana", "token-of-grafana", ROLE_VIEW - ROLE_VIEW } };

static const struct {
    char letter;
    uint8_t id;
    const char *name;
} names[] = { { 'A', HTTP_FIELD_AUTHORIZATION, "Authorization" },
              { 'C', HTTP_FIELD_OTHER, "Cookie" },
              { 'O', HTTP_FIELD_ORIGIN, "Origin" },
              { 'S', HTTP_FIELD_OTHER, "Sec-Fetch-Site" },
              { 'M', HTTP_FIELD_OTHER, "Sec-Fetch-Mode" },
              { 'P', HTTP_FIELD_OTHER, "X-Weir-Page" } };

static void add_field(struct http_head *head, const char *line, size_t len)
{
    if (!len || head->field_count == FIELDS_MAX) return;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (*line == names[i].letter)
            head->fields[head->field_count++] =
                (struct http_field){ .id = names[i].id,
                                     .name = names[i].name,
                                     .name_len = (uint16_t)strlen(names[i].name),
                                     .value = line + 1,
                                     .value_len = (uint32_t)len - 1 };
    if (*line == 'H') head->authority = (struct slice){ line + 1, len - 1 };
}

static bool has_text(const char *data, size_t size, const char *text)
{
    return memmem(data, size, text, strlen(text)) != NULL;
}

static void check(const struct guard_who *who, const struct guard_ask *ask, const char *data, size_t size,
                  const char *id)
{
    bool is_read = ask->head->method == HTTP_GET;
    if (who->role < ask->needs) abort();
    if (who->by == GUARD_BY_NOTHING && ask->needs != ROLE_NONE) abort();
    if (who->by == GUARD_BY_SESSION && !has_text(data, size, id)) abort();
    if (who->by == GUARD_BY_SESSION && !is_read && !http_head_find(ask->head, HTTP_FIELD_ORIGIN) &&
        !http_head_find_name(ask->head, SLICE("x-weir-page")))
        abort();
    if (who->by == GUARD_BY_TOKEN && !has_text(data, size, "token-of-") &&
        !http_head_find(ask->head, HTTP_FIELD_AUTHORIZATION))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct admin_conf conf;
    static struct sessions sessions;
    char id[SESSION_ID_TEXT + 1];
    struct http_field fields[FIELDS_MAX];
    struct http_head head = { .version = HTTP_VERSION_1_1, .fields = fields };
    const char *data = (const char *)bytes;
    struct guard guard = { .conf = &conf, .sessions = &sessions };
    struct guard_who who;
    struct err err = { "" };
    if (!size) return 0;
    if (address_parse(SLICE("127.0.0.1:9091"), true, &guard.bind, &err) < 0) abort();
    conf.tokens = (struct conf_items){ (void *)(uintptr_t)tokens, 2 };
    /* One whose id the inputs know. */
    sessions.items[0] = (struct session){ .name = "ops" };
    memset(sessions.items[0].id, 0x11, SESSION_ID_BYTES);
    memset(id, '1', SESSION_ID_TEXT);
    id[SESSION_ID_TEXT] = 0;
    head.method = bytes[0] & 4 ? HTTP_POST : HTTP_GET;
    const struct guard_ask ask = { .head = &head,
                                   .needs = (enum admin_role)(bytes[0] & 3),
                                   .has_effect = bytes[0] & 8 };
    for (size_t at = 1; at < size;) {
        const char *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        add_field(&head, data + at, len);
        at += len + 1;
    }
    uint16_t status = guard_check(&guard, &ask, &who, &err);
    if (status != 0 && status != 401 && status != 403) abort();
    if (status && !err.text[0]) abort();
    if (!status) check(&who, &ask, data, size, id);
    return 0;
}
