/* acme/schedule.h: when a certificate is ordered again: at two thirds of its life, and after a failure ever later. Pure: the
 * time is the caller's. All in seconds since 1970. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* At two thirds of its life and up to a thirtieth of it later, by what is the certificate's own, so that many that were
 * issued at once are not renewed at once, and each node that shares it says the same. */
int64_t acme_renewal_at(int64_t from_s, int64_t until_s, uint64_t own);

/* More than a fifth of it is still to come: else it should have been renewed long ago. */
bool acme_has_time(int64_t from_s, int64_t until_s, int64_t now_s);

/* What is known of the attempts to have one issued; kept in a file, so that a process that ends and begins again and again
 * asks no more often than one that runs. */
struct acme_attempts {
    uint32_t failures; /* in a row */
    int64_t next_s;    /* not before; 0: any time */
    /* What was asked for in the last order, and what was issued in the last one that was: acme/wanted.h. 0: it is not known. */
    uint64_t asked, issued;
};

#define ACME_WAIT_MAX_S (INT64_C(24) * 3600)
/* When the next order is to begin, for who wants `wanted` of the CA. due_s: what there is should be renewed then; 0: there is
 * none that does. is_changed: his configuration came after the last order, so that he neither keeps what another one
 * had issued nor waits for what that one did wrong. Else somebody with another configuration has the same file, and two
 * who took it from each other would never end. */
int64_t acme_next_at(const struct acme_attempts *a, uint64_t wanted, bool is_changed, int64_t due_s,
                     int64_t now_s);
/* Said before an order begins, as if it had failed: whoever is killed within it has waited all the same. first_s: how long
 * the first wait is; each is twice the one before, and up to a fifth longer by `chance`. */
void acme_attempt_begins(struct acme_attempts *a, uint64_t wanted, int64_t now_s, int64_t first_s,
                         uint64_t chance);
/* It has failed: the CA asks for a wait of so long (0: it does not say). */
void acme_attempt_failed(struct acme_attempts *a, int64_t now_s, uint64_t asked_s);
/* The CA has counted nothing of it: try again after first_s, however often, or later if the CA asks for that. */
void acme_attempt_uncounted(struct acme_attempts *a, int64_t now_s, int64_t first_s, uint64_t asked_s);
/* The next comes after first_s at the soonest: who shares the file may want other names in it. */
void acme_attempt_succeeded(struct acme_attempts *a, int64_t now_s, int64_t first_s);
/* Whether an order is one against another's: he had the file issued with other names than are wanted here, and nothing has changed
 * here since. */
bool acme_is_contested(const struct acme_attempts *before, uint64_t wanted, bool is_changed);
/* Then it has succeeded, and yet each wait is twice the one before: the two would use up what CAs allow a week. */
void acme_attempt_contested(struct acme_attempts *a);

/* Orders of the last hour of all certificates together, as CAs limit what an account may ask for. */
#define ACME_ORDERS_AN_HOUR 60u
struct acme_pace {
    int64_t at_s[ACME_ORDERS_AN_HOUR]; /* the oldest is the next to be written over */
    uint32_t next;
};
/* 0: now; else from when on. */
int64_t acme_pace_opens_at(const struct acme_pace *p, int64_t now_s);
void acme_pace_note(struct acme_pace *p, int64_t now_s);
