/* bench/idle.c: opens many keep-alive connections, makes one request on each, and holds them: what an idle
 * client costs the proxy. Prints {"open": N} when all are idle; when a line (or the end) comes on standard
 * input it counts how many are still open, prints that, and ends.
 *
 *   bench-idle 127.0.0.1:8080 /100 --connections 9000
 *   bench-idle 127.0.0.1:8443 /100 --connections 9000 --tls */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "client.h"

#define HOLD_MAX_S 120

static void raise_descriptor_limit(uint64_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    errno = 0;
    if (limit.rlim_max < count + 16)
        die("%ju descriptors are not enough for %ju connections", (uintmax_t)limit.rlim_max,
            (uintmax_t)count);
}

/* Whether all of a response is there, by its Content-Length. */
static bool is_whole(const char *answer, size_t len)
{
    const char *body = strstr(answer, "\r\n\r\n"), *length = strcasestr(answer, "\r\nContent-Length:");
    if (!body || !length) return false;
    return len - (size_t)(body + 4 - answer) >= strtoul(length + 17, NULL, 10);
}

/* What stays is the server's side: the client's ends here, but for its descriptor. */
static int ask_over_tls(SSL_CTX *context, int fd, const char *request)
{
    char answer[4096];
    size_t len = 0;
    SSL *ssl = SSL_new(context);
    if (!ssl || !SSL_set_fd(ssl, fd) || SSL_connect(ssl) != 1) return -1;
    if (SSL_write(ssl, request, (int)strlen(request)) <= 0) return -1;
    do {
        int got = SSL_read(ssl, answer + len, (int)(sizeof(answer) - 1 - len));
        if (got <= 0) return -1;
        len += (size_t)got;
        answer[len] = '\0';
    } while (!is_whole(answer, len));
    SSL_set_quiet_shutdown(ssl, 1);
    SSL_free(ssl);
    return 0;
}

static SSL_CTX *new_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    errno = 0;
    if (!context) die("OpenSSL has no context");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    return context;
}

int main(int argc, char **argv)
{
    bool is_secure = argc == 6 && strcmp(argv[5], "--tls") == 0;
    if ((argc != 5 && !is_secure) || strcmp(argv[3], "--connections") != 0) {
        errno = 0;
        die("usage: bench-idle ADDRESS:PORT /PATH --connections N [--tls]");
    }
    SSL_CTX *context = is_secure ? new_context() : NULL;
    struct sockaddr_in to = parse_address(argv[1]);
    uint64_t count = parse_count(argv[4], "connections", 1, 1000000);
    raise_descriptor_limit(count);
    struct pollfd *held = calloc(count, sizeof(*held));
    char request[512];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[2]);
    errno = 0;
    if (!held || len >= (int)sizeof(request)) die("too many connections, or too long a path");

    for (uint64_t i = 0; i < count; i++) {
        held[i] = (struct pollfd){ .fd = connect_to(&to), .events = POLLIN };
        int asked = is_secure ? ask_over_tls(context, held[i].fd, request) : http_ask(held[i].fd, request);
        if (asked < 0) die("request %ju got no answer", (uintmax_t)i + 1);
    }
    printf("{\"open\": %ju}\n", (uintmax_t)count);
    fflush(stdout);

    poll(&(struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN }, 1, HOLD_MAX_S * 1000);
    /* Nothing is due on an idle connection: one that has something to read was closed. */
    int ended = poll(held, count, 0);
    printf("{\"open\": %ju}\n", (uintmax_t)count - (uintmax_t)(ended > 0 ? ended : 0));
    free(held);
    SSL_CTX_free(context);
    return 0;
}
