#include "admin/dashboard.h"

#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

#include "admin/dashboard_files.h"
#include "admin/routes.h"
#include "base/text.h"

/* Scripts and styles are weir's own files, and make no text into a program or a page; nothing is asked of anybody else, no
 * form leads anywhere, and no other page may frame this one. */
#define POLICY                                                                                          \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "     \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " \
    "trusted-types 'none'"

#define TEXT_MAX (1u << 20) /* of a file, unpacked */

static const struct file {
    const char *name, *content_type, *tag;
    const unsigned char *packed; /* gzip, RFC 1952 */
    size_t len;
} files[] = {
    { "", "text/html; charset=utf-8", web_index_html_tag, web_index_html, sizeof(web_index_html) },
    { "dash.css", "text/css; charset=utf-8", web_dash_css_tag, web_dash_css, sizeof(web_dash_css) },
    { "dash.js", "text/javascript; charset=utf-8", web_dash_js_tag, web_dash_js, sizeof(web_dash_js) },
};

/* An element of a list, without its parameters; false where they say that it is not wanted: q=0 (RFC 9110 12.4.2). */
static bool is_element(struct slice element, struct slice wanted)
{
    const char *end = memchr(element.data, ';', element.len);
    struct slice name = { element.data, end ? (size_t)(end - element.data) : element.len };
    if (!slice_equal_fold(slice_trim(name), wanted)) return false;
    if (!end) return true;
    struct slice rest = slice_trim((struct slice){ end + 1, element.len - name.len - 1 });
    if (rest.len < 3 || !slice_equal_fold((struct slice){ rest.data, 2 }, SLICE("q="))) return true;
    for (size_t i = 2; i < rest.len; i++)
        if (rest.data[i] >= '1' && rest.data[i] <= '9') return true;
    return false;
}

static bool has_element(struct slice list, struct slice wanted)
{
    struct slice element;
    while (slice_next_element(&list, &element))
        if (is_element(element, wanted)) return true;
    return false;
}

/* RFC 9110 13.1.2: compared weakly. */
static bool is_known(struct slice if_none_match, const char *tag)
{
    struct slice element;
    while (slice_next_element(&if_none_match, &element)) {
        if (slice_equal(element, SLICE("*"))) return true;
        if (slice_starts_with(element, SLICE("W/")))
            element = (struct slice){ element.data + 2, element.len - 2 };
        if (slice_equal(element, slice_of(tag))) return true;
    }
    return false;
}

/* For whoever does not take gzip: few, so that nothing is kept for them. NULL: no memory. */
static char *unpack(const struct file *f, size_t *len)
{
    char *text = malloc(TEXT_MAX);
    z_stream z = {
        .next_in = f->packed, .avail_in = (uInt)f->len, .next_out = (Bytef *)text, .avail_out = TEXT_MAX
    };
    if (!text || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        free(text);
        return NULL;
    }
    int result = inflate(&z, Z_FINISH);
    *len = z.total_out;
    inflateEnd(&z);
    if (result == Z_STREAM_END) return text;
    free(text);
    return NULL;
}

static void send_file(const struct admin_request *rq, const struct file *f, struct answer *out)
{
    bool is_packed = has_element(rq->accept_encoding, SLICE("gzip"));
    struct text tag = text_over(out->etag, sizeof(out->etag));
    text_printf(&tag, "\"%s%s\"", f->tag, is_packed ? "-gzip" : "");
    text_cstr(&tag);
    out->policy = POLICY;
    out->cache_control = "no-cache";
    out->vary = "Accept, Accept-Encoding";
    if (is_known(rq->if_none_match, out->etag)) {
        out->status = 304;
        return;
    }
    size_t len = f->len;
    char *body = is_packed ? malloc(len) : unpack(f, &len);
    if (body && is_packed) memcpy(body, f->packed, len);
    if (is_packed) out->content_encoding = "gzip";
    answer_body(out, f->content_type, body, len);
    if (out->status != 200) out->content_encoding = NULL;
}

bool dashboard_is_wanted(const struct admin_request *rq)
{
    return has_element(rq->accept, SLICE("text/html"));
}

void dashboard_page(const struct admin_request *rq, struct answer *out)
{
    send_file(rq, &files[0], out);
}

void dashboard_file(const struct admin_request *rq, struct answer *out)
{
    for (size_t i = 1; i < sizeof(files) / sizeof(*files); i++) {
        if (!slice_equal(rq->params[0], slice_of(files[i].name))) continue;
        send_file(rq, &files[i], out);
        return;
    }
    answer_problem(out, 404, "The dashboard has no file \"%.64s\"; it is at /.", rq->params[0].data);
}
