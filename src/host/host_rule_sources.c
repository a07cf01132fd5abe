#include <inttypes.h>

#include "host/host_rule.h"

/* The others are counted. */
#define SAID_MAX 20u

static void say_one(struct host_exam *e, const struct host_source *s)
{
    e->subject = s->name;
    if (s->kept)
        exam_say(e, HOST_WARN, "stale for %" PRIu64 " s: %.160s; %u servers from before are used", s->stale_s,
                 s->reason, s->kept);
    else
        exam_say(e, HOST_FAIL, "leads to no server, for %" PRIu64 " s: %.160s", s->stale_s, s->reason);
    e->subject = NULL;
}

static void check_sources(struct host_exam *e)
{
    const struct host_facts *f = e->facts;
    uint32_t wrong = 0;
    if (!f->plan) {
        exam_say(e, HOST_NOTE, "not known: no configuration was given, as by -c FILE");
        return;
    }
    if (!f->plan->places) {
        exam_say(e, HOST_OK, "no pool has servers that have to be found");
        return;
    }
    if (f->sources_unknown) {
        exam_say(e, HOST_NOTE, "not known: %.240s", f->sources_unknown);
        return;
    }
    for (uint32_t i = 0; i < f->source_count; i++)
        if (f->sources[i].reason && wrong++ < SAID_MAX) say_one(e, &f->sources[i]);
    if (!wrong)
        exam_say(e, HOST_OK, "all %u answer", f->source_count);
    else if (wrong > SAID_MAX)
        exam_say(e, HOST_WARN, "%u more are stale or lead to no server", wrong - SAID_MAX);
}

static const struct host_rule rules[] = {
    { "stale_sources",
      "What leads to servers cannot be asked, or says that there is nobody: new servers are not noticed, and "
      "those that have gone "
      "are still asked.",
      check_sources },
    { 0 },
};

const struct host_rule_group host_rule_sources = { "servers that are found", rules };
