#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_write(struct err *err, const char *format, ...)
{
    if (!err) return -1;
    int saved = errno;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    errno = saved;
    return -1;
}

int err_write_before(struct err *err, const char *format, ...)
{
    if (!err) return -1;
    int saved = errno;
    char old[ERR_TEXT_MAX];
    memcpy(old, err->text, sizeof(old));
    va_list args;
    va_start(args, format);
    int written = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    size_t at = written < 0 ? 0 : (size_t)written;
    if (at < sizeof(err->text)) {
        int room = (int)(sizeof(err->text) - at - 1);
        snprintf(err->text + at, sizeof(err->text) - at, ": %.*s", room > 2 ? room - 2 : 0, old);
    }
    errno = saved;
    return -1;
}
