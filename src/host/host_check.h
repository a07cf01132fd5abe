/* host/host_check.h: what of this host a load balancer would stumble over, and the command that mends it.
 * Pure but for reading: nothing is changed, nothing is asked of the network, and every fact comes from
 * files below one root or from the caller, so that a copy of another host's /proc and /sys is judged
 * alike. Control side only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum host_verdict {
    HOST_OK,
    HOST_NOTE, /* to know: a default that could be better, or a fact that could not be read */
    HOST_WARN, /* costs traffic or hides a fault under load */
    HOST_FAIL, /* is losing connections, data or service now, or will with this configuration */
};
#define HOST_VERDICTS 4u

struct host_disk {
    const char *path, *use; /* borrowed; use: "access log" */
    bool is_known;
    uint64_t bytes, bytes_free, inodes, inodes_free; /* inodes 0: the file system does not count them */
};

/* One that a listener of the configuration serves. */
struct host_certificate {
    const char *path;        /* borrowed */
    int64_t from_s, until_s; /* seconds since 1970 */
    bool is_renewed;         /* by weir itself, in time */
    const char *missing;     /* borrowed: it is not there yet, and why; NULL: it is */
};

/* Whom the weir that runs asks where servers are (docs/discovery.md). */
struct host_source {
    const char *name;   /* borrowed, as what follows: "app.internal:8080" */
    const char *reason; /* why its latest answer was no good; NULL: it was */
    uint64_t stale_s;   /* since when that is so */
    uint32_t kept;      /* servers that it leads to now */
};

enum host_clock { HOST_CLOCK_UNKNOWN, HOST_CLOCK_FREE, HOST_CLOCK_SYNCHRONIZED };

#define HOST_PORTS_MAX 256u

/* What a configuration asks of the host. */
struct host_plan {
    uint32_t workers;               /* 0: one a core */
    uint32_t connections;           /* 0: no limit given */
    const char *server;             /* borrowed: the one with the highest limit; NULL: no server has one */
    uint32_t server_connections;    /* its limit */
    const char *pool;               /* borrowed: the one with the fewest servers; NULL: none has any */
    uint32_t pool_servers;          /* with an address of IP */
    bool uses_ipv6;                 /* a server or listener with such an address */
    uint16_t ports[HOST_PORTS_MAX]; /* that listeners bind */
    uint32_t port_count;
    uint32_t places;               /* in pools that lead to servers: names, files */
    bool keeps_files, keeps_calls; /* hardening that it leaves out: landlock, seccomp */
};

struct host_facts {
    const char *root; /* "" is the host itself */
    const struct host_disk *disks;
    uint32_t disk_count;
    enum host_clock clock;
    bool knows_landlock;
    long landlock_version;                       /* as landlock_version() has it */
    const struct host_plan *plan;                /* NULL: no configuration was given */
    const struct host_certificate *certificates; /* of the plan, the first to end first */
    uint32_t certificate_count;
    const struct host_source *sources;
    uint32_t source_count;
    const char *sources_unknown; /* why nothing is known of them; NULL: `sources` is all of them */
    int64_t now_s;               /* seconds since 1970 */
};

#define HOST_SENTENCE_MAX 320u
#define HOST_FINDINGS_MAX 160u

struct host_finding {
    const char *id, *group, *why; /* static */
    enum host_verdict verdict;
    char subject[96];                 /* an interface, a path; "" if the id says it all */
    char sentence[HOST_SENTENCE_MAX]; /* printable ASCII, whatever the files hold */
    char remedy[HOST_SENTENCE_MAX];   /* a command for a shell; "" if there is none */
};

struct host_report {
    uint32_t count;
    struct host_finding items[HOST_FINDINGS_MAX];
};

/* Worst group first, and worst finding first in each group; otherwise in the order of the tables. -1: out of
 * memory. */
MUST_CHECK int host_check(const struct host_facts *facts, struct host_report *out);
/* HOST_OK if there is no finding. */
enum host_verdict host_worst(const struct host_report *report);
/* "ok", "note", "warn", "fail". */
const char *host_verdict_name(enum host_verdict verdict);
