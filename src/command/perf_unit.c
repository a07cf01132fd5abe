#include "command/perf_unit.h"

#include <stdio.h>

#include "base/clock.h"

int perf_unit_open(struct perf_unit *u, const char *name, struct err *err)
{
    *u = (struct perf_unit){ 0 };
    if (unit_find(&u->unit, name, NULL, &u->notes, err) < 0) return -1;
    u->restarts = u->unit.state.restarts;
    if (cgroup_read(u->unit.cgroup, &u->first, &u->notes, err) < 0) return -1;
    u->latest = u->first;
    return 0;
}

int perf_unit_pids(struct perf_unit *u, struct cgroup_pids *pids, struct err *err)
{
    return cgroup_pids_read(u->unit.cgroup, pids, &u->notes, err);
}

void perf_unit_look(struct perf_unit *u)
{
    struct cgroup_sample now;
    struct err err;
    u->is_gone = cgroup_read(u->unit.cgroup, &now, &u->notes, &err) < 0;
    if (!u->is_gone) u->latest = now;
}

void perf_unit_look_closely(struct perf_unit *u)
{
    if (u->unit.state.is_known) unit_refresh(&u->unit, NULL, &u->notes);
}

void perf_unit_describe(const struct perf_unit *u, char *out, size_t size)
{
    const struct unit_state *s = &u->unit.state;
    if (!s->is_known)
        snprintf(out, size, "%s", u->is_gone ? "nothing of it runs any more" : "systemd does not run here");
    else
        snprintf(out, size, "%s (%s), %llu restarts", s->active, s->sub, (unsigned long long)s->restarts);
}

/* What came since; a unit that was started again in between has a cgroup that counts from 0. */
static uint64_t since(uint64_t before, uint64_t now)
{
    return now >= before ? now - before : now;
}

/* rows */

static void add_state(const struct perf_unit *u, struct perf_tables *t)
{
    const struct unit_state *s = &u->unit.state;
    if (!s->is_known) return;
    perf_tables_add(t, "state");
    perf_tables_add(t, "%s (%s)", s->active, s->sub);
    perf_tables_add(t, "restarts");
    perf_tables_add(t, "%llu, %llu of them in this time", (unsigned long long)s->restarts,
                    (unsigned long long)since(u->restarts, s->restarts));
    if (s->active_since_us) {
        perf_tables_add(t, "active for");
        perf_tables_add(t, "%llu s",
                        (unsigned long long)(clock_now_ns() / 1000 - s->active_since_us) / 1000000);
    }
    if (*s->status) {
        perf_tables_add(t, "says");
        perf_tables_add(t, "%s", s->status);
    }
    perf_tables_add(t, "last result");
    perf_tables_add(t, "%s, exit status %llu", s->result, (unsigned long long)s->exit_status);
}

static void add_cpu(const struct perf_unit *u, struct perf_tables *t)
{
    const struct cgroup_cpu *a = &u->first.cpu, *b = &u->latest.cpu;
    if (!(u->latest.known & CGROUP_KNOWS_CPU)) return;
    perf_tables_add(t, "CPU time");
    perf_tables_add(t, "%.2f s in this time, %.2f s in all", (double)since(a->usage_ns, b->usage_ns) / 1e9,
                    (double)b->usage_ns / 1e9);
    if (!b->periods) return;
    perf_tables_add(t, "throttled by cpu.max");
    perf_tables_add(t, "%.2f s in this time", (double)since(a->throttled_ns, b->throttled_ns) / 1e9);
}

static void add_memory(const struct perf_unit *u, struct perf_tables *t)
{
    const struct cgroup_memory *m = &u->latest.memory;
    if (!(u->latest.known & CGROUP_KNOWS_MEMORY)) return;
    perf_tables_add(t, "memory");
    perf_tables_add_bytes(t, m->current_bytes);
    if (m->peak_bytes) {
        perf_tables_add(t, "memory at most");
        perf_tables_add_bytes(t, m->peak_bytes);
    }
    if (m->limit_bytes != CGROUP_UNLIMITED) {
        perf_tables_add(t, "memory limit");
        perf_tables_add_bytes(t, m->limit_bytes);
    }
    perf_tables_add(t, "killed for want of memory");
    perf_tables_add(t, "%llu", (unsigned long long)m->oom_kills);
}

static void add_tasks(const struct perf_unit *u, struct perf_tables *t)
{
    if (!(u->latest.known & CGROUP_KNOWS_TASKS)) return;
    perf_tables_add(t, "tasks");
    if (u->latest.task_limit == CGROUP_UNLIMITED)
        perf_tables_add(t, "%llu", (unsigned long long)u->latest.task_count);
    else
        perf_tables_add(t, "%llu of at most %llu", (unsigned long long)u->latest.task_count,
                        (unsigned long long)u->latest.task_limit);
}

static void add_io(const struct perf_unit *u, struct perf_tables *t)
{
    const struct cgroup_io *a = &u->first.io, *b = &u->latest.io;
    if (!(u->latest.known & CGROUP_KNOWS_IO)) return;
    perf_tables_add(t, "read from disks in this time");
    perf_tables_add_bytes(t, since(a->read_bytes, b->read_bytes));
    perf_tables_add(t, "written to disks in this time");
    perf_tables_add_bytes(t, since(a->write_bytes, b->write_bytes));
}

static void add_pressure(const struct perf_unit *u, struct perf_tables *t)
{
    const struct pressure_set *a = &u->first.pressure, *b = &u->latest.pressure;
    const struct {
        const char *name;
        const struct pressure *before, *now;
    } rows[] = { { "waited for a CPU", &a->cpu, &b->cpu },
                 { "waited for memory", &a->memory, &b->memory },
                 { "waited for disks", &a->io, &b->io } };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (!rows[i].now->is_known || !rows[i].before->is_known) continue;
        perf_tables_add(t, "%s", rows[i].name);
        perf_tables_add(t, "%.3f s of this time (some task)",
                        (double)since(rows[i].before->some.stalled_ns, rows[i].now->some.stalled_ns) / 1e9);
    }
}

void perf_unit_add_table(const struct perf_unit *u, struct perf_tables *t)
{
    static const char *const columns[] = { "unit", "value" };
    if (!perf_tables_begin(t, "Unit", columns, 2)) return;
    perf_tables_add(t, "name");
    perf_tables_add(t, "%s", u->unit.name);
    add_state(u, t);
    perf_tables_add(t, "cgroup");
    perf_tables_add(t, "%s", u->unit.cgroup);
    add_cpu(u, t);
    add_memory(u, t);
    add_tasks(u, t);
    add_io(u, t);
    add_pressure(u, t);
}
