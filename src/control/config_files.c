#include "control/config_files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "base/secret.h"
#include "conf/tree.h"
#include "conf/tree_merge.h"
#include "conf/variables.h"
#include "control/config.h"

#define FIRST_LINE SLICE("# weir: a configuration of several files\n")
#define FILE_LINE SLICE("# file: ")
#define INCLUDES_MAX 64u
#define NAME_MAX_BYTES 1024u
#define NO_MEMORY "there is no memory to read %s; try again"

bool config_is_json(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".json") == 0;
}

void config_text_free(char *text, size_t len)
{
    if (text) explicit_bzero(text, len);
    free(text);
}

/* All of what is open, and a byte for the end; the size of a pipe is not known beforehand. Closes it. */
static int read_open(int fd, const char *path, char **text, size_t *len, struct err *err)
{
    char *memory = malloc(CONFIG_FILE_MAX + 1);
    if (!memory) {
        close(fd);
        return err_set(err, "out of memory for %s", path);
    }
    ssize_t got = 1;
    for (*len = 0; got > 0 && *len <= CONFIG_FILE_MAX; *len += got > 0 ? (size_t)got : 0)
        got = read(fd, memory + *len, CONFIG_FILE_MAX + 1 - *len);
    int cause = errno;
    close(fd);
    if (got < 0 || *len > CONFIG_FILE_MAX) {
        free(memory);
        return got < 0 ? err_set(err, "cannot read %s: %s", path, strerror(cause))
                       : err_set(err, "%s has more than %u MiB, and no configuration may", path,
                                 CONFIG_FILE_MAX >> 20);
    }
    *text = memory;
    return 0;
}

int config_read(const char *path, char **text, size_t *len, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(err, "cannot open %s: %s", path, strerror(errno));
    return read_open(fd, path, text, len, err);
}

/* gathering */

struct part {
    char *name; /* owned; so the text */
    char *text;
    size_t len;
    dev_t device;
    ino_t inode;
    uint32_t from; /* which part included it, and where */
    struct conf_place place;
};

struct gathering {
    struct part parts[CONF_OTHERS_MAX + 1];
    uint32_t count;
    size_t total;
    char *faults;
    struct err *err;
    /* Of the part at hand. */
    uint32_t at;
    struct conf_tree tree;
    struct conf_faults *found;
};

static void refuse(struct gathering *g, const struct conf_node *node, const char *remedy,
                   const char *sentence)
{
    conf_fault_add(g->found, node->place, remedy, "%s", sentence);
}

/* A relative name is beside the file that says it. -1: it does not fit. */
static int place_beside(const char *file, struct slice pattern, char out[NAME_MAX_BYTES])
{
    const char *slash = strrchr(file, '/');
    size_t folder = slash && *pattern.data != '/' ? (size_t)(slash - file) + 1 : 0;
    if (folder + pattern.len >= NAME_MAX_BYTES) return -1;
    memcpy(out, file, folder);
    memcpy(out + folder, pattern.data, pattern.len);
    out[folder + pattern.len] = 0;
    return 0;
}

static bool is_plain(const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name < ' ' || *name == 0x7f) return false;
    return true;
}

static const struct part *find_same(const struct gathering *g, const struct stat *st)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->parts[i].device == st->st_dev && g->parts[i].inode == st->st_ino) return &g->parts[i];
    return NULL;
}

static void refuse_same(struct gathering *g, const struct conf_node *node, const struct part *same,
                        const char *name)
{
    char text[ERR_TEXT_MAX];
    if (same == &g->parts[0])
        snprintf(text, sizeof(text), "%.200s is where the configuration begins: it would include itself",
                 name);
    else if (same == &g->parts[g->at])
        snprintf(text, sizeof(text), "%.200s would include itself", name);
    else
        snprintf(text, sizeof(text), "%.200s is included a second time; the first is at %.200s:%u", name,
                 g->parts[same->from].name, same->place.line);
    refuse(g, node, "include each file once", text);
}

static int keep(struct gathering *g, int fd, const struct stat *st, const char *name, struct conf_place place)
{
    struct part *p = &g->parts[g->count];
    *p = (struct part){ .device = st->st_dev, .inode = st->st_ino, .from = g->at, .place = place };
    if (read_open(fd, name, &p->text, &p->len, g->err) < 0) return -1;
    p->name = strdup(name);
    g->count++;
    if (!p->name) return err_set(g->err, "there is no memory for %s", name);
    g->total += p->len;
    if (g->total <= CONFIG_FILE_MAX) return 0;
    return err_set(g->err, "with %s the files come to more than %u MiB, and no configuration may", name,
                   CONFIG_FILE_MAX >> 20);
}

/* A fault is said; -1: it cannot be gone on. */
static int add_file(struct gathering *g, const struct conf_node *node, const char *name)
{
    struct stat st;
    char text[ERR_TEXT_MAX];
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        snprintf(text, sizeof(text), "cannot open %.200s: %s", name, strerror(errno));
        if (fd >= 0) close(fd);
        refuse(g, node, "", text);
        return 0;
    }
    const struct part *same = find_same(g, &st);
    *text = 0;
    if (same)
        refuse_same(g, node, same, name);
    else if (!S_ISREG(st.st_mode))
        snprintf(text, sizeof(text), "%.200s is no file", name);
    else if (!is_plain(name))
        snprintf(text, sizeof(text), "%.200s has a control character in its name", name);
    else if (g->count > CONF_OTHERS_MAX)
        snprintf(text, sizeof(text), "%.200s is one file too many: there may be %u", name, CONF_OTHERS_MAX);
    else
        return keep(g, fd, &st, name, node->place);
    if (*text) refuse(g, node, "", text);
    close(fd);
    return 0;
}

static int include(struct gathering *g, const struct conf_node *node)
{
    char pattern[NAME_MAX_BYTES], text[ERR_TEXT_MAX];
    if (node->kind != CONF_NODE_SCALAR || !node->text.len) {
        refuse(g, node, "write one name, or a list of names",
               "what is included is a file's name, or a pattern of names");
        return 0;
    }
    if (memchr(node->text.data, 0, node->text.len) ||
        place_beside(g->parts[g->at].name, node->text, pattern) < 0) {
        refuse(g, node, "", "this is no file name: it has a zero byte, or is too long");
        return 0;
    }
    if (!strpbrk(pattern, "*?[")) return add_file(g, node, pattern);
    glob_t found = { 0 };
    int result = glob(pattern, GLOB_ERR, NULL, &found); /* NOLINT(concurrency-mt-unsafe): no ~ and no users */
    if (result == GLOB_NOSPACE) {
        globfree(&found);
        return err_set(g->err, "there is no memory for the files that %s includes", g->parts[g->at].name);
    }
    if (result == GLOB_ABORTED) {
        snprintf(text, sizeof(text), "the folder of %.200s cannot be read: %s", pattern, strerror(errno));
        refuse(g, node, "", text);
    }
    result = 0;
    for (size_t i = 0; i < found.gl_pathc && result == 0 && g->found->count < INCLUDES_MAX; i++)
        result = add_file(g, node, found.gl_pathv[i]);
    globfree(&found);
    return result;
}

static bool may_include(struct slice text)
{
    return memmem(text.data, text.len, "include", strlen("include")) != NULL;
}

static int include_all(struct gathering *g)
{
    const struct conf_node *node = conf_node_get(g->tree.root, "include");
    int result = 0;
    if (node && node->kind != CONF_NODE_LIST) return include(g, node);
    for (const struct conf_node *n = node ? node->first_child : NULL; n && result == 0; n = n->next)
        result = include(g, n);
    return result;
}

static int give_up(struct gathering *g)
{
    conf_tree_free(&g->tree);
    return err_set(g->err, NO_MEMORY, g->parts[g->at].name);
}

/* What the part at hand includes becomes parts that are still to be looked at. */
static int look(struct gathering *g, bool *has_include)
{
    const struct part *p = &g->parts[g->at];
    const struct slice text = { p->text, p->len };
    if (!may_include(text)) return 0;
    int result = config_is_json(p->name) ? conf_read_json(&g->tree, p->name, text, g->found)
                                         : conf_read_yaml(&g->tree, p->name, text, g->found);
    bool is_good = result == 0 || g->tree.is_decodable;
    if (g->found->is_short) return give_up(g);
    *g->found = (struct conf_faults){ 0 }; /* what is wrong is found again where all is read */
    result = 0;
    if (is_good && conf_node_get(g->tree.root, "include")) {
        *has_include = true;
        bool is_filled = conf_variables_fill(&g->tree, g->found) == 0;
        if (g->found->is_short) return give_up(g);
        if (!is_filled) *g->found = (struct conf_faults){ 0 };
        result = include_all(g);
    }
    if (result == 0 && g->found->count) {
        g->faults = conf_faults_print(g->found, &g->tree, false);
        result = g->faults ? -1 : err_set(g->err, NO_MEMORY, p->name);
    }
    conf_tree_free(&g->tree);
    return result;
}

/* One text of all parts. */
static int join(struct gathering *g, char **text, size_t *len)
{
    size_t size = FIRST_LINE.len;
    for (uint32_t i = 0; i < g->count; i++)
        size += FILE_LINE.len + 24 + strlen(g->parts[i].name) + g->parts[i].len + 2;
    if (size > CONFIG_FILE_MAX)
        return err_set(g->err, "%s and what it includes come to more than %u MiB, and no configuration may",
                       g->parts[0].name, CONFIG_FILE_MAX >> 20);
    char *out = malloc(size + 1);
    if (!out) return err_set(g->err, "out of memory for %s", g->parts[0].name);
    memcpy(out, FIRST_LINE.data, FIRST_LINE.len);
    *len = FIRST_LINE.len;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct part *p = &g->parts[i];
        *len += (size_t)sprintf(out + *len, "%s%zu %s\n", FILE_LINE.data, p->len, p->name);
        memcpy(out + *len, p->text, p->len);
        *len += p->len;
        out[(*len)++] = '\n';
    }
    *text = out;
    return 0;
}

static int gather(struct gathering *g, const char *path, char **text, size_t *len)
{
    struct stat st;
    struct part *first = &g->parts[0];
    bool has_include = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int cause = errno;
        if (fd >= 0) close(fd);
        return err_set(g->err, "cannot open %s: %s", path, strerror(cause));
    }
    if (keep(g, fd, &st, path, (struct conf_place){ 0 }) < 0) return -1;
    if (!slice_starts_with((struct slice){ first->text, first->len }, FIRST_LINE))
        for (; g->at < g->count; g->at++)
            if (look(g, &has_include) < 0) return -1;
    if (has_include) return join(g, text, len);
    *text = first->text;
    *len = first->len;
    first->text = NULL;
    return 0;
}

int config_gather(const char *path, char **text, size_t *len, char **faults, struct err *err)
{
    struct gathering *g = calloc(1, sizeof(*g));
    *text = *faults = NULL;
    if (g) g->found = calloc(1, sizeof(*g->found));
    if (!g || !g->found) {
        free(g);
        return err_set(err, NO_MEMORY, path);
    }
    g->err = err;
    secret_wipe_begin();
    int result = gather(g, path, text, len);
    *faults = g->faults;
    for (uint32_t i = 0; i < g->count; i++) {
        config_text_free(g->parts[i].text, g->parts[i].len);
        free(g->parts[i].name);
    }
    free(g->found);
    free(g);
    secret_wipe_end();
    return result;
}

/* reading */

/* Takes the next file off `rest`. False: there is none, or it is not whole (then `rest` has something left). */
static bool next_part(struct slice *rest, struct slice *name, struct slice *text)
{
    if (!slice_starts_with(*rest, FILE_LINE)) return false;
    const char *end = memchr(rest->data, '\n', rest->len);
    const char *space =
        end ? memchr(rest->data + FILE_LINE.len, ' ', (size_t)(end - rest->data) - FILE_LINE.len) : NULL;
    uint64_t len;
    if (!space ||
        !number_u64(
            (struct slice){ rest->data + FILE_LINE.len, (size_t)(space - rest->data) - FILE_LINE.len }, &len))
        return false;
    size_t left = rest->len - (size_t)(end + 1 - rest->data);
    *name = (struct slice){ space + 1, (size_t)(end - space) - 1 };
    if (left <= len || end[1 + len] != '\n' || !name->len || name->len >= NAME_MAX_BYTES) return false;
    *text = (struct slice){ end + 1, len };
    *rest = (struct slice){ end + 2 + len, left - len - 1 };
    return true;
}

static int read_part(struct conf_tree *tree, const char *name, bool is_json, struct slice text,
                     struct conf_faults *faults)
{
    return is_json ? conf_read_json(tree, name, text, faults) : conf_read_yaml(tree, name, text, faults);
}

/* Its files are here already. */
static void drop_include(struct conf_tree *tree)
{
    if (!tree->root) return;
    struct conf_node **at = &tree->root->first_child;
    while (tree->root->kind == CONF_NODE_MAP && *at) {
        if (slice_equal((*at)->key, SLICE("include")))
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

static int refuse_part(struct conf_tree *tree, struct conf_faults *faults)
{
    conf_fault_add(faults, (struct conf_place){ .line = 1, .column = 1 }, "send it as it was read",
                   "this configuration of several files is not whole");
    tree->is_decodable = false;
    return -1;
}

/* A sequence of what was included behind the first, whose tree takes them in. */
static int read_others(struct conf_tree *tree, struct slice rest, struct conf_faults *faults)
{
    struct slice name, text;
    int result = 0;
    struct conf_faults *own = calloc(1, sizeof(*own));
    if (!own) {
        conf_fault_no_memory(faults);
        tree->is_decodable = false;
        return -1;
    }
    while (tree->other_count < CONF_OTHERS_MAX && next_part(&rest, &name, &text)) {
        char called[NAME_MAX_BYTES];
        struct conf_tree other;
        snprintf(called, sizeof(called), "%.*s", SLICE_ARGS(name));
        *own = (struct conf_faults){ 0 };
        if (read_part(&other, called, config_is_json(called), text, own) < 0) result = -1;
        drop_include(&other);
        uint32_t before = faults->count + faults->dropped;
        conf_tree_merge(tree, &other, &config_type, faults, own);
        if (faults->count + faults->dropped != before) result = -1;
    }
    free(own);
    return rest.len ? refuse_part(tree, faults) : result;
}

static int read_several(struct conf_tree *tree, const char *name, struct slice text,
                        struct conf_faults *faults)
{
    struct slice rest = { text.data + FIRST_LINE.len, text.len - FIRST_LINE.len }, own_name, first;
    char called[NAME_MAX_BYTES];
    bool is_whole = next_part(&rest, &own_name, &first);
    if (!is_whole) first = own_name = SLICE("");
    snprintf(called, sizeof(called), "%.*s", SLICE_ARGS(own_name));
    int result = read_part(tree, name, config_is_json(called), first, faults);
    if (!is_whole) return refuse_part(tree, faults);
    drop_include(tree);
    return read_others(tree, rest, faults) < 0 ? -1 : result;
}

/* A text that is sent has no files beside it, and neither has one that was kept. */
static int refuse_include(const struct conf_tree *tree, struct conf_faults *faults)
{
    const struct conf_node *node = conf_node_get(tree->root, "include");
    if (!node) return 0;
    conf_fault_add(faults, node->key_place,
                   "send one text with all of it, or reload the file that includes them",
                   "what is sent cannot include files");
    return -1;
}

int config_read_tree(struct conf_tree *tree, const char *name, struct slice text, struct conf_faults *faults)
{
    if (slice_starts_with(text, FIRST_LINE)) return read_several(tree, name, text, faults);
    int result = read_part(tree, name, config_is_json(name), text, faults);
    return result < 0 ? result : refuse_include(tree, faults);
}
