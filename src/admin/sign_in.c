#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "base/secret.h"
#include "base/text.h"
#include "conf/decode.h"
#include "net/loop.h"

/* Who asks; and signing a browser in with a token, of which it keeps a cookie that no script sees (HttpOnly) and that it sends
 * with requests of weir's own pages alone (SameSite=Strict: RFC 6265bis). */

struct sign_in_conf {
    const char *token;
};

static const struct conf_field sign_in_fields[] = {
    { "token", CONF_STRING(struct sign_in_conf, token), .min = 1, .max = 256,
      .flags = CONF_REQUIRED | CONF_LIVE, .help = "One of those that `admin:` has." },
    { 0 },
};
const struct conf_type sign_in_type = { .name = "sign_in",
                                        .size = sizeof(struct sign_in_conf),
                                        .fields = sign_in_fields };

struct session_answer {
    const char *name, *role, *by;
    bool has_tokens;
};

static const struct shape_field session_fields[] = {
    SHAPE_ROW(session_answer, name, STRING, "What the token is called; null where none was shown.",
              .may_be_null = true),
    SHAPE_ROW(session_answer, role, STRING, "none, view, operate or admin: what may be done."),
    SHAPE_ROW(session_answer, by, STRING, "nothing, token or session: how weir knows."),
    SHAPE_ROW(session_answer, has_tokens, BOOL, "There are tokens to sign in with."),
    { 0 },
};
const struct shape session_shape = { "Session", sizeof(struct session_answer), session_fields };

static void answer_who(const struct guard *g, const struct guard_who *who, struct answer *out)
{
    const struct session_answer a = { .name = *who->name ? who->name : NULL,
                                      .role = admin_role_name((enum admin_role)who->role),
                                      .by = guard_by_name((enum guard_by)who->by),
                                      .has_tokens = g->conf && admin_conf_has_token(g->conf) };
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&session_shape, &a, &j);
    answer_json(out, 200, &j);
}

/* __Host- would keep others of this host from setting it, but needs TLS. */
static void set_cookie(struct answer *out, const char *id, uint64_t seconds, bool is_over_tls)
{
    struct text t = text_over(out->cookie, sizeof(out->cookie));
    text_printf(&t, SESSION_COOKIE "=%s; Path=/; Max-Age=%llu; HttpOnly; SameSite=Strict%s", id,
                (unsigned long long)seconds, is_over_tls ? "; Secure" : "");
    text_cstr(&t);
}

void session_show(const struct admin_request *rq, struct answer *out)
{
    answer_who(rq->guard, &rq->who, out);
}

static void begin(const struct admin_request *rq, const char *given, struct answer *out)
{
    struct admin_token t;
    char id[SESSION_ID_TEXT + 1];
    if (!guard_find_token(rq->guard, slice_of(given), &t)) {
        answer_problem(out, 401, "The token is none of those that `admin:` has in weir's configuration.");
        out->wants_credentials = out->is_for_script = true;
        return;
    }
    struct guard_who who = { .role = (uint8_t)t.role, .by = GUARD_BY_SESSION };
    snprintf(who.name, sizeof(who.name), "%s", t.name);
    sessions_end(rq->guard->sessions, rq->who.session);
    sessions_begin(rq->guard->sessions, t.name, loop_now_ms(rq->loop), id);
    answer_who(rq->guard, &who, out);
    set_cookie(out, id, SESSION_MAX_MS / 1000, rq->who.is_over_tls);
    explicit_bzero(id, sizeof(id));
}

void session_post(const struct admin_request *rq, struct answer *out)
{
    struct sign_in_conf conf = { 0 };
    struct conf_tree tree;
    secret_wipe_begin();
    struct conf_arena *arena = conf_arena_new();
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults || !rq->guard->sessions) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
    } else {
        int result = conf_read_json(&tree, "request body", rq->body, faults);
        if (result == 0) result = conf_decode(&tree, &sign_in_type, &conf, arena, faults);
        if (result == 0)
            begin(rq, conf.token, out);
        else
            answer_faults(out, faults, &tree);
        conf_tree_free(&tree);
    }
    free(faults);
    conf_arena_free(arena);
    secret_wipe_end();
}

static bool is_not_of(void *session, const struct guard_who *who, enum admin_role needs)
{
    (void)needs;
    return who->session != *(const uint64_t *)session;
}

void session_delete(const struct admin_request *rq, struct answer *out)
{
    static const struct guard_who nobody;
    uint64_t session = rq->who.session;
    if (session) {
        sessions_end(rq->guard->sessions, session);
        call_end_streams(call_env_of(rq), is_not_of, &session);
    }
    answer_who(rq->guard, rq->who.by == GUARD_BY_SESSION ? &nobody : &rq->who, out);
    set_cookie(out, "", 0, rq->who.is_over_tls);
}
