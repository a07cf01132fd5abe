#include "profile/space_history.h"

#include "base/clock.h"

/* How soon the mappings are looked at again: compilers that make code at run time leave addresses that are never known. */
#define WAIT_LEAST_NS (20 * NS_PER_MS)
#define WAIT_MOST_NS (2 * NS_PER_S)

static void drop_unwind(struct space_history *h, struct space *s)
{
    if (s->unwind) h->budget.rows += unwind_space_rows(s->unwind);
    unwind_space_free(s->unwind);
    s->unwind = NULL;
}

static int unwind(struct space_history *h, struct space *s, struct unwind_space *earlier, struct err *err)
{
    return unwind_space_make(
        &s->unwind,
        &(struct unwind_space_options){
            .modules = s->modules, .earlier = earlier, .budget = &h->budget, .stop = h->stop },
        err);
}

int space_history_open(struct space_history *h, pid_t pid, const _Atomic bool *stop, struct err *err)
{
    *h = (struct space_history){ .pid = pid, .stop = stop, .budget = UNWIND_PRESET_BUDGET };
    struct space *first = &h->items[0];
    if (modules_read(&first->modules, pid, err) < 0) return -1;
    h->count = 1;
    h->wait_ns = WAIT_LEAST_NS;
    return unwind(h, first, NULL, err);
}

void space_history_close(struct space_history *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        drop_unwind(h, &h->items[i]);
        modules_free(h->items[i].modules);
    }
    h->count = 0;
}

uint32_t space_history_at(const struct space_history *h, uint64_t time_ns)
{
    uint32_t at = h->count - 1;
    while (at && h->items[at].since_ns > time_ns) at--;
    return at;
}

/* Takes the modules. Samples of the last but one may still come; older ones do not. */
static void add_space(struct space_history *h, struct modules *modules, uint64_t since_ns)
{
    struct space *s = &h->items[h->count];
    *s = (struct space){ .modules = modules, .since_ns = since_ns };
    if (unwind(h, s, NULL, NULL) < 0) s->unwind = NULL;
    h->count++;
    if (h->count > 2) drop_unwind(h, &h->items[h->count - 3]);
}

static void replace(struct space_history *h, struct modules *modules)
{
    struct space *s = &h->items[h->count - 1], now = { .modules = modules, .since_ns = s->since_ns };
    if (unwind(h, &now, s->unwind, NULL) < 0) {
        modules_free(
            modules); /* stopped, or out of memory: it stays as it was, but for tables that were taken */
        return;
    }
    drop_unwind(h, s);
    modules_free(s->modules);
    *s = now;
}

bool space_history_look(struct space_history *h, uint64_t time_ns)
{
    struct modules *now = NULL;
    enum modules_change change = modules_read_again(&now, h->items[h->count - 1].modules);
    if (change == MODULES_SAME) return false;
    if (change == MODULES_OTHER && h->count < SPACES_MAX)
        add_space(h, now, time_ns);
    else
        replace(h, now);
    return true;
}

bool space_history_look_for(struct space_history *h, uint64_t time_ns, uint64_t now_ns)
{
    if (now_ns < h->looked_ns + h->wait_ns) return false;
    bool is_more = space_history_look(h, time_ns);
    h->looked_ns = now_ns;
    h->wait_ns = is_more ? WAIT_LEAST_NS : 2 * h->wait_ns < WAIT_MOST_NS ? 2 * h->wait_ns : WAIT_MOST_NS;
    return is_more;
}

void space_history_forget(struct space_history *h)
{
    struct space *s = &h->items[h->count - 1];
    struct modules *none = modules_none(h->pid);
    if (!none) return;
    drop_unwind(h, s);
    modules_free(s->modules);
    s->modules = none;
    h->unnamed_count++;
}

void space_history_exec(struct space_history *h, uint64_t time_ns, bool is_over)
{
    struct modules *now = NULL;
    h->exec_count++;
    h->looked_ns = 0; /* its libraries are yet to be mapped */
    h->wait_ns = WAIT_LEAST_NS;
    if (h->count == SPACES_MAX) {
        space_history_forget(h); /* the last one stands for all that came since */
        return;
    }
    bool is_known = !is_over && modules_read(&now, h->pid, NULL) == 0;
    if (!is_known) now = modules_none(h->pid);
    if (!now) return;
    if (!is_known) h->unnamed_count++;
    add_space(h, now, time_ns);
}
