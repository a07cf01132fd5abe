/* Who may go on in this turn. A few bytes of a client's are much work: a request of twenty bytes is an exchange, a field of
 * one byte four kilobytes of a table's, a WINDOW_UPDATE a byte of an answer. So each connection may always do a little in a
 * turn; more while the turn has room for it; and who would do still more waits, in order, for a share of each turn that is
 * theirs. Whoever asks for little is served however many ask for much. */
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

bool h2_turn_may_go_on(struct h2_session *s)
{
    if (s->client) return true; /* how much a server sends is for its clients to say */
    note_turn(s);
    if (s->is_served) return s->work < WAITER_WORK;
    if (s->work < OWN_WORK) return true; /* who waits for more does not lose that */
    return list_is_empty(&s->wait) && s->work < SESSION_WORK && s->worker->work < TURN_WORK;
}

void h2_turn_wait(struct h2_session *s)
{
    struct h2_worker *w = s->worker;
    if (list_is_empty(&s->wait)) list_push_back(&w->waiting, &s->wait);
    loop_defer(s->loop, &w->task);
}

size_t h2_turn_read_bytes(struct h2_session *s)
{
    struct h2_worker *w = s->worker;
    if (s->client || s->data_left) return LOOP_HOLD_BYTES;
    note_turn(s);
    bool is_crowded = w->work >= TURN_WORK || !list_is_empty(&w->waiting);
    return is_crowded ? CROWDED_READ_BYTES : LOOP_HOLD_BYTES;
}

void h2_turn_take(struct h2_session *s, struct slice bytes)
{
    size_t left = h2_frames_take(s, bytes);
    struct slice rest = { bytes.data + bytes.len - left, left };
    if (left && !h2_bytes_put(&s->unread, s->loop, rest))
        h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
}

bool h2_turn_take_unread(struct h2_session *s)
{
    while (s->unread.len && h2_is_live(s) && !s->flooded) {
        struct slice front = h2_bytes_front(&s->unread);
        size_t left = h2_frames_take(s, front);
        h2_bytes_drop(&s->unread, s->loop, front.len - left);
        if (left) return false;
    }
    return true;
}

/* The clock of work is its own: what a turn has done as it came is no reason to serve none of those who wait. */
static void on_turn(struct loop_task *t)
{
    struct h2_worker *w = container_of(t, struct h2_worker, task);
    for (uint32_t done = 0; done < WAITERS_WORK;) {
        struct list *first = list_pop_front(&w->waiting);
        if (!first) return;
        struct h2_session *s = container_of(first, struct h2_session, wait);
        if (s->state >= H2_SESSION_LINGER) continue;
        s->is_served = true;
        s->work = 0;
        h2_session_drive(s);
        s->is_served = false;
        s->turn = w->memory.loop->turns; /* that was its turn */
        done += 1 + s->work;
    }
    if (!list_is_empty(&w->waiting)) loop_defer(w->memory.loop, &w->task);
}

void h2_turn_init(struct h2_worker *w)
{
    list_init(&w->waiting);
    loop_task_init(&w->task, on_turn);
}
