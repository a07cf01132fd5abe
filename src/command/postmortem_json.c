#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "command/postmortem.h"
#include "conf/node.h"
#include "crash/fault.h"
#include "record/flight_ring.h"

static void put_string(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    json_string(j, value);
}

static void put_number(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_u64(j, value);
}

static void put_address(struct json *j, uint64_t address)
{
    json_printf(j, "0x%016llx", (unsigned long long)address);
}

static void put_signal(const struct postmortem *p, struct json *j)
{
    const siginfo_t *info = &p->image->info;
    char memory[256];
    struct text t = text_over(memory, sizeof(memory));
    json_key(j, "signal");
    if (!info->si_signo) {
        json_null(j);
        return;
    }
    fault_print(info, &t);
    json_object(j);
    put_number(j, "number", (uint32_t)info->si_signo);
    put_string(j, "name", fault_name(info->si_signo));
    json_key(j, "means");
    json_slice(j, text_slice(&t));
    json_object_end(j);
}

static void put_stack(const struct postmortem *p, const struct image_thread *t, struct json *j)
{
    uint64_t pcs[STACK_FRAMES_MAX];
    char memory[512];
    uint32_t count = p->stacks ? image_stacks_walk(p->stacks, t, pcs, STACK_FRAMES_MAX) : 0;
    json_key(j, "stack");
    json_array(j);
    for (uint32_t i = 0; i < count; i++) {
        struct text at = text_over(memory, sizeof(memory));
        image_print_address(p->image, pcs[i], &at);
        json_object(j);
        json_key(j, "pc");
        put_address(j, pcs[i]);
        json_key(j, "at");
        json_slice(j, text_slice(&at));
        struct text name = text_over(memory, sizeof(memory));
        json_key(j, "function");
        if (image_stacks_name(p->stacks, pcs[i], i > 0, &name))
            json_slice(j, text_slice(&name));
        else
            json_null(j);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_thread(const struct postmortem *p, const struct image_thread *t, struct json *j)
{
    char name[32];
    json_object(j);
    json_key(j, "tid");
    json_i64(j, t->tid);
    put_string(j, "name", postmortem_thread_name(p, t, name));
    json_key(j, "has_signal");
    json_bool(j, postmortem_is_crashed(p, t));
    json_key(j, "registers");
    json_object(j);
    for (uint32_t i = 0; registers_name(i); i++) {
        json_key(j, registers_name(i));
        put_address(j, registers_value(&t->registers, i));
    }
    json_object_end(j);
    put_stack(p, t, j);
    json_object_end(j);
}

/* Names are asked for one at a time, and used before the next. */
struct naming {
    const struct postmortem *p;
    char name[REMAINS_NAME_MAX];
};

static const char *name_of(void *context, uint32_t id)
{
    struct naming *n = context;
    return remains_name(&n->p->image->memory, &n->p->proxy, id, n->name);
}

struct listing {
    struct naming naming;
    struct json *json;
    uint32_t *left; /* of all workers */
};

static bool put_exchange(void *context, const struct remains_exchange *x)
{
    struct listing *l = context;
    const struct flight_names names = { name_of, &l->naming };
    if (!*l->left) return false;
    (*l->left)--;
    json_object(l->json);
    put_string(l->json, "state", x->state);
    json_key(l->json, "age_ms");
    json_double(l->json, (double)x->age_us / 1000);
    json_key(l->json, "record");
    flight_print_json(&x->record, &names, l->json);
    json_object_end(l->json);
    return true;
}

static void put_live(const struct worker_live *live, struct json *j)
{
    json_key(j, "live");
    json_object(j);
    put_number(j, "exchanges", live->exchanges);
    put_number(j, "tunnels", live->tunnels);
    put_number(j, "client_connections", live->client_connections);
    put_number(j, "server_connections", live->server_connections);
    put_number(j, "idle_server_connections", live->idle_server_connections);
    json_object_end(j);
}

static void put_worker(const struct postmortem *p, const struct remains_worker *w, uint32_t *left,
                       struct json *j)
{
    struct listing l = { .naming = { .p = p }, .json = j, .left = left };
    const struct flight_names names = { name_of, &l.naming };
    struct flight_record r;
    json_object(j);
    put_number(j, "index", w->index);
    put_live(&w->live, j);
    json_key(j, "exchanges");
    json_array(j);
    remains_exchanges(&p->image->memory, w, put_exchange, &l);
    json_array_end(j);
    json_key(j, "records");
    json_array(j);
    for (uint32_t ago = 0; ago < p->records_max; ago++)
        if (flight_salvage(&p->image->memory, w->flights, ago, &r)) flight_print_json(&r, &names, j);
    json_array_end(j);
    json_object_end(j);
}

/* As it is, if it is JSON: nothing in a core file is to be trusted. */
static void put_config(const struct postmortem *p, struct json *j)
{
    struct conf_tree tree;
    struct conf_faults *faults = p->config ? calloc(1, sizeof(*faults)) : NULL;
    json_key(j, "config");
    if (!faults) {
        json_null(j);
        return;
    }
    if (conf_read_json(&tree, "configuration", slice_of(p->config), faults) == 0)
        json_raw(j, slice_of(p->config));
    else
        json_string(j, p->config);
    conf_tree_free(&tree);
    free(faults);
}

void postmortem_print_json(const struct postmortem *p, struct json *j)
{
    char build[ANCHOR_BUILD_TEXT_MAX];
    struct remains_worker w;
    uint32_t left = POSTMORTEM_EXCHANGES_MAX;
    json_object(j);
    put_string(j, "program", p->image->program);
    put_string(j, "arguments", p->image->arguments);
    json_key(j, "pid");
    json_i64(j, p->image->pid);
    put_signal(p, j);
    put_string(j, "version", p->has_anchor ? p->anchor.version : NULL);
    put_string(j, "build_id", p->has_anchor ? anchor_print_build(&p->anchor, build) : NULL);
    put_string(j, "note", p->note[0] ? p->note : NULL);
    json_key(j, "threads");
    json_array(j);
    for (uint32_t i = 0; i < p->image->thread_count; i++) put_thread(p, &p->image->threads[i], j);
    json_array_end(j);
    json_key(j, "workers");
    json_array(j);
    for (uint32_t i = 0; i < p->proxy.worker_count; i++)
        if (remains_find_worker(&p->image->memory, &p->proxy, i, &w)) put_worker(p, &w, &left, j);
    json_array_end(j);
    put_config(p, j);
    json_object_end(j);
}
