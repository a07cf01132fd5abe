#include "self/descriptors.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

double descriptors_open(void)
{
    struct stat st;
    /* Since Linux 6.2 the directory's size says it. */
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) return (double)st.st_size;
    DIR *d = opendir("/proc/self/fd");
    if (!d) return NAN;
    double count = -3; /* ".", "..", and the directory itself */
    while (readdir(d)) count++;
    closedir(d);
    return count;
}
