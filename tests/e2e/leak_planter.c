/* Preloaded into weir: a thread of its own that leaks what WEIR_LEAK names, a little every 50 ms, 400 times. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *volatile forgotten;

__attribute__((noinline)) void leak_bytes(void)
{
    char *bytes = malloc(1 << 20);
    if (!bytes) return;
    memset(bytes, 1, 1 << 20);
    forgotten = bytes;
}

static void *leak(void *what)
{
    const struct timespec pause = { 0, 50000000 };
    for (int i = 0; i < 400; i++) {
        nanosleep(&pause, NULL);
        if (strcmp(what, "descriptors") == 0 && dup(2) < 0) break;
        if (strcmp(what, "heap") == 0) leak_bytes();
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    char *what = getenv("WEIR_LEAK");
    pthread_t thread;
    sigset_t all, before;
    if (!what) return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* weir's signals are weir's */
    if (pthread_create(&thread, NULL, leak, what) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
