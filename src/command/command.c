#include "command/command.h"

#include <string.h>
#include <sysexits.h>

#include "command/audit.h"
#include "command/check.h"
#include "command/config_command.h"
#include "command/demo.h"
#include "command/doctor.h"
#include "command/dump.h"
#include "command/events.h"
#include "command/explain.h"
#include "command/flame.h"
#include "command/invariants.h"
#include "command/leaks.h"
#include "command/logs.h"
#include "command/maintenance_command.h"
#include "command/perf.h"
#include "command/postmortem.h"
#include "command/reload_command.h"
#include "command/run_command.h"
#include "command/schema.h"
#include "command/simulate.h"
#include "command/split_report.h"
#include "command/tail.h"
#include "command/top.h"
#include "command/upgrade_command.h"
#include "command/why.h"
#include "conf/decode.h"
#include "control/version.h"

#define COMMANDS_MAX 32u

const struct command *command_by_name(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

const char *command_nearest(const char *name)
{
    const char *names[COMMANDS_MAX];
    size_t count = 0;
    for (const struct command *c = commands; c->name && count < COMMANDS_MAX; c++) names[count++] = c->name;
    return conf_nearest(slice_of(name), names, count);
}

static const struct syntax version_syntax = { .command = "version", .usage = "version\n" };

static int version_command(int argc, char **argv)
{
    int code = options_parse(&version_syntax, argc, argv, NULL, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    printf("weir %s\n", WEIR_VERSION);
    return EX_OK;
}

const struct command commands[] = {
    { "run", "carry traffic", &run_syntax, run_command },
    { "demo", "see it work: weir in front of four small servers of its own", &demo_syntax, demo_command },
    { "check", "read a configuration and name every mistake in it", &check_syntax, check_command },
    { "reload", "put the changed file of a running weir in force", &reload_syntax, reload_command },
    { "upgrade", "start a running weir's binary anew, without a connection lost", &upgrade_syntax,
      upgrade_command },
    { "config", "list, compare and put back configurations that were in force", &config_syntax,
      config_command },
    { "maintenance", "put a listener or a route out for maintenance, and back", &maintenance_syntax,
      maintenance_command },
    { "explain", "say where a request would go, and why", &explain_syntax, explain_command },
    { "why", "tell the story of one exchange: where it went, and why it ended as it did", &why_syntax,
      why_command },
    { "tail", "show exchanges as they end", &tail_syntax, tail_command },
    { "events", "show what happened of late; note a deploy", &events_syntax, events_command },
    { "audit", "show who changed what of a running weir", &audit_syntax, audit_command },
    { "top", "watch listeners, routes, pools and servers in a terminal", &top_syntax, top_command },
    { "split", "report how the variants of A/B splits do; steer their guards", &split_syntax, split_command },
    { "schema", "print the JSON Schema of the configuration", &schema_syntax, schema_command },
    { "simulate", "show what a change would do to a log's requests, or to made ones", &simulate_syntax,
      simulate_command },
    { "logs", "say what nginx's log files say: figures, clients, faults", &logs_syntax, logs_command },
    { "flame", "draw a flame graph of a running weir: now, of the last hour, or what changed", &flame_syntax,
      flame_command },
    { "perf", "watch a process or a unit: profiles, memory, descriptors, sockets", &perf_syntax,
      perf_command },
    { "invariants", "say whether what a running weir counts is what there is", &invariants_syntax,
      invariants_command },
    { "leaks", "say whether a running weir leaks anything", &leaks_syntax, leaks_command },
    { "postmortem", "tell from a core file what weir was doing", &postmortem_syntax, postmortem_command },
    { "dump", "write a core file of a living weir", &dump_syntax, dump_command },
    { "doctor", "say what of this host gets in the way, and how to mend it", &doctor_syntax, doctor_command },
    { "version", "print the version", &version_syntax, version_command },
    { 0 },
};
