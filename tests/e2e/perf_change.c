/* A load that changes while it is watched, once a line comes on its standard input: it becomes another program ("exec PATH"),
 * loads a library ("library PATH"), or ends ("end"). "threads MS" does nothing but start one thread after the other, each
 * of which uses that much CPU time. The work is in a function whose name -DWORK= gives. */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEPT __attribute__((noinline, noclone))
#ifndef WORK
#define WORK first_work
#endif

static volatile uint64_t sink;

KEPT void WORK(void)
{
    uint64_t x = sink;
    for (unsigned i = 0; i < 20000; i++) x = x * UINT64_C(6364136223846793005) + i;
    sink = x;
}

#ifdef LIBRARY
KEPT void library_entry(void)
{
    WORK();
    sink++;
}
#else
static uint64_t used_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *run_thread(void *ms)
{
    while (used_ms() < (uintptr_t)ms) WORK();
    return NULL;
}

static void run_threads(uint64_t ms)
{
    for (;;) {
        pthread_t t;
        if (pthread_create(&t, NULL, run_thread, (void *)(uintptr_t)ms) == 0) pthread_join(t, NULL);
    }
}

static int is_told(void)
{
    struct pollfd in = { .fd = 0, .events = POLLIN };
    return poll(&in, 1, 0) > 0;
}

KEPT static void call_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW), *found = library ? dlsym(library, "library_entry") : NULL;
    void (*entry)(void);
    memcpy(&entry, &found, sizeof(entry));
    while (found) entry();
}

int main(int argc, char **argv)
{
    alarm(120); /* whatever becomes of the test */
    puts("ready");
    fflush(stdout);
    const char *mode = argc > 1 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    if (strcmp(mode, "threads") == 0) run_threads(strtoull(path, NULL, 10));
    while (!is_told() || !*mode) WORK();
    if (strcmp(mode, "exec") == 0) execl(path, path, (char *)NULL);
    if (strcmp(mode, "library") == 0) call_library(path);
    return 0;
}
#endif
