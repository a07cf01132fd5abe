/* record/access_target_conf.h: where lines of the access log go if not to a file, as decoded: syslog, journald. */
#pragma once

#include "base/address.h"
#include "conf/field.h"

/* As in RFC 5424, 6.2.1. */
#define SYSLOG_FACILITIES 24u

enum syslog_transport { SYSLOG_UDP, SYSLOG_TCP };

struct syslog_conf {
    struct address server;
    uint32_t transport; /* enum syslog_transport; of no meaning for a unix socket, which takes datagrams */
    uint32_t facility, severity; /* their numbers there */
    const char *tag;             /* APP-NAME */
};

struct journald_conf {
    const char *socket; /* a path */
    uint32_t severity;
    const char *tag; /* SYSLOG_IDENTIFIER */
};

extern const struct conf_type syslog_conf_type, journald_conf_type;
