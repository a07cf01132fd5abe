/* observe/process_network.h: bytes through the interfaces of the network namespace that a process is in: /proc/PID/net/dev.
 * They are everybody's there: the process's own only where it is alone, as in a container. Linux counts none by process. */
#pragma once

#include "observe/process_reader.h"

struct network_sums {
    uint64_t receive_bytes, send_bytes, receive_packets, send_packets;
    uint64_t receive_errors, send_errors, receive_drops, send_drops;
};

struct process_network {
    struct network_sums outside, loopback;
    uint32_t interface_count;
    bool is_shared; /* with this program: on the same machine, most often with everybody */
};

/* False: not permitted, or the process has ended; a note says so. */
bool process_network_read(struct process_reader *r, struct process_network *out);

/* Pure. One line of the file; false: a heading. */
bool process_network_line(struct slice line, struct process_network *out);
