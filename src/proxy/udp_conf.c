#include "proxy/udp_conf.h"

#include "conf/decode.h"
#include "proxy/proxy_conf.h"

#define IDLE_MAX_MS (24 * 3600 * 1000)

static const struct conf_field fields[] = {
    { "responses", CONF_U32(struct udp_conf, responses), .max = 1000000, .preset = "0",
      .help = "How many datagrams a server answers to each of a client's: 1 for DNS. With the last that is "
              "due the "
              "session ends, and a server that answers nothing within `idle` counts as failing. 0: nobody "
              "knows, and a session ends by `idle` alone." },
    { "idle", CONF_MSEC(struct udp_conf, idle_ms), .min = 1, .max = IDLE_MAX_MS, .preset = "60s",
      .help = "How long nothing may pass in a session before it ends; with `responses`, how long an answer "
              "may take." },
    { "sessions", CONF_U32(struct udp_conf, sessions), .min = 1, .max = 10000000, .preset = "16384",
      .help =
          "How many sessions there may be at a time, each of which takes a descriptor. One more takes the "
          "place of the one that has been silent longest, if that is a second or more; else it is "
          "refused." },
    { "buffer", CONF_BYTES(struct udp_conf, buffer_bytes), .min = 4096, .max = 1 << 30, .preset = "1MiB",
      .help =
          "How much may wait to be read at each worker's socket. Without CAP_NET_ADMIN the kernel gives no "
          "more than net.core.rmem_max." },
    { 0 },
};

const struct conf_type udp_conf_type = { .name = "udp listener",
                                         .size = sizeof(struct udp_conf),
                                         .fields = fields };

/* Of a session nothing is known but its client. */
static void check_rate(struct conf_decode *d, const struct conf_node *node, const struct rate_conf *rate)
{
    const struct http_template *key = &rate->key;
    bool is_client = key->count == 1 && key->parts[0].source == HTTP_SOURCE_CLIENT;
    const struct conf_node *at = conf_node_get(node, "rate");
    if (key->count && !is_client)
        conf_decode_fault(d, at, "key", "write `client` or `all`",
                          "datagrams have nothing that they could be counted by but the client's address");
    if (rate->delay_ms)
        conf_decode_fault(d, at, "delay", "leave it out: what is over the rate is dropped",
                          "no datagram is held back");
}

static void check_keys(struct conf_decode *d, const struct conf_node *node)
{
    static const char *const others[] = { "http2", "trust",    "fields",   "paths",   "limits",
                                          "pin",   "auth",     "compress", "errors",  "maintenance",
                                          "cors",  "redirect", "files",    "respond", "faults" };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (conf_node_get(node, others[i]))
            conf_decode_fault(
                d, node, others[i], "take it out, or write `protocol: http`",
                "a udp listener passes datagrams and knows no requests that \"%s\" could be for", others[i]);
    if (conf_node_get(node, "tls"))
        conf_decode_fault(d, node, "tls", "take it out; the servers may speak DTLS or QUIC through it",
                          "a udp listener passes datagrams as they are: TLS needs a connection");
    if (conf_node_get(node, "routes"))
        conf_decode_fault(d, node, "routes", "write `pool:`",
                          "datagrams have nothing that a udp listener's routes could go by");
    if (conf_node_get(node, "proxy_protocol"))
        conf_decode_fault(d, node, "proxy_protocol", "take it out",
                          "a PROXY header is at the beginning of a connection, and a udp listener has none");
    if (conf_node_get(node, "timeouts"))
        conf_decode_fault(d, node, "timeouts", "write `udp: {idle: …}`",
                          "a udp listener's sessions have one time-out, and it is not among these");
}

void udp_conf_check(struct conf_decode *d, const struct conf_node *node, const struct listener_conf *l)
{
    if (l->protocol != LISTENER_UDP) {
        if (conf_node_get(node, "udp"))
            conf_decode_fault(d, node, "udp", "write `protocol: udp`, or take it out",
                              "only a listener for datagrams has what \"udp\" sets");
        return;
    }
    check_keys(d, node);
    if (l->rate) check_rate(d, node, l->rate);
    if (l->bind.sa.any.sa_family == AF_UNIX)
        conf_decode_fault(d, node, "bind", "write an address and a port",
                          "a udp listener takes datagrams over IP, not at a path");
    else if (l->bind.len && !address_port(&l->bind))
        conf_decode_fault(d, node, "bind", "write the port that its clients know",
                          "a udp listener with port 0 would be at several ports, one for each worker");
    if (!l->pool && !conf_node_get(node, "routes"))
        conf_decode_fault(d, node, NULL, "add `pool:` with a pool's name", "a udp listener needs a pool");
}
