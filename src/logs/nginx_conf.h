/* logs/nginx_conf.h: nginx's own configuration, as far as it says what its logs look like: log_format and access_log,
 * with include files. Everything is bounded; what is not understood is passed over, for nginx knows more directives
 * than we. Control side. */
#pragma once

#include "base/err.h"
#include "logs/line_format.h"

#define NGINX_CONF_FILES_MAX 1000u
#define NGINX_CONF_BYTES_MAX (16u << 20)
#define NGINX_CONF_DEPTH_MAX 16u
#define NGINX_CONF_FORMATS_MAX 256u
#define NGINX_CONF_LOGS_MAX 4096u

struct nginx_format {
    char *name, *text; /* the quoted parts joined */
    enum line_escape escape;
};

struct nginx_log {
    char *path, *format; /* "combined" if it names none */
};

struct nginx_conf {
    struct nginx_format *formats;
    struct nginx_log *logs;
    uint32_t format_count, log_count;
};

/* Relative paths are as nginx takes them: include from the directory of `path`. -1 with the sentence: a file that cannot
 * be read, quotes or brackets that do not close (file:line), a bound. */
MUST_CHECK int nginx_conf_read(struct nginx_conf **out, const char *path, struct err *err);
void nginx_conf_free(struct nginx_conf *c); /* NULL is fine */
/* By name; "combined" is always there. NULL if there is none. */
const struct nginx_format *nginx_conf_format(const struct nginx_conf *c, struct slice name);
/* The format that access_log gives this path; NULL if no access_log names it. */
const struct nginx_format *nginx_conf_format_of_log(const struct nginx_conf *c, struct slice path);
