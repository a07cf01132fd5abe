/* base/err.h: one sentence about what went wrong, for the control plane (start, config, API).
 * Written where the fault is known, with the place and the remedy. Data paths use enums instead. */
#pragma once

#define ERR_TEXT_MAX 512

struct err {
    char text[ERR_TEXT_MAX];
};

/* Formats the sentence (cut at ERR_TEXT_MAX - 1 bytes); `err` may be NULL. Returns -1, so that a
 * caller can say `return err_set(...)`. Keeps errno. */
#define err_set(err, ...) err_minus_one(err_write((err), __VA_ARGS__))

/* Puts "<format>: " before what `err` already says. Returns -1. */
#define err_prefix(err, ...) err_minus_one(err_write_before((err), __VA_ARGS__))

/* What the two above are made of: that they return -1 is seen by whoever reads one file alone, analyzers too. */
int err_write(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_write_before(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline int err_minus_one(int written)
{
    (void)written;
    return -1;
}

#define MUST_CHECK __attribute__((warn_unused_result))
