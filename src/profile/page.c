#include "profile/page.h"

#include "profile/web_files.h"

#define FILE_OF(bytes) ((struct slice){ (const char *)(bytes), sizeof(bytes) })

static void put_slice(struct slice s, FILE *out)
{
    if (s.len) fwrite(s.data, 1, s.len, out);
}

static void put_html(struct slice s, FILE *out)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.data[i]) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(s.data[i], out);
        }
    }
}

/* In JSON, "<" stands in strings only. Without it there is neither "</script" nor "<!--" (HTML 13.2.5.4). U+2028 and
 * U+2029 end a line in old scripts. */
static void put_data(struct slice s, FILE *out)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char *escape = NULL;
        size_t len = 1;
        if (s.data[i] == '<') escape = "\\u003c";
        if (s.data[i] == '\xe2' && i + 2 < s.len && s.data[i + 1] == '\x80') {
            if (s.data[i + 2] == '\xa8') escape = "\\u2028";
            if (s.data[i + 2] == '\xa9') escape = "\\u2029";
            len = 3;
        }
        if (!escape) continue;
        put_slice((struct slice){ s.data + from, i - from }, out);
        fputs(escape, out);
        from = i + len;
    }
    put_slice((struct slice){ s.data + from, s.len - from }, out);
}

static void put_scripts(FILE *out)
{
    put_slice(FILE_OF(web_format_js), out);
    put_slice(FILE_OF(web_controls_js), out);
    put_slice(FILE_OF(web_flame_tree_js), out);
    put_slice(FILE_OF(web_flame_colors_js), out);
    put_slice(FILE_OF(web_flame_js), out);
    put_slice(FILE_OF(web_chart_js), out);
    put_slice(FILE_OF(web_page_js), out);
}

/* What the skeleton's "{{name}}" stand for. */
static void put_part(struct slice name, const char *title, struct slice data, FILE *out)
{
    if (slice_equal(name, SLICE("title"))) put_html(slice_of(title), out);
    if (slice_equal(name, SLICE("style"))) put_slice(FILE_OF(web_page_css), out);
    if (slice_equal(name, SLICE("data"))) put_data(data, out);
    if (slice_equal(name, SLICE("script"))) put_scripts(out);
}

void page_put_head(struct json *j, const char *title, const char *subtitle)
{
    json_key(j, "title");
    json_string(j, title ? title : "");
    json_key(j, "subtitle");
    json_string(j, subtitle ? subtitle : "");
}

int page_write(const char *title, const struct json *data, FILE *out, struct err *err)
{
    if (data->is_failed)
        return err_set(err, "out of memory, or more than %zu MiB, for a page", PAGE_DATA_MAX >> 20);
    struct slice text = { data->data, data->len }, rest = FILE_OF(web_page_html);
    for (;;) {
        const char *open = memmem(rest.data, rest.len, "{{", 2);
        const char *close = open ? memmem(open, rest.len - (size_t)(open - rest.data), "}}", 2) : NULL;
        if (!close) break;
        put_slice((struct slice){ rest.data, (size_t)(open - rest.data) }, out);
        put_part((struct slice){ open + 2, (size_t)(close - open - 2) }, title, text, out);
        rest.len -= (size_t)(close + 2 - rest.data);
        rest.data = close + 2;
    }
    put_slice(rest, out);
    if (fflush(out) != 0 || ferror(out)) return err_set(err, "cannot write the page: %m");
    return 0;
}
