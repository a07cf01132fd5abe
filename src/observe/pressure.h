/* observe/pressure.h: pressure stall information (PSI): the part of time in which some tasks, or all of them, waited for a
 * CPU, memory or I/O (the kernel's Documentation/accounting/psi.rst). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "observe/notes.h"

struct pressure_line {
    double avg10, avg60, avg300; /* percent of the last seconds */
    uint64_t stalled_ns;         /* in all */
};

struct pressure {
    struct pressure_line some, full; /* at least one task waited; all that had work did */
    bool is_known;
};

struct pressure_set {
    struct pressure cpu, memory, io;
};

/* Pure. False: not what psi.rst says. */
bool pressure_parse(struct slice text, struct pressure *out);
/* The three files NAME`suffix` of an open directory: of the machine "pressure" and "", of a cgroup its own and
 * ".pressure". What is missing is noted as `whose`. */
void pressure_read(int directory, const char *suffix, const char *whose, struct pressure_set *out,
                   struct notes *notes);
/* The machine's. `proc_root`: NULL for "/proc". */
void pressure_read_machine(const char *proc_root, struct pressure_set *out, struct notes *notes);
