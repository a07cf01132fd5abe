#include "files/files_conf.h"

#include "conf/decode.h"
#include "files/file_name.h"
#include "http/h1_scan.h"

static const char *const coding_names[] = { "gzip", "br", "zstd", NULL }; /* in the order of enum coding */
static const struct conf_type sibling_type = { .name = "precompressed coding", .names = coding_names };

static const struct conf_field media_type_fields[] = {
    { "type", CONF_STRING(struct media_type_conf, type), .min = 1, .max = 255, .flags = CONF_REQUIRED,
      .help = "What Content-Type says." },
    { 0 },
};
static const struct conf_type media_type_type = { .name = "media type",
                                                  .size = sizeof(struct media_type_conf),
                                                  .fields = media_type_fields,
                                                  .short_form = "type" };

static bool is_ending(const char *name)
{
    const char *c = name;
    while (*c > ' ' && *c < 127 && *c != '.' && *c != '/' && !(*c >= 'A' && *c <= 'Z')) c++;
    return !*c && c != name;
}

static void check_types(struct conf_decode *d, const struct conf_node *node, const struct files_conf *f)
{
    const struct media_type_conf *types = f->types.data;
    const struct conf_node *at = conf_node_get(node, "types");
    for (uint32_t i = 0; i < f->types.count; i++) {
        if (!is_ending(types[i].name))
            conf_decode_fault(d, at, types[i].name,
                              "write it without its dot and in small letters, like `glb`",
                              "\"%s\" cannot be what a file's name ends with", types[i].name);
        for (const char *c = types[i].type; *c; c++) {
            if (h1_is(*c, H1_VALUE)) continue;
            conf_decode_fault(d, at, types[i].name, "", "a header's value cannot hold a control character");
            break;
        }
    }
}

static void check_files(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct files_conf *f = object;
    const char *const *index = f->index.data;
    if (f->root && f->root[0] != '/')
        conf_decode_fault(d, node, "root", "write the whole path, like `/srv/www`",
                          "\"%s\" would be another folder wherever weir is started from", f->root);
    for (uint32_t i = 0; i < f->index.count; i++)
        if (strchr(index[i], '/') || !file_name_is_plain(index[i]))
            conf_decode_fault(d, node, "index", "write a name alone, like `index.html`",
                              "\"%s\" is no file of the folder that is asked for", index[i]);
    if (f->fallback && !file_name_is_plain(f->fallback))
        conf_decode_fault(d, node, "fallback", "write it as it lies below the root, like `index.html`",
                          "\"%s\" leads out of the root, or cannot be a file", f->fallback);
    check_types(d, node, f);
}

static const struct conf_field fields[] = {
    { "root", CONF_STRING(struct files_conf, root), .min = 1, .max = 1024, .flags = CONF_REQUIRED,
      .help = "The folder. A request's path, after `rewrite`, is looked for below it, and nothing leads out "
              "of it." },
    { "index", CONF_STRINGS(struct files_conf, index), .max = 16, .preset = "[index.html]",
      .help = "What stands for a folder: the first of these that is in it." },
    { "fallback", CONF_STRING(struct files_conf, fallback), .min = 1, .max = 1024,
      .help = "What is sent, as 200, where there is no such file: the page of an application that reads its "
              "path by itself. Below the root; without it the answer is 404." },
    { "precompressed", CONF_LIST(struct files_conf, precompressed, &sibling_type), .max = 3,
      .help = "Codings of which a file may have a sibling that was compressed beforehand: `app.js.br`, "
              "`app.js.gz`, `app.js.zst`. Of those that the client takes the first here is sent, unless it "
              "is older than the file." },
    { "types", CONF_MAP(struct files_conf, types, &media_type_type), .max = 256,
      .help = "Content types by what names end with, before those that weir knows." },
    { "hidden", CONF_BOOL(struct files_conf, hidden), .preset = "false",
      .help = "Whether names that begin with a dot are served; `/.well-known/` always is." },
    { 0 },
};

const struct conf_type files_conf_type = { .name = "files",
                                           .size = sizeof(struct files_conf),
                                           .fields = fields,
                                           .short_form = "root",
                                           .check = check_files };
