/* base/err.h: one sentence about what went wrong, for the control plane (start, config, API).
 * Written where the fault is known, with the place and the remedy. Data paths use enums instead. */
#pragma once

#define ERR_TEXT_MAX 512

struct err {
    char text[ERR_TEXT_MAX];
};

/* Formats the sentence (cut at ERR_TEXT_MAX - 1 bytes); `err` may be NULL. Returns -1, so that a
 * caller can say `return err_set(...)`. Keeps errno. */
int err_set(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<format>: " before what `err` already says. Returns -1. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define MUST_CHECK __attribute__((warn_unused_result))
