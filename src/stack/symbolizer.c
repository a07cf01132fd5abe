#include "stack/symbolizer.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/process_root.h"
#include "stack/code_map.h"
#include "stack/source_lines.h"

#define SYMBOLS_MAX (4u << 20)
#define NAME_MAX_BYTES 4096u
#define BYTES_MAX (1u << 30) /* of all tables: a process maps as many files as it likes */
#define DEBUG_DIRECTORY "/usr/lib/debug"

struct named {
    uint64_t address;
    uint32_t size, name; /* name: in texts */
};

/* What is known of a module, once it was asked for. */
struct known {
    bool is_loaded;
    struct named *symbols; /* by address */
    uint32_t count;
    char *texts;
    uint64_t texts_len;
    struct source_lines *lines; /* NULL: none */
};

struct symbolizer {
    const struct modules *modules;
    bool has_no_lines;
    uint64_t bytes_left;
    char note[ERR_TEXT_MAX];
    /* Of code of no file: */
    struct code_map *made; /* NULL: none, or not asked for */
    bool is_made_loaded, has_unnamed_code;
    char made_note[ERR_TEXT_MAX]; /* why there is none */
    struct known known[];
};

int symbolizer_new(struct symbolizer **out, const struct modules *modules, struct err *err)
{
    struct symbolizer *s = calloc(1, sizeof(*s) + modules->count * sizeof(s->known[0]));
    if (!s) return err_set(err, "out of memory for names");
    s->modules = modules;
    s->bytes_left = BYTES_MAX;
    *out = s;
    return 0;
}

void symbolizer_free(struct symbolizer *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->modules->count; i++) {
        free(s->known[i].symbols);
        free(s->known[i].texts);
        source_lines_free(s->known[i].lines);
    }
    code_map_free(s->made);
    free(s);
}

const struct modules *symbolizer_modules(const struct symbolizer *s)
{
    return s->modules;
}

void symbolizer_leave_out_lines(struct symbolizer *s)
{
    s->has_no_lines = true;
}

void symbolizer_add_notes(const struct symbolizer *s, struct notes *notes)
{
    if (*s->note) notes_add(notes, "%s", s->note);
    if (s->has_unnamed_code && s->made)
        notes_add(notes,
                  "some code that it made at run time has no name: it is not in its map, or came later");
    else if (s->has_unnamed_code)
        notes_add(notes,
                  "code that it made at run time has no names (%s): node has --perf-basic-prof, a JVM jcmd "
                  "Compiler.perfmap, .NET DOTNET_PerfMapEnabled=1",
                  s->made_note);
}

/* loading */

static int compare_symbols(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    if (a->address != b->address) return a->address < b->address ? -1 : 1;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    return (a->name > b->name) - (a->name < b->name);
}

/* "clone3" is better than "__clone3", and that than "__GI___clone3": the plainest of a function's names. */
static size_t underscores(const struct known *k, const struct named *n)
{
    return strspn(k->texts + n->name, "_");
}

/* Of those at one address the longest: a look-up must not walk over as many as a file chooses to have. */
static void keep_one_of_each(struct known *k)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        struct named *n = &k->symbols[i], *last = kept ? &k->symbols[kept - 1] : NULL;
        if (!last || last->address != n->address)
            k->symbols[kept++] = *n;
        else if (last->size == n->size && underscores(k, n) < underscores(k, last))
            *last = *n;
    }
    k->count = kept;
}

static bool is_function(const Elf64_Sym *s)
{
    unsigned type = ELF64_ST_TYPE(s->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC || (type == STT_NOTYPE && s->st_size)) &&
           s->st_shndx != SHN_UNDEF && s->st_value;
}

/* The symbols of a table, as far as they are functions. */
static void take_symbols(struct known *k, const Elf64_Sym *symbols, uint64_t count)
{
    k->symbols = malloc((count ? count : 1) * sizeof(*k->symbols));
    for (uint64_t i = 0; k->symbols && i < count; i++) {
        const Elf64_Sym *s = &symbols[i];
        if (!is_function(s) || s->st_name >= k->texts_len || !k->texts[s->st_name]) continue;
        uint32_t size = s->st_size > UINT32_MAX ? UINT32_MAX : (uint32_t)s->st_size;
        k->symbols[k->count++] = (struct named){ s->st_value, size, s->st_name };
    }
    if (!k->symbols) return;
    qsort(k->symbols, k->count, sizeof(*k->symbols), compare_symbols);
    keep_one_of_each(k);
}

static void forget_table(struct known *k)
{
    free(k->texts);
    free(k->symbols);
    k->texts = NULL;
    k->symbols = NULL;
    k->count = 0;
}

/* In place of one that had none. */
static bool load_table(struct symbolizer *s, struct known *k, const struct elf_image *image, uint32_t type)
{
    const Elf64_Shdr *table = elf_section_of_type(image, type);
    if (!table || table->sh_link >= image->section_count || table->sh_size / sizeof(Elf64_Sym) > SYMBOLS_MAX)
        return false;
    const Elf64_Shdr *names = &image->sections[table->sh_link];
    if (names->sh_size > s->bytes_left || table->sh_size > s->bytes_left - names->sh_size) {
        snprintf(s->note, sizeof(s->note),
                 "names of functions are left out: together they have more than %u MiB", BYTES_MAX >> 20);
        return false;
    }
    s->bytes_left -= table->sh_size + names->sh_size;
    forget_table(k);
    uint8_t *symbols = elf_load(image, table->sh_offset, table->sh_size);
    k->texts = (char *)elf_load(image, names->sh_offset, names->sh_size);
    k->texts_len = k->texts ? names->sh_size : 0;
    if (symbols && k->texts)
        take_symbols(k, (const Elf64_Sym *)(void *)symbols, table->sh_size / sizeof(Elf64_Sym));
    free(symbols);
    return k->count > 0;
}

/* Of the same build, or it is not taken. */
static int open_debug(const char *path, const struct module *m)
{
    struct elf_image image;
    char id[ELF_BUILD_ID_MAX + 1];
    struct stat st;
    int fd = process_root_file(AT_FDCWD, path, &st);
    if (fd < 0 || elf_open_fd(&image, dup(fd), NULL) < 0) {
        if (fd >= 0) close(fd);
        return -1;
    }
    elf_build_id(&image, id);
    elf_close(&image);
    if (*m->build_id && strcmp(id, m->build_id) == 0) return fd;
    close(fd);
    return -1;
}

/* The name in .gnu_debuglink, which is without directory. */
static bool read_link(const struct elf_image *image, char *out, size_t cap)
{
    const Elf64_Shdr *section = elf_section(image, ".gnu_debuglink");
    char *link = section && section->sh_size < 4096
                     ? (char *)elf_load(image, section->sh_offset, section->sh_size)
                     : NULL;
    bool is_name = link && *link && !strchr(link, '/') && strlen(link) < cap;
    if (is_name) memcpy(out, link, strlen(link) + 1);
    free(link);
    return is_name;
}

/* Where gdb looks too: "Debugging Information in Separate Files" of its manual. */
static int find_debug(const struct module *m, const struct elf_image *image)
{
    char path[PATH_MAX], name[256];
    if (strlen(m->build_id) > 2) {
        snprintf(path, sizeof(path), DEBUG_DIRECTORY "/.build-id/%.2s/%s.debug", m->build_id,
                 m->build_id + 2);
        int fd = open_debug(path, m);
        if (fd >= 0) return fd;
    }
    if (*m->path != '/' || !read_link(image, name, sizeof(name))) return -1;
    const char *slash = strrchr(m->path, '/');

    for (unsigned i = 0; i < 3; i++) {
        int len = (int)(slash - m->path);
        switch (i) {
        case 0: snprintf(path, sizeof(path), "%.*s/%s", len, m->path, name); break;
        case 1: snprintf(path, sizeof(path), "%.*s/.debug/%s", len, m->path, name); break;
        default: snprintf(path, sizeof(path), DEBUG_DIRECTORY "%.*s/%s", len, m->path, name);
        }
        int fd = open_debug(path, m);
        if (fd >= 0) return fd;
    }
    return -1;
}

static void load_debug(struct symbolizer *s, struct known *k, const struct module *m,
                       const struct elf_image *image)
{
    struct elf_image debug;
    int fd = find_debug(m, image);
    if (fd < 0) return;
    if (!s->has_no_lines) k->lines = source_lines_new(dup(fd));
    if (elf_open_fd(&debug, fd, NULL) < 0) return;
    load_table(s, k, &debug, SHT_SYMTAB);
    elf_close(&debug);
}

static void load_symbols(struct symbolizer *s, uint32_t i)
{
    const struct module *m = &s->modules->items[i];
    struct known *k = &s->known[i];
    struct elf_image image;
    struct err err;
    void *memory = NULL;
    k->is_loaded = true;
    if (module_open(s->modules, m, &image, &memory, &err) < 0) {
        snprintf(s->note, sizeof(s->note), "%s", err.text);
        return;
    }
    if (load_table(s, k, &image, SHT_SYMTAB)) {
        if (!s->has_no_lines && image.fd >= 0 && elf_section(&image, ".debug_line"))
            k->lines = source_lines_new(dup(image.fd));
    } else {
        load_debug(s, k, m, &image);
        if (!k->count) load_table(s, k, &image, SHT_DYNSYM);
        if (!k->count && !*s->note)
            snprintf(s->note, sizeof(s->note), "%s has no names of functions (it is stripped)", m->path);
    }
    elf_close(&image);
    free(memory);
}

/* finding */

/* Without what gcc adds to the names of copies: "send_head.lto_priv.0" is send_head(). */
static struct slice plain_name(const char *name)
{
    static const char *const marks[] = { ".lto_priv.", ".constprop.", ".isra.", ".part." };
    struct slice s = { name, strnlen(name, NAME_MAX_BYTES) };
    for (unsigned i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
        const char *at = s.len ? memmem(s.data, s.len, marks[i], strlen(marks[i])) : NULL;
        if (at && at > s.data) s.len = (size_t)(at - s.data);
    }
    return s;
}

static const struct named *find_symbol(const struct known *k, uint64_t address)
{
    uint32_t low = 0, count = k->count;
    if (!count || address < k->symbols[0].address) return NULL;
    while (count > 1) {
        uint32_t half = count / 2;
        if (k->symbols[low + half].address <= address) low += half;
        count -= half;
    }
    const struct named *n = &k->symbols[low];
    return !n->size || address - n->address < n->size ? n : NULL;
}

/* Of no file, or of one that has no names, as of memory that is mapped twice. */
static void find_made(struct symbolizer *s, uint64_t at, struct symbol *out)
{
    struct err err;
    if (!s->modules->pid || !modules_have_code(s->modules, at)) return;
    if (!s->is_made_loaded && code_map_read(&s->made, s->modules, &err) < 0) {
        s->made = NULL;
        memcpy(s->made_note, err.text, sizeof(s->made_note));
    }
    s->is_made_loaded = true;
    if (s->made) out->name = code_map_find(s->made, at);
    if (!out->name.data && !modules_find(s->modules, at)) s->has_unnamed_code = true;
}

static void find_in_module(struct symbolizer *s, const struct module *m, uint64_t at, struct symbol *out)
{
    out->module = slice_of(m->path);
    struct known *k = &s->known[m - s->modules->items];
    if (!k->is_loaded) load_symbols(s, (uint32_t)(m - s->modules->items));
    const struct named *n = find_symbol(k, at - m->bias);
    if (n) {
        out->name = plain_name(k->texts + n->name);
        out->offset = at - m->bias - n->address;
    }
    if (k->lines && !s->has_no_lines) source_lines_find(k->lines, at - m->bias, &out->file, &out->line);
}

bool symbolizer_find(struct symbolizer *s, uint64_t pc, bool is_return, struct symbol *out)
{
    uint64_t at = pc - (is_return ? 1 : 0);
    const struct module *m = modules_find(s->modules, at);
    *out = (struct symbol){ 0 };
    if (m) find_in_module(s, m, at, out);
    if (!out->name.data) find_made(s, at, out);
    return m || out->name.data;
}
