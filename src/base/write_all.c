#include "base/write_all.h"

#include <errno.h>
#include <unistd.h>

int write_all(int fd, struct slice text)
{
    while (text.len) {
        ssize_t done = write(fd, text.data, text.len);
        if (done < 0 && errno == EINTR) continue;
        if (done == 0) errno = ENOSPC; /* of a file that takes nothing and does not say why */
        if (done <= 0) return -1;
        text = (struct slice){ text.data + done, text.len - (size_t)done };
    }
    return 0;
}
