#include "net/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <cmocka.h>

int loopback_open(int type, struct address *at)
{
    *at = (struct address){ .len = sizeof(at->sa.in4) };
    at->sa.in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &at->sa.any, at->len), 0);
    if ((type & ~SOCK_NONBLOCK) == SOCK_STREAM) assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, &at->sa.any, &at->len), 0);
    return fd;
}
