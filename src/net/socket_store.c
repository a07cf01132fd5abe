#include "net/socket_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "base/text.h"
#include "net/pass.h"

int socket_store_add(struct socket_store *s, const struct socket_gift *gift)
{
    if (s->count == s->room) {
        uint32_t room = s->room ? 2 * s->room : 16;
        struct socket_gift *gifts = realloc(s->gifts, room * sizeof(*gifts));
        if (!gifts) {
            close(gift->fd);
            return -1;
        }
        s->gifts = gifts;
        s->room = room;
    }
    s->gifts[s->count++] = *gift;
    return 0;
}

static bool is_of(const struct socket_gift *g, const struct address *address, bool is_udp)
{
    return g->fd >= 0 && g->is_udp == is_udp && address_equal(&g->address, address);
}

uint32_t socket_store_count(const struct socket_store *s, const struct address *address, bool is_udp)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) count += is_of(&s->gifts[i], address, is_udp);
    return count;
}

/* Whoever opened it may have meant to block (systemd does). */
static void prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool socket_store_take(struct socket_store *s, const struct address *address, bool is_udp, int *fds)
{
    bool keeps_path = false;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct socket_gift *g = &s->gifts[i];
        if (!is_of(g, address, is_udp)) continue;
        prepare(g->fd);
        fds[count++] = g->fd;
        keeps_path |= g->keeps_path;
        g->fd = -1;
    }
    return keeps_path;
}

void socket_store_fini(struct socket_store *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->gifts[i].fd >= 0) close(s->gifts[i].fd);
    free(s->gifts);
    *s = (struct socket_store){ 0 };
}

/* messages */

void socket_store_write(struct text *out, const struct socket_gift *gift, uint32_t count)
{
    char at[ADDRESS_TEXT_MAX], kind = '-';
    if (gift->keeps_path) kind = 'k';
    if (gift->is_udp) kind = 'u';
    text_printf(out, "%u %c %s\n", count, kind, address_print(&gift->address, at));
}

/* The next line of `rest`, which is cut by it: "COUNT k|u|- ADDRESS". */
static bool read_line(struct slice *rest, uint32_t *count, struct socket_gift *gift, struct err *err)
{
    uint64_t number;
    const char *end = memchr(rest->data, '\n', rest->len), *space = memchr(rest->data, ' ', rest->len);
    if (!end || !space || end - space < 4 || !strchr("-ku", space[1]) || !space[1] || space[2] != ' ')
        return false;
    if (!number_u64((struct slice){ rest->data, (size_t)(space - rest->data) }, &number) || !number ||
        number > PASS_FDS_MAX)
        return false;
    gift->keeps_path = space[1] == 'k';
    gift->is_udp = space[1] == 'u';
    *count = (uint32_t)number;
    rest->len -= (size_t)(end + 1 - rest->data);
    rest->data = end + 1;
    return address_parse((struct slice){ space + 3, (size_t)(end - space - 3) }, true, &gift->address, err) ==
           0;
}

int socket_store_read(struct socket_store *s, struct pass_message *m, const char *lines, struct err *err)
{
    uint32_t taken = 0, count = 0;
    struct socket_gift gift;
    struct slice rest = slice_of(lines);
    int result = 0;
    while (rest.len && result == 0) {
        if (!read_line(&rest, &count, &gift, err) || count > m->fd_count - taken) {
            result = err_set(err,
                             "sockets were handed over in words that this version of weir does not know");
            break;
        }
        for (; count && result == 0; count--) {
            gift.fd = m->fds[taken++];
            if (socket_store_add(s, &gift) < 0) result = err_set(err, "out of memory for sockets");
        }
    }
    for (uint32_t i = taken; i < m->fd_count; i++) close(m->fds[i]);
    m->fd_count = 0;
    return result;
}

int socket_store_adopt(struct socket_store *s, int fd, struct err *err)
{
    struct socket_gift gift = { .fd = fd, .address.len = sizeof(gift.address.sa) };
    int type = 0, domain = 0, listens = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) type = 0;
    size = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) domain = AF_UNSPEC;
    gift.is_udp = type == SOCK_DGRAM && (domain == AF_INET || domain == AF_INET6);
    if (type != SOCK_STREAM && !gift.is_udp)
        return err_set(err, "it is neither a stream socket nor one for datagrams over IP");
    size = sizeof(listens);
    if (!gift.is_udp && (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens))
        return err_set(err, "it does not listen");
    if (getsockname(fd, &gift.address.sa.any, &gift.address.len) < 0)
        return err_set(err, "its address cannot be read: %s", strerror(errno));
    if (gift.is_udp && !address_port(&gift.address)) return err_set(err, "it is bound to no port");
    gift.keeps_path = gift.address.sa.any.sa_family == AF_UNIX;
    return socket_store_add(s, &gift) < 0 ? err_set(err, "out of memory") : 0;
}
