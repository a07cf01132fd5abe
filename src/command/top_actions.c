#include "command/top_actions.h"

#include <math.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/number.h"
#include "base/printable.h"

#define PATH_BYTES 2048u

/* admin NULL, weight NAN: that stays. */
static bool patch(const struct api_target *to, const char *pool, const char *server, const char *admin,
                  double weight, char notice[TOP_NOTICE_MAX])
{
    char path[PATH_BYTES];
    struct text t = text_over(path, sizeof(path));
    struct json j;
    struct err err = { "" };
    char *answer = NULL;
    TEXT_LITERAL(&t, "/api/v1/pools/");
    api_client_escape(&t, pool);
    TEXT_LITERAL(&t, "/servers/");
    api_client_escape(&t, server);
    text_cstr(&t);
    json_init(&j, 256, false);
    json_object(&j);
    if (admin) {
        json_key(&j, "admin");
        json_string(&j, admin);
    }
    if (isfinite(weight)) {
        json_key(&j, "weight");
        json_u64(&j, (uint64_t)weight);
    }
    json_object_end(&j);
    struct api_request rq = { .method = HTTP_PATCH, .path = path, .body = { j.data, j.len } };
    int code = j.is_failed || t.is_cut ? EX_OSERR : api_client_ask(to, &rq, &answer, NULL, &err);
    json_fini(&j);
    free(answer);
    if (code != EX_OK) snprintf(notice, TOP_NOTICE_MAX, "%.128s was not changed: %.100s", server, err.text);
    printable_mask(notice);
    return code == EX_OK;
}

static struct top_undo undo_of(const struct conf_node *row)
{
    const struct conf_node *server = document_get(row, "server");
    struct top_undo undo = { .is_there = true, .weight = document_number(server, "weight") };
    snprintf(undo.pool, sizeof(undo.pool), "%s", document_text(row, "of"));
    snprintf(undo.server, sizeof(undo.server), "%s", document_text(row, "name"));
    snprintf(undo.admin, sizeof(undo.admin), "%s", document_text(server, "admin"));
    return undo;
}

static void say(char notice[TOP_NOTICE_MAX], const struct top_undo *u, const char *what, const char *rest)
{
    snprintf(notice, TOP_NOTICE_MAX, "%.100s of pool %.64s: %s%s", u->server, u->pool, what, rest);
    printable_mask(notice);
}

void top_set_admin(const struct api_target *to, const struct conf_node *row, const char *admin,
                   struct top_undo *undo, char notice[TOP_NOTICE_MAX])
{
    struct top_undo before = undo_of(row);
    if (!patch(to, before.pool, before.server, admin, NAN, notice)) return;
    *undo = before;
    say(notice, undo, admin, "; u takes it back");
}

void top_set_weight(const struct api_target *to, const struct conf_node *row, const char *weight,
                    struct top_undo *undo, char notice[TOP_NOTICE_MAX])
{
    struct top_undo before = undo_of(row);
    uint64_t value = 0;
    if (!number_u64(slice_of(weight), &value) || value > 10000) {
        snprintf(notice, TOP_NOTICE_MAX, "a weight is a number from 0 to 10000");
        return;
    }
    if (!patch(to, before.pool, before.server, NULL, (double)value, notice)) return;
    *undo = before;
    say(notice, undo, "weight ", weight);
}

void top_undo(const struct api_target *to, struct top_undo *undo, char notice[TOP_NOTICE_MAX])
{
    if (!undo->is_there) {
        snprintf(notice, TOP_NOTICE_MAX, "nothing was changed from here that could be taken back");
        return;
    }
    if (!patch(to, undo->pool, undo->server, undo->admin, undo->weight, notice)) return;
    undo->is_there = false;
    say(notice, undo, "as it was before", "");
}
