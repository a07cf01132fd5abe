#include "observe/process_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "observe/proc_lines.h"
#include "observe/proc_text.h"

const char *const socket_protocol_names[SOCKET_PROTOCOL_COUNT] = {
    [SOCKET_TCP] = "tcp",
    [SOCKET_TCP6] = "tcp6",
    [SOCKET_UDP] = "udp",
    [SOCKET_UDP6] = "udp6",
    [SOCKET_UNIX_STREAM] = "unix stream",
    [SOCKET_UNIX_DATAGRAM] = "unix datagram",
    [SOCKET_UNIX_PACKET] = "unix seqpacket",
};

const char *const socket_state_names[SOCKET_STATE_COUNT] = {
    [SOCKET_ESTABLISHED] = "established", [SOCKET_CONNECTING] = "connecting", [SOCKET_FIN_WAIT] = "fin-wait",
    [SOCKET_CLOSE_WAIT] = "close-wait",   [SOCKET_LAST_ACK] = "last-ack",     [SOCKET_CLOSING] = "closing",
    [SOCKET_CLOSED] = "closed",           [SOCKET_LISTEN] = "listen",
};

/* The kernel's numbers (include/net/tcp_states.h), from 1. */
static const enum socket_state tcp_states[] = {
    SOCKET_CLOSED,   SOCKET_ESTABLISHED, SOCKET_CONNECTING, SOCKET_CONNECTING, SOCKET_FIN_WAIT,
    SOCKET_FIN_WAIT, SOCKET_CLOSED,      SOCKET_CLOSED,     SOCKET_CLOSE_WAIT, SOCKET_LAST_ACK,
    SOCKET_LISTEN,   SOCKET_CLOSING,     SOCKET_CONNECTING,
};

static const struct {
    const char *path;
    bool is_unix;
    enum socket_protocol protocol;
} tables[] = {
    { "net/tcp", false, SOCKET_TCP },         { "net/tcp6", false, SOCKET_TCP6 },
    { "net/udp", false, SOCKET_UDP },         { "net/udp6", false, SOCKET_UDP6 },
    { "net/unix", true, SOCKET_UNIX_STREAM },
};

#define TABLE_COUNT (sizeof(tables) / sizeof(*tables))

static bool pass_words(struct slice *rest, int count)
{
    struct slice word;
    for (int i = 0; i < count; i++)
        if (!proc_take_word(rest, &word)) return false;
    return true;
}

/* "12: 0100007F:4E74 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 27574315 1 ..." */
bool socket_row_parse_inet(struct slice line, struct socket_row *out)
{
    struct slice rest = line;
    uint64_t number, state, ignored;
    memset(out, 0, sizeof(*out));
    if (!proc_take_u64(&rest, &number) || !proc_take_char(&rest, ':')) return false;
    if (!pass_words(&rest, 2)) return false; /* addresses */
    if (!proc_take_hex(&rest, &state) || state >= sizeof(tcp_states) / sizeof(*tcp_states)) return false;
    if (!proc_take_hex(&rest, &out->send) || !proc_take_char(&rest, ':')) return false;
    if (!proc_take_hex(&rest, &out->receive)) return false;
    if (!pass_words(&rest, 4)) return false; /* timer, retransmissions, user, timeout */
    if (!proc_take_u64(&rest, &out->inode)) return false;
    out->state = tcp_states[state];
    if (pass_words(&rest, 2) && proc_take_u64(&rest, &ignored)) out->drops = ignored; /* meant for UDP */
    return true;
}

static enum socket_protocol unix_protocol(uint64_t type)
{
    if (type == SOCK_DGRAM) return SOCKET_UNIX_DATAGRAM;
    return type == SOCK_SEQPACKET ? SOCKET_UNIX_PACKET : SOCKET_UNIX_STREAM;
}

/* "00000000fb7ce8e6: 00000003 00000000 00000000 0001 03  1678 /run/x": the states are those of <linux/net.h>, and a flag
 * says who listens. */
bool socket_row_parse_unix(struct slice line, struct socket_row *out)
{
    struct slice rest = line;
    uint64_t number, flags, type, state;
    memset(out, 0, sizeof(*out));
    if (!proc_take_hex(&rest, &number) || !proc_take_char(&rest, ':')) return false;
    if (!pass_words(&rest, 2)) return false; /* references, protocol */
    if (!proc_take_hex(&rest, &flags) || !proc_take_hex(&rest, &type) || !proc_take_hex(&rest, &state))
        return false;
    if (!proc_take_u64(&rest, &out->inode)) return false;
    enum { ACCEPTS = 1 << 16, CONNECTING = 2, CONNECTED = 3 };
    out->protocol = unix_protocol(type);
    out->state = state == CONNECTED    ? SOCKET_ESTABLISHED
                 : state == CONNECTING ? SOCKET_CONNECTING
                                       : SOCKET_CLOSED;
    if (flags & ACCEPTS) out->state = SOCKET_LISTEN;
    return true;
}

static int by_inode(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void add_row(struct process_sockets *s, const struct socket_row *row)
{
    struct socket_sums *sums = &s->sums[row->protocol][row->state];
    bool is_udp = row->protocol == SOCKET_UDP || row->protocol == SOCKET_UDP6;
    sums->count++;
    if (row->state == SOCKET_LISTEN)
        sums->accept_queue += row->receive;
    else
        sums->receive_bytes += row->receive;
    sums->send_bytes += row->send;
    if (is_udp) sums->drops += row->drops;
}

static int open_table(struct process_reader *r, size_t table)
{
    int fd = openat(r->directory, tables[table].path, O_RDONLY | O_CLOEXEC);
    /* Without IPv6 there are no tables of it, and nothing is missing. */
    if (fd < 0 && errno != ENOENT) process_reader_note(r, "sockets by state", errno);
    return fd;
}

static bool read_table(struct process_reader *r, const struct process_files *files, size_t table,
                       struct process_sockets *out)
{
    struct proc_lines lines;
    struct slice line;
    struct socket_row row;
    int fd = open_table(r, table);
    if (fd < 0) return false;
    proc_lines_init(&lines, fd, r->scratch, PROCESS_SCRATCH);
    while (proc_lines_next(&lines, &line)) {
        bool is_unix = tables[table].is_unix;
        if (!(is_unix ? socket_row_parse_unix(line, &row) : socket_row_parse_inet(line, &row))) continue;
        if (!bsearch(&row.inode, files->sockets, files->socket_count, sizeof(row.inode), by_inode)) continue;
        if (!is_unix) row.protocol = tables[table].protocol;
        add_row(out, &row);
    }
    if (lines.error) process_reader_note(r, "sockets by state", lines.error);
    close(fd);
    return true;
}

static uint64_t sum_counts(const struct process_sockets *s)
{
    uint64_t sum = 0;
    for (uint32_t p = 0; p < SOCKET_PROTOCOL_COUNT; p++)
        for (uint32_t state = 0; state < SOCKET_STATE_COUNT; state++) sum += s->sums[p][state].count;
    return sum;
}

bool process_sockets_read(struct process_reader *r, const struct process_files *files,
                          struct process_sockets *out)
{
    bool is_any = false;
    memset(out, 0, sizeof(*out));
    out->total = files->socket_count;
    if (!files->socket_count) return true;
    for (size_t i = 0; i < TABLE_COUNT; i++) is_any |= read_table(r, files, i, out);
    uint64_t found = sum_counts(out);
    out->other = found < out->total ? out->total - found
                                    : 0; /* one that moves while we read may be met twice */
    return is_any;
}
