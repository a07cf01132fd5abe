#include "control/acme_list.h"

#include <time.h>

#define ANSWER_TEXT_MAX ((size_t)30 << 20)
#define TIME_TEXT_MAX 32u

static const char *print_time(int64_t seconds, char out[TIME_TEXT_MAX])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &tm));
    return out;
}

static void print_row(void *context, const struct acme_status *s)
{
    char until[TIME_TEXT_MAX], next[TIME_TEXT_MAX];
    int64_t now_s = (int64_t)time(NULL);
    const struct acme_row row = {
        .name = *(const char *const *)s->conf->acme.data,
        .names = { s->conf->acme.data, s->conf->acme.count },
        .file = s->conf->file,
        .state = acme_state_name(s->state),
        .until = s->until_s ? print_time(s->until_s, until) : NULL,
        .next = print_time(s->next_s > now_s ? s->next_s : now_s, next),
        .failures = s->failures,
        .error = *s->error ? s->error : NULL,
    };
    shape_print(&acme_row_shape, &row, context);
}

void acme_list_print(struct acme_keeper *k, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "certificates");
    json_array(&j);
    acme_keeper_each(k, print_row, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}
