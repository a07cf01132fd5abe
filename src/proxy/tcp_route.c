#include "proxy/tcp_route.h"

#include <sys/socket.h>

#include "route/sni_table.h"
#include "tls/client_hello.h"

static enum tcp_route_result take(const struct route_set *routes, uint32_t index, enum end_reason reason,
                                  const struct route **out, enum end_reason *why)
{
    *why = reason;
    if (index == SNI_ROUTE_NONE) return TCP_ROUTE_NONE;
    *out = &routes->routes[index];
    return TCP_ROUTE_FOUND;
}

enum tcp_route_result tcp_route_of_name(const struct route_set *routes, struct slice name,
                                        const struct route **out, enum end_reason *why)
{
    return take(routes, sni_table_find(routes->names, name),
                name.len ? END_TLS_UNKNOWN_NAME : END_TLS_NO_NAME, out, why);
}

/* RFC 6066 3: fatal, unrecognized_name. What does not fit into an empty buffer of the kernel is left out. */
static void send_alert(struct transport *t)
{
    static const char alert[] = { 21, 3, 1, 0, 2, 2, 112 };
    struct iovec iov = { (void *)(uintptr_t)alert, sizeof(alert) };
    size_t sent;
    (void)!transport_plain_ops.send(t, &iov, 1, &sent);
    /* Bytes that nobody read would make the kernel send a reset, which takes the alert away. */
    (void)!recv(t->io.fd, NULL, CLIENT_HELLO_MAX, MSG_TRUNC | MSG_DONTWAIT);
}

enum tcp_route_result tcp_route_look(struct transport *t, const struct route_set *routes,
                                     const struct route **out, enum end_reason *why)
{
    struct client_hello hello;
    char *bytes = t->loop->scratch; /* used and left within this call */
    size_t got = 0;
    enum io io = transport_plain_ops.peek(t, bytes, CLIENT_HELLO_MAX, &got);
    *why = END_CLIENT_ABORT;
    if (io == IO_AGAIN) return TCP_ROUTE_WAIT;
    if (io != IO_OK) return TCP_ROUTE_NONE;
    enum client_hello_result result = client_hello_read((struct slice){ bytes, got }, &hello);
    /* A client that sends no more will not send the rest of it. */
    if (result == CLIENT_HELLO_MORE) return t->has_hangup ? TCP_ROUTE_NONE : TCP_ROUTE_WAIT;
    t->is_readable = true; /* all of it is still there, and no edge will say so */
    if (result != CLIENT_HELLO_WHOLE)
        return take(routes, sni_table_rest(routes->names), END_NOT_TLS, out, why);
    enum tcp_route_result found = tcp_route_of_name(routes, (struct slice){ hello.name, hello.name_len }, out,
                                                    why);
    if (found == TCP_ROUTE_NONE && hello.name_len) send_alert(t);
    return found;
}
