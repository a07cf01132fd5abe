/* Core files: whatever the headers, notes and memory say, reading ends, and what weir makes of it can be printed. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "command/postmortem.h"
#include "crash/core_file.h"

#define JSON_MAX ((size_t)16 << 20)

static int file_of(const uint8_t *data, size_t size)
{
    int fd = memfd_create("core", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    return fd;
}

/* As if the anchor were of this very build: what a core that was made to mislead would say. */
static void trust(struct postmortem *p)
{
    if (p->has_anchor || !p->anchor.self) return;
    p->has_anchor = true;
    if (!remains_find_proxy(&p->image->memory, p->anchor.proxy, &p->proxy))
        p->proxy = (struct remains_proxy){ 0 };
    if (p->proxy.worker_count > 4) p->proxy.worker_count = 4;
}

static void print(const struct image *image)
{
    struct postmortem p;
    struct json j;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out) abort();
    postmortem_init(&p, image, false, 4);
    trust(&p);
    postmortem_print_text(&p, out);
    fclose(out);
    free(text);
    json_init(&j, JSON_MAX, false);
    postmortem_print_json(&p, &j);
    json_fini(&j);
    postmortem_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image;
    struct err err;
    image_init(&image);
    if (core_file_read(&image, file_of(data, size), &err) == 0) print(&image);
    image_fini(&image);
    return 0;
}
