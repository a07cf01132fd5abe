#include "stack/source_lines.h"

#include <dlfcn.h>
#include <elfutils/libdw.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define LIBDW "libdw.so.1"

/* What is used of libdw. */
static struct {
    Dwarf *(*begin)(int fd, Dwarf_Cmd cmd);
    int (*end)(Dwarf *dwarf);
    Dwarf_Die *(*addrdie)(Dwarf *dwarf, Dwarf_Addr addr, Dwarf_Die *result);
    Dwarf_Line *(*getsrc_die)(Dwarf_Die *cudie, Dwarf_Addr addr);
    const char *(*linesrc)(Dwarf_Line *line, Dwarf_Word *mtime, Dwarf_Word *length);
    int (*lineno)(Dwarf_Line *line, int *linep);
    bool is_there;
} libdw;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct source_lines {
    int fd;
    Dwarf *dwarf;
};

/* POSIX has dlsym() give functions as pointers to objects. */
static bool find_function(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    *(void **)function = found;
    return found != NULL;
}

static void load_libdw(void)
{
    void *library = dlopen(LIBDW, RTLD_NOW | RTLD_LOCAL);
    libdw.is_there = library && find_function(library, "dwarf_begin", &libdw.begin) &&
                     find_function(library, "dwarf_end", &libdw.end) &&
                     find_function(library, "dwarf_addrdie", &libdw.addrdie) &&
                     find_function(library, "dwarf_getsrc_die", &libdw.getsrc_die) &&
                     find_function(library, "dwarf_linesrc", &libdw.linesrc) &&
                     find_function(library, "dwarf_lineno", &libdw.lineno);
}

struct source_lines *source_lines_new(int fd)
{
    struct source_lines *l = calloc(1, sizeof(*l));
    pthread_once(&once, load_libdw);
    if (l && libdw.is_there) l->dwarf = libdw.begin(fd, DWARF_C_READ);
    if (l && l->dwarf) {
        l->fd = fd;
        return l;
    }
    free(l);
    close(fd);
    return NULL;
}

void source_lines_free(struct source_lines *l)
{
    if (!l) return;
    libdw.end(l->dwarf);
    close(l->fd);
    free(l);
}

bool source_lines_find(struct source_lines *l, uint64_t address, struct slice *file, uint32_t *line)
{
    Dwarf_Die die;
    int number = 0;
    if (!libdw.addrdie(l->dwarf, address, &die)) return false;
    Dwarf_Line *at = libdw.getsrc_die(&die, address);
    if (!at || libdw.lineno(at, &number) != 0 || number <= 0) return false;
    *file = slice_of(libdw.linesrc(at, NULL, NULL));
    *line = (uint32_t)number;
    return file->data != NULL;
}
