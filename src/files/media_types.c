#include "files/media_types.h"

#include <string.h>

#define ENDING_MAX 15u

/* Text without a word on its encoding would be read by the reader's guess. */
#define UTF8 "; charset=utf-8"

static const struct media_type_conf types[] = {
    { "html", "text/html" UTF8 },
    { "htm", "text/html" UTF8 },
    { "css", "text/css" UTF8 },
    { "js", "text/javascript" UTF8 },
    { "mjs", "text/javascript" UTF8 },
    { "json", "application/json" },
    { "map", "application/json" },
    { "txt", "text/plain" UTF8 },
    { "md", "text/markdown" UTF8 },
    { "csv", "text/csv" UTF8 },
    { "xml", "application/xml" },
    { "atom", "application/atom+xml" },
    { "rss", "application/rss+xml" },
    { "webmanifest", "application/manifest+json" },
    { "wasm", "application/wasm" },
    { "pdf", "application/pdf" },
    { "svg", "image/svg+xml" },
    { "png", "image/png" },
    { "jpg", "image/jpeg" },
    { "jpeg", "image/jpeg" },
    { "gif", "image/gif" },
    { "webp", "image/webp" },
    { "avif", "image/avif" },
    { "ico", "image/vnd.microsoft.icon" },
    { "woff", "font/woff" },
    { "woff2", "font/woff2" },
    { "ttf", "font/ttf" },
    { "otf", "font/otf" },
    { "mp3", "audio/mpeg" },
    { "ogg", "audio/ogg" },
    { "wav", "audio/wav" },
    { "m4a", "audio/mp4" },
    { "mp4", "video/mp4" },
    { "webm", "video/webm" },
    { "zip", "application/zip" },
    { "gz", "application/gzip" },
    { "tar", "application/x-tar" },
    { "zst", "application/zstd" },
};

static const char *find(const struct media_type_conf *table, uint32_t count, const char *ending)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(table[i].name, ending) == 0) return table[i].type;
    return NULL;
}

const char *media_type_of(const struct files_conf *conf, const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash + 1 : name, '.');
    char ending[ENDING_MAX + 1];
    size_t len = dot ? strlen(dot + 1) : 0;
    if (!len || len > ENDING_MAX) return "application/octet-stream";
    for (size_t i = 0; i <= len; i++) {
        char c = dot[i + 1];
        ending[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    const char *type = find(conf->types.data, conf->types.count, ending);
    if (!type) type = find(types, sizeof(types) / sizeof(*types), ending);
    return type ? type : "application/octet-stream";
}
