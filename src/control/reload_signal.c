#include "control/reload_signal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "proxy/proxy.h"

struct by_signal {
    const struct proxy *proxy;
    struct audit *audit;
    struct audit_entry who;
};

/* What came of it is in the log already. */
static void on_done(void *context, struct answer *a)
{
    struct by_signal *by = context;
    by->who.outcome = a->status == 200 ? AUDIT_DONE : AUDIT_FAILED;
    by->who.to = by->proxy->generation;
    snprintf(by->who.detail, sizeof(by->who.detail), "%s", a->said);
    audit_note(by->audit, &by->who, true);
    answer_fini(a);
    free(by);
}

void reload_by_signal(struct reloader *reloader, const char *path, const struct proxy *proxy,
                      struct audit *audit, const struct audit_entry *who)
{
    struct by_signal *by = calloc(1, sizeof(*by));
    struct reload_ask what = { .is_unheard = true, .done = on_done, .context = by };
    struct err err = { "weir runs without a configuration file" };
    char quoted[ERR_TEXT_MAX + 64];
    if (by) *by = (struct by_signal){ proxy, audit, *who };
    if (by && path && reloader->ask(reloader, &what, &err) == 0) return;
    free(by);
    log_event(LOG_WARN, "reload_impossible", "reason=%s", log_quote(err.text, quoted, sizeof(quoted)));
}
