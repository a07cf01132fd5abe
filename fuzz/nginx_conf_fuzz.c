/* A configuration of nginx: its formats and logs are found, or it is refused with a sentence. What would include other files
 * is left out: they are this machine's own. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "logs/nginx_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    struct nginx_conf *c = NULL;
    struct err err = { "" };
    if (memmem(data, size, "include", 7)) return 0;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
    if (nginx_conf_read(&c, path, &err) < 0) {
        if (!err.text[0]) abort();
        return 0;
    }
    if (c->format_count > NGINX_CONF_FORMATS_MAX || c->log_count > NGINX_CONF_LOGS_MAX) abort();
    for (uint32_t i = 0; i < c->format_count; i++)
        if (!nginx_conf_format(c, slice_of(c->formats[i].name))) abort();
    for (uint32_t i = 0; i < c->log_count; i++) nginx_conf_format_of_log(c, slice_of(c->logs[i].path));
    if (!nginx_conf_format(c, SLICE("combined"))) abort();
    nginx_conf_free(c);
    return 0;
}
