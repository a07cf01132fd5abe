#include "route/page_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/decode.h"
#include "conf/decoding.h"

/* Whole, of at most PAGE_TEXT_MAX bytes. */
static int read_all(int fd, const char *path, struct conf_arena *arena, struct slice *out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return err_set(err, "cannot read %.300s: %s", path, strerror(errno)); /* NOLINT */
    if (!S_ISREG(st.st_mode)) return err_set(err, "%.300s is no file", path);
    if ((uint64_t)st.st_size > PAGE_TEXT_MAX)
        return err_set(err, "%.300s has more than %u KiB, and no page may", path, PAGE_TEXT_MAX >> 10);
    size_t size = (size_t)st.st_size, len = 0;
    char *text = conf_arena_alloc(arena, size + 1);
    if (!text) return err_set(err, "there is no memory for %.300s", path);
    while (len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(err, "cannot read %.300s: %s", path, strerror(errno)); /* NOLINT */
        if (got == 0) break;
        len += (size_t)got;
    }
    *out = (struct slice){ text, len };
    return 0;
}

static int read_file(const char *path, struct conf_arena *arena, struct slice *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_set(err, "cannot open %.300s: %s", path, strerror(errno)); /* NOLINT */
    int result = read_all(fd, path, arena, out, err);
    close(fd);
    return result;
}

static bool ends_with(struct slice path, struct slice ending)
{
    return path.len > ending.len &&
           slice_equal_fold((struct slice){ path.data + path.len - ending.len, ending.len }, ending);
}

/* By the file's name. */
static bool kind_of(struct slice path, enum page_kind *out)
{
    bool is_html = ends_with(path, SLICE(".html")) || ends_with(path, SLICE(".htm"));
    bool is_json = ends_with(path, SLICE(".json"));
    *out = is_html ? PAGE_HTML : is_json ? PAGE_JSON : PAGE_TEXT;
    return is_html || is_json || ends_with(path, SLICE(".txt"));
}

struct making {
    struct conf_decode *d;
    const struct conf_node *node;
};

static struct page *make(const struct making *m, const char *key, struct slice text, enum page_kind kind)
{
    struct err err;
    struct page *p = page_new(text, kind, m->d->arena, &err);
    if (!p)
        conf_decode_fault(m->d, m->node, key, "", "%s", err.text);
    else if (p->doubted.len)
        conf_decode_note(m->d, m->node, key, "",
                         "{%.*s} is no variable, and stays as it is; did you mean {%s}?",
                         p->doubted.len > 64 ? 64 : (int)p->doubted.len, p->doubted.data, p->meant);
    return p;
}

static struct page *make_of_file(const struct making *m, const char *path)
{
    struct err err;
    struct slice text;
    enum page_kind kind;
    if (!kind_of(slice_of(path), &kind))
        conf_decode_fault(m->d, m->node, "file", "name it .html, .txt or .json",
                          "what \"%.300s\" is cannot be told from its name", path);
    else if (read_file(path, m->d->arena, &text, &err) < 0)
        conf_decode_fault(m->d, m->node, "file", "", "%s", err.text);
    else
        return make(m, "file", text, kind);
    return NULL;
}

static void check_page(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct page_conf *conf = object;
    const struct making m = { d, node };
    int bodies = (conf->text != NULL) + (conf->html != NULL) + (conf->file != NULL);
    if (bodies > 1)
        conf_decode_fault(d, node, NULL, "keep one of text, html and file", "a page has one body");
    else if (!bodies && !conf->json)
        conf_decode_fault(d, node, NULL, "add text, html, file or json", "the page says nothing");
    if (conf->text) conf->page = make(&m, "text", slice_of(conf->text), PAGE_TEXT);
    if (conf->html) conf->page = make(&m, "html", slice_of(conf->html), PAGE_HTML);
    if (conf->file) conf->page = make_of_file(&m, conf->file);
    if (conf->json) conf->json_page = make(&m, "json", slice_of(conf->json), PAGE_JSON);
}

/* "404", "4xx", "default" */
static bool is_status(const char *name)
{
    size_t len = strlen(name);
    if (strcmp(name, "default") == 0) return true;
    if (len != 3 || (name[0] != '4' && name[0] != '5')) return false;
    bool is_class = name[1] == 'x' && name[2] == 'x';
    bool is_number = name[1] >= '0' && name[1] <= '9' && name[2] >= '0' && name[2] <= '9';
    return is_class || is_number;
}

/* Answers of these say more than their body: a password is asked for, or what would be right. */
static bool may_intercept(const char *name)
{
    static const char *const others[] = { "401", "405", "407", "416", "426", "4xx", "default" };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (strcmp(name, others[i]) == 0) return false;
    return true;
}

static void check_error_page(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct page_conf *conf = object;
    if (conf->name && conf->intercept && is_status(conf->name) && !may_intercept(conf->name))
        conf_decode_fault(d, node, "intercept", "write it at 5xx, or at a status like 404",
                          "what servers answer with %s says more than its body", conf->name);
    if (conf->name && !is_status(conf->name))
        conf_decode_fault(d, node, NULL, "write a status like 404, a class, 4xx or 5xx, or default",
                          "no answer of weir's own to a fault has the status \"%s\"", conf->name);
    else
        check_page(d, node, object);
}

#define BODY_MAX 65536
#define PAGE_ROWS                                                                                           \
    { "text", CONF_STRING(struct page_conf, text), .max = BODY_MAX,                                         \
      .help = "What it says, as plain text with variables: `{status}`, `{title}`, `{reason}`, `{detail}`, " \
              "`{pool}`, `{server}`, and those of other texts, like `{request_id}` and `{path}`." },        \
        { "html", CONF_STRING(struct page_conf, html), .max = BODY_MAX,                                     \
          .help = "Likewise as HTML. What comes from the request is escaped, and may stand in text alone, " \
                  "not in "                                                                                 \
                  "tags or scripts." },                                                                     \
        { "file", CONF_STRING(struct page_conf, file), .min = 1, .max = 4000,                               \
          .help = "Likewise in a file that ends in .html, .txt or .json, read with the configuration." },   \
    {                                                                                                       \
        "json", CONF_STRING(struct page_conf, json),                                                        \
            .max = BODY_MAX,                                                                                \
            .help = "Likewise as JSON: alone, or beside one of the others for clients that prefer it."      \
    }

static const struct conf_field page_fields[] = { PAGE_ROWS, { 0 } };
static const struct conf_field error_page_fields[] = {
    PAGE_ROWS,
    { "intercept", CONF_BOOL(struct page_conf, intercept), .preset = "false",
      .help = "Whether servers' own answers of that status have it too, in place of what they say." },
    { 0 },
};

const struct conf_type page_conf_type = { .name = "page",
                                          .size = sizeof(struct page_conf),
                                          .fields = page_fields,
                                          .short_form = "text",
                                          .check = check_page };
const struct conf_type error_page_type = { .name = "error page",
                                           .size = sizeof(struct page_conf),
                                           .fields = error_page_fields,
                                           .short_form = "text",
                                           .check = check_error_page };

static const struct page_conf *find_named(const struct conf_items *errors, const char *name)
{
    const struct page_conf *pages = errors->data;
    for (uint32_t i = 0; i < errors->count; i++)
        if (strcmp(pages[i].name, name) == 0) return &pages[i];
    return NULL;
}

const struct page_conf *page_conf_find(const struct conf_items *errors, uint16_t status)
{
    char number[4] = { (char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                       (char)('0' + status % 10), 0 };
    const char class[] = { number[0], 'x', 'x', 0 };
    const struct page_conf *found = find_named(errors, number);
    if (!found) found = find_named(errors, class);
    return found ? found : find_named(errors, "default");
}

const struct page_conf *page_conf_find_intercept(const struct conf_items *errors, uint16_t status)
{
    const struct page_conf *found = errors->count ? page_conf_find(errors, status) : NULL;
    return found && found->intercept ? found : NULL;
}

const struct page *page_conf_form(const struct page_conf *conf, bool wants_json)
{
    if (!conf->page) return conf->json_page;
    return wants_json && conf->json_page ? conf->json_page : conf->page;
}
