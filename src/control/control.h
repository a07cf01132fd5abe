/* control/control.h: what a running weir consists of: the control thread's, made and ended in control/run.c. */
#pragma once

#include "control/config.h"
#include "control/drain.h"
#include "control/hardening.h"
#include "control/signals.h"
#include "net/loop.h"
#include "proxy/proxy.h"

struct control {
    struct loop loop;
    struct budget budget;
    struct mailbox *box;
    struct proxy *proxy;
    struct admin *admin;
    struct audit *audit;
    struct jobs *jobs;
    struct discovery *discovery;
    struct reload *reload;
    struct heritage *heritage; /* NULL: nothing was given, and there is no upgrade either */
    struct upgrade *upgrade;   /* NULL: another binary cannot take over */
    struct service *service;   /* NULL: systemd does not listen */
    struct profiler *profiler; /* NULL: no admin address */
    struct leak_watch *leaks;
    struct stall_watch *stalls;
    struct invariants *invariants;
    struct server_watch *servers;
    struct traffic_watch *traffic; /* NULL: no admin address, or nothing is to be kept */
    struct latency_watch *latency;
    struct server_checks *checks;
    struct log_watch *logs;
    struct signals signals;
    struct hardening_watch hardening;
    struct drain drain;
    const struct config *config; /* in force */
    const char *path;            /* of its file; NULL: it has none */
    struct start *start;         /* NULL: nothing is kept of configurations */
    uint32_t end_count;          /* of signals that ask for the end */
    bool is_stopped_early;       /* before anything was served */
    struct certificate_watch *certificates;
    struct gate_watch *gates;
    struct passwords *passwords;
    struct split_watch *splits;
};

/* The folder of `state:`, or -1: nothing is kept. */
int control_folder(const struct control *c);
