/* Preloaded into weir: of the allocations that its control side makes from some moment on, one fails, as a file says that the test
 * maps as well (WEIR_SHORTAGE). test_reload_shortage.py knows the layout. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

struct shortage {
    _Atomic uint64_t at;     /* the n-th from now on fails; 0: none does */
    _Atomic uint64_t count;  /* since the test set it to zero */
    _Atomic uint64_t failed; /* so many did */
};

static void *(*real_malloc)(size_t size);
static void *(*real_calloc)(size_t count, size_t size);
static void *(*real_realloc)(void *old, size_t size);
static struct shortage *shortage;

__attribute__((constructor)) static void open_shortage(void)
{
    const char *path = getenv("WEIR_SHORTAGE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || ftruncate(fd, sizeof(struct shortage)) < 0) abort();
    void *mapped = mmap(NULL, sizeof(struct shortage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) abort();
    close(fd);
    shortage = mapped;
}

/* The sanitizer's, or the C library's. dlsym() of a name that is there does not allocate. */
static void find_real(void)
{
    if (real_realloc) return;
    real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
}

/* Workers' threads are told by their names. */
static int is_control_side(void)
{
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    return strcmp(name, "weir") == 0 || strcmp(name, "weir-jobs") == 0;
}

static int is_short(void)
{
    find_real();
    if (!shortage || !atomic_load(&shortage->at) || !is_control_side()) return 0;
    if (atomic_fetch_add(&shortage->count, 1) + 1 != atomic_load(&shortage->at)) return 0;
    atomic_fetch_add(&shortage->failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return is_short() ? NULL : real_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_short() ? NULL : real_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return is_short() ? NULL : real_realloc(old, size);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}
