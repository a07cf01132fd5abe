#include <string.h>

#include "command/postmortem.h"
#include "crash/fault.h"
#include "record/flight_ring.h"

#define LINE_MAX_BYTES 1024

static void put_text(FILE *out, const struct text *t)
{
    fwrite(t->data, 1, t->len, out);
}

static void put_head(const struct postmortem *p, FILE *out)
{
    char memory[LINE_MAX_BYTES], build[ANCHOR_BUILD_TEXT_MAX];
    struct text t = text_over(memory, sizeof(memory));
    const struct image *i = p->image;
    fprintf(out, "%s %d (%s)", i->program, i->pid, i->arguments);
    if (i->info.si_signo) {
        fputs(p->is_living ? "" : " ended by ", out);
        fault_print(&i->info, &t);
        put_text(out, &t);
    } else if (i->thread_count && i->threads[0].signal) {
        fprintf(out, " ended by signal %d", i->threads[0].signal);
    } else {
        fputs(p->is_living ? " is alive" : " was alive", out);
    }
    fputc('\n', out);
    if (p->has_anchor)
        fprintf(out, "weir %s, build %s\n", p->anchor.version, anchor_print_build(&p->anchor, build));
}

static void put_registers(const struct user_regs_struct *r, FILE *out)
{
    for (uint32_t i = 0; registers_name(i); i++)
        fprintf(out, "  %6s 0x%016llx%s", registers_name(i), (unsigned long long)registers_value(r, i),
                i % 3 == 2 || !registers_name(i + 1) ? "\n" : "");
}

static void put_thread(const struct postmortem *p, const struct image_thread *t, FILE *out)
{
    uint64_t pcs[STACK_FRAMES_MAX];
    char name[32], memory[LINE_MAX_BYTES];
    const char *known = postmortem_thread_name(p, t, name);
    fprintf(out, "\nthread %d%s%s%s%s\n", t->tid, known ? " (" : "", known ? known : "", known ? ")" : "",
            postmortem_is_crashed(p, t) ? ", which got the signal" : "");
    put_registers(&t->registers, out);
    uint32_t count = p->stacks ? image_stacks_walk(p->stacks, t, pcs, STACK_FRAMES_MAX) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct text at = text_over(memory, sizeof(memory));
        image_print_address(p->image, pcs[i], &at);
        text_add_char(&at, ' ');
        image_stacks_name(p->stacks, pcs[i], i > 0, &at);
        fprintf(out, "  #%-2u 0x%016llx %.*s\n", i, (unsigned long long)pcs[i], (int)at.len, at.data);
    }
}

struct listing {
    const struct postmortem *p;
    FILE *out;
    uint32_t *left; /* of all workers */
};

static bool put_exchange(void *context, const struct remains_exchange *x)
{
    struct listing *l = context;
    char memory[LINE_MAX_BYTES];
    struct text t = text_over(memory, sizeof(memory));
    if (!*l->left) {
        fputs("  and more\n", l->out);
        return false;
    }
    (*l->left)--;
    remains_print_exchange(&l->p->image->memory, &l->p->proxy, x, &t);
    fprintf(l->out, "  %.*s\n", (int)t.len, t.data);
    return true;
}

static void put_worker(const struct postmortem *p, const struct remains_worker *w, uint32_t *left, FILE *out)
{
    struct listing l = { p, out, left };
    fprintf(out,
            "\nworker %u: %u exchanges, %u tunnels, %u client connections, %u server connections (%u idle)\n",
            w->index, w->live.exchanges, w->live.tunnels, w->live.client_connections,
            w->live.server_connections, w->live.idle_server_connections);
    remains_exchanges(&p->image->memory, w, put_exchange, &l);
    if (p->records_max) fprintf(out, "last to end on worker %u:\n", w->index);
    for (uint32_t ago = 0; ago < p->records_max; ago++) {
        char memory[LINE_MAX_BYTES];
        struct text t = text_over(memory, sizeof(memory));
        struct flight_record r;
        if (!flight_salvage(&p->image->memory, w->flights, ago, &r)) continue;
        remains_print_record(&p->image->memory, &p->proxy, &r, &t);
        fprintf(out, "  %.*s\n", (int)t.len, t.data);
    }
}

void postmortem_print_text(const struct postmortem *p, FILE *out)
{
    struct remains_worker w;
    uint32_t left = POSTMORTEM_EXCHANGES_MAX;
    put_head(p, out);
    for (uint32_t i = 0; i < p->image->thread_count; i++) put_thread(p, &p->image->threads[i], out);
    for (uint32_t i = 0; i < p->proxy.worker_count; i++)
        if (remains_find_worker(&p->image->memory, &p->proxy, i, &w)) put_worker(p, &w, &left, out);
    if (p->config) fprintf(out, "\nconfiguration in force:\n%s\n", p->config);
}
