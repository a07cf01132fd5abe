/* record/flight.h: the flight record: what happened to one exchange or tunnel, in 256 bytes. They are kept in rings
 * (record/flight_ring.h). */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balance/balance.h"
#include "base/address.h"
#include "base/end_reason.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/message.h"

#define FLIGHT_ATTEMPTS 4u
#define FLIGHT_REQUEST_ID_MAX 36u
#define FLIGHT_TARGET_MAX 48u
#define FLIGHT_ID_TEXT_MAX 17u /* 16 hex digits, terminated */

/* A time that did not come. Times that do not fit are FLIGHT_NEVER - 1. */
#define FLIGHT_NEVER UINT32_MAX
/* Ids of names begin at 1. */
#define FLIGHT_NO_ID 0u

enum flight_flag {
    FLIGHT_TCP = 1,    /* a tcp or udp listener's: no method, no target */
    FLIGHT_TUNNEL = 2, /* of bytes: tcp, or after an upgrade */
    FLIGHT_CLIENT_TLS = 4,
    FLIGHT_TARGET_CUT = 8,     /* the target was longer than there is room for */
    FLIGHT_LOCAL_REPLY = 16,   /* weir itself answered */
    FLIGHT_DELAYED = 32,       /* held back by a rate limit */
    FLIGHT_OVER_RATE = 64,     /* a rate limit that is dry would have held it back, or refused it */
    FLIGHT_RETRY_DENIED = 128, /* another attempt was due, and the pool's retry budget used up */
    FLIGHT_UDP = 256           /* a udp listener's */
};

struct flight_attempt {
    uint32_t server;        /* id */
    uint32_t connect_us;    /* from the attempt's start to an open connection; 0 if reused, FLIGHT_NEVER if it
                               did not open */
    uint32_t first_byte_us; /* from the attempt's start to the first response byte or, without one (status 0),
                               to the failure */
    uint16_t status;        /* of the server's response; 0 if no head came */
    uint8_t end;            /* enum end_reason */
    uint8_t reason : 6;     /* enum balance_reason; set by flight_begin_attempt() */
    bool is_hedge : 1;      /* made beside the one before it, which took long */
    bool is_reused : 1;     /* the connection had served before */
};

struct flight_record {
    uint64_t id;            /* flight_next_id() */
    uint64_t start_wall_ns; /* since 1970 */
    uint64_t total_us;
    uint64_t bytes_in, bytes_out; /* on the client's side, heads included */
    struct ip client;
    /* Since the start. With several attempts, all but the first speak of attempts[told]. */
    uint32_t head_us, picked_us, connected_us, sent_us, first_byte_us;
    uint32_t listener, route, pool,
        variant; /* ids; variant: of "split=variant", FLIGHT_NO_ID without a split */
    uint16_t client_port;
    uint16_t status;       /* sent to the client; 0: none */
    uint16_t flags;        /* enum flight_flag */
    uint16_t tls_cipher;   /* as in struct tls_facts */
    uint8_t method;        /* enum http_method */
    uint8_t version;       /* enum http_version */
    uint8_t end;           /* enum end_reason */
    uint8_t attempt_count; /* at most 255; attempts[] keeps the first three and the last */
    uint8_t request_id_len, target_len;
    uint8_t tls_version : 4; /* 1.x of the client's TLS; 0: it is not known */
    uint8_t told : 2; /* of attempts[]: the last, but for those that were made beside it and did not answer */
    uint8_t grpc : 7; /* one more than the gRPC status that the client was sent; 0: none */
    bool
        is_hedge_denied : 1; /* another server was to be asked as well, and the pool's retry budget used up */
    union {
        struct {
            char request_id[FLIGHT_REQUEST_ID_MAX];
            char target[FLIGHT_TARGET_MAX]; /* its first bytes */
        };
        struct {
            uint32_t datagrams_in, datagrams_out; /* with FLIGHT_UDP; UINT32_MAX: so many or more */
        };
    };
    struct flight_attempt attempts[FLIGHT_ATTEMPTS];
};
static_assert(sizeof(struct flight_record) == 256, "a flight record is four cache lines");

/* Zeroes it and sets every time to FLIGHT_NEVER. */
void flight_init(struct flight_record *r);
/* Copies and cuts; so does the one for ids. */
void flight_set_target(struct flight_record *r, struct slice target);
/* What a client may give as one: letters, digits, '-', '_' and '.', and no more of them than there is room for. */
bool flight_is_request_id(struct slice text);
void flight_set_request_id(struct flight_record *r, struct slice request_id);
/* Of one with FLIGHT_UDP. */
void flight_set_datagrams(struct flight_record *r, uint64_t in, uint64_t out);
/* Over TLS; NULL: nothing more is known. */
struct tls_facts;
void flight_set_tls(struct flight_record *r, const struct tls_facts *tls);
/* The slot for one more attempt, set up; valid until the next. Times are its own from now on: what is made beside the one
 * before it says otherwise by flight_tell_of(). */
struct flight_attempt *flight_begin_attempt(struct flight_record *r, uint32_t server,
                                            enum balance_reason reason, bool is_reused);
/* Of this number, from 1 on; NULL: nothing is kept of it, or there is none. */
struct flight_attempt *flight_attempt_of(struct flight_record *r, uint32_t number);
/* Times speak of this one; nothing happens if nothing is kept of it. */
void flight_tell_of(struct flight_record *r, uint32_t number);
/* The one begun last; NULL if there is none. */
struct flight_attempt *flight_last_attempt(struct flight_record *r);
static inline uint32_t flight_kept_attempts(const struct flight_record *r)
{
    return r->attempt_count < FLIGHT_ATTEMPTS ? r->attempt_count : FLIGHT_ATTEMPTS;
}
/* Between two readings of a clock, as a time of the record. */
static inline uint32_t flight_us(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
    return us < FLIGHT_NEVER ? (uint32_t)us : FLIGHT_NEVER - 1;
}
static inline enum end_origin flight_origin(const struct flight_record *r)
{
    return end_reason_info((enum end_reason)r->end)->origin;
}

/* It went wrong, and not by the client's doing: weir, a server or the configuration failed. */
static inline bool flight_is_failure(const struct flight_record *r)
{
    enum end_origin origin = flight_origin(r);
    return r->status >= 500 || (r->end != END_OK && origin != ORIGIN_CLIENT && origin != ORIGIN_NONE);
}

/* Whatever bytes it has, it can be printed afterwards. */
void flight_sanitize(struct flight_record *r);

/* All zero matches everything. */
struct flight_filter {
    uint16_t status;
    uint8_t status_class; /* 5: 500 to 599 */
    bool has_client;
    bool is_failure; /* only those of which flight_is_failure() is true */
    enum end_reason end;
    uint32_t pool, server, listener, route, variant; /* ids; server: of any attempt kept */
    struct ip client;
    struct slice request_id;
    uint64_t min_total_us;
    uint64_t since_wall_ns; /* ended then or later */
};
bool flight_matches(const struct flight_filter *filter, const struct flight_record *r);
/* When it ended, since 1970. */
static inline uint64_t flight_end_wall_ns(const struct flight_record *r)
{
    return r->start_wall_ns + r->total_us * 1000;
}

/* As 16 hex digits: how people and the API name a record. */
const char *flight_id_print(uint64_t id, char out[FLIGHT_ID_TEXT_MAX]);
bool flight_id_parse(struct slice text, uint64_t *id);

struct flight_names {
    const char *(*name_of)(void *ctx, uint32_t id); /* NULL if unknown */
    void *ctx;
};
struct json;
/* One object, complete; or its members alone, within one that is open. `names` may be NULL. */
void flight_print_json(const struct flight_record *r, const struct flight_names *names, struct json *out);
void flight_print_members(const struct flight_record *r, const struct flight_names *names, struct json *out);
