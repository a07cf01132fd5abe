#include "admin/admin_conf.h"

#include "conf/decode.h"

static const struct conf_field admin_fields[] = {
    { "bind", CONF_CUSTOM(struct admin_conf, bind, &conf_bind_address_type), .preset = "127.0.0.1:9091",
      .help = "Where the API, the metrics and the health checks answer: an address, or unix:/path." },
    { "token", CONF_STRING(struct admin_conf, token), .min = 1, .max = 256, .flags = CONF_SECRET,
      .help = "What a client must show, as a Bearer token or as the password of HTTP Basic. Required unless "
              "bind is a loopback address or a unix socket." },
    { "history", CONF_BYTES(struct admin_conf, history_bytes), .max = 16ull << 30, .preset = "64MiB",
      .help = "How much memory the history of traffic may take, which the dashboard shows: of each listener, "
              "route, pool and server that has any, each second for 5 minutes, each ten seconds for an hour, "
              "each "
              "minute for a day. One that is busy all day takes up to 33 KiB; where this is not enough, the "
              "oldest "
              "of servers goes first. 0 keeps none." },
    { 0 },
};

/* The token goes into a header field: only bytes that every client can put there. */
static bool is_sendable(const char *token)
{
    for (; *token; token++)
        if (*token <= ' ' || *token >= 127) return false;
    return true;
}

static void check_admin(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct admin_conf *c = object;
    char text[ADDRESS_TEXT_MAX];
    if (c->bind.len && !c->token && !address_is_loopback(&c->bind))
        conf_decode_fault(d, node, "bind", "set a token, or bind to 127.0.0.1, [::1] or a unix socket",
                          "the admin API at %s would be open to everybody who can reach that address",
                          address_print(&c->bind, text));
    if (c->token && !is_sendable(c->token))
        conf_decode_fault(d, node, "token", "use letters, digits and punctuation of ASCII",
                          "the token has spaces, control bytes or letters that a header field cannot carry");
}

const struct conf_type admin_conf_type = {
    .name = "admin",
    .size = sizeof(struct admin_conf),
    .fields = admin_fields,
    .short_form = "bind",
    .check = check_admin,
};
