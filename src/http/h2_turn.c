/* Who may go on in this turn. A few bytes of a client's are much work: a request of twenty bytes is an exchange, a field of
 * one byte four kilobytes of a table's, a WINDOW_UPDATE a byte of an answer. So each connection may always do a little in a
 * turn; more while the turn has room for it; and who would do still more waits, in order, for a share of each turn that is
 * theirs. Whoever asks for little is served however many ask for much.
 *
 * That would not be enough where most do what is of no use to anybody: many that ask for much and open no windows for the
 * answers, or none that an answer could go through, or that come near a bound of what costs them nothing, and each of them by its part. So these come behind all
 * others: they have what time is left over, and a sixteenth of it where none is. */
#include "base/bug.h"
#include "http/h2_session.h"

/* In points: a frame is one; what fields lead to is several. */
#define FIELDS_WORK 8u
#define HEARD_BYTES 512u /* of decoded fields, that are as much work as a frame */
/* Of one connection, whatever the others do: two requests, or a request and its windows. */
#define OWN_WORK 16u
/* Of one, and of all together, as they come: a hundred requests in one turn are answered in one. */
#define SESSION_WORK 1024u
#define TURN_WORK 2048u
/* Of one that waited, before it is the next one's turn; of all that waited. */
#define WAITER_WORK 128u
#define WAITERS_WORK 1024u
/* More streams than this whose answers the client opens no windows for. */
#define STALLED_MAX 4u
/* What a client opens for each of its streams from the beginning, if it has not said that answers are to come in crumbs: whoever
 * has is known before the first answer has come, and before a hundred servers were asked for one. */
#define WINDOW_MIN 1024u
/* Of those behind, where others want to be served: all together; and how many times as long as that took the others have
 * then, up to a bound, so that nobody waits for ever. */
#define BEHIND_WORK 64u
#define OTHERS_TIMES 15u
#define REST_MAX_NS (100ull * 1000000)
/* While memory is about to be short, they have none, and it is looked at again after so long. */
#define KEPT_OUT_MS 10u
/* A turn as short as this had nothing to do. */
#define IDLE_NS 20000u
/* What is received must be kept if it cannot be worked off: so little is, while others wait. */
#define CROWDED_READ_BYTES 4096u

static void note_turn(struct h2_session *s)
{
    struct h2_worker *w = s->worker;
    if (w->turn != s->loop->turns) {
        w->turn = s->loop->turns;
        w->work = 0;
    }
    if (s->turn == s->loop->turns || s->is_served) return;
    s->turn = s->loop->turns;
    s->work = 0;
}

void h2_turn_charge(struct h2_session *s, uint32_t work)
{
    if (s->client) return;
    note_turn(s);
    s->work += work;
    if (!s->is_served) s->worker->work += work;
}

void h2_turn_charge_fields(struct h2_session *s, uint64_t heard)
{
    h2_turn_charge(s, FIELDS_WORK + (uint32_t)(heard / HEARD_BYTES));
}

bool h2_turn_comes_behind(const struct h2_session *s)
{
    if (s->is_near_flood || s->stalled > STALLED_MAX) return true;
    if (s->peer.window >= WINDOW_MIN) return false;
    return s->stream_count > (block_pool_is_filling(&s->loop->blocks) ? 0 : STALLED_MAX);
}

bool h2_turn_may_go_on(struct h2_session *s)
{
    if (s->client) return true; /* how much a server sends is for its clients to say */
    note_turn(s);
    if (s->is_served) return s->work < s->worker->share;
    if (h2_turn_comes_behind(s)) return false;
    if (s->work < OWN_WORK) return true; /* who waits for more does not lose that */
    return list_is_empty(&s->wait) && s->work < SESSION_WORK && s->worker->work < TURN_WORK;
}

void h2_turn_wait(struct h2_session *s)
{
    struct h2_worker *w = s->worker;
    if (bug_if(H2_SESSION, s->client || s->state >= H2_SESSION_LINGER))
        return; /* it has no turn to wait for */
    if (list_is_empty(&s->wait)) list_push_back(h2_turn_comes_behind(s) ? &w->behind : &w->waiting, &s->wait);
    loop_defer(s->loop, &w->task);
}

size_t h2_turn_read_bytes(struct h2_session *s)
{
    struct h2_worker *w = s->worker;
    if (s->client || s->data_left) return LOOP_HOLD_BYTES;
    note_turn(s);
    bool is_crowded = w->work >= TURN_WORK || !list_is_empty(&w->waiting) || h2_turn_comes_behind(s);
    return is_crowded ? CROWDED_READ_BYTES : LOOP_HOLD_BYTES;
}

void h2_turn_take(struct h2_session *s, struct slice bytes)
{
    size_t left = h2_frames_take(s, bytes);
    if (bug_if(H2_SESSION, left > bytes.len)) left = 0;
    struct slice rest = { bytes.data + bytes.len - left, left };
    if (left && !h2_bytes_put(&s->unread, s->loop, rest))
        h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
}

bool h2_turn_take_unread(struct h2_session *s)
{
    while (s->unread.len && h2_is_live(s) && !s->flooded) {
        struct slice front = h2_bytes_front(&s->unread);
        size_t left = h2_frames_take(s, front);
        if (bug_if(H2_SESSION, left > front.len)) left = 0;
        h2_bytes_drop(&s->unread, s->loop, front.len - left);
        if (left) return false;
    }
    return true;
}

/* The first of a line, up to `share` points of work. What that came to; 0: nobody is there. */
static uint32_t serve_first(struct h2_worker *w, struct list *line, uint32_t share)
{
    struct list *first = list_pop_front(line);
    if (!first) return 0;
    struct h2_session *s = container_of(first, struct h2_session, wait);
    if (bug_if(H2_SESSION, s->is_served) || s->state >= H2_SESSION_LINGER) return 1;
    if (line == &w->waiting && h2_turn_comes_behind(s)) {
        list_push_back(&w->behind, &s->wait);
        return 1;
    }
    s->is_served = true;
    s->work = 0;
    w->share = share;
    h2_session_drive(s);
    s->is_served = false;
    s->turn = w->memory.loop->turns; /* that was its turn */
    return 1 + s->work;
}

static void serve(struct h2_worker *w, struct list *line, uint32_t work, uint32_t share)
{
    for (uint32_t done = 0, now; done < work && (now = serve_first(w, line, share)) > 0;) done += now;
}

/* Whether others have had their time since it was last the turn of those behind. What that took is known by the turns'
 * clocks alone: all of that turn is taken for it. */
static bool is_turn_of_behind(struct h2_worker *w, bool *is_idle)
{
    uint64_t now = w->memory.loop->now_ns, took = now - w->looked_ns;
    w->looked_ns = now;
    if (w->has_served_behind) {
        w->rest_ns = took < REST_MAX_NS / OTHERS_TIMES ? took * OTHERS_TIMES : REST_MAX_NS;
        *is_idle = !took;
    } else {
        w->rest_ns -= took < w->rest_ns ? took : w->rest_ns;
        *is_idle = took < IDLE_NS;
    }
    w->has_served_behind = false;
    return *is_idle || !w->rest_ns;
}

/* What is of no use does not go on until somebody who is of use is refused for it: first there has to be room again. */
static bool is_kept_out(struct h2_worker *w)
{
    if (list_is_empty(&w->behind) || !block_pool_is_filling(&w->memory.loop->blocks)) return false;
    struct h2_session *s = container_of(w->behind.next, struct h2_session, wait);
    struct http_service *service = s->server ? s->server->http.service : NULL;
    if (service && service->on_short) service->on_short(service, false);
    if (!timer_is_armed(&w->again)) loop_arm(w->memory.loop, &w->again, KEPT_OUT_MS);
    return true;
}

static void on_again(struct timer *t)
{
    struct h2_worker *w = container_of(t, struct h2_worker, again);
    if (!list_is_empty(&w->behind)) loop_defer(w->memory.loop, &w->task);
}

/* The clock of work is its own: what a turn has done as it came is no reason to serve none of those who wait. */
static void on_turn(struct loop_task *t)
{
    struct h2_worker *w = container_of(t, struct h2_worker, task);
    bool is_idle;
    serve(w, &w->waiting, WAITERS_WORK, WAITER_WORK);
    bool is_out = is_kept_out(w);
    if (is_turn_of_behind(w, &is_idle) && !is_out && !list_is_empty(&w->behind)) {
        bool is_free = is_idle && list_is_empty(&w->waiting);
        serve(w, &w->behind, is_free ? WAITERS_WORK : BEHIND_WORK, is_free ? WAITER_WORK : BEHIND_WORK / 2);
        w->has_served_behind = true;
    }
    if (!list_is_empty(&w->waiting) || (!is_out && !list_is_empty(&w->behind)))
        loop_defer(w->memory.loop, &w->task);
}

void h2_turn_init(struct h2_worker *w)
{
    list_init(&w->waiting);
    list_init(&w->behind);
    loop_task_init(&w->task, on_turn);
    timer_init(&w->again, on_again);
}
