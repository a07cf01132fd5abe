#include "record/access_target_conf.h"

#include <assert.h>
#include <string.h>

#include "conf/decode.h"

/* RFC 5424 has room for 48 bytes of APP-NAME. */
#define TAG_MAX 48

/* By their numbers (RFC 5424, 6.2.1), under the names that syslog(3) and every daemon's configuration use. */
static const char *const facility_names[] = { "kern",     "user",   "mail",   "daemon", "auth",
                                              "syslog",   "lpr",    "news",   "uucp",   "cron",
                                              "authpriv", "ftp",    "ntp",    "audit",  "alert",
                                              "clock",    "local0", "local1", "local2", "local3",
                                              "local4",   "local5", "local6", "local7", NULL };
static_assert(sizeof(facility_names) / sizeof(*facility_names) == SYSLOG_FACILITIES + 1, "names by number");
static const struct conf_type facility_type = { .name = "facility", .names = facility_names };

static const char *const severity_names[] = { "emerg",  "alert", "crit",  "err", "warning",
                                              "notice", "info",  "debug", NULL };
static const struct conf_type severity_type = { .name = "severity", .names = severity_names };

static const char *const transport_names[] = { "udp", "tcp", NULL };
static_assert(SYSLOG_UDP == 0 && SYSLOG_TCP == 1, "names by number");
static const struct conf_type transport_type = { .name = "transport", .names = transport_names };

/* PRINTUSASCII, and nothing that would end a field. */
static void check_tag(struct conf_decode *d, const struct conf_node *node, const char *tag)
{
    for (const char *at = tag; *at; at++)
        if (*at <= ' ' || *at >= 0x7f) {
            conf_decode_fault(d, node, "tag", "write a word such as weir",
                              "a tag has no spaces and nothing but ASCII");
            return;
        }
}

static void check_syslog(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct syslog_conf *c = object;
    check_tag(d, node, c->tag);
    if (c->server.len && c->server.sa.any.sa_family == AF_UNIX && c->transport == SYSLOG_TCP)
        conf_decode_fault(d, node, "transport", "leave it out",
                          "a unix socket of syslog takes datagrams, and has no transport");
}

static const struct conf_field syslog_fields[] = {
    { "server", CONF_CUSTOM(struct syslog_conf, server, &conf_address_type), .flags = CONF_REQUIRED,
      .help = "`unix:/dev/log`, or the address and port of a syslog server." },
    { "transport", CONF_ENUM(struct syslog_conf, transport, &transport_type), .preset = "udp",
      .help =
          "To an address: `udp`, a datagram a line; `tcp`, a connection with each line's length before it "
          "(RFC 6587, octet counting). A unix socket takes datagrams." },
    { "facility", CONF_ENUM(struct syslog_conf, facility, &facility_type), .preset = "local7",
      .help = "Of which part of a system lines are said to be." },
    { "severity", CONF_ENUM(struct syslog_conf, severity, &severity_type), .preset = "info",
      .help = "How much they are said to matter, all alike." },
    { "tag", CONF_STRING(struct syslog_conf, tag), .min = 1, .max = TAG_MAX, .preset = "weir",
      .help = "The name of the program in each." },
    { 0 },
};

const struct conf_type syslog_conf_type = { .name = "syslog",
                                            .size = sizeof(struct syslog_conf),
                                            .fields = syslog_fields,
                                            .short_form = "server",
                                            .check = check_syslog };

static void check_journald(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct journald_conf *c = object;
    check_tag(d, node, c->tag);
    if (c->socket[0] != '/')
        conf_decode_fault(d, node, "socket", "begin it with /",
                          "the socket \"%.64s\" is not an absolute path", c->socket);
}

static const struct conf_field journald_fields[] = {
    { "socket", CONF_STRING(struct journald_conf, socket), .min = 2, .max = 107,
      .preset = "/run/systemd/journal/socket",
      .help = "Where journald listens; of a namespace it is /run/systemd/journal.NAME/socket." },
    { "severity", CONF_ENUM(struct journald_conf, severity, &severity_type), .preset = "info",
      .help = "PRIORITY of each line." },
    { "tag", CONF_STRING(struct journald_conf, tag), .min = 1, .max = TAG_MAX, .preset = "weir",
      .help = "SYSLOG_IDENTIFIER of each: `journalctl -t weir`." },
    { 0 },
};

const struct conf_type journald_conf_type = { .name = "journald",
                                              .size = sizeof(struct journald_conf),
                                              .fields = journald_fields,
                                              .short_form = "socket",
                                              .check = check_journald };
