#include "control/refusal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "http/message.h"

#define REFUSALS_SAID 20u
#define ANSWER_TEXT_MAX ((size_t)16 << 20)

/* A line for each mistake: what stands under it, the file's own line, is there to be read. */
void refusal_log(const char *text)
{
    uint32_t said = 0, more = 0;
    for (const char *end = text; *text; text = *end ? end + 1 : end) {
        end = text + strcspn(text, "\n");
        if (*text == ' ' || end == text) continue;
        if (said == REFUSALS_SAID) {
            more++;
            continue;
        }
        char line[512], quoted[1200];
        snprintf(line, sizeof(line), "%.*s", (int)(end - text), text);
        log_event(LOG_ERROR, "reload_failed", "error=%s", log_quote(line, quoted, sizeof(quoted)));
        said++;
    }
    if (more) log_event(LOG_ERROR, "reload_failed", "error=\"%u mistakes more\"", more);
}

void refusal_answer(struct answer *a, uint16_t status, const char *text, const char *errors,
                    uint32_t generation)
{
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "type");
    json_string(&j, "about:blank");
    json_key(&j, "title");
    json_string(&j, http_status_text(status));
    json_key(&j, "status");
    json_u64(&j, status);
    json_key(&j, "detail");
    json_string(&j, text);
    if (errors) {
        json_key(&j, "errors");
        json_raw(&j, slice_of(errors));
    }
    json_key(&j, "generation");
    json_u64(&j, generation);
    json_object_end(&j);
    answer_json(a, status, &j);
    a->content_type = "application/problem+json";
    snprintf(a->said, sizeof(a->said), "%.*s", (int)strcspn(text, "\n"), text);
}

bool refusal_if_match(struct slice if_match, struct slice etag)
{
    struct slice rest = if_match;
    if (!rest.data || slice_equal(slice_trim(rest), SLICE("*"))) return true;
    while (rest.len) {
        const char *comma = memchr(rest.data, ',', rest.len);
        struct slice tag = { rest.data, comma ? (size_t)(comma - rest.data) : rest.len };
        if (slice_equal(slice_trim(tag), etag)) return true;
        rest = comma ? (struct slice){ comma + 1, rest.len - tag.len - 1 } : SLICE_NONE;
    }
    return false;
}
