/* bench/client.h: what the bench's small programs share. Not part of weir: a mistake ends the program. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

/* Prints one sentence, with errno's text if it is not 0, and exits with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* "127.0.0.1:8080"; IPv4 only, the harness never uses another. */
struct sockaddr_in parse_address(const char *text);
/* A whole number within the bounds; `what` names it in the complaint. */
uint64_t parse_count(const char *text, const char *what, uint64_t min, uint64_t max);

uint64_t now_ns(void);

#define LATENCY_BUCKETS 100000 /* of a microsecond each; the last holds all that took longer */
struct latencies {
    uint64_t count;
    uint32_t buckets[LATENCY_BUCKETS];
};
/* One more: what was asked at sent_ns is answered now. */
void latencies_note(struct latencies *l, uint64_t sent_ns);
/* In microseconds. */
uint32_t latencies_quantile(const struct latencies *l, double q);

/* A blocking connection with TCP_NODELAY. */
int connect_to(const struct sockaddr_in *to);
/* Asks for a WebSocket (RFC 6455 4.1) with the RFC's own key, and reads that it is open; ends the program if it is not. */
void websocket_open(int fd);
/* Sends `request` and reads one response (with a Content-Length) whole; 0, or -1 with errno, which is 0 at
 * the end of the stream. */
int http_ask(int fd, const char *request);
