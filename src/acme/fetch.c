#define CURL_DISABLE_TYPECHECK
#include "acme/fetch.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LIBCURL "libcurl.so.4"
#define CONNECT_MS 15000L
#define ANSWER_MS 60000L
#define POLL_MS 1000
/* Of the fields that are kept. */
#define FIELD_MAX 2048u

#define FUNCTIONS(X)            \
    X(curl_global_init)         \
    X(curl_easy_init)           \
    X(curl_easy_reset)          \
    X(curl_easy_setopt)         \
    X(curl_easy_getinfo)        \
    X(curl_easy_strerror)       \
    X(curl_easy_cleanup)        \
    X(curl_slist_append)        \
    X(curl_slist_free_all)      \
    X(curl_multi_init)          \
    X(curl_multi_add_handle)    \
    X(curl_multi_remove_handle) \
    X(curl_multi_perform)       \
    X(curl_multi_poll)          \
    X(curl_multi_wakeup)        \
    X(curl_multi_info_read)     \
    X(curl_multi_cleanup)

static struct {
#define X(name) __typeof__(&(name)) name##_;
    FUNCTIONS(X)
#undef X
    bool is_there;
    char why[256];
} lib;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct acme_fetcher {
    CURLM *multi;
    CURL *easy;
    char *ca;
    char *body;
    size_t len, room;
    bool is_long;
    char content_type[FIELD_MAX], location[FIELD_MAX], nonce[FIELD_MAX];
    char words[CURL_ERROR_SIZE];
    _Atomic bool is_stopped;
};

/* POSIX has dlsym() give functions as pointers to objects. */
static bool find_function(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    *(void **)function = found;
    return found != NULL;
}

static void load(void)
{
    void *library = dlopen(LIBCURL, RTLD_NOW | RTLD_LOCAL);
    lib.is_there = library != NULL;
#define X(name) lib.is_there = lib.is_there && find_function(library, #name, &lib.name##_);
    FUNCTIONS(X)
#undef X
    if (lib.is_there) lib.is_there = lib.curl_global_init_(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

int acme_fetcher_new(struct acme_fetcher **out, const char *ca, struct err *err)
{
    pthread_once(&once, load);
    if (!lib.is_there)
        return err_set(err,
                       LIBCURL " cannot be loaded, by which a CA is asked: install it (Debian: libcurl4)");
    struct acme_fetcher *f = calloc(1, sizeof(*f));
    if (!f || (ca && !(f->ca = strdup(ca)))) abort();
    f->multi = lib.curl_multi_init_();
    f->easy = lib.curl_easy_init_();
    if (f->multi && f->easy) {
        *out = f;
        return 0;
    }
    acme_fetcher_free(f);
    return err_set(err, "libcurl makes nothing to ask a CA by");
}

void acme_fetcher_free(struct acme_fetcher *f)
{
    if (!f) return;
    if (f->easy) lib.curl_easy_cleanup_(f->easy);
    if (f->multi) lib.curl_multi_cleanup_(f->multi);
    free(f->body);
    free(f->ca);
    free(f);
}

void acme_fetcher_stop(struct acme_fetcher *f)
{
    atomic_store(&f->is_stopped, true);
    lib.curl_multi_wakeup_(f->multi);
}

/* what comes */

/* What is longer than anything that a CA has to say ends the request. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct acme_fetcher *f = context;
    size_t len = size * count;
    if (f->len + len > ACME_ANSWER_MAX) {
        f->is_long = true;
        return 0;
    }
    if (f->len + len > f->room) {
        size_t room = 2 * (f->len + len);
        char *grown = realloc(f->body, room);
        if (!grown) return 0;
        f->body = grown;
        f->room = room;
    }
    if (len) memcpy(f->body + f->len, data, len);
    f->len += len;
    return len;
}

/* False: it is another field. One that is too long is none. */
static bool take_field(struct slice line, struct slice name, char out[FIELD_MAX])
{
    if (line.len <= name.len || line.data[name.len] != ':' ||
        !slice_is_same_fold(line.data, name.data, name.len))
        return false;
    struct slice value = slice_trim((struct slice){ line.data + name.len + 1, line.len - name.len - 1 });
    bool is_good = value.len < FIELD_MAX && !memchr(value.data, 0, value.len);
    if (is_good) memcpy(out, value.data, value.len);
    out[is_good ? value.len : 0] = 0;
    return true;
}

static size_t on_field(char *data, size_t size, size_t count, void *context)
{
    struct acme_fetcher *f = context;
    struct slice line = { data, size * count };
    while (line.len && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == '\n')) line.len--;
    if (slice_starts_with(line, SLICE("HTTP/"))) { /* what came before was an interim response */
        *f->content_type = *f->location = *f->nonce = 0;
        f->len = 0;
    }
    if (!take_field(line, SLICE("Content-Type"), f->content_type) &&
        !take_field(line, SLICE("Location"), f->location))
        take_field(line, SLICE("Replay-Nonce"), f->nonce);
    return size * count;
}

/* asking */

static void prepare(struct acme_fetcher *f, const struct acme_request *rq, const struct curl_slist *fields)
{
    CURL *c = f->easy;
    lib.curl_easy_reset_(c); /* but for its connections */
    lib.curl_easy_setopt_(c, CURLOPT_URL, rq->url);
    lib.curl_easy_setopt_(c, CURLOPT_PROTOCOLS_STR, "https");
    lib.curl_easy_setopt_(c, CURLOPT_FOLLOWLOCATION, 0L);
    lib.curl_easy_setopt_(c, CURLOPT_NOSIGNAL, 1L);
    lib.curl_easy_setopt_(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    lib.curl_easy_setopt_(c, CURLOPT_TIMEOUT_MS, ANSWER_MS);
    lib.curl_easy_setopt_(c, CURLOPT_USERAGENT, "weir/" WEIR_VERSION); /* RFC 8555 6.1 */
    lib.curl_easy_setopt_(c, CURLOPT_HTTPHEADER, fields);
    lib.curl_easy_setopt_(c, CURLOPT_WRITEFUNCTION, on_body);
    lib.curl_easy_setopt_(c, CURLOPT_WRITEDATA, f);
    lib.curl_easy_setopt_(c, CURLOPT_HEADERFUNCTION, on_field);
    lib.curl_easy_setopt_(c, CURLOPT_HEADERDATA, f);
    lib.curl_easy_setopt_(c, CURLOPT_ERRORBUFFER, f->words);
    if (f->ca) lib.curl_easy_setopt_(c, CURLOPT_CAINFO, f->ca);
    if (rq->method == ACME_HEAD) lib.curl_easy_setopt_(c, CURLOPT_NOBODY, 1L);
    if (rq->method != ACME_POST) return;
    lib.curl_easy_setopt_(c, CURLOPT_POST, 1L);
    lib.curl_easy_setopt_(c, CURLOPT_POSTFIELDS, rq->body);
    lib.curl_easy_setopt_(c, CURLOPT_POSTFIELDSIZE, (long)rq->len);
}

static struct curl_slist *make_fields(const struct acme_request *rq)
{
    char accept[FIELD_MAX];
    struct curl_slist *fields = NULL;
    snprintf(accept, sizeof(accept), "Accept: %s", rq->accept ? rq->accept : "*/*");
    fields = lib.curl_slist_append_(fields, accept);
    if (rq->method == ACME_POST)
        fields = lib.curl_slist_append_(fields, "Content-Type: application/jose+json");
    return fields;
}

static CURLcode perform(struct acme_fetcher *f)
{
    int running = 1, left;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    if (lib.curl_multi_add_handle_(f->multi, f->easy) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    while (running && !atomic_load(&f->is_stopped)) {
        if (lib.curl_multi_perform_(f->multi, &running) != CURLM_OK) break;
        if (running && lib.curl_multi_poll_(f->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK) break;
    }
    const CURLMsg *m = running ? NULL : lib.curl_multi_info_read_(f->multi, &left);
    if (m && m->msg == CURLMSG_DONE) result = m->data.result;
    lib.curl_multi_remove_handle_(f->multi, f->easy);
    return result;
}

static const char *or_none(const char *text)
{
    return *text ? text : NULL;
}

int acme_fetch(struct acme_fetcher *f, const struct acme_request *rq, struct acme_response *out,
               struct err *err)
{
    long status = 0;
    curl_off_t retry_after_s = 0;
    struct curl_slist *fields = make_fields(rq);
    f->len = 0;
    f->is_long = false;
    *f->content_type = *f->location = *f->nonce = *f->words = 0;
    prepare(f, rq, fields);
    CURLcode code = perform(f);
    lib.curl_slist_free_all_(fields);
    if (atomic_load(&f->is_stopped)) return err_set(err, "weir stops");
    if (f->is_long) return err_set(err, "the CA's answer is over %u KiB", ACME_ANSWER_MAX >> 10);
    if (code != CURLE_OK)
        return err_set(err, "the CA cannot be asked: %s",
                       *f->words ? f->words : lib.curl_easy_strerror_(code));
    lib.curl_easy_getinfo_(f->easy, CURLINFO_RESPONSE_CODE, &status);
    lib.curl_easy_getinfo_(f->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    *out = (struct acme_response){ .status = (int)status,
                                   .content_type = or_none(f->content_type),
                                   .location = or_none(f->location),
                                   .nonce = or_none(f->nonce),
                                   .retry_after_s = retry_after_s > 0 ? (uint64_t)retry_after_s : 0,
                                   .body = { f->body, f->len } };
    return 0;
}
