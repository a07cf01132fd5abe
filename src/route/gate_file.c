#include "route/gate_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES ((size_t)512 << 20)

int prefix_list_add(struct prefix_list *list, const struct cidr *block, uint8_t value, struct err *err)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? list->room * 2 : 256;
        struct prefix *items = realloc(list->items, room * sizeof(*items));
        if (!items) return err_set(err, "out of memory for %u address blocks", room);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = (struct prefix){ .block = *block, .value = value };
    return 0;
}

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '#' || c == ';';
}

/* Empty: the line has a remark alone, or nothing. */
static struct slice word_of(struct slice line)
{
    size_t at = 0, end;
    while (at < line.len && (line.data[at] == ' ' || line.data[at] == '\t')) at++;
    for (end = at; end < line.len && !ends_word(line.data[end]);) end++;
    return (struct slice){ line.data + at, end - at };
}

int gate_file_parse(const char *path, struct slice text, uint8_t value, struct prefix_list *list,
                    struct err *err)
{
    uint32_t number = 1;
    for (size_t at = 0; at < text.len; number++) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        size_t next = end ? (size_t)(end - text.data) + 1 : text.len;
        struct slice word = word_of((struct slice){ text.data + at, next - at - (end != NULL) });
        struct cidr block;
        at = next;
        if (!word.len) continue;
        if (cidr_parse(word, &block, err) < 0) return err_prefix(err, "%.300s:%u", path, number);
        if (list->count >= GATE_FILE_BLOCKS_MAX)
            return err_set(err, "%.300s:%u: a gate may have %u address blocks; put networks together", path,
                           number, GATE_FILE_BLOCKS_MAX);
        if (prefix_list_add(list, &block, value, err) < 0) return -1;
    }
    return 0;
}

static int read_all(int fd, const char *path, size_t size, char *to, size_t *len, struct err *err)
{
    while (*len < size) {
        ssize_t got = read(fd, to + *len, size - *len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(err, "cannot read %.300s: %s", path, strerror(errno));
        if (got == 0) return 0;
        *len += (size_t)got;
    }
    return 0;
}

static int read_open(int fd, const char *path, uint8_t value, struct prefix_list *list, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return err_set(err, "cannot read %.300s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return err_set(err, "%.300s is no file", path);
    size_t size = (size_t)st.st_size, len = 0;
    if (size > FILE_MAX_BYTES)
        return err_set(err, "%.300s has more than %zu MiB", path, FILE_MAX_BYTES >> 20);
    char *text = malloc(size + 1);
    if (!text) return err_set(err, "out of memory for %.300s", path);
    int result = read_all(fd, path, size, text, &len, err);
    if (result == 0) result = gate_file_parse(path, (struct slice){ text, len }, value, list, err);
    free(text);
    return result;
}

int gate_file_read(const char *path, uint8_t value, struct prefix_list *list, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_set(err, "cannot open %.300s: %s", path, strerror(errno));
    int result = read_open(fd, path, value, list, err);
    close(fd);
    return result;
}
