/* base/address.h: socket addresses and CIDR blocks as values. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/slice.h"

/* Long enough for a printed address with port, or a unix path. */
#define ADDRESS_TEXT_MAX 120

struct address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } sa;
};

/* 16 bytes of IPv6, IPv4 mapped (::ffff:a.b.c.d): the one form in which clients are compared and kept. */
struct ip {
    uint8_t bytes[16];
};

struct cidr {
    struct ip ip;
    uint8_t bits; /* 0..128, of the mapped form: 10.0.0.0/8 is 104 */
};

/* "10.0.0.1:80", "[::1]:80", "localhost:80" (only the literal name localhost is known here, as 127.0.0.1;
 * other names are a matter of DNS), "unix:/path". With `any_host` (listeners) also ":80", which is [::]:80
 * and takes IPv4 too where the socket is opened without IPV6_V6ONLY, and port 0, which leaves the choice
 * to the kernel. */
MUST_CHECK int address_parse(struct slice text, bool any_host, struct address *out, struct err *err);
/* "10.0.0.1:80", "[::1]:80", "unix:/path"; IPv4-mapped as IPv4. Returns out. */
const char *address_print(const struct address *a, char out[ADDRESS_TEXT_MAX]);
/* Port in host order; 0 for unix sockets. */
uint16_t address_port(const struct address *a);
bool address_equal(const struct address *a, const struct address *b);
/* True for 127/8, ::1 and unix sockets. */
bool address_is_loopback(const struct address *a);
/* Unix peers become ::1. */
struct ip address_ip(const struct address *a);

/* IPv4 where it is mapped. */
struct address address_from_ip(const struct ip *ip, uint16_t port);

/* "192.0.2.7", "2001:db8::1", "::ffff:1.2.3.4"; false if it is none (or is longer than any). */
bool ip_parse(struct slice text, struct ip *out);
/* As forwarding fields name it (RFC 7239 6, and what is usual in X-Forwarded-For): plain, "192.0.2.7:4711",
 * "[2001:db8::7]", "[2001:db8::7]:4711". The port is read and left out. */
bool ip_parse_node(struct slice text, struct ip *out);
/* IPv4-mapped as dotted quad. Fits INET6_ADDRSTRLEN. Returns out. */
const char *ip_print(const struct ip *ip, char out[INET6_ADDRSTRLEN]);
bool ip_is_v4(const struct ip *ip);
/* The address that counts as one client: IPv4 whole, IPv6 by /64. */
struct ip ip_client(const struct ip *ip);

/* "10.0.0.0/8", "2001:db8::/32", a bare address is a block of one. Host bits set are an error that
 * gives the network meant. */
MUST_CHECK int cidr_parse(struct slice text, struct cidr *out, struct err *err);
bool cidr_contains(const struct cidr *block, const struct ip *ip);
