#include "stack/image.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void image_init(struct image *i)
{
    *i = (struct image){ .fd = -1 };
}

void image_fini(struct image *i)
{
    for (uint32_t k = 0; k < i->file_count; k++) free(i->files[k].path);
    free(i->files);
    free(i->segments);
    free(i->threads);
    if (i->fd >= 0) close(i->fd);
    image_init(i);
}

/* Room for one more in an array that doubles. */
static int grow_items(void **items, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room) return 0;
    uint32_t more = *room ? *room * 2 : 64;
    void *grown = realloc(*items, more * size);
    if (!grown) return -1;
    *items = grown;
    *room = more;
    return 0;
}

struct image_segment *image_add_segment(struct image *i, struct err *err)
{
    if (i->segment_count == IMAGE_SEGMENTS_MAX ||
        grow_items((void **)&i->segments, i->segment_count, &i->segment_room, sizeof(*i->segments)) < 0) {
        err_set(err, "there is no room for more than %u mappings", i->segment_count);
        return NULL;
    }
    struct image_segment *s = &i->segments[i->segment_count++];
    *s = (struct image_segment){ 0 };
    return s;
}

struct image_thread *image_add_thread(struct image *i, struct err *err)
{
    if (i->thread_count == IMAGE_THREADS_MAX ||
        grow_items((void **)&i->threads, i->thread_count, &i->thread_room, sizeof(*i->threads)) < 0) {
        err_set(err, "there is no room for more than %u threads", i->thread_count);
        return NULL;
    }
    struct image_thread *t = &i->threads[i->thread_count++];
    memset(t, 0, sizeof(*t));
    return t;
}

int image_add_file(struct image *i, const struct image_file *f, struct slice path, struct err *err)
{
    char *copy = malloc(path.len + 1);
    if (!copy || i->file_count == IMAGE_FILES_MAX ||
        grow_items((void **)&i->files, i->file_count, &i->file_room, sizeof(*i->files)) < 0) {
        free(copy);
        return err_set(err, "there is no room for more than %u mapped files", i->file_count);
    }
    memcpy(copy, path.data, path.len);
    copy[path.len] = 0;
    i->files[i->file_count] = *f;
    i->files[i->file_count++].path = copy;
    return 0;
}

static int by_start(const void *left, const void *right)
{
    const struct image_segment *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static int file_by_start(const void *left, const void *right)
{
    const struct image_file *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static int file_by_path(const void *left, const void *right)
{
    const struct image_file *a = left, *b = right;
    int order = strcmp(a->path, b->path);
    return order ? order : file_by_start(a, b);
}

void image_sort(struct image *i)
{
    if (i->segment_count) qsort(i->segments, i->segment_count, sizeof(*i->segments), by_start);
    if (!i->file_count) return;
    qsort(i->files, i->file_count, sizeof(*i->files), file_by_path);
    for (uint32_t k = 0; k < i->file_count; k++) {
        bool is_next = k && strcmp(i->files[k].path, i->files[k - 1].path) == 0;
        i->files[k].first = is_next ? i->files[k - 1].first : i->files[k].start;
    }
    qsort(i->files, i->file_count, sizeof(*i->files), file_by_start);
}

const struct image_segment *image_segment_of(const struct image *i, uint64_t address)
{
    uint32_t low = 0, high = i->segment_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (i->segments[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct image_segment *s = low ? &i->segments[low - 1] : NULL;
    return s && address < s->end ? s : NULL;
}

const struct image_file *image_file_of(const struct image *i, uint64_t address)
{
    uint32_t low = 0, high = i->file_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (i->files[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct image_file *f = low ? &i->files[low - 1] : NULL;
    return f && address < f->end ? f : NULL;
}

void image_print_address(const struct image *i, uint64_t address, struct text *out)
{
    const struct image_file *f = image_file_of(i, address);
    if (!f) {
        text_add_char(out, '?');
        return;
    }
    const char *slash = strrchr(f->path, '/');
    uint64_t offset = address - f->first;
    unsigned digits = 1;
    while (digits < 16 && offset >> 4 * digits) digits++;
    for (const char *c = slash ? slash + 1 : f->path; *c; c++)
        text_add_char(out, *c > ' ' && *c <= '~' ? *c : '?');
    TEXT_LITERAL(out, "+0x");
    text_add_hex(out, offset, digits);
}
