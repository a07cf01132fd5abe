#include "acme/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "acme/jws.h"
#include "acme/request.h"
#include "base/base64.h"
#include "base/write_all.h"
#include "tls/small_file.h"

#define CHALLENGES "challenges"
#define STAGED ".new-"
/* No CA looks for a proof for so long. */
#define SHOWN_MAX_S 3600
/* Nobody writes one for so long. */
#define STAGED_MAX_S 3600
#define SHOWN_FILE_MAX 1024u

struct acme_folder {
    char *path;
    int lock;           /* its descriptor; -1: it could not be opened yet */
    uint32_t staged;    /* numbers of files beside their places */
    uint64_t shown_sum; /* of the names of what was shown the last time */
};

__attribute__((format(printf, 3, 4))) static const char *path_in(const struct acme_folder *f,
                                                                 char out[ACME_PATH_ROOM], const char *format,
                                                                 ...)
{
    va_list arguments;
    int len = snprintf(out, ACME_PATH_ROOM, "%s/", f->path);
    va_start(arguments, format);
    vsnprintf(out + len, ACME_PATH_ROOM - (size_t)len, format, arguments);
    va_end(arguments);
    return out;
}

static int make_directory(const char *path, struct err *err)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set(err, "the folder of ACME, %s, cannot be made: %s", path, strerror(errno));
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) return err_set(err, "%s is no folder", path);
    if (st.st_mode & (S_IWOTH | S_IROTH | S_IXOTH))
        return err_set(err, "the folder of ACME, %s, is open to anybody, and keys are in it: chmod o-rwx it",
                       path);
    return 0;
}

int acme_folder_open(struct acme_folder **out, const char *path, struct err *err)
{
    char challenges[ACME_PATH_ROOM];
    struct acme_folder *f = calloc(1, sizeof(*f));
    if (f) f->lock = -1;
    if (!f || !(f->path = strdup(path))) {
        acme_folder_close(f);
        return err_set(err, "there is no memory for the folder of ACME, %s", path);
    }
    if (make_directory(path, err) == 0 && make_directory(path_in(f, challenges, CHALLENGES), err) == 0) {
        *out = f;
        return 0;
    }
    acme_folder_close(f);
    return -1;
}

void acme_folder_close(struct acme_folder *f)
{
    if (!f) return;
    if (f->lock >= 0) close(f->lock);
    free(f->path);
    free(f);
}

bool acme_folder_file(const char *path, const char *name, const char *kind, char *out, size_t room)
{
    int len = snprintf(out, room, "%s/%s.%s.pem", path, name, kind);
    return len > 0 && (size_t)len < room;
}

/* files */

/* One behind the other, under a name that no other process has. */
static int stage(struct acme_folder *f, struct slice first, struct slice second, char staged[ACME_PATH_ROOM],
                 struct err *err)
{
    char host[64] = "";
    gethostname(host, sizeof(host) - 1);
    path_in(f, staged, STAGED "%s-%d-%" PRIu32, host, (int)getpid(), f->staged++);
    unlink(staged); /* of one with this number before */
    int fd = open(staged, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = fd < 0 || write_all(fd, first) < 0 || write_all(fd, second) < 0 || fsync(fd) < 0 ? -1 : 0;
    int cause = errno;
    if (fd >= 0 && close(fd) < 0 && result == 0) { /* NFS says it here */
        cause = errno;
        result = -1;
    }
    if (result == 0) return 0;
    if (fd >= 0) unlink(staged);
    return err_set(err, "%s cannot be written: %s", staged, strerror(cause));
}

/* The folder's entry as well, once it has returned. */
static int publish(const struct acme_folder *f, const char *staged, const char *path, struct err *err)
{
    if (rename(staged, path) < 0) {
        int cause = errno;
        unlink(staged);
        return err_set(err, "%s cannot be put in its place: %s", path, strerror(cause));
    }
    int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    (void)fsync(fd);
    close(fd);
    return 0;
}

static int put_file(struct acme_folder *f, const char *path, struct slice text, struct err *err)
{
    char staged[ACME_PATH_ROOM];
    if (stage(f, text, SLICE_NONE, staged, err) < 0) return -1;
    return publish(f, staged, path, err);
}

/* At most room - 1 bytes, terminated. False: there is none. */
static bool read_file(const char *path, char *out, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    ssize_t got = read(fd, out, room - 1);
    close(fd);
    out[got > 0 ? got : 0] = 0;
    return got >= 0;
}

/* the lock */

static int try_lock(int fd)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_SETLK, &all);
}

/* What is in its place was renamed: only who ended before that leaves one. */
static void sweep_staged(const struct acme_folder *f)
{
    char path[ACME_PATH_ROOM];
    struct stat st;
    DIR *dir = opendir(f->path);
    if (!dir) return;
    for (const struct dirent *d = readdir(dir); d; d = readdir(dir)) {
        if (strncmp(d->d_name, STAGED, strlen(STAGED)) != 0) continue;
        path_in(f, path, "%s", d->d_name);
        if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && time(NULL) - st.st_mtime > STAGED_MAX_S)
            unlink(path);
    }
    closedir(dir);
}

static void say_holder(const struct acme_folder *f)
{
    char host[64] = "", line[ACME_HOLDER_ROOM];
    gethostname(host, sizeof(host) - 1);
    int len = snprintf(line, sizeof(line), "held by process %d of %s since %" PRId64 "\n", (int)getpid(),
                       host, (int64_t)time(NULL));
    /* For people alone: the lock holds without it. */
    if (ftruncate(f->lock, 0) == 0) (void)!pwrite(f->lock, line, (size_t)len, 0);
}

enum acme_lock acme_folder_lock(struct acme_folder *f, char holder[ACME_HOLDER_ROOM], struct err *err)
{
    char path[ACME_PATH_ROOM];
    path_in(f, path, "lock");
    *holder = 0;
    if (f->lock < 0) f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->lock < 0) {
        (void)err_set(err, "%s cannot be opened: %s", path, strerror(errno));
        return ACME_LOCK_NONE;
    }
    if (try_lock(f->lock) < 0) {
        if (errno != EAGAIN && errno != EACCES) { /* POSIX allows either */
            (void)err_set(err, "%s cannot be locked, which orders need: %s", path, strerror(errno));
            return ACME_LOCK_NONE;
        }
        if (read_file(path, holder, ACME_HOLDER_ROOM)) holder[strcspn(holder, "\n")] = 0;
        return ACME_LOCK_OTHERS;
    }
    say_holder(f);
    sweep_staged(f);
    return ACME_LOCK_OWN;
}

void acme_folder_unlock(struct acme_folder *f)
{
    if (f->lock < 0) return;
    (void)!ftruncate(f->lock, 0);
    close(f->lock);
    f->lock = -1;
}

/* the account */

static void account_path(const struct acme_folder *f, const char *directory, char out[ACME_PATH_ROOM])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char hash[2 * 8 + 1];
    SHA256((const unsigned char *)directory, strlen(directory), digest);
    for (int i = 0; i < 8; i++) snprintf(hash + 2 * (size_t)i, 3, "%02x", digest[i]);
    path_in(f, out, "account-%s.key", hash);
}

/* Another key would be another account: what is there and cannot be read is not written over. */
static EVP_PKEY *read_account(const char *path, struct err *err)
{
    struct small_file file;
    struct file_stamp stamp;
    if (small_file_read(&file, path, &stamp, err) < 0) return NULL;
    EVP_PKEY *key = acme_key_read((struct slice){ file.text, file.len });
    char jwk[JWK_ROOM];
    small_file_wipe(&file);
    if (key && jwk_print(key, jwk)) return key;
    EVP_PKEY_free(key);
    (void)err_set(err, "%s has no key of P-256; put it back, or remove it for a new account", path);
    return NULL;
}

EVP_PKEY *acme_folder_account(struct acme_folder *f, const char *directory, struct err *err)
{
    char path[ACME_PATH_ROOM];
    struct stat st;
    size_t len = 0;
    account_path(f, directory, path);
    if (lstat(path, &st) == 0 || errno != ENOENT) return read_account(path, err);
    EVP_PKEY *key = acme_key_new(ACME_KEY_ECDSA);
    char *pem = key ? acme_key_print(key, &len) : NULL;
    int result = pem ? put_file(f, path, (struct slice){ pem, len }, err)
                     : err_set(err, "no key can be made for the account");
    if (pem) OPENSSL_clear_free(pem, len + 1);
    if (result == 0) return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* attempts */

#define ATTEMPTS_FILE_MAX (ACME_ERROR_ROOM + 200u)

static void read_attempts(const char *path, struct acme_attempts *a, char error[ACME_ERROR_ROOM])
{
    char text[ATTEMPTS_FILE_MAX];
    *a = (struct acme_attempts){ 0 };
    *error = 0;
    if (!read_file(path, text, sizeof(text))) return;
    int at = 0, more = 0;
    if (sscanf(text, "failures %9" SCNu32 "\nnext %18" SCNd64 "\n%n", &a->failures, &a->next_s, &at) < 2) {
        *a = (struct acme_attempts){ 0 };
        return;
    }
    if (sscanf(text + at, "asked %16" SCNx64 "\nissued %16" SCNx64 "\n%n", &a->asked, &a->issued, &more) < 2)
        a->asked = a->issued = 0;
    at += more;
    char *line = text + at;
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "error ", 6) == 0)
        snprintf(error, ACME_ERROR_ROOM, "%.*s", (int)ACME_ERROR_ROOM - 1, line + 6);
}

void acme_folder_read_attempts(struct acme_folder *f, const char *name, const char *kind,
                               struct acme_attempts *a, char error[ACME_ERROR_ROOM])
{
    char path[ACME_PATH_ROOM];
    read_attempts(path_in(f, path, "%s.%s.attempts", name, kind), a, error);
}

void acme_folder_read_attempts_of(const char *file, struct acme_attempts *a, char error[ACME_ERROR_ROOM])
{
    char path[ACME_PATH_ROOM];
    size_t len = strlen(file) - strlen(".pem");
    snprintf(path, sizeof(path), "%.*s.attempts", (int)len, file);
    read_attempts(path, a, error);
}

int acme_folder_keep_attempts(struct acme_folder *f, const char *name, const char *kind,
                              const struct acme_attempts *a, const char *error, struct err *err)
{
    char path[ACME_PATH_ROOM], text[ATTEMPTS_FILE_MAX];
    int len = snprintf(text, sizeof(text),
                       "failures %" PRIu32 "\nnext %" PRId64 "\nasked %" PRIx64 "\nissued %" PRIx64 "\n",
                       a->failures, a->next_s, a->asked, a->issued);
    if (*error)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "error %.*s\n", (int)ACME_ERROR_ROOM - 20,
                        error);
    return put_file(f, path_in(f, path, "%s.%s.attempts", name, kind), (struct slice){ text, (size_t)len },
                    err);
}

void acme_folder_read_pace(struct acme_folder *f, struct acme_pace *p)
{
    char path[ACME_PATH_ROOM], text[24 * ACME_ORDERS_AN_HOUR + 1], *at = text;
    *p = (struct acme_pace){ 0 };
    if (!read_file(path_in(f, path, "pace"), text, sizeof(text))) return;
    for (uint32_t i = 0; i < ACME_ORDERS_AN_HOUR; i++) {
        char *end;
        long long value = strtoll(at, &end, 10);
        if (end == at || *end != '\n') break;
        acme_pace_note(p, value);
        at = end + 1;
    }
}

int acme_folder_keep_pace(struct acme_folder *f, const struct acme_pace *p, struct err *err)
{
    char path[ACME_PATH_ROOM], memory[24 * ACME_ORDERS_AN_HOUR + 1];
    struct text t = text_over(memory, sizeof(memory));
    for (uint32_t i = 0; i < ACME_ORDERS_AN_HOUR; i++)
        text_printf(&t, "%" PRId64 "\n", p->at_s[(p->next + i) % ACME_ORDERS_AN_HOUR]);
    return put_file(f, path_in(f, path, "pace"), text_slice(&t), err);
}

/* certificates */

int acme_folder_stage(struct acme_folder *f, struct slice key, struct slice chain,
                      char staged[ACME_PATH_ROOM], struct err *err)
{
    return stage(f, key, chain, staged, err);
}

int acme_folder_publish(struct acme_folder *f, const char *staged, const char *name, const char *kind,
                        struct err *err)
{
    char path[ACME_PATH_ROOM];
    return publish(f, staged, path_in(f, path, "%s.%s.pem", name, kind), err);
}

void acme_folder_unstage(const char *staged)
{
    unlink(staged);
}

/* proofs */

int acme_folder_show(struct acme_folder *f, const struct tls_challenge *c, struct err *err)
{
    char path[ACME_PATH_ROOM], text[SHOWN_FILE_MAX];
    int len = snprintf(text, sizeof(text), "%s %s %s\n", c->is_tls ? "tls-alpn-01" : "http-01", c->name,
                       c->authorization);
    if ((size_t)len >= sizeof(text)) return err_set(err, "the proof of %s is too long", c->name);
    return put_file(f, path_in(f, path, CHALLENGES "/%s", c->token), (struct slice){ text, (size_t)len },
                    err);
}

void acme_folder_unshow(struct acme_folder *f, const char *token)
{
    char path[ACME_PATH_ROOM];
    unlink(path_in(f, path, CHALLENGES "/%s", token));
}

struct showing {
    struct tls_challenge all[ACME_SHOWN_MAX];
    char *texts[ACME_SHOWN_MAX];
    uint32_t count;
    uint64_t sum;
};

/* Where it is of the form that acme_folder_show() writes. */
static bool parse_shown(char *text, struct tls_challenge *c)
{
    char *name = strchr(text, ' '), *authorization = name ? strchr(name + 1, ' ') : NULL;
    if (!authorization) return false;
    *name++ = *authorization++ = 0;
    authorization[strcspn(authorization, "\n")] = 0;
    c->is_tls = strcmp(text, "tls-alpn-01") == 0;
    c->name = name;
    c->authorization = authorization;
    /* Somebody else may write there: what is shown is what belongs to the token. */
    return strncmp(authorization, c->token, strlen(c->token)) == 0 && authorization[strlen(c->token)] == '.';
}

/* False: there is no memory for it. */
static bool take_shown(const struct acme_folder *f, const char *token, struct showing *s)
{
    char path[ACME_PATH_ROOM], text[SHOWN_FILE_MAX];
    struct stat st;
    if (!base64url_is_token(slice_of(token)) || s->count == ACME_SHOWN_MAX) return true;
    path_in(f, path, CHALLENGES "/%s", token);
    if (stat(path, &st) == 0 && time(NULL) - st.st_mtime > SHOWN_MAX_S) {
        unlink(path);
        return true;
    }
    if (!read_file(path, text, sizeof(text))) return true;
    size_t len = strlen(text) + 1, token_len = strlen(token) + 1;
    char *kept = malloc(len + token_len);
    if (!kept) return false;
    memcpy(kept, text, len);
    memcpy(kept + len, token, token_len);
    struct tls_challenge *c = &s->all[s->count];
    *c = (struct tls_challenge){ .token = kept + len };
    if (!parse_shown(kept, c)) {
        free(kept);
        return true;
    }
    s->texts[s->count++] = kept;
    /* In whatever order they are found. */
    unsigned char digest[SHA256_DIGEST_LENGTH];
    uint64_t part;
    SHA256((const unsigned char *)c->authorization, strlen(c->authorization), digest);
    memcpy(&part, digest, sizeof(part));
    s->sum += part;
    return true;
}

int acme_folder_each_shown(struct acme_folder *f,
                           bool (*use)(void *context, const struct tls_challenge *all, uint32_t count),
                           void *context, struct err *err)
{
    char path[ACME_PATH_ROOM];
    DIR *dir = opendir(path_in(f, path, CHALLENGES));
    if (!dir && errno != ENOMEM) return 0;
    struct showing *s = dir ? calloc(1, sizeof(*s)) : NULL;
    bool has_all = s != NULL, is_other = false;
    for (const struct dirent *d = has_all ? readdir(dir) : NULL; d && has_all; d = readdir(dir))
        if (d->d_name[0] != '.') has_all = take_shown(f, d->d_name, s);
    if (dir) closedir(dir);
    if (has_all) is_other = s->sum != f->shown_sum;
    if (is_other) has_all = use(context, s->all, s->count);
    if (has_all) f->shown_sum = s->sum;
    for (uint32_t i = 0; s && i < s->count; i++) free(s->texts[i]);
    free(s);
    return has_all ? is_other : err_set(err, "there is no memory for the proofs that are to be shown");
}
