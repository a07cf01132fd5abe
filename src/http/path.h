/* http/path.h: a request's path in the one form that everybody reads alike (RFC 3986 6.2.2), so that what is judged is
 * what is served: unreserved characters decoded, digits of escapes in upper case, what no path can hold encoded, dot
 * segments resolved, empty segments merged. What servers read in more than one way is refused. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "conf/field.h"

/* No canonical target is longer, unless it came so. */
#define HTTP_TARGET_MAX (64u << 10)

enum http_path_form { HTTP_PATH_CANONICAL, HTTP_PATH_AS_SENT };
enum http_path_slash { HTTP_PATH_SLASH_REFUSE, HTTP_PATH_SLASH_KEEP, HTTP_PATH_SLASH_DECODE };

/* A listener's `paths:`. Zeroed it is what is preset. */
struct http_path_rules {
    uint32_t form;          /* enum http_path_form; as sent: nothing below counts */
    uint32_t encoded_slash; /* enum http_path_slash: %2F */
    bool keeps_backslash;   /* %5C, and "\" itself, which becomes %5C */
    bool keeps_nul;         /* %00 */
    bool keeps_empty;       /* empty segments are not merged */
    bool stays_at_root;     /* ".." at the root leads nowhere; else it is refused */
    bool refuses_dots;      /* "." and ".." are refused, not resolved */
    bool refuses_parameters /* ";" */;
};
extern const struct conf_type http_path_rules_type;

/* X(identifier, what is wrong) */
#define HTTP_PATH_FAULTS(X)                                                                             \
    X(OK, "nothing")                                                                                    \
    X(ESCAPE, "its path has a % that two hexadecimal digits do not follow")                             \
    X(SLASH, "its path has an encoded slash (%2F), which some take for a slash")                        \
    X(BACKSLASH, "its path has a backslash, which some take for a slash")                               \
    X(NUL, "its path has an encoded NUL (%00), at which some end it")                                   \
    X(ABOVE_ROOT, "its path leads above the root")                                                      \
    X(DOTS, "its path has a dot segment")                                                               \
    X(HIDDEN_DOTS, "its path has a dot segment beside a semicolon, an encoded slash or a backslash")    \
    X(HIDDEN_SEGMENT, "its path has a segment that is nothing but parameters, which some do not count") \
    X(PARAMETERS, "its path has a semicolon, from which on some do not read a segment")                 \
    X(TOO_LONG, "its path is over the limit once what no path can hold is encoded")

enum http_path_fault {
#define X(id, text) HTTP_PATH_##id,
    HTTP_PATH_FAULTS(X)
#undef X
};

/* A static clause. */
const char *http_path_fault_text(enum http_path_fault fault);

/* How many bytes http_path_put() may need for this target. */
size_t http_path_room(struct slice target);
/* Adds the target to `t` with its path canonical, and says where it stands. Its query is left as it is (without a
 * path it has "/" before it), and so are "*" and what CONNECT names. With a fault it is added as it came. A path that is canonical costs one look at its bytes. */
enum http_path_fault http_path_put(const struct http_path_rules *rules, struct slice target, struct text *t,
                                   struct slice *put);
/* Makes a path canonical where it lies: it begins with a slash and holds only bytes that a path may hold, so that it
 * never grows. With a fault it is spoilt. */
enum http_path_fault http_path_settle(const struct http_path_rules *rules, char *data, size_t *len);
/* Whether the byte may stand in a path as it is ("%" and "/" may, "?" may not). */
bool http_path_may_hold(char c);

/* Whether a request's path can be this, or begin with it. -1 with the sentence if none can. */
MUST_CHECK int http_path_check(const struct http_path_rules *rules, const char *path, bool is_prefix,
                               struct err *err);
