#include "proxy/passwords.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/jobs.h"
#include "proxy/proxy.h"
#include "proxy/worker.h"

#define THREADS_MAX 4u
/* Hashes are made when nobody else wants the core. */
#define NICENESS 10

enum meter { METER_RIGHT, METER_WRONG, METER_CLIENT_FULL, METER_FULL, METER_TAKEN_BACK, METERS };
static const char *const meter_names[METERS] = { "right", "wrong", "client_limit", "busy", "taken_back" };

/* A thread for hashes, and the question in its hands. */
struct lane {
    struct job job; /* first */
    struct passwords *owner;
    struct jobs *jobs;
    struct password_question *question; /* NULL: it is free */
};

struct passwords {
    struct loop *loop;
    struct list waiting;
    uint32_t count;
    bool is_stopped;
    uint64_t results[METERS];
    uint32_t lane_count;
    struct lane lanes[THREADS_MAX];
};

/* a worker's side */

struct password_question *password_question_new(struct worker *w)
{
    if (w->question_count >= PASSWORDS_A_WORKER_MAX) return NULL;
    struct password_question *q = calloc(1, sizeof(*q));
    if (!q) return NULL;
    q->worker = w;
    list_init(&q->waiting);
    list_push_back(&w->questions, &q->link);
    w->question_count++;
    return q;
}

void password_question_free(struct password_question *q)
{
    list_remove(&q->link);
    q->worker->question_count--;
    explicit_bzero(q, sizeof(*q));
    free(q);
}

void password_questions_drop(struct worker *w)
{
    for (struct list *first; (first = list_pop_front(&w->questions));)
        password_question_free(container_of(first, struct password_question, link));
}

void password_take_back(struct password_question *q)
{
    q->asker = NULL;
    atomic_store_explicit(&q->is_taken_back, true, memory_order_relaxed);
}

static void on_answer(void *reader, const struct mail *m)
{
    (void)reader;
    struct password_question *q = m->object;
    if (q->asker) q->on_answer(q);
    password_question_free(q);
}

/* the control thread's side */

static void answer(struct password_question *q, enum password_answer result)
{
    struct mail m = { .deliver = on_answer, .object = q };
    q->answer = (uint8_t)result;
    explicit_bzero(q->password, sizeof(q->password));
    worker_post(q->worker, &m);
}

static void hash(struct job *job)
{
    struct password_question *q = ((struct lane *)job)->question;
    static _Thread_local bool is_nice;
    /* Of this thread alone, as Linux has it. */
    if (!is_nice) is_nice = setpriority(PRIO_PROCESS, 0, NICENESS) == 0;
    bool is_right = password_is(q->hash, q->password);
    q->answer = is_right && q->is_known ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

static void go_on(struct passwords *p);

static void hashed(struct job *job)
{
    struct lane *lane = (struct lane *)job;
    struct passwords *p = lane->owner;
    struct password_question *q = lane->question;
    lane->question = NULL;
    if (p->is_stopped || !job_has_run(job)) return; /* its worker frees it */
    bool is_right = q->answer == PASSWORD_RIGHT;
    p->results[is_right ? METER_RIGHT : METER_WRONG]++;
    if (is_right && q->keep_ms)
        verified_add(q->worker->proxy->verified, q->mac, loop_now_ms(p->loop) + q->keep_ms);
    answer(q, (enum password_answer)q->answer);
    go_on(p);
}

static struct lane *free_lane(struct passwords *p)
{
    for (uint32_t i = 0; i < p->lane_count; i++)
        if (!p->lanes[i].question) return &p->lanes[i];
    return NULL;
}

/* Whoever went away takes no place from those who wait. */
static void drop_taken_back(struct passwords *p)
{
    for (struct list *at = p->waiting.next, *after; at != &p->waiting; at = after) {
        struct password_question *q = container_of(at, struct password_question, waiting);
        after = at->next;
        if (!atomic_load_explicit(&q->is_taken_back, memory_order_relaxed)) continue;
        list_remove(&q->waiting);
        p->count--;
        p->results[METER_TAKEN_BACK]++;
        answer(q, PASSWORD_WRONG);
    }
}

static struct password_question *next(struct passwords *p)
{
    drop_taken_back(p);
    struct list *first = list_pop_front(&p->waiting);
    if (!first) return NULL;
    p->count--;
    return container_of(first, struct password_question, waiting);
}

static void go_on(struct passwords *p)
{
    struct lane *lane;
    while ((lane = free_lane(p)) && (lane->question = next(p))) {
        lane->job = (struct job){ .run = hash, .done = hashed };
        if (jobs_post(lane->jobs, &lane->job)) continue;
        struct password_question *q = lane->question;
        lane->question = NULL;
        p->results[METER_FULL]++;
        answer(q, PASSWORD_FULL);
        return;
    }
}

static bool is_of(const struct password_question *q, const struct ip *client)
{
    return memcmp(&q->client, client, sizeof(*client)) == 0;
}

static uint32_t count_of_client(const struct passwords *p, const struct ip *client)
{
    uint32_t count = 0;
    for (struct list *at = p->waiting.next; at != &p->waiting; at = at->next)
        count += is_of(container_of(at, struct password_question, waiting), client);
    for (uint32_t i = 0; i < p->lane_count; i++)
        count += p->lanes[i].question && is_of(p->lanes[i].question, client);
    return count;
}

static void on_question(void *reader, const struct mail *m)
{
    (void)reader;
    struct password_question *q = m->object;
    struct passwords *p = q->worker->proxy->passwords;
    if (p->is_stopped) return; /* its worker frees it */
    drop_taken_back(p);
    if (count_of_client(p, &q->client) >= PASSWORDS_A_CLIENT_MAX) {
        p->results[METER_CLIENT_FULL]++;
        answer(q, PASSWORD_CLIENT_FULL);
        return;
    }
    if (p->count >= PASSWORDS_WAITING_MAX) {
        p->results[METER_FULL]++;
        answer(q, PASSWORD_FULL);
        return;
    }
    list_push_back(&p->waiting, &q->waiting);
    p->count++;
    go_on(p);
}

bool password_ask(struct password_question *q)
{
    struct proxy *p = q->worker->proxy;
    struct mail m = { .deliver = on_question, .object = q };
    return p->passwords && mailbox_post(p->control, &m);
}

/* the whole */

static double read_result(void *context)
{
    return (double)*(const uint64_t *)context;
}

static double read_waiting(void *context)
{
    const struct passwords *p = context;
    uint32_t count = p->count;
    for (uint32_t i = 0; i < p->lane_count; i++) count += p->lanes[i].question != NULL;
    return count;
}

static void add_meters(struct passwords *p, struct metric_registry *m)
{
    struct metric_label label = { "result", NULL };
    for (unsigned i = 0; i < METERS; i++) {
        label.value = meter_names[i];
        metric_counter_fn(
            m, "weir_auth_passwords_total",
            "Passwords that were not known yet, by what became of them: hashed and right or wrong, "
            "refused because too many of their client or of all were waiting, or taken back by "
            "clients that went away.",
            &label, 1, read_result, &p->results[i]);
    }
    metric_gauge_fn(m, "weir_auth_passwords_waiting",
                    "Passwords that wait to be hashed, or are being hashed.", NULL, 0, read_waiting, p);
}

int passwords_new(struct passwords **out, struct loop *loop, struct mailbox *control,
                  struct metric_registry *metrics, uint32_t threads, struct err *err)
{
    struct passwords *p = calloc(1, sizeof(*p));
    if (!p) return err_set(err, "out of memory for passwords");
    p->loop = loop;
    list_init(&p->waiting);
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    while (p->lane_count < (threads ? threads : 1)) {
        struct lane *lane = &p->lanes[p->lane_count];
        if (jobs_new(&lane->jobs, control, err) < 0) {
            passwords_free(p);
            return -1;
        }
        lane->owner = p;
        p->lane_count++;
    }
    add_meters(p, metrics);
    *out = p;
    return 0;
}

void passwords_stop(struct passwords *p)
{
    if (!p || p->is_stopped) return;
    p->is_stopped = true;
    for (uint32_t i = 0; i < p->lane_count; i++) (void)!jobs_await_end(p->lanes[i].jobs, 0);
}

bool passwords_await_end(struct passwords *p, uint32_t wait_ms)
{
    uint64_t end_ns = clock_now_ns() + wait_ms * NS_PER_MS;
    for (uint32_t i = 0; p && i < p->lane_count; i++) {
        uint64_t now_ns = clock_now_ns();
        uint64_t left_ns = now_ns < end_ns ? end_ns - now_ns : 0;
        if (!jobs_await_end(p->lanes[i].jobs, (uint32_t)(left_ns / NS_PER_MS))) return false;
    }
    return true;
}

void passwords_free(struct passwords *p)
{
    if (!p) return;
    for (uint32_t i = 0; i < p->lane_count; i++) jobs_free(p->lanes[i].jobs);
    free(p);
}
