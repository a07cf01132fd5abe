#include "admin/metrics.h"

#include "admin/routes.h"
#include "proxy/proxy.h"

static void forget(struct metrics_texts *m)
{
    for (unsigned i = 0; i < sizeof(m->texts) / sizeof(*m->texts); i++) {
        answer_shared_put(m->texts[i]);
        m->texts[i] = NULL;
    }
}

static void on_forget(struct loop_task *t)
{
    forget(container_of(t, struct metrics_texts, forget));
}

void metrics_texts_init(struct metrics_texts *m)
{
    *m = (struct metrics_texts){ .made = 0 };
    loop_task_init(&m->forget, on_forget);
}

void metrics_texts_fini(struct metrics_texts *m)
{
    loop_cancel(&m->forget);
    forget(m);
}

struct answer_shared *metrics_text(struct metrics_texts *m, struct loop *l,
                                   const struct metric_registry *registry, enum exposition_format format)
{
    if (m->texts[format]) return m->texts[format];
    size_t len = 0;
    char *text = exposition_print(registry, format, &len);
    m->texts[format] = answer_shared_new(&l->blocks, text, len);
    m->made++;
    loop_at_end(l, &m->forget);
    return m->texts[format];
}

void metrics_print(const struct admin_request *rq, struct answer *out)
{
    enum exposition_format format = exposition_choose(rq->accept);
    answer_share(out, exposition_content_type(format),
                 metrics_text(rq->metrics, rq->loop, rq->proxy->metrics, format));
}
