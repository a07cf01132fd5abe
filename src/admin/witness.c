#include "admin/witness.h"

#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "proxy/proxy.h"

static void name_peer(char out[64], const struct http_client *client, const struct call_from *from)
{
    char text[ADDRESS_TEXT_MAX];
    if (from->is_local) {
        snprintf(out, 64, "uid %u, pid %d", from->uid, from->pid);
        return;
    }
    struct address a = address_from_ip(&client->ip, client->port);
    snprintf(out, 64, "%s", address_print(&a, text));
}

/* By which its caller will look for it. */
static void note_ids(struct witness *w, const struct http_head *head)
{
    struct trace_context trace;
    struct slice id = http_field_value(http_head_find(head, HTTP_FIELD_X_REQUEST_ID));
    if (flight_is_request_id(id))
        snprintf(w->request_id, sizeof(w->request_id), "%.*s", (int)id.len, id.data);
    if (trace_context_parse(http_field_value(http_head_find_name(head, SLICE("traceparent"))), &trace))
        trace_id_print(trace.trace_id, TRACE_ID_BYTES, w->trace_id);
    mention_print_texts(slice_of(w->request_id), slice_of(w->trace_id), w->mention);
}

void witness_begin(struct witness *w, const struct http_stream *s, const struct http_head *head,
                   const struct call_from *from, const struct proxy *proxy)
{
    w->is_safe = head->method == HTTP_GET || head->method == HTTP_HEAD || head->method == HTTP_OPTIONS;
    w->has_credentials = http_head_find(head, HTTP_FIELD_AUTHORIZATION) != NULL;
    w->generation = proxy ? proxy->generation : 0;
    snprintf(w->what, sizeof(w->what), "%.*s %.*s",
             head->method_text.len < 16 ? (int)head->method_text.len : 16, head->method_text.data,
             head->target.len < AUDIT_WHAT_MAX ? (int)head->target.len : (int)AUDIT_WHAT_MAX,
             head->target.data);
    name_peer(w->peer, s->client, from);
    note_ids(w, head);
}

static bool is_dry(const struct admin_request *rq)
{
    for (uint32_t i = 0; rq->route->query && rq->route->query[i].name; i++)
        if (rq->query[i].data && strcmp(rq->route->query[i].name, "dry_run") == 0) return true;
    return false;
}

/* On one line. */
static void copy_text(char out[AUDIT_DETAIL_MAX], struct slice text)
{
    size_t len = 0;
    bool is_gap = false;
    for (size_t i = 0; i < text.len && len + 2 < AUDIT_DETAIL_MAX; i++) {
        char c = text.data[i];
        bool is_space = c == ' ' || c == '\n' || c == '\r' || c == '\t';
        if (!is_space && is_gap && len) out[len++] = ' ';
        if (!is_space) out[len++] = c;
        is_gap = is_space;
    }
    out[len] = 0;
}

/* Signing in, or out: it is anybody's to try. */
static bool is_sign_in(const struct admin_request *rq)
{
    return rq->route && rq->route->role == ROLE_NONE;
}

static enum audit_outcome outcome_of(const struct admin_request *rq, const struct answer *a, bool is_outcome)
{
    bool is_refused = a->status == 401 || a->status == 403 || (is_sign_in(rq) && a->status >= 400);
    if (is_refused) return AUDIT_REFUSED;
    if (!is_outcome) return AUDIT_UNANSWERED;
    return a->status >= 400 ? AUDIT_FAILED : AUDIT_DONE;
}

/* What was sent, where its row says what may be in it, which is no secret; of who signs in, who he is; or why not, which may quote
 * what was sent: not where that has a secret. */
static void describe(struct audit_entry *e, const struct admin_request *rq, const struct answer *a)
{
    if (is_sign_in(rq) && a->status >= 400) return;
    if (a->status >= 400 || e->outcome == AUDIT_UNANSWERED)
        copy_text(e->detail, slice_of(a->said));
    else if (is_sign_in(rq))
        copy_text(e->detail, (struct slice){ a->body, a->body_len });
    else if (rq->route->body)
        copy_text(e->detail, rq->body);
}

/* Whoever has nothing to sign out of has changed nothing. */
static bool is_of_interest(const struct witness *w, const struct admin_request *rq, const struct answer *a)
{
    if (w->is_safe) return a->status == 401 && w->has_credentials;
    if (is_sign_in(rq)) return a->status >= 400 || rq->route->method != HTTP_DELETE || rq->who.session;
    return a->status == 401 || a->status == 403 || (rq->route && rq->route->role != ROLE_VIEW);
}

void witness_end(const struct witness *w, const struct admin_request *rq, const struct answer *a,
                 bool is_outcome)
{
    if (!rq->audit || !is_of_interest(w, rq, a)) return;
    struct audit_entry e = { .status = a->status,
                             .outcome = (uint8_t)outcome_of(rq, a, is_outcome),
                             .from = w->generation,
                             .to = rq->proxy ? rq->proxy->generation : 0 };
    snprintf(e.who, sizeof(e.who), "%s", rq->who.name);
    snprintf(e.by, sizeof(e.by), "%s", guard_by_name((enum guard_by)rq->who.by));
    snprintf(e.peer, sizeof(e.peer), "%s", w->peer);
    snprintf(e.what, sizeof(e.what), "%s", w->what);
    memcpy(e.request_id, w->request_id, sizeof(e.request_id));
    memcpy(e.trace_id, w->trace_id, sizeof(e.trace_id));
    describe(&e, rq, a);
    bool is_event = (e.outcome == AUDIT_DONE || e.outcome == AUDIT_UNANSWERED) &&
                    rq->route->role >= ROLE_OPERATE && !rq->route->says_itself && !is_dry(rq);
    audit_note(rq->audit, &e, is_event);
}
