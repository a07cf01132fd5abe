/* admin/session.h: browsers that somebody has signed in to with a token: each has a cookie with a random word, and no token.
 * A session is its token's: it can do what that can, and ends with it. In memory alone: a restart signs everybody out. Control
 * thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* So many; the one that was used longest ago makes room. */
#define SESSIONS_MAX 64u
/* Without a request, and in all. */
#define SESSION_IDLE_MS 3600000u
#define SESSION_MAX_MS (12u * 3600000u)
#define SESSION_ID_BYTES 32u
#define SESSION_ID_TEXT (2 * SESSION_ID_BYTES)
#define SESSION_COOKIE "weir_session"
#define SESSION_NAME_MAX 64u

struct session {
    unsigned char id[SESSION_ID_BYTES];
    char name[SESSION_NAME_MAX + 1]; /* of its token; empty: there is no session here */
    uint64_t began_ms, used_ms;      /* monotonic */
    uint64_t used_turn;              /* the later, the larger, within a millisecond too */
    uint64_t number;                 /* no other has had or will have it; 0: there is no session here */
};

/* Zeroed, it has none. */
struct sessions {
    struct session items[SESSIONS_MAX];
    uint64_t turn;
};

/* A new one of the token `name`; `id` is what the cookie gets. */
void sessions_begin(struct sessions *s, const char *name, uint64_t now_ms, char id[SESSION_ID_TEXT + 1]);
/* The one whose id that is, which is used from now on; NULL: none, or not any more. How much of an id is right does not show
 * in the time that it takes. */
struct session *sessions_find(struct sessions *s, struct slice id, uint64_t now_ms);
/* The one of that number, unless it has ended. */
void sessions_end(struct sessions *s, uint64_t number);
/* All of a token that is another by now, or gone. */
void sessions_end_of(struct sessions *s, const char *name);
uint32_t sessions_count(struct sessions *s, uint64_t now_ms);
