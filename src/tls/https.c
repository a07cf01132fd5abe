#define CURL_DISABLE_TYPECHECK
#include "tls/https.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define LIBCURL "libcurl.so.4"
#define POLL_MS 1000

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
} lib;
static pthread_mutex_t lib_lock = PTHREAD_MUTEX_INITIALIZER;

struct https {
    CURLM *multi;
    CURL *easy;
    const struct https_request *request; /* under way */
    char *body;
    size_t len, room;
    bool is_long;
    char fields[HTTPS_FIELDS_MAX][HTTPS_FIELD_MAX];
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

/* With the lock held. What was found lacking is looked for again the next time: it may have been installed since. */
static bool load(void)
{
    if (lib.is_there) return true;
    void *library = dlopen(LIBCURL, RTLD_NOW | RTLD_LOCAL);
    bool is_whole = library != NULL;
#define X(name) is_whole = is_whole && find_function(library, #name, &lib.name##_);
    FUNCTIONS(X)
#undef X
    lib.is_there = is_whole && lib.curl_global_init_(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (library && !lib.is_there) dlclose(library);
    return lib.is_there;
}

int https_new(struct https **out, struct err *err)
{
    pthread_mutex_lock(&lib_lock);
    bool is_there = load();
    pthread_mutex_unlock(&lib_lock);
    if (!is_there) return err_set(err, LIBCURL " cannot be loaded: install it (Debian: libcurl4)");
    struct https *h = calloc(1, sizeof(*h));
    if (!h) return err_set(err, "there is no memory to ask by");
    h->multi = lib.curl_multi_init_();
    h->easy = lib.curl_easy_init_();
    if (h->multi && h->easy) {
        *out = h;
        return 0;
    }
    https_free(h);
    return err_set(err, "libcurl makes nothing to ask by");
}

void https_free(struct https *h)
{
    if (!h) return;
    if (h->easy) lib.curl_easy_cleanup_(h->easy);
    if (h->multi) lib.curl_multi_cleanup_(h->multi);
    free(h->body);
    free(h);
}

void https_stop(struct https *h)
{
    atomic_store(&h->is_stopped, true);
    lib.curl_multi_wakeup_(h->multi);
}

/* what comes */

/* What is longer than anything that is expected ends the request. */
static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct https *h = context;
    size_t len = size * count;
    if (h->len + len > h->request->answer_max) {
        h->is_long = true;
        return 0;
    }
    if (h->len + len > h->room) {
        size_t room = 2 * (h->len + len);
        char *grown = realloc(h->body, room);
        if (!grown) return 0;
        h->body = grown;
        h->room = room;
    }
    if (len) memcpy(h->body + h->len, data, len);
    h->len += len;
    return len;
}

/* One that is too long is none. */
static void take_field(struct slice line, struct slice name, char out[HTTPS_FIELD_MAX])
{
    if (line.len <= name.len || line.data[name.len] != ':' ||
        !slice_is_same_fold(line.data, name.data, name.len))
        return;
    struct slice value = slice_trim((struct slice){ line.data + name.len + 1, line.len - name.len - 1 });
    bool is_good = value.len < HTTPS_FIELD_MAX && !memchr(value.data, 0, value.len);
    if (is_good) memcpy(out, value.data, value.len);
    out[is_good ? value.len : 0] = 0;
}

static void forget_fields(struct https *h)
{
    for (unsigned i = 0; i < HTTPS_FIELDS_MAX; i++) *h->fields[i] = 0;
}

static size_t on_field(char *data, size_t size, size_t count, void *context)
{
    struct https *h = context;
    struct slice line = { data, size * count };
    while (line.len && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == '\n')) line.len--;
    if (slice_starts_with(line, SLICE("HTTP/"))) { /* what came before was an interim response */
        forget_fields(h);
        h->len = 0;
    }
    for (unsigned i = 0; i < HTTPS_FIELDS_MAX && h->request->wanted[i]; i++)
        take_field(line, slice_of(h->request->wanted[i]), h->fields[i]);
    return size * count;
}

/* asking */

static void prepare(struct https *h, const struct https_request *rq, const struct curl_slist *fields)
{
    CURL *c = h->easy;
    lib.curl_easy_reset_(c); /* but for its connections */
    lib.curl_easy_setopt_(c, CURLOPT_URL, rq->url);
    lib.curl_easy_setopt_(c, CURLOPT_PROTOCOLS_STR, "https");
    lib.curl_easy_setopt_(c, CURLOPT_FOLLOWLOCATION, 0L);
    lib.curl_easy_setopt_(c, CURLOPT_NOSIGNAL, 1L);
    lib.curl_easy_setopt_(c, CURLOPT_CONNECTTIMEOUT_MS, (long)rq->connect_ms);
    lib.curl_easy_setopt_(c, CURLOPT_TIMEOUT_MS, (long)rq->answer_ms);
    lib.curl_easy_setopt_(c, CURLOPT_USERAGENT, "weir/" WEIR_VERSION); /* RFC 8555 6.1 */
    lib.curl_easy_setopt_(c, CURLOPT_HTTPHEADER, fields);
    lib.curl_easy_setopt_(c, CURLOPT_WRITEFUNCTION, on_body);
    lib.curl_easy_setopt_(c, CURLOPT_WRITEDATA, h);
    lib.curl_easy_setopt_(c, CURLOPT_HEADERFUNCTION, on_field);
    lib.curl_easy_setopt_(c, CURLOPT_HEADERDATA, h);
    lib.curl_easy_setopt_(c, CURLOPT_ERRORBUFFER, h->words);
    if (rq->ca) { /* and nobody else: Debian's libcurl has a folder of the host's beside the file */
        lib.curl_easy_setopt_(c, CURLOPT_CAINFO, rq->ca);
        lib.curl_easy_setopt_(c, CURLOPT_CAPATH, NULL);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    /* 7.87; an older one that is loaded refuses it, and waits for a name server at a stop. */
    lib.curl_easy_setopt_(c, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (rq->method == HTTPS_HEAD) lib.curl_easy_setopt_(c, CURLOPT_NOBODY, 1L);
    if (rq->method != HTTPS_POST) return;
    lib.curl_easy_setopt_(c, CURLOPT_POST, 1L);
    lib.curl_easy_setopt_(c, CURLOPT_POSTFIELDS, rq->body);
    lib.curl_easy_setopt_(c, CURLOPT_POSTFIELDSIZE, (long)rq->len);
}

static struct curl_slist *add_field(struct curl_slist *fields, const char *name, const char *value)
{
    char line[HTTPS_FIELD_MAX];
    int len = snprintf(line, sizeof(line), "%s: %s", name, value);
    if (bug_if(TRANSPORT, len >= (int)sizeof(line))) return fields;
    return lib.curl_slist_append_(fields, line);
}

static CURLcode perform(struct https *h)
{
    int running = 1, left;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    if (lib.curl_multi_add_handle_(h->multi, h->easy) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    while (running && !atomic_load(&h->is_stopped)) {
        if (lib.curl_multi_perform_(h->multi, &running) != CURLM_OK) break;
        if (running && lib.curl_multi_poll_(h->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK) break;
    }
    const CURLMsg *m = running ? NULL : lib.curl_multi_info_read_(h->multi, &left);
    if (m && m->msg == CURLMSG_DONE) result = m->data.result;
    lib.curl_multi_remove_handle_(h->multi, h->easy);
    return result;
}

static void tell(struct https *h, struct https_response *out)
{
    long status = 0;
    curl_off_t retry_after_s = 0;
    lib.curl_easy_getinfo_(h->easy, CURLINFO_RESPONSE_CODE, &status);
    lib.curl_easy_getinfo_(h->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    *out = (struct https_response){ .status = (int)status,
                                    .retry_after_s = retry_after_s > 0 ? (uint64_t)retry_after_s : 0,
                                    .body = { h->body, h->len } };
    for (unsigned i = 0; i < HTTPS_FIELDS_MAX; i++) out->fields[i] = *h->fields[i] ? h->fields[i] : NULL;
}

int https_ask(struct https *h, const struct https_request *rq, struct https_response *out, struct err *err)
{
    struct curl_slist *fields = add_field(NULL, "Accept", rq->accept ? rq->accept : "*/*");
    if (rq->method == HTTPS_POST) fields = add_field(fields, "Content-Type", rq->content_type);
    h->request = rq;
    h->len = 0;
    h->is_long = false;
    *h->words = 0;
    forget_fields(h);
    prepare(h, rq, fields);
    CURLcode code = perform(h);
    lib.curl_slist_free_all_(fields);
    h->request = NULL;
    if (atomic_load(&h->is_stopped)) return err_set(err, "weir stops");
    if (h->is_long) return err_set(err, "the answer is over %zu KiB", rq->answer_max >> 10);
    if (code != CURLE_OK) return err_set(err, "%s", *h->words ? h->words : lib.curl_easy_strerror_(code));
    tell(h, out);
    return 0;
}
